//! What controllers do for a cluster rather than for a workload: credentials that come and go, claims
//! of devices, what nobody owns any more.

use std::process::Command;

use crate::harness::{Fixture, Test, eventually, run};

pub const TESTS: &[Test] = &[
    ("account_tokens", account_tokens),
    ("bootstrap_tokens", bootstrap_tokens),
    ("claims_of_devices", claims_of_devices),
    ("owners_of_kinds_that_come_later", owners_of_kinds_that_come_later),
    ("queues_are_counted", queues_are_counted),
];

fn apply(fixture: &Fixture, namespace: &str, manifest: &str) {
    // kubectl takes for JSON what begins with a brace.
    let manifest = format!("---\n{manifest}");
    fixture.kubectl_in(fixture.cluster(), &["-n", namespace, "apply", "-f", "-"], &manifest).ok();
}

fn account_tokens(fixture: &Fixture) {
    let namespace = fixture.namespace("robots");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &namespace], arguments].concat());
    k(&["create", "serviceaccount", "robot"]).ok();
    apply(
        fixture,
        &namespace,
        "{apiVersion: v1, kind: Secret, type: kubernetes.io/service-account-token,
          metadata: {name: robot, annotations: {kubernetes.io/service-account.name: robot}}}",
    );
    let token = eventually("the token is there", || {
        let path = "go-template={{with .data.token}}{{. | base64decode}}{{end}}";
        let token = k(&["get", "secret", "robot", "-o", path]).ok().out;
        (!token.is_empty()).then_some(token)
    });
    let described = k(&["describe", "secret", "robot"]).ok();
    described.prints("kubernetes.io/service-account.uid").prints("ca.crt:");
    let who = ["auth", "whoami", "-o", "jsonpath={.status.userInfo.username}"];
    let token = format!("--token={token}");
    let server = config(fixture, "server");
    let anonymous = fixture.file("nobody", "");
    let mut bearer = Command::new("kubectl");
    bearer.env("KUBECONFIG", &anonymous).args(["--insecure-skip-tls-verify", &token, &server]);
    run(bearer.args(who), "").ok().prints("system:serviceaccount:robots:robot");
    k(&["delete", "serviceaccount", "robot"]).ok();
    eventually("the Secret goes with its account", || {
        (k(&["get", "secret", "robot"]).code != Some(0)).then_some(())
    });
}

/// A field of the shared cluster, as an argument.
fn config(fixture: &Fixture, field: &str) -> String {
    let path = format!("jsonpath={{.clusters[0].cluster.{field}}}");
    let view = ["config", "view", "--minify", "--raw", "-o", &path];
    format!("--{field}={}", fixture.kubectl(&view).ok().out)
}

fn bootstrap_tokens(fixture: &Fixture) {
    let k = |arguments: &[&str]| fixture.kubectl(arguments);
    let now = run(Command::new("date").args(["-u", "-d", "+8 seconds", "+%Y-%m-%dT%H:%M:%SZ"]), "");
    let end = now.ok().out.trim().to_owned();
    apply(
        fixture,
        "kube-system",
        &format!(
            "{{apiVersion: v1, kind: Secret, type: bootstrap.kubernetes.io/token,
               metadata: {{name: bootstrap-token-abcdef}}, stringData: {{token-id: abcdef,
                 token-secret: 0123456789abcdef, usage-bootstrap-signing: 'true',
                 expiration: '{end}'}}}}"
        ),
    );
    let signature = || {
        let path = "jsonpath={.data.jws-kubeconfig-abcdef}";
        k(&["-n", "kube-public", "get", "configmap", "cluster-info", "-o", path]).ok().out
    };
    eventually("the token signs", || signature().contains("..").then_some(()));
    let read = ["get", "configmap", "cluster-info", "-n", "kube-public"];
    k(&[&read[..], &["--as=system:anonymous"]].concat()).ok().prints("cluster-info");
    eventually("its signature goes with it", || signature().is_empty().then_some(()));
    eventually("it goes when it expires", || {
        let found = k(&["-n", "kube-system", "get", "secret", "bootstrap-token-abcdef"]);
        (found.code != Some(0)).then_some(())
    });
}

fn claims_of_devices(fixture: &Fixture) {
    let namespace = fixture.namespace("devices");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &namespace], arguments].concat());
    let pod = "{apiVersion: v1, kind: Pod, metadata: {name: p}, spec: {
        schedulerName: nobody, containers: [{name: c, image: 'kd-test/busybox:1'}],
        resourceClaims: [{name: gpu, resourceClaimTemplateName: gpu}]}}";
    apply(fixture, &namespace, pod);
    eventually("the pod tells what it lacks", || {
        let events = k(&["describe", "pod", "p"]).ok().out;
        events.contains("FailedResourceClaimCreation").then_some(())
    });
    apply(
        fixture,
        &namespace,
        "{apiVersion: resource.k8s.io/v1, kind: ResourceClaimTemplate, metadata: {name: gpu},
          spec: {spec: {devices: {requests: [{name: one,
            exactly: {deviceClassName: gpus, allocationMode: ExactCount, count: 1}}]}}}}",
    );
    let claim = eventually("the pod knows its claim", || {
        let path = "jsonpath={.status.resourceClaimStatuses[0].resourceClaimName}";
        let name = k(&["get", "pod", "p", "-o", path]).ok().out;
        (!name.is_empty()).then_some(name)
    });
    assert!(claim.starts_with("p-gpu-"), "{claim}");
    k(&["get", "resourceclaim", &claim]).ok().prints("pending");
    k(&["delete", "pod", "p"]).ok();
    eventually("the claim goes with its pod", || {
        (k(&["get", "resourceclaim", &claim]).code != Some(0)).then_some(())
    });
}

fn owners_of_kinds_that_come_later(fixture: &Fixture) {
    let namespace = fixture.namespace("later");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &namespace], arguments].concat());
    let owner = "{apiVersion: later.example.com/v1, kind: Gadget, name: g, uid: 1-2-3}";
    apply(
        fixture,
        &namespace,
        &format!(
            "{{apiVersion: v1, kind: ConfigMap, metadata: {{name: m, ownerReferences: [{owner}]}}}}"
        ),
    );
    k(&["get", "configmap", "m"]).ok();
    apply(
        fixture,
        &namespace,
        "{apiVersion: apiextensions.k8s.io/v1, kind: CustomResourceDefinition,
          metadata: {name: gadgets.later.example.com}, spec: {group: later.example.com,
            scope: Namespaced, names: {plural: gadgets, kind: Gadget}, versions: [{name: v1,
              served: true, storage: true, schema: {openAPIV3Schema: {type: object}}}]}}",
    );
    eventually("who has no owner goes once that is known", || {
        (k(&["get", "configmap", "m"]).code != Some(0)).then_some(())
    });
    k(&["delete", "crd", "gadgets.later.example.com"]).ok();
}

fn queues_are_counted(fixture: &Fixture) {
    let metrics = fixture.kubectl(&["get", "--raw", "/metrics"]).ok();
    metrics.prints("workqueue_adds_total{name=\"deployment\"}").prints("workqueue_depth");
}
