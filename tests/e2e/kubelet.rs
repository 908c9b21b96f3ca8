//! What a node gives to pods: ids of their own, the node's limits, flags of its kubelet.

use crate::harness::{Fixture, Test, eventually};

pub const TESTS: &[Test] = &[
    ("user_namespaces", user_namespaces),
    ("limited_nodes", limited_nodes),
    ("bad_flags", bad_flags),
];

const MAPPED: &str = "
apiVersion: v1
kind: Pod
metadata: {name: NAME}
spec:
  hostUsers: false
  terminationGracePeriodSeconds: 0
  securityContext: {fsGroup: 2000}
  containers:
  - name: main
    image: kd-test/busybox:1
    command: [sleep, '100000']
    securityContext: {capabilities: {add: [SYS_ADMIN]}, procMount: Unmasked}
    volumeMounts: [{name: data, mountPath: /data}, {name: memory, mountPath: /memory}]
  volumes: [{name: data, emptyDir: {}}, {name: memory, emptyDir: {medium: Memory}}]
";

fn user_namespaces(fixture: &Fixture) {
    let n = fixture.namespace("mapped");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    let script = "tail -n 1 /proc/self/uid_map; id -u; cd /data; touch x /memory/x; stat -c %u:%g x /memory/x; \
                  mkdir /m; mount -t tmpfs m /m && echo mounted; cat /var/run/secrets/kubernetes.io/serviceaccount/namespace; echo; \
                  head -n 1 /etc/hosts";
    let mut ranges = Vec::new();
    for name in ["one", "two"] {
        let manifest = MAPPED.replace("NAME", name);
        fixture.kubectl_in(fixture.cluster(), &["-n", &n, "apply", "-f", "-"], &manifest).ok();
        k(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=90s"]).ok();
        let told = k(&["exec", name, "--", "sh", "-c", script]).ok().out;
        let mut lines = told.lines();
        let map: Vec<u32> =
            lines.next().unwrap().split_whitespace().map(|n| n.parse().unwrap()).collect();
        assert!(map[0] == 0 && map[1] >= 65536 && map[2] == 65536, "{map:?}");
        ranges.push(map[1]);
        let rest: Vec<&str> = lines.collect();
        let expect =
            ["0", "0:2000", "0:2000", "mounted", "mapped", "# Kubernetes-managed hosts file."];
        assert_eq!(rest, expect);
    }
    assert_ne!(ranges[0], ranges[1]);
    k(&["logs", "one"]).ok();
    k(&["delete", "pod", "one", "two", "--now"]).ok();
}

fn limited_nodes(fixture: &Fixture) {
    let name = fixture.name("limited");
    let flags =
        ["--kubelet-arg", "max-pods=20", "--kubelet-arg", "system-reserved=memory=100Mi,cpu=200m"];
    let create = ["cluster", "create", &name, "--memory", "1g", "--cpus", "1"];
    fixture.kd(&[&create[..], &flags].concat()).ok();
    let told = |path: &str| {
        let path = format!("jsonpath={{.items[0].status.{path}}}");
        fixture.kubectl_in(&name, &["get", "nodes", "-o", &path], "").ok().out
    };
    assert_eq!(told("capacity.memory"), "1Gi");
    assert_eq!((told("capacity.cpu"), told("allocatable.cpu")), ("1".into(), "800m".into()));
    // Without what is reserved and what eviction keeps free.
    assert_eq!(told("allocatable.memory"), "824Mi");
    assert_eq!((told("capacity.pods"), told("allocatable.pods")), ("20".into(), "20".into()));
    let big = r#"{"spec":{"nodeName":"NODE","containers":[{"name":"c","image":"kd-test/busybox:1","resources":{"requests":{"memory":"900Mi"}}}]}}"#;
    let big = big.replace("NODE", &format!("kd-{name}-server-0"));
    let run = ["run", "big", "--image=kd-test/busybox:1", "--restart=Never", "--overrides", &big];
    fixture.kubectl_in(&name, &run, "").ok();
    eventually("the kubelet refuses what does not fit", || {
        let reason = ["get", "pod", "big", "-o", "jsonpath={.status.reason}"];
        (fixture.kubectl_in(&name, &reason, "").out == "OutOfmemory").then_some(())
    });
}

fn bad_flags(fixture: &Fixture) {
    let name = fixture.name("flags");
    let create =
        |arguments: &[&str]| fixture.kd(&[&["cluster", "create", &name], arguments].concat());
    let refused = create(&["--kubelet-arg", "fly=high"]);
    assert_ne!(refused.code, Some(0));
    refused.says("there is no flag \"fly\"");
    create(&["--memory", "1m"]).fails(2, "it is at least 6m");
    create(&["--cpus", "none"]).fails(2, "is no number");
}
