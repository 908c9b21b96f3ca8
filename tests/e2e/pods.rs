//! The tutorial: pods with unmodified kubectl.

use crate::harness::{Fixture, Test, eventually};

pub const TESTS: &[Test] = &[
    ("tutorial", tutorial),
    ("logs_follow_and_previous", logs_follow_and_previous),
    ("configuration", configuration),
    ("copy", copy),
    ("crash_loop", crash_loop),
    ("discovery_and_explain", discovery_and_explain),
    ("deletion", deletion),
    ("pods_reach_the_api", pods_reach_the_api),
    ("deployment_and_service", deployment_and_service),
    ("resources_are_measured_and_changed", resources_are_measured_and_changed),
];

const TUTORIAL: &str = "
apiVersion: v1
kind: Pod
metadata: {name: nginx, labels: {app: nginx}}
spec:
  containers:
  - name: nginx
    image: kd-test/nginx:1
    ports: [{containerPort: 80}]
    readinessProbe: {httpGet: {path: /, port: 80}, periodSeconds: 1}
";

fn ready(fixture: &Fixture, namespace: &str, pod: &str) {
    let pod = format!("pod/{pod}");
    fixture
        .kubectl(&["-n", namespace, "wait", "--for=condition=Ready", &pod, "--timeout=90s"])
        .ok();
}

fn tutorial(fixture: &Fixture) {
    let n = fixture.namespace("tutorial");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    let file = fixture.file("nginx.yaml", TUTORIAL);
    let file = file.to_str().unwrap();
    k(&["apply", "-f", file]).ok().prints("pod/nginx created");
    ready(fixture, &n, "nginx");
    k(&["apply", "-f", file]).ok().prints("pod/nginx unchanged");
    k(&["get", "pods", "-o", "wide"]).ok().prints("1/1").prints("Running").prints("10.244.0.");
    let described = k(&["describe", "pod", "nginx"]).ok();
    for text in ["Successfully assigned tutorial/nginx to", "Pulled", "Started", "QoS Class"] {
        assert!(described.out.contains(text), "{text}: {}", described.out);
    }
    k(&["exec", "nginx", "--", "cat", "/usr/share/nginx/html/index.html"])
        .ok()
        .prints("Welcome to nginx!");
    k(&["exec", "nginx", "--", "sh", "-c", "exit 3"]).fails(3, "exit code 3");
    k(&["events"]).ok().prints("Scheduled");
    k(&["annotate", "pod", "nginx", "a=b"]).ok();
    k(&["label", "pod", "nginx", "tier=web"]).ok();
    k(&["get", "pods", "-l", "tier=web", "-o", "name"]).ok().prints("pod/nginx");
    k(&["get", "pod", "nginx", "-o", "jsonpath={.status.qosClass}"]).ok().prints("BestEffort");
    k(&["delete", "pod", "nginx"]).ok().prints("deleted");
    k(&["get", "pod", "nginx"]).fails(1, "pods \"nginx\" not found");
}

fn logs_follow_and_previous(fixture: &Fixture) {
    let n = fixture.namespace("logs");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    let script = "for i in 1 2 3 4 5; do echo line $i; done";
    k(&["run", "talker", "--image=kd-test/busybox:1", "--restart=Never", "--", "sh", "-c", script])
        .ok();
    k(&["wait", "--for=jsonpath={.status.phase}=Succeeded", "pod/talker", "--timeout=90s"]).ok();
    assert_eq!(k(&["logs", "talker", "-f"]).ok().out.lines().count(), 5);
    assert_eq!(k(&["logs", "talker", "--tail=2"]).ok().out, "line 4\nline 5\n");
    k(&["logs", "talker", "--timestamps", "--since=1h"]).ok().prints("Z line 1");
    k(&["logs", "talker", "-p"]).fails(1, "previous terminated container \"talker\" in pod");
    k(&["logs", "talker", "-c", "nobody"]).fails(1, "container nobody is not valid for pod talker");
}

const CONFIGURATION: &str = "
apiVersion: v1
kind: ConfigMap
metadata: {name: settings}
data: {color: blue, file.txt: hello}
---
apiVersion: v1
kind: Secret
metadata: {name: password}
stringData: {key: swordfish}
---
apiVersion: v1
kind: Pod
metadata: {name: configured, annotations: {note: read me}}
spec:
  initContainers:
  - name: first
    image: kd-test/busybox:1
    command: [sh, -c, echo prepared > /shared/state]
    volumeMounts: [{name: shared, mountPath: /shared}]
  containers:
  - name: main
    image: kd-test/busybox:1
    command: [sh, -c, sleep 100000]
    securityContext: {runAsUser: 1000, readOnlyRootFilesystem: true}
    resources: {requests: {cpu: 10m}, limits: {memory: 64Mi, cpu: 500m}}
    env:
    - {name: COLOR, valueFrom: {configMapKeyRef: {name: settings, key: color}}}
    - {name: KEY, valueFrom: {secretKeyRef: {name: password, key: key}}}
    - {name: NODE, valueFrom: {fieldRef: {fieldPath: spec.nodeName}}}
    - {name: TEXT, value: $(COLOR)-sky}
    volumeMounts:
    - {name: shared, mountPath: /shared}
    - {name: settings, mountPath: /settings}
    - {name: info, mountPath: /info}
  volumes:
  - {name: shared, emptyDir: {}}
  - {name: settings, configMap: {name: settings}}
  - {name: info, downwardAPI: {items: [{path: note, fieldRef: {fieldPath: \"metadata.annotations['note']\"}}]}}
";

fn configuration(fixture: &Fixture) {
    let n = fixture.namespace("configuration");
    let applied =
        fixture.kubectl_in(fixture.cluster(), &["-n", &n, "apply", "-f", "-"], CONFIGURATION);
    applied.ok();
    ready(fixture, &n, "configured");
    let sh = |script: &str| {
        fixture.kubectl(&["-n", &n, "exec", "configured", "--", "sh", "-c", script]).ok().out
    };
    assert_eq!(sh("cat /shared/state /settings/file.txt /info/note"), "prepared\nhelloread me");
    assert_eq!(sh("echo $COLOR $KEY $TEXT"), "blue swordfish blue-sky\n");
    assert_eq!(sh("id -u"), "1000\n");
    assert_eq!(sh("touch /x 2>&1 || true").trim(), "touch: /x: Read-only file system");
    assert!(sh("cat /etc/hosts").starts_with("# Kubernetes-managed hosts file."));
    assert!(sh("cat /etc/resolv.conf").contains("search configuration.svc.cluster.local"));
    let patch = r#"{"data":{"file.txt":"changed"}}"#;
    fixture.kubectl(&["-n", &n, "patch", "configmap", "settings", "-p", patch]).ok();
    eventually("the file changes", || (sh("cat /settings/file.txt") == "changed").then_some(()));
}

fn copy(fixture: &Fixture) {
    let n = fixture.namespace("copy");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    k(&["run", "box", "--image=kd-test/busybox:1", "--", "sleep", "100000"]).ok();
    ready(fixture, &n, "box");
    let content: String = (0..20_000).map(|line| format!("{line}\n")).collect();
    let file = fixture.file("there.txt", &content);
    k(&["cp", file.to_str().unwrap(), "box:/tmp/there.txt"]).ok();
    let back = fixture.directory().join("back.txt");
    k(&["cp", "box:/tmp/there.txt", back.to_str().unwrap()]).ok();
    assert_eq!(std::fs::read_to_string(back).unwrap(), content);
    let echoed = fixture.kubectl_in(
        fixture.cluster(),
        &["-n", &n, "exec", "-i", "box", "--", "cat"],
        "through stdin",
    );
    assert_eq!(echoed.ok().out, "through stdin");
    k(&["attach", "box", "--help"]).ok();
}

fn crash_loop(fixture: &Fixture) {
    let n = fixture.namespace("crash");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    k(&["run", "crasher", "--image=kd-test/busybox:1", "--", "sh", "-c", "echo bye; exit 7"]).ok();
    eventually("it loops", || {
        k(&["get", "pod", "crasher"]).out.contains("CrashLoopBackOff").then_some(())
    });
    k(&["logs", "crasher", "-p"]).ok().prints("bye");
    let path = "jsonpath={.status.containerStatuses[0].lastState.terminated.exitCode}";
    k(&["get", "pod", "crasher", "-o", path]).ok().prints("7");
    k(&["run", "missing", "--image=kd-test/none:1"]).ok();
    eventually("it backs off", || {
        k(&["get", "pod", "missing"]).out.contains("ImagePullBackOff").then_some(())
    });
    k(&["run", "no-command", "--image=kd-test/busybox:1", "--", "/nowhere"]).ok();
    eventually("it cannot start", || {
        k(&["describe", "pod", "no-command"]).out.contains("/nowhere").then_some(())
    });
}

fn discovery_and_explain(fixture: &Fixture) {
    let k = |arguments: &[&str]| fixture.kubectl(arguments);
    k(&["api-resources", "-o", "wide"]).ok().prints("pods").prints("rolebindings");
    k(&["api-versions"]).ok().prints("rbac.authorization.k8s.io/v1");
    k(&["explain", "pod.spec"]).ok().prints("containers").prints("required");
    k(&["explain", "pod.spec.containers", "--recursive"]).ok().prints("livenessProbe");
    k(&["auth", "can-i", "create", "pods"]).ok().prints("yes");
    let refused = k(&["auth", "can-i", "create", "pods", "--as=nobody"]);
    assert_eq!(refused.out.trim(), "no");
    k(&["version"]).ok().prints("v1.36");
    k(&["config", "view"]).ok().prints("kd-");
    k(&["get", "--raw", "/readyz?verbose"]).ok().prints("check passed");
    k(&["cluster-info"]).ok().prints("is running at");
    let unknown = "apiVersion: v1\nkind: Pod\nmetadata: {name: x}\nspec: {containres: []}\n";
    fixture.apply(unknown).fails(1, "unknown field \"spec.containres\"");
}

fn deletion(fixture: &Fixture) {
    let n = fixture.namespace("deletion");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    let trap = "trap 'echo stopping; exit 0' TERM; while true; do sleep 0.1; done";
    k(&["run", "graceful", "--image=kd-test/busybox:1", "--", "sh", "-c", trap]).ok();
    k(&["run", "stubborn", "--image=kd-test/busybox:1", "--", "sleep", "100000"]).ok();
    ready(fixture, &n, "graceful");
    ready(fixture, &n, "stubborn");
    k(&["delete", "pod", "graceful"]).ok();
    k(&["delete", "pod", "stubborn", "--grace-period=1"]).ok();
    k(&["create", "configmap", "left"]).ok();
    fixture.kubectl(&["delete", "namespace", &n, "--timeout=90s"]).ok();
    fixture.kubectl(&["get", "namespace", &n]).fails(1, "not found");
}

fn pods_reach_the_api(fixture: &Fixture) {
    let n = fixture.namespace("api");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    k(&["run", "box", "--image=kd-test/busybox:1", "--", "sleep", "100000"]).ok();
    ready(fixture, &n, "box");
    let script = "nc -w 5 $KUBERNETES_SERVICE_HOST $KUBERNETES_SERVICE_PORT </dev/null && \
        head -c 3 /var/run/secrets/kubernetes.io/serviceaccount/token && \
        cat /var/run/secrets/kubernetes.io/serviceaccount/namespace";
    let ran = k(&["exec", "box", "--", "sh", "-c", script]).ok();
    assert_eq!(ran.out, "eyJapi");
}

const DEPLOYMENT: &str = "
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 2
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: {containers: [{name: nginx, image: kd-test/nginx:1, ports: [{containerPort: 80, name: http}]}]}
---
apiVersion: v1
kind: Service
metadata: {name: web}
spec: {selector: {app: web}, ports: [{port: 8080, targetPort: http}]}
";

fn deployment_and_service(fixture: &Fixture) {
    let n = fixture.namespace("deployment");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    fixture.kubectl_in(fixture.cluster(), &["-n", &n, "apply", "-f", "-"], DEPLOYMENT).ok();
    k(&["rollout", "status", "deployment/web", "--timeout=90s"]).ok();
    k(&["run", "box", "--image=kd-test/busybox:1", "--", "sleep", "100000"]).ok();
    ready(fixture, &n, "box");
    let address = k(&["get", "service", "web", "-o", "jsonpath={.spec.clusterIP}"]).ok().out;
    let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 8080");
    eventually("the service answers", || {
        let got = k(&["exec", "box", "--", "sh", "-c", &script]);
        got.out.contains("Welcome to nginx!").then_some(())
    });
    k(&["scale", "deployment/web", "--replicas=3"]).ok();
    k(&["rollout", "status", "deployment/web", "--timeout=90s"]).ok();
    k(&["delete", "deployment", "web"]).ok();
    eventually("its pods are gone", || {
        k(&["get", "pods", "-l", "app=web", "-o", "name"]).out.is_empty().then_some(())
    });
}

const MEASURED: &str = "
apiVersion: v1
kind: Pod
metadata: {name: busy}
spec:
  terminationGracePeriodSeconds: 1
  containers:
  - name: main
    image: kd-test/busybox:1
    command: [sh, -c, 'while :; do :; done']
    resources: {requests: {cpu: 20m, memory: 16Mi}, limits: {cpu: 50m, memory: 32Mi}}
";

fn resources_are_measured_and_changed(fixture: &Fixture) {
    let n = fixture.namespace("measured");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    fixture.kubectl_in(fixture.cluster(), &["-n", &n, "apply", "-f", "-"], MEASURED).ok();
    ready(fixture, &n, "busy");
    eventually("its use is measured", || {
        let ran = k(&["top", "pods", "--containers", "--no-headers"]);
        let cpu = ran.out.split_whitespace().nth(2)?.strip_suffix('m')?.parse::<u32>().ok()?;
        (10..100).contains(&cpu).then_some(())
    });
    k(&["top", "nodes"]).ok().prints("server-0");
    let patch =
        r#"{"spec":{"containers":[{"name":"main","resources":{"limits":{"memory":"64Mi"}}}]}}"#;
    k(&["patch", "pod", "busy", "--subresource=resize", "-p", patch]).ok();
    let status = "jsonpath={.status.containerStatuses[0].resources.limits.memory} \
                  {.status.containerStatuses[0].restartCount}";
    eventually("its limit changes", || {
        (k(&["get", "pod", "busy", "-o", status]).out == "64Mi 0").then_some(())
    });
    eventually("the end is told", || k(&["events"]).out.contains("ResizeCompleted").then_some(()));
    k(&["delete", "pod", "busy"]).ok();
}
