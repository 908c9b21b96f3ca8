//! Pods on a machine with cgroup v2: limits, devices, memory, resizing, users, and a kubelet that dies.

use crate::harness::{Fixture, Ran, Test, docker, eventually, run};
use crate::machine::{self, Machine};

pub const TESTS: &[Test] = &[("node", node)];

const BUSYBOX: &str = "kd-test/busybox:1";

const LIMITED: &str = "
apiVersion: v1
kind: Pod
metadata: {name: limited}
spec:
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: kd-test/busybox:1
    command: [sleep, '100000']
    resources: {requests: {cpu: 100m, memory: 32Mi}, limits: {cpu: 200m, memory: 64Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: hungry}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: kd-test/busybox:1
    command: [sh, -c, 'tail /dev/zero']
    resources: {limits: {memory: 32Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: killed}
spec:
  restartPolicy: Never
  containers:
  - name: main
    image: kd-test/busybox:1
    command: [sh, -c, 'sleep 1000 & kill -9 $!; wait $!; exit $?']
    resources: {limits: {memory: 32Mi}}
---
apiVersion: v1
kind: Pod
metadata: {name: mapped}
spec:
  hostUsers: false
  terminationGracePeriodSeconds: 0
  containers:
  - name: main
    image: kd-test/busybox:1
    command: [sleep, '100000']
    volumeMounts: [{name: data, mountPath: /data}]
  volumes: [{name: data, emptyDir: {}}]
";

fn node(fixture: &Fixture) {
    if let Some(reason) = machine::missing() {
        eprintln!("skipped: {reason}; tests/install-tools installs it");
        return;
    }
    // Docker's node lends its identity and its place in the kubeconfig, and is gone then.
    let name = fixture.name("unified");
    fixture.kd(&["cluster", "create", &name]).ok();
    let container = format!("kd-{name}-server-0");
    let template = "{{range .Config.Env}}{{println .}}{{end}}";
    let environment = docker(&["inspect", "-f", template, &container]).ok().out;
    let config = environment.lines().find_map(|line| line.strip_prefix("KD_NODE_CONFIG=")).unwrap();
    let own = format!("https://{container}:6443");
    assert!(config.contains(&own), "the node's configuration names its server");
    let config = config.replace(&own, "https://127.0.0.1:6443");
    fixture.kd(&["cluster", "stop", &name]).ok();
    let machine = Machine::boot(fixture, &config, BUSYBOX);
    let server = format!("https://127.0.0.1:{}", machine.port);
    let entry = format!("kd-{name}");
    let mut set = fixture.command("kubectl");
    run(set.args(["config", "set-cluster", &entry, "--server", &server]), "").ok();
    let machine = &Inside { fixture, name, machine };
    machine.wait();
    limits(machine);
    memory(machine);
    users(machine);
    resize(machine);
    a_kubelet_that_dies(machine);
}

struct Inside<'a> {
    fixture: &'a Fixture,
    name: String,
    machine: Machine,
}

impl Inside<'_> {
    fn kubectl(&self, arguments: &[&str]) -> Ran {
        self.fixture.kubectl_in(&self.name, arguments, "")
    }

    fn sh(&self, pod: &str, script: &str) -> String {
        self.kubectl(&["exec", pod, "--", "sh", "-c", script]).ok().out
    }

    fn wait(&self) {
        let ready = r#"jsonpath={.items[*].status.conditions[?(@.type=="Ready")].status}"#;
        let booted = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
            eventually("the machine's node is ready", || {
                let asked = ["get", "nodes", "-o", ready, "--request-timeout=5s"];
                (self.kubectl(&asked).out == "True").then_some(())
            });
        }));
        assert!(booted.is_ok(), "the machine said:\n{}", self.machine.last_words());
    }
}

fn limits(inside: &Inside<'_>) {
    inside.fixture.kubectl_in(&inside.name, &["apply", "-f", "-"], LIMITED).ok();
    inside.kubectl(&["wait", "--for=condition=Ready", "pod/limited", "--timeout=90s"]).ok();
    let files = "cd /sys/fs/cgroup; cat memory.max memory.swap.max cpu.max cpu.weight; cat cgroup.procs | wc -l";
    let found = inside.sh("limited", files);
    let lines: Vec<&str> = found.lines().collect();
    assert_eq!(lines[0], "67108864");
    assert!(["0", "20000 100000"].contains(&lines[1]), "{found}");
    assert!(found.contains("20000 100000"), "{found}");
    let group = inside.sh("limited", "cat /proc/self/cgroup");
    assert_eq!(group, "0::/\n");
    let devices = "mknod /tmp/memory c 1 1; head -c 1 /tmp/memory 2>&1 | grep -c 'not permitted'; \
                   mknod /tmp/zero c 1 5; head -c 2 /tmp/zero | wc -c";
    assert_eq!(inside.sh("limited", devices), "1\n2\n");
}

/// The kernel's kill is told apart from any other.
fn memory(inside: &Inside<'_>) {
    let ended = |pod: &str| {
        let path = "jsonpath={.status.containerStatuses[0].state.terminated.reason} \
                    {.status.containerStatuses[0].state.terminated.exitCode}";
        eventually("it ends", || {
            let found = inside.kubectl(&["get", "pod", pod, "-o", path]).out;
            (found.len() > 1).then_some(found)
        })
    };
    assert_eq!(ended("hungry"), "OOMKilled 137");
    assert_eq!(ended("killed"), "Error 137");
}

/// A kernel that is too old for it says so.
fn users(inside: &Inside<'_>) {
    let supports = "jsonpath={.items[0].status.runtimeHandlers[0].features.userNamespaces}";
    if inside.kubectl(&["get", "nodes", "-o", supports]).ok().out != "true" {
        return eventually("the pod waits", || {
            let told = inside.kubectl(&["describe", "pod", "mapped"]).out;
            told.contains("Linux 6.3 or later").then_some(())
        });
    }
    inside.kubectl(&["wait", "--for=condition=Ready", "pod/mapped", "--timeout=90s"]).ok();
    let script = "awk '{print $2 >= 65536, $3}' /proc/self/uid_map; id -u; touch /data/x && stat -c %u /data/x";
    assert_eq!(inside.sh("mapped", script), "1 65536\n0\n0\n");
}

fn resize(inside: &Inside<'_>) {
    let patch =
        r#"{"spec":{"containers":[{"name":"main","resources":{"limits":{"memory":"96Mi"}}}]}}"#;
    inside.kubectl(&["patch", "pod", "limited", "--subresource=resize", "-p", patch]).ok();
    eventually("its limit changes", || {
        (inside.sh("limited", "cat /sys/fs/cgroup/memory.max") == "100663296\n").then_some(())
    });
}

/// Killed from a pod among the node's own processes.
fn a_kubelet_that_dies(inside: &Inside<'_>) {
    let overrides = r#"{"spec":{"hostPID":true,"containers":[{"name":"killer","image":"kd-test/busybox:1",
        "command":["sh","-c","kill -9 $(pidof kd-kubelet); sleep 100000"],"securityContext":{"privileged":true}}]}}"#;
    let before = inside
        .kubectl(&[
            "get",
            "pod",
            "limited",
            "-o",
            "jsonpath={.status.containerStatuses[0].containerID}",
        ])
        .ok()
        .out;
    inside
        .kubectl(&[
            "run",
            "killer",
            "--image",
            BUSYBOX,
            "--restart=Never",
            "--overrides",
            overrides,
        ])
        .ok();
    eventually("the killer runs, and is told of", || {
        let phase = inside.kubectl(&["get", "pod", "killer", "-o", "jsonpath={.status.phase}"]).out;
        (phase == "Running").then_some(())
    });
    eventually("the pod can be used again", || {
        let ran = inside.kubectl(&["exec", "limited", "--", "true"]);
        (ran.code == Some(0)).then_some(())
    });
    let after = inside
        .kubectl(&[
            "get",
            "pod",
            "limited",
            "-o",
            "jsonpath={.status.containerStatuses[0].containerID}",
        ])
        .ok()
        .out;
    assert_eq!(before, after);
    for pod in ["limited", "hungry", "mapped", "killer"] {
        inside.kubectl(&["delete", "pod", pod, "--force", "--grace-period=0"]).ok();
    }
}
