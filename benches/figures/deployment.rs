//! A Deployment of 100 pods on one node: from its creation until its status counts all of them as ready.

use std::time::Instant;

use crate::machine::{BUSYBOX, Measured, Workbench};
use crate::table::Row;

const SECONDS_MAX: f64 = 10.0;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    bench.load(BUSYBOX)?;
    let image = format!("--image={BUSYBOX}");
    let run = |arguments: &[&str]| bench.run(&mut bench.kubectl(arguments)?);
    let began = Instant::now();
    run(&["create", "deployment", "many", &image, "--replicas=100", "--", "sleep", "100000"])?;
    run(&[
        "wait",
        "--for=jsonpath={.status.readyReplicas}=100",
        "deployment/many",
        "--timeout=120s",
    ])?;
    let seconds = began.elapsed().as_secs_f64();
    run(&["delete", "deployment", "many", "--cascade=foreground", "--timeout=120s"])?;
    let cores = std::thread::available_parallelism().map_or(1, |cores| cores.get());
    Ok(vec![Row {
        figure: "Deployment of 100 pods, all Ready",
        measured: format!("{seconds:.1} s"),
        beside: format!("{cores} cores"),
        bar: "at most 10 s",
        holds: seconds <= SECONDS_MAX,
    }])
}
