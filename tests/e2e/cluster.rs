//! A cluster is made, used, stopped, started and deleted, and leaves nothing behind.

use std::time::{Duration, Instant};

use crate::harness::{Fixture, Test, docker, eventually, leftovers, run};

pub const TESTS: &[Test] = &[
    ("create_use_delete", create_use_delete),
    ("delete_is_idempotent", delete_is_idempotent),
    ("kinds_spelling", kinds_spelling),
    ("lists", lists),
    ("stop_and_start_keep_everything", stop_and_start_keep_everything),
];

fn create_use_delete(fixture: &Fixture) {
    let name = fixture.name("cud");
    // A kubeconfig of its own: other tests change the current context of theirs meanwhile.
    let kubeconfig = fixture.directory().join("cud-kubeconfig");
    let run_in = |program: &str, arguments: &[&str]| {
        run(fixture.command(program).env("KUBECONFIG", &kubeconfig).args(arguments), "")
    };
    let created = run_in(env!("CARGO_BIN_EXE_kd"), &["cluster", "create", &name]).ok();
    assert!(created.out.is_empty(), "stdout is for data: {}", created.out);
    let context = run_in("kubectl", &["config", "current-context"]).ok();
    assert_eq!(context.out.trim(), format!("kd-{name}"));
    run_in("kubectl", &["get", "nodes"]).ok().prints("Ready");
    run_in("kubectl", &["get", "serviceaccount", "default"]).ok();
    docker(&["ps", "--format", "{{.Names}}"]).ok().prints(&format!("kd-{name}-server-0"));
    run_in(env!("CARGO_BIN_EXE_kd"), &["cluster", "delete", &name]).ok();
    assert_eq!(leftovers(&name), Vec::<String>::new());
    let left = std::fs::read_to_string(&kubeconfig).unwrap_or_default();
    assert!(!left.contains(&name), "{left}");
}

fn delete_is_idempotent(fixture: &Fixture) {
    let name = fixture.name("never-made");
    fixture.kd(&["cluster", "delete", &name]).ok();
}

fn kinds_spelling(fixture: &Fixture) {
    let name = fixture.name("kind");
    fixture.kd(&["create", "cluster", "--name", &name]).ok();
    fixture.kd(&["get", "clusters"]).ok().prints(&name);
    fixture.kd(&["load", "docker-image", "kd-test/busybox:1", "--name", &name]).ok();
    fixture.kd(&["delete", "cluster", "--name", &name]).ok();
    assert_eq!(leftovers(&name), Vec::<String>::new());
}

fn lists(fixture: &Fixture) {
    let name = fixture.cluster();
    let clusters = fixture.kd(&["cluster", "list", "-o", "json"]).ok();
    let parsed: serde_json::Value = serde_json::from_str(&clusters.out).unwrap();
    let mut listed = parsed.as_array().unwrap().iter();
    assert!(listed.any(|cluster| cluster["name"] == name), "{parsed}");
    fixture.kd(&["node", "list"]).ok().prints(&format!("kd-{name}-server-0"));
    fixture.kd(&["kubeconfig", "get", name]).ok().prints("certificate-authority-data");
    fixture.kd(&["version"]).ok();
    for shell in ["bash", "zsh", "fish", "powershell"] {
        fixture.kd(&["completion", shell]).ok().prints("cluster");
    }
}

fn stop_and_start_keep_everything(fixture: &Fixture) {
    let name = fixture.name("stop");
    fixture.kd(&["cluster", "create", &name, "--agents", "1"]).ok();
    fixture.kd(&["image", "load", "kd-test/busybox:1", "--cluster", &name]).ok();
    let run = ["run", "sleeper", "--image=kd-test/busybox:1", "--", "sleep", "100000"];
    fixture.kubectl_in(&name, &run, "").ok();
    let wait = ["wait", "--for=condition=Ready", "pod/sleeper", "--timeout=90s"];
    fixture.kubectl_in(&name, &wait, "").ok();

    let before = Instant::now();
    fixture.kd(&["cluster", "stop", &name]).ok();
    // Containers get three seconds; Docker would kill what does not end by itself after ten.
    assert!(before.elapsed() < Duration::from_secs(8), "{:?}", before.elapsed());
    fixture.kd(&["cluster", "start", &name]).ok();
    restarted(fixture, &name, "1");

    // Killed, not stopped.
    docker(&["kill", &format!("kd-{name}-server-0"), &format!("kd-{name}-agent-0")]).ok();
    // In the other order: the nodes have each other's addresses.
    docker(&["start", &format!("kd-{name}-agent-0")]).ok();
    fixture.kd(&["cluster", "start", &name]).ok();
    restarted(fixture, &name, "2");
    fixture.kd(&["cluster", "delete", &name]).ok();
}

/// The pod is there, runs again after so many restarts, and can be used; it never counted as a
/// crash.
fn restarted(fixture: &Fixture, cluster: &str, restarts: &str) {
    eventually("the pod comes back", || {
        let exec = ["exec", "sleeper", "--", "echo", "alive"];
        let ran = fixture.kubectl_in(cluster, &exec, "");
        (ran.code == Some(0) && ran.out.trim() == "alive").then_some(())
    });
    let wait = ["wait", "--for=condition=Ready", "nodes", "--all", "--timeout=90s"];
    fixture.kubectl_in(cluster, &wait, "").ok();
    let status = "jsonpath={.status.containerStatuses[0].restartCount} \
                  {.status.containerStatuses[0].lastState.terminated.reason}";
    let told = fixture.kubectl_in(cluster, &["get", "pod", "sleeper", "-o", status], "").ok();
    assert_eq!(told.out, format!("{restarts} Unknown"));
    let events = fixture.kubectl_in(cluster, &["get", "events"], "").ok().out;
    assert!(!events.contains("BackOff"), "{events}");
}
