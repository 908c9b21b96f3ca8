//! `kd cluster create` with the node image there, beside `docker run --rm` of a small local image. The
//! two take turns.

use std::time::Duration;

use crate::machine::{BUSYBOX, Measured, Workbench, median};
use crate::table::Row;

const ROUNDS: usize = 5;
const RATIO_MAX: f64 = 3.0;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    bench.run(&mut bench.kd(&["node-image", "build"]))?;
    let mut docker: Vec<Duration> = Vec::new();
    let mut kd: Vec<Duration> = Vec::new();
    for round in 0..ROUNDS {
        let mut run = bench.command("docker");
        docker.push(bench.time(run.args(["run", "--rm", BUSYBOX, "true"]))?);
        let name = bench.name(&round.to_string());
        kd.push(bench.time(&mut bench.kd(&["cluster", "create", &name]))?);
        bench.run(&mut bench.kd(&["cluster", "delete", &name]))?;
    }
    let (docker, kd) = (median(&docker).as_secs_f64(), median(&kd).as_secs_f64());
    Ok(vec![Row {
        figure: "kd cluster create, median of 5",
        measured: format!("{kd:.2} s"),
        beside: format!("docker run --rm: {docker:.2} s, ratio {:.1}", kd / docker),
        bar: "ratio at most 3",
        holds: kd / docker <= RATIO_MAX,
    }])
}
