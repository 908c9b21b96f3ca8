//! Between nodes: `iperf3` from pod to pod against node to node, taking turns, on routes and on VXLAN.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use crate::inside;
use crate::machine::{BUSYBOX, Measured, NGINX, Workbench, median};
use crate::table::Row;

const ROUNDS: usize = 7;
const SECONDS: &str = "3";

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let routes = Cluster::make(bench, "routes", &["--agents", "1"])?;
    let mut rows = vec![routes.throughput(
        "pod to pod between nodes, host routes",
        "ratio at least 0.95",
        0.95,
    )?];
    routes.delete()?;
    let vxlan = Cluster::make(bench, "vxlan", &["--agents", "1", "--network-backend", "vxlan"])?;
    rows.push(vxlan.throughput("pod to pod between nodes, VXLAN", "ratio at least 0.7", 0.7)?);
    vxlan.delete()?;
    Ok(rows)
}

/// A cluster of several nodes.
pub struct Cluster<'a> {
    pub bench: &'a Workbench,
    name: String,
    pub nodes: Vec<String>,
}

impl Cluster<'_> {
    pub fn make<'a>(bench: &'a Workbench, name: &str, flags: &[&str]) -> Measured<Cluster<'a>> {
        let name = bench.name(name);
        bench.run(bench.kd(&["cluster", "create", &name]).args(flags))?;
        let load = ["image", "load", BUSYBOX, NGINX, "--cluster", &name];
        bench.run(&mut bench.kd(&load))?;
        let listed = bench.run(&mut bench.kd(&["get", "nodes", "--name", &name]))?;
        let nodes = listed.lines().map(str::to_owned).collect();
        Ok(Cluster { bench, name, nodes })
    }

    pub fn delete(&self) -> Measured<()> {
        self.bench.run(&mut self.bench.kd(&["cluster", "delete", &self.name])).map(drop)
    }

    pub fn kubectl(&self, arguments: &[&str]) -> std::process::Command {
        let program = std::env::var("BENCH_KUBECTL").unwrap_or_else(|_| "kubectl".into());
        let mut command = self.bench.command(&program);
        command.arg("--context").arg(format!("kd-{}", self.name)).args(arguments);
        command
    }

    pub fn run(&self, arguments: &[&str]) -> Measured<String> {
        self.bench.run(&mut self.kubectl(arguments))
    }

    /// A pod that does nothing, on a node; its process and address.
    pub fn idle_pod(&self, name: &str, node: &str, seconds: &str) -> Measured<(u32, String)> {
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
        // Two rates of one round share the machine's mood.
        let ratios: Vec<f64> = pods.iter().zip(&nodes).map(|(pod, node)| pod / node).collect();
        let (ratio, nodes, pods) = (median(&ratios), median(&nodes), median(&pods));
        Ok(Row {
            figure,
            measured: format!("{:.1} Gbit/s", pods / 1e9),
            beside: format!("node to node: {:.1} Gbit/s, ratio {ratio:.2}", nodes / 1e9),
            bar,
            holds: ratio >= ratio_min,
        })
    }
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
pub struct Ended(pub Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // It is `timeout`, which passes the signal on.
        let _ = std::process::Command::new("kill").arg(self.0.id().to_string()).status();
        let _ = self.0.wait();
    }
}
