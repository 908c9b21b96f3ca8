//! The same on cgroup v2. A machine with v1 usually has v2 mounted beside it, without controllers:
//! enough for placement, killing, namespaces and the device program.

mod node;

use std::future::Future;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use kd_runtime::Runtime;
use node::{Node, run_with, shell};

fn run<F: Future<Output = ()>>(test: impl FnOnce(Arc<Node>) -> F) {
    let places = ["/sys/fs/cgroup/unified", "/sys/fs/cgroup"].map(Path::new);
    match places.iter().find(|place| place.join("cgroup.controllers").exists()) {
        Some(place) => run_with(place, test),
        None => eprintln!("skipped: needs a mount of cgroup v2"),
    }
}

#[test]
fn places_and_shows_its_group() {
    run(|node| async move {
        let id = node.start(shell("sleep 1000")).await;
        let pid = node.runtime.container(&id).await.unwrap().pid.unwrap();
        let group = format!("{}/kubepods/pod1/{id}", node.cgroup_base);
        let processes = node.cgroups.join(&group).join("cgroup.procs");
        assert_eq!(std::fs::read_to_string(processes).unwrap(), format!("{pid}\n"));
        let script = "grep ^0 /proc/self/cgroup; cat /sys/fs/cgroup/cgroup.procs | wc -l; \
                      echo 1 > /sys/fs/cgroup/cgroup.freeze 2>/dev/null || echo ro";
        let command = ["sh", "-c", script].map(str::to_owned).to_vec();
        let output = node.runtime.exec_sync(&id, command, None).await.unwrap();
        assert_eq!(String::from_utf8(output.stdout).unwrap(), "0::/\n4\nro\n");
    });
}

#[test]
fn device_program() {
    run(|node| async move {
        let script = "echo x > /dev/null && echo null; mknod /tmp/mem c 1 1 && echo made; \
                      head -c 1 /tmp/mem 2>&1 | grep -c 'not permitted'; \
                      mknod /tmp/zero c 1 5; head -c 2 /tmp/zero | wc -c";
        let (_, log) = node.script(script, |_| {}).await;
        assert_eq!(log, "null\nmade\n1\n2\n");
    });
}

#[test]
fn kills_whole_groups() {
    run(|node| async move {
        let mut spec = node.sandbox_spec();
        spec.host_pid = true;
        let sandbox = node.runtime.create_sandbox(spec).await.unwrap().id;
        let id = node.start_in(&sandbox, shell("sleep 1000 & sleep 1000 & sleep 1000")).await;
        node.runtime.stop_container(&id, Duration::ZERO).await.unwrap();
        node.runtime.remove_container(&id).await.unwrap();
        assert!(!node.cgroups.join(&node.cgroup_base).join("kubepods/pod1").join(&id).exists());
    });
}
