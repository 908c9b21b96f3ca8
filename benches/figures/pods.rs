//! From the start of `kubectl run` until a watch shows the pod as Ready; the image is loaded, the pods
//! have no probes and come one after another. The watch is kubectl's, open since before the first.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

use crate::machine::{BUSYBOX, Measured, Workbench, median};
use crate::table::Row;

const PODS: usize = 20;
const PATIENCE: Duration = Duration::from_secs(60);
const SECONDS_MAX: f64 = 0.5;

pub fn measure(bench: &Workbench) -> Measured<Vec<Row>> {
    bench.load(BUSYBOX)?;
    let watch = Watch::open(bench)?;
    // This one shows that the watch is open.
    start(bench, &watch, "first")?;
    let mut ready = Vec::new();
    let mut command = Vec::new();
    for index in 0..PODS {
        let (until_ready, until_created) = start(bench, &watch, &format!("pod-{index}"))?;
        ready.push(until_ready.as_secs_f64());
        command.push(until_created.as_secs_f64());
    }
    let (ready, command) = (median(&ready), median(&command));
    Ok(vec![Row {
        figure: "kubectl run to Ready, median of 20",
        measured: format!("{ready:.2} s"),
        beside: format!("kubectl run alone: {command:.2} s"),
        bar: "at most 0.5 s",
        holds: ready <= SECONDS_MAX,
    }])
}

/// How long until the pod is Ready, and how long kubectl itself takes.
fn start(bench: &Workbench, watch: &Watch, name: &str) -> Measured<(Duration, Duration)> {
    let image = format!("--image={BUSYBOX}");
    let mut run = bench.kubectl(&["run", name, &image, "--", "sleep", "100000"])?;
    let began = Instant::now();
    bench.run(&mut run)?;
    let created = began.elapsed();
    let ready = watch.wait_for(name)?;
    Ok((ready.duration_since(began), created))
}

/// `kubectl get pods --watch`, ended when dropped.
struct Watch {
    child: Child,
    /// Names of pods that are Ready, with when that was seen.
    ready: Receiver<(String, Instant)>,
}

impl Watch {
    fn open(bench: &Workbench) -> Measured<Watch> {
        let template = r#"jsonpath={.metadata.name}{" "}{.status.conditions[?(@.type=="Ready")].status}{"\n"}"#;
        let mut command = bench.kubectl(&["get", "pods", "--watch", "-o", template])?;
        let mut child = command
            .stdout(Stdio::piped())
            .spawn()
            .map_err(|error| format!("{command:?}: {error}"))?;
        let lines = BufReader::new(child.stdout.take().expect("it is piped")).lines();
        let (sender, ready) = channel();
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                let name = line.strip_suffix(" True").map(str::to_owned);
                if name.is_some_and(|name| sender.send((name, Instant::now())).is_err()) {
                    return;
                }
            }
        });
        Ok(Watch { child, ready })
    }

    fn wait_for(&self, name: &str) -> Measured<Instant> {
        loop {
            let seen = self.ready.recv_timeout(PATIENCE);
            let (ready, at) =
                seen.map_err(|_| format!("pod {name} is not Ready in {PATIENCE:?}"))?;
            if ready == name {
                return Ok(at);
            }
        }
    }
}

impl Drop for Watch {
    fn drop(&mut self) {
        // It is `timeout`, which passes a polite signal on; the pipe's end does the rest.
        let _ = std::process::Command::new("kill").arg(self.child.id().to_string()).status();
        let _ = self.child.wait();
    }
}
