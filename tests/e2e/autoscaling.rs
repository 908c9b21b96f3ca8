//! HorizontalPodAutoscalers: up under real load and down after it, and on metrics that a server of
//! the test tells.

use kd_contract::pki::ClusterAuthority;

use crate::harness::{Fixture, Test, eventually};

pub const TESTS: &[Test] = &[
    ("up_under_load_and_down_after", up_under_load_and_down_after),
    ("told_metrics", told_metrics),
];

/// A Deployment that burns its limit while `/tmp/load` is there.
const BUSY: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: busy}
spec:
  selector: {matchLabels: {app: busy}}
  template:
    metadata: {labels: {app: busy}}
    spec:
      terminationGracePeriodSeconds: 0
      containers:
      - name: c
        image: kd-test/busybox:1
        command: [sh, -c, 'while :; do [ -e /tmp/load ] || sleep 0.5; done']
        resources: {requests: {cpu: 100m}, limits: {cpu: 300m}}
---
apiVersion: autoscaling/v2
kind: HorizontalPodAutoscaler
metadata: {name: busy}
spec:
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: busy}
  maxReplicas: 3
  metrics:
  - {type: Resource, resource: {name: cpu, target: {type: Utilization, averageUtilization: 50}}}
  behavior: {scaleDown: {stabilizationWindowSeconds: 0}}
";

/// What a server of custom and external metrics answers, all of it constant: a pod has a queue of 30,
/// the Service sees 90 requests, the world outside has 60 orders.
const SERVER: &str = r#"
daemon off;
user root;
error_log stderr;
pid /tmp/nginx.pid;
events {}
http {
  default_type application/json;
  access_log off;
  server {
    listen 6443 ssl;
    ssl_certificate /tls/tls.crt;
    ssl_certificate_key /tls/tls.key;
    location = /apis/custom.metrics.k8s.io/v1beta1 { return 200 '{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"custom.metrics.k8s.io/v1beta1","resources":[{"name":"pods/queue","singularName":"","namespaced":true,"kind":"MetricValueList","verbs":["get"]}]}'; }
    location = /apis/external.metrics.k8s.io/v1beta1 { return 200 '{"kind":"APIResourceList","apiVersion":"v1","groupVersion":"external.metrics.k8s.io/v1beta1","resources":[{"name":"orders","singularName":"","namespaced":true,"kind":"ExternalMetricValueList","verbs":["get"]}]}'; }
    location ~ /pods/.*/queue$ { return 200 '{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{},"items":[{"describedObject":{"kind":"Pod","namespace":"told","name":"pods-0","apiVersion":"v1"},"metricName":"queue","timestamp":"2026-01-01T00:00:00Z","value":"30"}]}'; }
    location ~ /services/told/requests$ { return 200 '{"kind":"MetricValueList","apiVersion":"custom.metrics.k8s.io/v1beta1","metadata":{},"items":[{"describedObject":{"kind":"Service","namespace":"told","name":"told","apiVersion":"v1"},"metricName":"requests","timestamp":"2026-01-01T00:00:00Z","value":"90"}]}'; }
    location ~ /namespaces/told/orders$ { return 200 '{"kind":"ExternalMetricValueList","apiVersion":"external.metrics.k8s.io/v1beta1","metadata":{},"items":[{"metricName":"orders","metricLabels":{},"timestamp":"2026-01-01T00:00:00Z","value":"60"}]}'; }
    location / { return 404 '{"kind":"Status","apiVersion":"v1","status":"Failure","reason":"NotFound","code":404}'; }
  }
}
"#;

fn up_under_load_and_down_after(fixture: &Fixture) {
    let namespace = fixture.namespace("busy");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &namespace], arguments].concat());
    let apply = ["-n", &namespace, "apply", "-f", "-"];
    fixture.kubectl_in(fixture.cluster(), &apply, BUSY).ok();
    k(&["rollout", "status", "deployment/busy", "--timeout=90s"]).ok();
    let pod = k(&["get", "pods", "-o", "name"]).ok().out.trim().to_owned();
    k(&["exec", &pod, "--", "touch", "/tmp/load"]).ok();
    let replicas = || k(&["get", "deployment", "busy", "-o", "jsonpath={.spec.replicas}"]).ok().out;
    eventually("more pods under load", || (replicas() != "1").then_some(()));
    k(&["describe", "hpa", "busy"]).ok().prints("SuccessfulRescale");
    k(&["exec", &pod, "--", "rm", "/tmp/load"]).ok();
    eventually("one pod without", || (replicas() == "1").then_some(()));
    k(&["describe", "hpa", "busy"]).ok().prints("All metrics below target");
    k(&["delete", "namespace", &namespace, "--wait=false"]).ok();
}

fn told_metrics(fixture: &Fixture) {
    let namespace = fixture.namespace("told");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &namespace], arguments].concat());
    let apply = |manifest: &str| {
        let arguments = ["-n", &namespace, "apply", "-f", "-"];
        // kubectl takes for JSON what begins with a brace.
        let manifest = format!("---\n{manifest}");
        fixture.kubectl_in(fixture.cluster(), &arguments, &manifest).ok();
    };
    server(fixture, &namespace);
    for (name, metric) in CASES {
        apply(&format!(
            "{{apiVersion: apps/v1, kind: StatefulSet, metadata: {{name: {name}}}, spec: {{
               podManagementPolicy: Parallel, serviceName: {name},
               selector: {{matchLabels: {{app: {name}}}}}, template: {{
                 metadata: {{labels: {{app: {name}}}}}, spec: {{terminationGracePeriodSeconds: 0,
                   containers: [{{name: c, image: 'kd-test/busybox:1', command: [sleep, inf]}}]}}}}}}}}"
        ));
        apply(&format!(
            "{{apiVersion: autoscaling/v2, kind: HorizontalPodAutoscaler, metadata: {{name: {name}}},
              spec: {{maxReplicas: 3, metrics: [{metric}],
                scaleTargetRef: {{apiVersion: apps/v1, kind: StatefulSet, name: {name}}}}}}}"
        ));
    }
    for (name, _) in CASES {
        eventually(&format!("three pods for {name}"), || {
            let path = "jsonpath={.spec.replicas}";
            (k(&["get", "statefulset", name, "-o", path]).ok().out == "3").then_some(())
        });
    }
    k(&["describe", "hpa", "object"]).ok().prints("Service metric requests above target");
    k(&["describe", "hpa", "external"]).ok().prints("external metric orders");
    for group in ["custom", "external"] {
        k(&["delete", "apiservice", &format!("v1beta1.{group}.metrics.k8s.io")]).ok();
    }
    k(&["delete", "namespace", &namespace, "--wait=false"]).ok();
}

const MANIFEST: &str = "
apiVersion: v1
kind: Pod
metadata: {name: told, labels: {app: told}}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: nginx
    image: kd-test/nginx:1
    command: [nginx, -c, /conf/nginx.conf]
    volumeMounts: [{name: conf, mountPath: /conf}, {name: tls, mountPath: /tls}]
  volumes:
  - {name: conf, configMap: {name: conf}}
  - {name: tls, secret: {secretName: tls}}
---
apiVersion: v1
kind: Service
metadata: {name: told}
spec: {selector: {app: told}, ports: [{port: 443, targetPort: 6443}]}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.custom.metrics.k8s.io}
spec: {group: custom.metrics.k8s.io, version: v1beta1, insecureSkipTLSVerify: true,
  groupPriorityMinimum: 100, versionPriority: 100, service: {name: told, namespace: told}}
---
apiVersion: apiregistration.k8s.io/v1
kind: APIService
metadata: {name: v1beta1.external.metrics.k8s.io}
spec: {group: external.metrics.k8s.io, version: v1beta1, insecureSkipTLSVerify: true,
  groupPriorityMinimum: 100, versionPriority: 100, service: {name: told, namespace: told}}
";

/// Autoscalers whose metrics ask for three pods.
const CASES: [(&str, &str); 3] = [
    (
        "object",
        "{type: Object, object: {metric: {name: requests}, target: {type: Value, value: '30'},
          describedObject: {apiVersion: v1, kind: Service, name: told}}}",
    ),
    (
        "external",
        "{type: External, external: {metric: {name: orders},
          target: {type: AverageValue, averageValue: '20'}}}",
    ),
    (
        "pods",
        "{type: Pods, pods: {metric: {name: queue},
          target: {type: AverageValue, averageValue: '10'}}}",
    ),
];

/// A metrics server in the cluster and the APIServices that lead to it.
fn server(fixture: &Fixture, namespace: &str) {
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", namespace], arguments].concat()).ok();
    let authority = ClusterAuthority::generate("told").unwrap();
    let issued = authority.issue_server("told", &["told.told.svc".to_owned()]).unwrap();
    let certificate = fixture.file("told.crt", &issued.certificate_pem);
    let key = fixture.file("told.key", &issued.key_pem);
    let (certificate, key) = (certificate.display(), key.display());
    let (certificate, key) = (format!("--cert={certificate}"), format!("--key={key}"));
    k(&["create", "secret", "tls", "tls", &certificate, &key]);
    let conf = format!("--from-literal=nginx.conf={SERVER}");
    k(&["create", "configmap", "conf", &conf]);
    let arguments = ["-n", namespace, "apply", "-f", "-"];
    fixture.kubectl_in(fixture.cluster(), &arguments, MANIFEST).ok();
    for group in ["custom", "external"] {
        let name = format!("apiservice/v1beta1.{group}.metrics.k8s.io");
        k(&["wait", "--for=condition=Available", &name, "--timeout=90s"]);
    }
}
