//! Memory and CPU time of all processes of a node that has nothing to do, as the host's kernel counts
//! them. Needs the engine on this machine, and root.

use std::fs;
use std::thread::sleep;
use std::time::Duration;

use crate::machine::{Measured, Workbench};
use crate::table::Row;

/// Until the work of starting is over.
const SETTLING: Duration = Duration::from_secs(20);
const WINDOW: Duration = Duration::from_secs(30);
/// The kernel shows CPU time to programs in hundredths of a second.
const TICKS_PER_SECOND: f64 = 100.0;
const RESIDENT_BYTES_MAX: f64 = 64.0 * 1024.0 * 1024.0;
const CPU_PERCENT_MAX: f64 = 1.0;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let node = bench.node()?;
    sleep(SETTLING);
    let before = cpu_seconds(&processes(bench, &node)?)?;
    sleep(WINDOW);
    let processes = processes(bench, &node)?;
    let cpu = cpu_seconds(&processes)? - before;
    let percent = cpu / WINDOW.as_secs_f64() * 100.0;
    let resident = memory(&processes, "Rss:")?;
    let proportional = memory(&processes, "Pss:")?;
    let mib = |bytes: f64| format!("{:.1} MiB", bytes / 1024.0 / 1024.0);
    Ok(vec![
        Row {
            figure: "idle node, resident",
            measured: mib(resident),
            beside: format!(
                "{} processes; shared pages counted once: {}",
                processes.len(),
                mib(proportional)
            ),
            bar: "at most 64 MiB",
            holds: resident <= RESIDENT_BYTES_MAX,
        },
        Row {
            figure: "idle node, CPU over 30 s",
            measured: format!("{percent:.2}% of a core"),
            beside: String::new(),
            bar: "at most 1%",
            holds: percent <= CPU_PERCENT_MAX,
        },
    ])
}

/// The node's processes by the host's numbers.
pub fn processes(bench: &Workbench, node: &str) -> Measured<Vec<u32>> {
    let listed = bench.docker(&["top", node, "-eo", "pid"])?;
    listed
        .lines()
        .skip(1)
        .map(|line| line.trim().parse().map_err(|error| format!("process {line:?}: {error}")))
        .collect()
}

fn read(process: u32, file: &str) -> Measured<String> {
    let path = format!("/proc/{process}/{file}");
    fs::read_to_string(&path).map_err(|error| format!("{path}: {error}; this needs root"))
}

/// The sum of a line of every process' memory map.
pub fn memory(processes: &[u32], line: &str) -> Measured<f64> {
    let mut bytes = 0.0;
    for process in processes {
        let text = read(*process, "smaps_rollup")?;
        let value = text.lines().find_map(|found| found.strip_prefix(line));
        let kibibytes = value.and_then(|value| value.trim().strip_suffix("kB"));
        let kibibytes = kibibytes.and_then(|number| number.trim().parse::<f64>().ok());
        bytes += kibibytes.ok_or_else(|| format!("process {process} has no {line}"))? * 1024.0;
    }
    Ok(bytes)
}

fn cpu_seconds(processes: &[u32]) -> Measured<f64> {
    let mut ticks = 0.0;
    for process in processes {
        let text = read(*process, "stat")?;
        // The name may hold spaces; the fields after it are counted from the state.
        let fields = text.rsplit(')').next().unwrap_or("").split_whitespace();
        let numbers = fields.skip(11).take(2).map(|field| field.parse::<f64>().unwrap_or(0.0));
        ticks += numbers.sum::<f64>();
    }
    Ok(ticks / TICKS_PER_SECOND)
}
