//! 200 pods on one node: how long until all are Ready, and what each of them costs in memory of the
//! node's own programs (shims, kubelet, control plane), the pods' processes left out.

use std::fs;
use std::time::Instant;

use crate::idle;
use crate::machine::{BUSYBOX, Measured, Workbench};
use crate::table::Row;

const PODS: u32 = 200;
const BYTES_PER_POD_MAX: f64 = 2.0 * 1024.0 * 1024.0;
/// Of a node's programs, by the names the kernel has of them.
const OWN: &str = "kd";

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let name = bench.name("full");
    bench.run(&mut bench.kd(&[
        "cluster",
        "create",
        &name,
        "--kubelet-arg",
        "max-pods=250",
        "--no-switch-context",
    ]))?;
    bench.run(&mut bench.kd(&["image", "load", BUSYBOX, "--cluster", &name]))?;
    let kubectl = |arguments: &[&str]| {
        let context = format!("kd-{name}");
        let mut command = bench.command("kubectl");
        bench.run(command.args(["--context", &context]).args(arguments))
    };
    let node = format!("kd-{name}-server-0");
    let before = own_memory(bench, &node)?;
    let (image, replicas) = (format!("--image={BUSYBOX}"), format!("--replicas={PODS}"));
    let ready = format!("--for=jsonpath={{.status.readyReplicas}}={PODS}");
    let began = Instant::now();
    kubectl(&["create", "deployment", "many", &image, &replicas, "--", "sleep", "100000"])?;
    kubectl(&["wait", &ready, "deployment/many", "--timeout=170s"])?;
    let seconds = began.elapsed().as_secs_f64();
    let each = (own_memory(bench, &node)? - before) / f64::from(PODS);
    bench.run(&mut bench.kd(&["--quiet", "cluster", "delete", &name]))?;
    Ok(vec![
        Row {
            figure: "200 pods on one node, all Ready",
            measured: format!("{seconds:.1} s"),
            beside: String::new(),
            bar: "all of them",
            holds: true,
        },
        Row {
            figure: "memory per idle pod beyond its own processes",
            measured: format!("{:.2} MiB", each / 1024.0 / 1024.0),
            beside: "shared pages counted once".into(),
            bar: "at most 2 MiB",
            holds: each <= BYTES_PER_POD_MAX,
        },
    ])
}

/// The proportional share of memory of all the node's own programs.
fn own_memory(bench: &Workbench, node: &str) -> Measured<f64> {
    let processes = idle::processes(bench, node)?;
    let own = |process: &u32| {
        let name = fs::read_to_string(format!("/proc/{process}/comm")).unwrap_or_default();
        name.starts_with(OWN)
    };
    let own: Vec<u32> = processes.into_iter().filter(own).collect();
    idle::memory(&own, "Pss:")
}
