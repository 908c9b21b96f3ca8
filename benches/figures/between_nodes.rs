//! Between nodes: `iperf3` from pod to pod against node to node, taking turns, on routes and on VXLAN;
//! and how long after a pod is Ready its Service leads to it on every node.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream};
use std::process::{Child, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use crate::inside;
use crate::machine::{BUSYBOX, Measured, NGINX, Workbench, median};
use crate::table::Row;

const ROUNDS: usize = 3;
const SECONDS: &str = "3";
const READY_ROUNDS: usize = 5;
const READY_SECONDS_MAX: f64 = 0.1;
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts to connect.
const PAUSE: Duration = Duration::from_millis(1);

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let routes = Cluster::make(bench, "routes", &["--agents", "2"])?;
    let mut rows = vec![
        routes.throughput("pod to pod between nodes, host routes", "ratio at least 0.95", 0.95)?,
        routes.readiness()?,
    ];
    routes.delete()?;
    let vxlan = Cluster::make(bench, "vxlan", &["--agents", "1", "--network-backend", "vxlan"])?;
    rows.push(vxlan.throughput("pod to pod between nodes, VXLAN", "ratio at least 0.7", 0.7)?);
    vxlan.delete()?;
    Ok(rows)
}

struct Cluster<'a> {
    bench: &'a Workbench,
    name: String,
    nodes: Vec<String>,
}

impl Cluster<'_> {
    fn make<'a>(bench: &'a Workbench, name: &str, flags: &[&str]) -> Measured<Cluster<'a>> {
        let name = bench.name(name);
        bench.run(bench.kd(&["cluster", "create", &name]).args(flags))?;
        let load = ["image", "load", BUSYBOX, NGINX, "--cluster", &name];
        bench.run(&mut bench.kd(&load))?;
        let listed = bench.run(&mut bench.kd(&["get", "nodes", "--name", &name]))?;
        let nodes = listed.lines().map(str::to_owned).collect();
        Ok(Cluster { bench, name, nodes })
    }

    fn delete(&self) -> Measured<()> {
        self.bench.run(&mut self.bench.kd(&["cluster", "delete", &self.name])).map(drop)
    }

    fn kubectl(&self, arguments: &[&str]) -> std::process::Command {
        let program = std::env::var("BENCH_KUBECTL").unwrap_or_else(|_| "kubectl".into());
        let mut command = self.bench.command(&program);
        command.arg("--context").arg(format!("kd-{}", self.name)).args(arguments);
        command
    }

    fn run(&self, arguments: &[&str]) -> Measured<String> {
        self.bench.run(&mut self.kubectl(arguments))
    }

    /// A pod that does nothing, on a node; its process and address.
    fn idle_pod(&self, name: &str, node: &str, seconds: &str) -> Measured<(u32, String)> {
        let place = format!(r#"{{"spec":{{"nodeName":"{node}"}}}}"#);
        let image = format!("--image={BUSYBOX}");
        let overrides = format!("--overrides={place}");
        self.run(&["run", name, &image, &overrides, "--command", "--", "sleep", seconds])?;
        self.run(&["wait", "--for=condition=Ready", &format!("pod/{name}"), "--timeout=60s"])?;
        let address = self.run(&["get", "pod", name, "-o", "jsonpath={.status.podIP}"])?;
        Ok((inside::process(self.bench, node, &format!("sleep {seconds}"))?, address))
    }

    fn throughput(&self, figure: &'static str, bar: &'static str, ratio_min: f64) -> Measured<Row> {
        let [near, far] = [&self.nodes[0], &self.nodes[1]];
        let (near_pod, _) = self.idle_pod("near", near, "987652")?;
        let (far_pod, far_pod_address) = self.idle_pod("far", far, "987653")?;
        let node_process = |node: &String| -> Measured<u32> {
            let pid = self.bench.docker(&["inspect", "-f", "{{.State.Pid}}", node])?;
            pid.parse().map_err(|_| format!("{pid} is no process"))
        };
        let (near_node, far_node) = (node_process(near)?, node_process(far)?);
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let far_address = self.bench.docker(&["inspect", "-f", format, far])?;
        let (mut nodes, mut pods) = (Vec::new(), Vec::new());
        for _ in 0..ROUNDS {
            nodes.push(iperf3(self.bench, near_node, far_node, &far_address)?);
            pods.push(iperf3(self.bench, near_pod, far_pod, &far_pod_address)?);
        }
        let (nodes, pods) = (median(&nodes), median(&pods));
        Ok(Row {
            figure,
            measured: format!("{:.1} Gbit/s", pods / 1e9),
            beside: format!("node to node: {:.1} Gbit/s, ratio {:.2}", nodes / 1e9, pods / nodes),
            bar,
            holds: pods / nodes >= ratio_min,
        })
    }

    /// From a watch that shows a pod as Ready to the first connection through its Service, on the
    /// slowest node.
    fn readiness(&self) -> Measured<Row> {
        let probe = r#"{"spec":{"containers":[{"name":"slow","image":"kd-test/nginx:1",
            "readinessProbe":{"exec":{"command":["test","-f","/tmp/ready"]},"periodSeconds":1}}]}}"#;
        let image = format!("--image={NGINX}");
        let overrides = format!("--overrides={probe}");
        let mut slowest = Vec::new();
        for round in 0..READY_ROUNDS {
            let name = format!("slow-{round}");
            self.run(&[
                "run",
                &name,
                &image,
                "--port=80",
                &overrides.replace("\"slow\"", &format!("\"{name}\"")),
            ])?;
            self.run(&["expose", "pod", &name])?;
            let running = "--for=jsonpath={.status.phase}=Running";
            self.run(&["wait", running, &format!("pod/{name}"), "--timeout=60s"])?;
            slowest.push(self.until_reached(&name)?);
        }
        let slowest = median(&slowest);
        Ok(Row {
            figure: "pod Ready to first packet by its Service, slowest of 3 nodes",
            measured: format!("{:.0} ms", slowest * 1e3),
            beside: String::new(),
            bar: "at most 100 ms",
            holds: slowest <= READY_SECONDS_MAX,
        })
    }

    fn until_reached(&self, pod: &str) -> Measured<f64> {
        let address = self.run(&["get", "service", pod, "-o", "jsonpath={.spec.clusterIP}"])?;
        let target: SocketAddr = format!("{address}:80").parse().map_err(|_| address)?;
        let over = Arc::new(AtomicBool::new(false));
        let mut attempts = Vec::new();
        for node in &self.nodes {
            let process = inside::process(self.bench, node, "kd-kubelet")?;
            let over = over.clone();
            attempts.push(inside::spawn(process, move || first_connection(target, &over))?);
        }
        let template = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}{"\n"}"#;
        let mut watch = Watch::open(self.kubectl(&["get", "pod", pod, "-w", "-o", template]))?;
        self.run(&["exec", pod, "--", "touch", "/tmp/ready"])?;
        let ready = watch.wait_for("True");
        let reached: Vec<Option<Instant>> =
            attempts.into_iter().map(|attempt| attempt.join().ok().flatten()).collect();
        over.store(true, Ordering::Relaxed);
        let ready = ready?;
        let last =
            reached.into_iter().collect::<Option<Vec<_>>>().and_then(|all| all.into_iter().max());
        let last = last.ok_or("a node did not reach the pod")?;
        Ok(last.saturating_duration_since(ready).as_secs_f64())
    }
}

fn first_connection(target: SocketAddr, over: &AtomicBool) -> Option<Instant> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end && !over.load(Ordering::Relaxed) {
        if TcpStream::connect_timeout(&target, PATIENCE).is_ok() {
            return Some(Instant::now());
        }
        std::thread::sleep(PAUSE);
    }
    None
}

/// Bits per second that arrive.
fn iperf3(bench: &Workbench, from: u32, to: u32, address: &str) -> Measured<f64> {
    let mut server = inside::command(bench, to, &["iperf3", "-s", "-1", "--forceflush"]);
    let server = server.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
    let mut server = Ended(server);
    let mut lines = BufReader::new(server.0.stdout.take().expect("it is piped")).lines();
    // It tells that it listens.
    lines.find(|line| line.as_ref().is_ok_and(|line| line.contains("listening")));
    let program = ["iperf3", "-c", address, "-t", SECONDS, "-J"];
    let printed = bench.run(&mut inside::command(bench, from, &program))?;
    let report: serde_json::Value =
        serde_json::from_str(&printed).map_err(|error| error.to_string())?;
    let rate = report["end"]["sum_received"]["bits_per_second"].as_f64();
    rate.ok_or_else(|| format!("iperf3 to {address} told no rate"))
}

/// A program that ends with its value.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It is `timeout`, which passes the signal on.
        let _ = std::process::Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}

/// A watch of kubectl's.
struct Watch {
    lines: std::io::Lines<BufReader<std::process::ChildStdout>>,
    _child: Ended,
}

impl Watch {
    fn open(mut command: std::process::Command) -> Measured<Watch> {
        let mut child =
            command.stdout(Stdio::piped()).spawn().map_err(|error| error.to_string())?;
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        Ok(Watch { lines, _child: Ended(child) })
    }

    fn wait_for(&mut self, wanted: &str) -> Measured<Instant> {
        let found = self.lines.find(|line| line.as_ref().is_ok_and(|line| line.trim() == wanted));
        found.map(|_| Instant::now()).ok_or_else(|| format!("the watch ended before {wanted}"))
    }
}
