//! How soon the nodes of a cluster act on a change, on the slowest of three: a pod that becomes Ready or
//! stops being so, its name, and a NetworkPolicy. Each wait begins when a watch of kubectl's tells of the
//! change.

use std::io::{BufRead, BufReader};
use std::net::{SocketAddr, TcpStream, UdpSocket};
use std::process::Stdio;
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use crate::between_nodes::{Cluster, Ended};
use crate::inside;
use crate::machine::{Measured, NGINX, Workbench, median};
use crate::table::Row;

const ROUNDS: usize = 5;
const ENDPOINT_SECONDS_MAX: f64 = 0.1;
const POLICY_SECONDS_MAX: f64 = 0.2;
/// After this nobody waits for a change any more.
const PATIENCE: Duration = Duration::from_secs(30);
/// Between two attempts: many in a second would take the time that the nodes need to act.
const PAUSE: Duration = Duration::from_millis(5);
/// A packet without an answer for so long was dropped.
const SILENCE: Duration = Duration::from_millis(150);

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    let cluster = Cluster::make(bench, "reactions", &["--agents", "2"])?;
    let client = cluster.idle_pod("client", &cluster.nodes[1], "987655")?;
    let mut seconds: [Vec<f64>; 4] = Default::default();
    for round in 0..ROUNDS {
        let pod = Pod::make(&cluster, round)?;
        let [reached, named] = pod.becomes_ready(&cluster)?;
        let cut = pod.is_cut_off(&cluster, client.0)?;
        let left = pod.stops_being_ready(&cluster)?;
        for (all, one) in seconds.iter_mut().zip([reached, named, left, cut]) {
            all.push(one);
        }
    }
    cluster.delete()?;
    let figures = [
        ("pod Ready to first packet by its Service, slowest of 3 nodes", ENDPOINT_SECONDS_MAX),
        ("pod Ready to its name in DNS, slowest of 3 nodes", ENDPOINT_SECONDS_MAX),
        ("pod not Ready to last packet by its Service, slowest of 3 nodes", ENDPOINT_SECONDS_MAX),
        ("NetworkPolicy made to last packet that it stops", POLICY_SECONDS_MAX),
    ];
    let row = |((figure, limit), all): ((&'static str, f64), Vec<f64>)| {
        let seconds = median(&all);
        Row {
            figure,
            measured: format!("{:.0} ms", seconds * 1e3),
            beside: format!("median of {ROUNDS}"),
            bar: if limit < POLICY_SECONDS_MAX { "at most 100 ms" } else { "at most 200 ms" },
            holds: seconds <= limit,
        }
    };
    Ok(figures.into_iter().zip(seconds).map(row).collect())
}

/// A pod that is Ready while a file is there, behind a Service and a headless one.
struct Pod {
    name: String,
    address: SocketAddr,
    service: SocketAddr,
}

impl Pod {
    fn make(cluster: &Cluster, round: usize) -> Measured<Pod> {
        let name = format!("slow-{round}");
        let probe = r#"{"spec":{"containers":[{"name":"NAME","image":"kd-test/nginx:1",
            "readinessProbe":{"exec":{"command":["test","-f","/tmp/ready"]},"periodSeconds":1,
            "failureThreshold":1}}]}}"#;
        let image = format!("--image={NGINX}");
        let overrides = format!("--overrides={}", probe.replace("NAME", &name));
        cluster.run(&["run", &name, &image, &overrides])?;
        cluster.run(&["expose", "pod", &name, "--port=80"])?;
        let headless = format!("--name={name}-headless");
        cluster.run(&["expose", "pod", &name, "--port=80", "--cluster-ip=None", &headless])?;
        let pod = format!("pod/{name}");
        let running = "--for=jsonpath={.status.phase}=Running";
        cluster.run(&["wait", running, &pod, "--timeout=60s"])?;
        let asked = |kind, path: &str| -> Measured<SocketAddr> {
            let found = cluster.run(&["get", kind, &name, "-o", &format!("jsonpath={path}")])?;
            format!("{found}:80").parse().map_err(|_| format!("{name} has the address {found:?}"))
        };
        let address = asked("pod", "{.status.podIP}")?;
        let service = asked("service", "{.spec.clusterIP}")?;
        Ok(Pod { name, address, service })
    }

    /// How long until the Service leads to it, and until its name does.
    fn becomes_ready(&self, cluster: &Cluster) -> Measured<[f64; 2]> {
        let (mut reached, mut named) = (Vec::new(), Vec::new());
        let name = format!("{}-headless.default.svc.cluster.local", self.name);
        for node in &cluster.nodes {
            let process = inside::process(cluster.bench, node, "kd-kubelet")?;
            let (service, question) = (self.service, question(&name));
            reached.push(begins(process, move || {
                TcpStream::connect_timeout(&service, PATIENCE).is_ok()
            })?);
            let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
            let server = format!("{}:53", cluster.bench.docker(&["inspect", "-f", format, node])?);
            named.push(begins(process, move || is_known(&server, &question))?);
        }
        let mut watch = self.watch(cluster)?;
        cluster.run(&["exec", &self.name, "--", "touch", "/tmp/ready"])?;
        let ready = watch.wait_for("True")?;
        Ok([slowest(reached, ready)?, slowest(named, ready)?])
    }

    fn stops_being_ready(&self, cluster: &Cluster) -> Measured<f64> {
        let mut left = Vec::new();
        for node in &cluster.nodes {
            let process = inside::process(cluster.bench, node, "kd-kubelet")?;
            let service = self.service;
            left.push(ends(process, move || {
                TcpStream::connect_timeout(&service, PATIENCE).is_ok()
            })?);
        }
        let mut watch = self.watch(cluster)?;
        cluster.run(&["exec", &self.name, "--", "rm", "/tmp/ready"])?;
        let unready = watch.wait_for("False")?;
        slowest(left, unready)
    }

    /// How long until a policy that lets nobody in stops a client; it is deleted again.
    fn is_cut_off(&self, cluster: &Cluster, client: u32) -> Measured<f64> {
        let address = self.address;
        let cut = ends(client, move || TcpStream::connect_timeout(&address, SILENCE).is_ok())?;
        let listed = ["get", "networkpolicies", "-w", "-o", "name"];
        let mut watch = Watch::open(cluster.kubectl(&listed))?;
        let path = cluster.bench.directory().join("policy.json");
        let policy = r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy",
            "metadata":{"name":"nobody"},"spec":{"podSelector":{}}}"#;
        std::fs::write(&path, policy).map_err(|error| error.to_string())?;
        cluster.run(&["create", "-f", &path.display().to_string()])?;
        let made = watch.wait_for("networkpolicy.networking.k8s.io/nobody")?;
        let took = slowest(vec![cut], made);
        cluster.run(&["delete", "networkpolicy", "nobody"])?;
        took
    }

    /// The pod's Ready condition, as it changes.
    fn watch(&self, cluster: &Cluster) -> Measured<Watch> {
        let template = r#"jsonpath={.status.conditions[?(@.type=="Ready")].status}{"\n"}"#;
        let arguments = ["get", "pod", &self.name, "-w", "-o", template];
        Watch::open(cluster.kubectl(&arguments))
    }
}

type Moment = JoinHandle<Option<Instant>>;

/// When an attempt first succeeded.
fn begins(process: u32, attempt: impl Fn() -> bool + Send + 'static) -> Measured<Moment> {
    inside::spawn(process, move || first(|| attempt().then(Instant::now)))
}

/// When an attempt that failed was first begun.
fn ends(process: u32, attempt: impl Fn() -> bool + Send + 'static) -> Measured<Moment> {
    inside::spawn(process, move || {
        first(|| {
            let began = Instant::now();
            (!attempt()).then_some(began)
        })
    })
}

fn first(attempt: impl Fn() -> Option<Instant>) -> Option<Instant> {
    let end = Instant::now() + PATIENCE;
    while Instant::now() < end {
        if let Some(moment) = attempt() {
            return Some(moment);
        }
        std::thread::sleep(PAUSE);
    }
    None
}

/// Seconds to the last of the moments.
fn slowest(moments: Vec<Moment>, since: Instant) -> Measured<f64> {
    let moments: Option<Vec<Instant>> =
        moments.into_iter().map(|moment| moment.join().ok().flatten()).collect();
    let last = moments.and_then(|all| all.into_iter().max());
    let last = last.ok_or("a node did not act on the change")?;
    Ok(last.saturating_duration_since(since).as_secs_f64())
}

/// A question for a name's IPv4 address.
fn question(name: &str) -> Vec<u8> {
    let mut question = vec![0, 0, 1, 0, 0, 1, 0, 0, 0, 0, 0, 0];
    for label in name.split('.') {
        question.push(label.len() as u8);
        question.extend_from_slice(label.as_bytes());
    }
    question.extend_from_slice(&[0, 0, 1, 0, 1]);
    question
}

/// Whether the server answers with an address.
fn is_known(server: &str, question: &[u8]) -> bool {
    let answered = || -> std::io::Result<bool> {
        let socket = UdpSocket::bind("0.0.0.0:0")?;
        socket.set_read_timeout(Some(SILENCE))?;
        socket.send_to(question, server)?;
        let mut answer = [0; 512];
        Ok(socket.recv(&mut answer)? > 12 && answer[6..8] != [0, 0])
    };
    answered().unwrap_or(false)
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
