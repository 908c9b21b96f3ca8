//! From a line's time in the container's log until `kubectl logs -f` prints it. Both read the clock of
//! this machine.

use std::io::{BufRead, BufReader};
use std::process::Stdio;

use crate::machine::{BUSYBOX, Measured, Workbench, median};
use crate::table::Row;

const LINES: usize = 40;
/// The first ones were there before kubectl was.
const SKIPPED: usize = 10;
const MILLISECONDS_MAX: f64 = 20.0;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    bench.load(BUSYBOX)?;
    let run = |arguments: &[&str]| bench.run(&mut bench.kubectl(arguments)?);
    let image = format!("--image={BUSYBOX}");
    let script = "while :; do echo tick; sleep 0.1; done";
    run(&["run", "talker", &image, "--", "sh", "-c", script])?;
    run(&["wait", "--for=condition=Ready", "pod/talker", "--timeout=60s"])?;
    let mut command = bench.kubectl(&["logs", "-f", "--timestamps", "talker"])?;
    let spawned = command.stdout(Stdio::piped()).spawn();
    let mut child = spawned.map_err(|error| format!("{command:?}: {error}"))?;
    let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
    let delays: Vec<f64> = lines
        .map_while(Result::ok)
        .take(LINES)
        .skip(SKIPPED)
        .filter_map(|l| delay_ms(&l))
        .collect();
    // It is `timeout`, which passes the signal on.
    let _ = std::process::Command::new("kill").arg(child.id().to_string()).status();
    let _ = child.wait();
    run(&["delete", "pod", "talker", "--now"])?;
    if delays.is_empty() {
        return Err("kubectl logs -f printed no lines".into());
    }
    let slowest = delays.iter().copied().fold(0.0, f64::max);
    let middle = median(&delays);
    Ok(vec![Row {
        figure: "a line to kubectl logs -f, median of 30",
        measured: format!("{middle:.1} ms"),
        beside: format!("slowest: {slowest:.1} ms"),
        bar: "at most 20 ms",
        holds: middle <= MILLISECONDS_MAX,
    }])
}

/// How old a line is now.
fn delay_ms(line: &str) -> Option<f64> {
    let now = k8s_openapi::jiff::Timestamp::now();
    let written: k8s_openapi::jiff::Timestamp = line.split(' ').next()?.parse().ok()?;
    Some(now.duration_since(written).as_secs_f64() * 1000.0)
}
