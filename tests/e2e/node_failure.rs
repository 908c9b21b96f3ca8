//! A node's container is killed under a Deployment, a StatefulSet and a Job: what can go on goes on
//! elsewhere, what must not run twice waits for the administrator's word, nothing is lost.

use std::time::{Duration, Instant};

use crate::harness::{Fixture, Test, docker, eventually};

pub const TESTS: &[Test] = &[("workloads_survive_a_killed_node", workloads_survive_a_killed_node)];

/// Grace of the node's heartbeats (50 s), the pods' toleration (2 s), and what comes after.
const RESTORED_MAX: Duration = Duration::from_secs(80);

const WORKLOADS: &str = r#"
apiVersion: apps/v1
kind: Deployment
metadata: {name: web}
spec:
  replicas: 4
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec: POD
---
apiVersion: apps/v1
kind: StatefulSet
metadata: {name: db}
spec:
  serviceName: db
  replicas: 2
  podManagementPolicy: Parallel
  selector: {matchLabels: {app: db}}
  template:
    metadata: {labels: {app: db}}
    spec: POD
---
apiVersion: batch/v1
kind: Job
metadata: {name: sums}
spec:
  completions: 4
  parallelism: 4
  completionMode: Indexed
  podReplacementPolicy: Failed
  podFailurePolicy:
    rules: [{action: Ignore, onPodConditions: [{type: DisruptionTarget}]}]
  template:
    metadata: {labels: {app: sums}}
    spec: POD
"#;

/// Pods stand on both agents, and leave a node that is away after two seconds.
const POD: &str = r#"{"terminationGracePeriodSeconds": 1, "restartPolicy": "RESTART",
  "containers": [{"name": "c", "image": "kd-test/busybox:1", "command": ["sh", "-c", "trap 'exit 1' TERM; SCRIPT"]}],
  "topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname",
    "whenUnsatisfiable": "ScheduleAnyway", "labelSelector": {"matchLabels": {"app": "NAME"}}}],
  "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [
    {"matchExpressions": [{"key": "node-role.kubernetes.io/control-plane", "operator": "DoesNotExist"}]}]}}},
  "tolerations": [
    {"key": "node.kubernetes.io/unreachable", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2},
    {"key": "node.kubernetes.io/not-ready", "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 2}]}"#;

/// The Job's pods run until the node has been away for a while.
const UNTIL_RELEASED: &str =
    "until nc -w 1 gate 80 < /dev/null > /dev/null 2>&1; do sleep 1 & wait $!; done";

fn manifest() -> String {
    let pod = |name: &str, restart: &str, script: &str| {
        let pod = POD.replace("NAME", name).replace("RESTART", restart).replace("SCRIPT", script);
        pod.replace('\n', " ")
    };
    let forever = "while :; do sleep 5 & wait $!; done";
    let pods = [
        pod("web", "Always", forever),
        pod("db", "Always", forever),
        pod("sums", "Never", UNTIL_RELEASED),
    ];
    pods.iter().fold(WORKLOADS.to_owned(), |text, pod| text.replacen("POD", pod, 1))
}

fn workloads_survive_a_killed_node(fixture: &Fixture) {
    let name = fixture.name("failure");
    fixture.kd(&["cluster", "create", &name, "--agents", "2"]).ok();
    fixture.kd(&["image", "load", "kd-test/busybox:1", "kd-test/nginx:1", "--cluster", &name]).ok();
    let k = |arguments: &[&str]| fixture.kubectl_in(&name, arguments, "");
    fixture.kubectl_in(&name, &["apply", "-f", "-"], &manifest()).ok();
    k(&["wait", "--for=condition=Ready", "pods", "--all", "--timeout=90s"]).ok();
    let victim = format!("kd-{name}-agent-0");
    let on_victim = |app: &str| {
        let (label, field) =
            (format!("-lapp={app}"), format!("--field-selector=spec.nodeName={victim}"));
        let names = k(&["get", "pods", &label, &field, "-o", "name"]).ok().out;
        names.lines().map(str::to_owned).collect::<Vec<String>>()
    };
    for app in ["web", "db", "sums"] {
        assert!(!on_victim(app).is_empty(), "{app} has a pod on {victim}");
    }
    let member = on_victim("db")[0].clone();
    let killed = Instant::now();
    docker(&["kill", &victim]).ok();
    restored(fixture, &name, killed);
    // A pod with a name of its own is nowhere else while nobody knows that it has ended.
    let node = || k(&["get", &member, "-o", "jsonpath={.spec.nodeName}"]).out;
    assert_eq!(node(), victim);
    let indexes = k(&["get", "pods", "-lapp=sums", "-o", "name"]).ok().out;
    assert_eq!(indexes.lines().count(), 4, "a Job's pod is replaced when it has ended: {indexes}");
    k(&["taint", "node", &victim, "node.kubernetes.io/out-of-service=x:NoExecute"]).ok();
    eventually("the member comes on another node", || {
        let node = node();
        (!node.is_empty() && node != victim).then_some(())
    });
    k(&["wait", "--for=condition=Ready", &member, "--timeout=60s"]).ok();
    job_ends(fixture, &name);
    comes_back(fixture, &name, &victim);
    fixture.kd(&["cluster", "delete", &name]).ok();
}

/// The Deployment serves with all its pods again, in time.
fn restored(fixture: &Fixture, name: &str, killed: Instant) {
    let k = |arguments: &[&str]| fixture.kubectl_in(name, arguments, "");
    let field = |path: &str| k(&["get", "deployment", "web", "-o", path]).ok().out;
    eventually("the node's pods are missed", || {
        (field("jsonpath={.status.availableReplicas}") != "4").then_some(())
    });
    k(&["rollout", "status", "deployment/web", "--timeout=60s"]).ok();
    let took = killed.elapsed();
    assert!(took < RESTORED_MAX, "the Deployment was restored after {took:?}");
    assert_eq!(field("jsonpath={.status.availableReplicas}"), "4");
}

/// Every index succeeds once, whatever happened to its first pod.
fn job_ends(fixture: &Fixture, name: &str) {
    let k = |arguments: &[&str]| fixture.kubectl_in(name, arguments, "").ok();
    k(&["run", "gate", "--image=kd-test/nginx:1", "--port=80", "--expose"]);
    k(&["wait", "--for=condition=Complete", "job/sums", "--timeout=90s"]);
    let path = "jsonpath={.status.succeeded} {.status.completedIndexes} {.status.failed}";
    assert_eq!(k(&["get", "job", "sums", "-o", path]).out.trim(), "4 0-3");
}

/// The node is back, and nothing on it is a second one of anything.
fn comes_back(fixture: &Fixture, name: &str, victim: &str) {
    let k = |arguments: &[&str]| fixture.kubectl_in(name, arguments, "").ok();
    docker(&["start", victim]).ok();
    k(&["taint", "node", victim, "node.kubernetes.io/out-of-service-"]);
    k(&["wait", "--for=condition=Ready", &format!("node/{victim}"), "--timeout=90s"]);
    eventually("the node has no taint", || {
        let taints = k(&["get", "node", victim, "-o", "jsonpath={.spec.taints}"]).out;
        taints.is_empty().then_some(())
    });
    for (app, expect) in [("web", 4), ("db", 2)] {
        eventually(&format!("{expect} pods of {app}"), || {
            let all = k(&["get", "pods", &format!("-lapp={app}"), "-o", "name"]).out;
            (all.lines().count() == expect).then_some(())
        });
    }
}
