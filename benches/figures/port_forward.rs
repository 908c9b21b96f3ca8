//! A download of 200 MB from nginx in a pod, by curl each time: through `kd port-forward`, through
//! `kubectl port-forward`, and straight to the pod's address from the node's network namespace. They
//! take turns. Needs the engine on this machine, and root.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use crate::machine::{Measured, NGINX, Workbench, median};
use crate::table::Row;

const ROUNDS: usize = 3;
const MEBIBYTES: u64 = 200;
const RATIO_MIN: f64 = 0.5;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let address = serve(bench)?;
    let node = bench.docker(&["inspect", "-f", "{{.State.Pid}}", &bench.node()?])?;
    let (mut direct, mut kd, mut kubectl) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let mut inside = bench.command("nsenter");
        inside.args(["-t", &node, "-n", "curl"]);
        direct.push(download(bench, inside, &format!("{address}:80"))?);
        let forward = bench.kd(&["port-forward", "--cluster", bench.cluster()?, "web", ":80"]);
        kd.push(through(bench, forward)?);
        kubectl.push(through(bench, bench.kubectl(&["port-forward", "web", ":80"])?)?);
    }
    let (direct, kd, kubectl) = (median(&direct), median(&kd), median(&kubectl));
    Ok(vec![Row {
        figure: "kd port-forward, 200 MiB, median of 3",
        measured: format!("{:.0} MB/s", kd / 1e6),
        beside: format!(
            "direct from the node: {:.0} MB/s, ratio {:.2}; kubectl: {:.0} MB/s",
            direct / 1e6,
            kd / direct,
            kubectl / 1e6
        ),
        bar: "ratio at least 0.5",
        holds: kd / direct >= RATIO_MIN,
    }])
}

/// Starts the pod with its file and returns its address.
fn serve(bench: &Workbench) -> Measured<String> {
    bench.load(NGINX)?;
    let run = |arguments: &[&str]| bench.run(&mut bench.kubectl(arguments)?);
    run(&["run", "web", &format!("--image={NGINX}"), "--port=80"])?;
    run(&["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"])?;
    let count = format!("count={MEBIBYTES}");
    let file = "of=/usr/share/nginx/html/big";
    run(&["exec", "web", "--", "dd", "if=/dev/zero", file, "bs=1M", &count])?;
    run(&["get", "pod", "web", "-o", "jsonpath={.status.podIP}"])
}

/// Bytes per second of a download through a port-forward.
fn through(bench: &Workbench, command: Command) -> Measured<f64> {
    let forward = Forward::start(command)?;
    download(bench, bench.command("curl"), &forward.address)
}

fn download(bench: &Workbench, mut curl: Command, address: &str) -> Measured<f64> {
    let url = format!("http://{address}/big");
    let form = "%{size_download} %{speed_download}";
    let printed = bench.run(curl.args(["-sS", "-f", "-o", "/dev/null", "-w", form, &url]))?;
    let mut numbers = printed.split(' ').map(|number| number.parse::<f64>().unwrap_or(0.0));
    let (size, speed) = (numbers.next().unwrap_or(0.0), numbers.next().unwrap_or(0.0));
    let whole = (MEBIBYTES << 20) as f64;
    if size != whole {
        return Err(format!("{url}: {size} bytes came instead of {whole}"));
    }
    Ok(speed)
}

/// A running port-forward, ended when dropped.
struct Forward {
    child: Child,
    address: String,
    /// Kept open: a closed pipe would end it.
    _lines: BufReader<std::process::ChildStdout>,
}

impl Forward {
    fn start(mut command: Command) -> Measured<Forward> {
        let spawned = command.stdout(Stdio::piped()).spawn();
        let mut child = spawned.map_err(|error| format!("{command:?}: {error}"))?;
        let lines = BufReader::new(child.stdout.take().expect("it is piped"));
        let mut forward = Forward { child, address: String::new(), _lines: lines };
        while forward.address.is_empty() {
            let mut line = String::new();
            let read = forward._lines.read_line(&mut line);
            if read.map_err(|error| error.to_string())? == 0 {
                return Err(format!("{command:?} ended"));
            }
            let rest = line.strip_prefix("Forwarding from 127.0.0.1:").unwrap_or("");
            if let Some((port, _)) = rest.split_once(' ') {
                forward.address = format!("127.0.0.1:{port}");
            }
        }
        Ok(forward)
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        // It is `timeout`, which passes the signal on.
        let _ = Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
