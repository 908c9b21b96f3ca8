//! Three nodes: pods reach each other, a dead node is noticed, a killed kubelet finds its pods.

use crate::harness::{Fixture, Test, docker, eventually, kill_program};

pub const TESTS: &[Test] = &[
    ("a_killed_kubelet_finds_its_containers", a_killed_kubelet_finds_its_containers),
    ("three_nodes", three_nodes),
];

fn three_nodes(fixture: &Fixture) {
    let name = fixture.name("three");
    fixture.kd(&["cluster", "create", &name, "--agents", "2"]).ok();
    fixture.kd(&["image", "load", "kd-test/busybox:1", "kd-test/nginx:1", "--cluster", &name]).ok();
    let k = |arguments: &[&str]| fixture.kubectl_in(&name, arguments, "");
    let nodes = k(&["get", "nodes", "-o", "name"]).ok().out;
    assert_eq!(nodes.lines().count(), 3, "{nodes}");
    for (index, role) in ["server-0", "agent-0", "agent-1"].iter().enumerate() {
        let selector = format!(r#"{{"spec":{{"nodeName":"kd-{name}-{role}"}}}}"#);
        let pod = format!("web-{index}");
        let overrides = format!("--overrides={selector}");
        k(&["run", &pod, "--image=kd-test/nginx:1", &overrides]).ok();
    }
    k(&["wait", "--for=condition=Ready", "pods", "--all", "--timeout=90s"]).ok();
    for from in 0..3 {
        for to in 0..3 {
            let path = "jsonpath={.status.podIP}";
            let address = k(&["get", "pod", &format!("web-{to}"), "-o", path]).ok().out;
            let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {address} 80");
            let pod = format!("web-{from}");
            k(&["exec", &pod, "--", "sh", "-c", &script]).ok().prints("Welcome to nginx!");
        }
    }
    host_ports(fixture, &name);
    a_deleted_node_registers_again(fixture, &name);
    a_dead_node_is_noticed(fixture, &name);
    fixture.kd(&["cluster", "delete", &name]).ok();
}

/// A pod's `hostPort`, from a pod on another node.
fn host_ports(fixture: &Fixture, name: &str) {
    let overrides = format!(
        r#"--overrides={{"spec":{{"nodeName":"kd-{name}-agent-0","containers":[{{"name":"hosted",
           "image":"kd-test/nginx:1","ports":[{{"containerPort":80,"hostPort":8081}}]}}]}}}}"#
    );
    let k = |arguments: &[&str]| fixture.kubectl_in(name, arguments, "");
    k(&["run", "hosted", "--image=kd-test/nginx:1", &overrides]).ok();
    k(&["wait", "--for=condition=Ready", "pod/hosted", "--timeout=90s"]).ok();
    let node = k(&["get", "pod", "hosted", "-o", "jsonpath={.status.hostIP}"]).ok().out;
    let ask = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 5 {node} 8081");
    k(&["exec", "web-0", "--", "sh", "-c", &ask]).ok().prints("Welcome to nginx!");
    k(&["delete", "pod", "hosted", "--now"]).ok();
    assert_ne!(k(&["exec", "web-0", "--", "sh", "-c", &ask]).code, Some(0));
}

fn a_deleted_node_registers_again(fixture: &Fixture, name: &str) {
    let node = format!("kd-{name}-agent-0");
    let k = |arguments: &[&str]| fixture.kubectl_in(name, arguments, "");
    k(&["delete", "node", &node]).ok();
    eventually("the node is there again", || {
        (k(&["get", "node", &node]).code == Some(0)).then_some(())
    });
    k(&["wait", "--for=condition=Ready", "node", &node, "--timeout=90s"]).ok();
    k(&["exec", "web-1", "--", "true"]).ok();
}

fn a_dead_node_is_noticed(fixture: &Fixture, name: &str) {
    let node = format!("kd-{name}-agent-1");
    docker(&["kill", &node]).ok();
    let path = "jsonpath={.status.conditions[?(@.type=='Ready')].status}";
    eventually("the node is unknown", || {
        let status = fixture.kubectl_in(name, &["get", "node", &node, "-o", path], "").ok().out;
        (status == "Unknown").then_some(())
    });
    fixture
        .kubectl_in(name, &["describe", "node", &node], "")
        .ok()
        .prints("node.kubernetes.io/unreachable:NoExecute")
        .prints("Kubelet stopped posting node status.");
}

fn a_killed_kubelet_finds_its_containers(fixture: &Fixture) {
    let n = fixture.namespace("kubelet");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &n][..], arguments].concat());
    k(&["run", "box", "--image=kd-test/busybox:1", "--", "sleep", "100000"]).ok();
    k(&["wait", "--for=condition=Ready", "pod/box", "--timeout=90s"]).ok();
    let id = "jsonpath={.status.containerStatuses[0].containerID}";
    let before = k(&["get", "pod", "box", "-o", id]).ok().out;
    kill_program(&format!("kd-{}-server-0", fixture.cluster()), "kd-kubelet");
    eventually("the pod can be used again", || {
        (k(&["exec", "box", "--", "true"]).code == Some(0)).then_some(())
    });
    assert_eq!(k(&["get", "pod", "box", "-o", id]).ok().out, before);
    let restarts = "jsonpath={.status.containerStatuses[0].restartCount}";
    assert_eq!(k(&["get", "pod", "box", "-o", restarts]).ok().out, "0");
    k(&["create", "configmap", "kept", "--from-literal=a=b"]).ok();
    kill_program(&format!("kd-{}-server-0", fixture.cluster()), "kd-control-plane");
    eventually("the API answers again", || {
        (k(&["get", "configmap", "kept"]).code == Some(0)).then_some(())
    });
}
