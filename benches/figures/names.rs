//! Questions for a Service's address to a node's DNS, from this machine, with a bounded number under way:
//! answers for each second of the kubelet's processor time, and how long each takes.

use std::net::UdpSocket;
use std::time::{Duration, Instant};

use crate::inside;
use crate::machine::{Measured, Workbench};
use crate::table::Row;

const QUESTIONS: usize = 300_000;
/// Questions under way at a time.
const WINDOW: usize = 16;
const PER_CORE_MIN: f64 = 50_000.0;
const P99_MILLISECONDS_MAX: f64 = 1.0;
/// Of `/proc/PID/stat`, on Linux always.
const TICKS_PER_SECOND: f64 = 100.0;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
    let address = bench.docker(&["inspect", "-f", format, &bench.node()?])?;
    let kubelet = inside::process(bench, &bench.node()?, "kd-kubelet")?;
    let before = processor_seconds(kubelet)?;
    let (took, mut waits) = ask(&format!("{address}:53"))?;
    let used = processor_seconds(kubelet)? - before;
    waits.sort_unstable();
    let p99 = waits[waits.len() * 99 / 100].as_secs_f64() * 1e3;
    let per_core = QUESTIONS as f64 / used;
    Ok(vec![Row {
        figure: "DNS, answers of the node for a core's second",
        measured: format!("{per_core:.0}, p99 {p99:.2} ms"),
        beside: format!("{:.0} answers/s with 16 under way", QUESTIONS as f64 / took.as_secs_f64()),
        bar: "at least 50,000, p99 at most 1 ms",
        holds: per_core >= PER_CORE_MIN && p99 <= P99_MILLISECONDS_MAX,
    }])
}

fn ask(server: &str) -> Measured<(Duration, Vec<Duration>)> {
    let failed = |error: std::io::Error| format!("{server}: {error}");
    let socket = UdpSocket::bind("0.0.0.0:0").map_err(failed)?;
    socket.connect(server).map_err(failed)?;
    socket.set_read_timeout(Some(Duration::from_secs(2))).map_err(failed)?;
    let mut question = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in ["kubernetes", "default", "svc", "cluster", "local"] {
        question.push(label.len() as u8);
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    let mut sent_at = vec![Instant::now(); 1 << 16];
    let mut waits = Vec::with_capacity(QUESTIONS);
    let mut answer = [0; 512];
    let (began, mut sent) = (Instant::now(), 0);
    while waits.len() < QUESTIONS {
        while sent < QUESTIONS && sent - waits.len() < WINDOW {
            let id = sent as u16;
            question[..2].copy_from_slice(&id.to_be_bytes());
            sent_at[usize::from(id)] = Instant::now();
            socket.send(&question).map_err(failed)?;
            sent += 1;
        }
        let length = socket.recv(&mut answer).map_err(failed)?;
        let id = u16::from_be_bytes([answer[0], answer[1]]);
        if length < 12 || answer[7] != 1 {
            return Err(format!("{server} does not know the Service"));
        }
        waits.push(sent_at[usize::from(id)].elapsed());
    }
    Ok((began.elapsed(), waits))
}

/// The time that a process has spent, with the kernel's for it.
fn processor_seconds(process: u32) -> Measured<f64> {
    let path = format!("/proc/{process}/stat");
    let text = std::fs::read_to_string(&path).map_err(|error| format!("{path}: {error}"))?;
    let fields = text.rsplit(')').next().unwrap_or_default();
    let ticks = fields.split_whitespace().skip(11).take(2).filter_map(|t| t.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_SECOND)
}
