//! Programs run with a limit of time, clusters that are deleted at the end, and medians.

use std::process::{Command, Stdio};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// A measurement, or why there is none.
pub type Measured<T> = Result<T, String>;

pub const BUSYBOX: &str = "kd-test/busybox:1";
pub const NGINX: &str = "kd-test/nginx:1";

/// Any program that runs longer is ended.
const PROGRAM_SECONDS_MAX: u32 = 180;

/// A folder, a kubeconfig and the clusters of one run.
pub struct Workbench {
    directory: TempDir,
    clusters: Mutex<Vec<String>>,
    shared: OnceLock<Measured<String>>,
    ended: AtomicBool,
}

impl Workbench {
    pub fn new() -> Workbench {
        Workbench {
            directory: tempfile::Builder::new().prefix("kd-bench").tempdir().unwrap(),
            clusters: Mutex::default(),
            shared: OnceLock::new(),
            ended: AtomicBool::new(false),
        }
    }

    /// A program with this run's kubeconfig, bounded.
    pub fn command(&self, program: &str) -> Command {
        // In the foreground, so that Ctrl-C reaches it.
        let mut command = Command::new("timeout");
        let limit = PROGRAM_SECONDS_MAX.to_string();
        command.args(["--foreground", "--kill-after=5", &limit, program]);
        command.env("KUBECONFIG", self.directory.path().join("kubeconfig"));
        command.env("HOME", self.directory.path()).stdin(Stdio::null());
        command
    }

    pub fn kd(&self, arguments: &[&str]) -> Command {
        let kd = std::env::var("BENCH_KD").unwrap_or_else(|_| env!("CARGO_BIN_EXE_kd").into());
        let mut command = self.command(&kd);
        command.args(arguments);
        command
    }

    /// kubectl on the shared cluster, which is there already.
    pub fn kubectl(&self, arguments: &[&str]) -> Measured<Command> {
        let program = std::env::var("BENCH_KUBECTL").unwrap_or_else(|_| "kubectl".into());
        let mut command = self.command(&program);
        command.arg("--context").arg(format!("kd-{}", self.cluster()?)).args(arguments);
        Ok(command)
    }

    /// The API of the shared cluster, without kubectl's own time.
    pub async fn client(&self) -> Measured<kube::Client> {
        let context = format!("kd-{}", self.cluster()?);
        let path = self.directory.path().join("kubeconfig");
        let read = kube::config::Kubeconfig::read_from(&path).map_err(|e| e.to_string())?;
        let options =
            kube::config::KubeConfigOptions { context: Some(context), ..Default::default() };
        let config = kube::Config::from_custom_kubeconfig(read, &options).await;
        kube::Client::try_from(config.map_err(|e| e.to_string())?).map_err(|e| e.to_string())
    }

    /// What a program prints; an error if it fails.
    pub fn run(&self, command: &mut Command) -> Measured<String> {
        if self.ended.load(Ordering::Relaxed) {
            return Err("interrupted".into());
        }
        let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr);
            return Err(format!("{command:?}: {}: {}", output.status, message.trim()));
        }
        Ok(String::from_utf8_lossy(&output.stdout).trim().to_owned())
    }

    /// How long a program takes.
    pub fn time(&self, command: &mut Command) -> Measured<Duration> {
        let began = Instant::now();
        self.run(command)?;
        Ok(began.elapsed())
    }

    /// A folder for files.
    pub fn directory(&self) -> &std::path::Path {
        self.directory.path()
    }

    pub fn docker(&self, arguments: &[&str]) -> Measured<String> {
        self.run(self.command("docker").args(arguments))
    }

    /// A cluster's name that no other run uses.
    pub fn name(&self, suffix: &str) -> String {
        let name = format!("bench-{}-{suffix}", std::process::id());
        self.clusters.lock().unwrap().push(name.clone());
        name
    }

    /// A cluster of one node that figures share.
    pub fn cluster(&self) -> Measured<&str> {
        let made = self.shared.get_or_init(|| {
            let name = self.name("shared");
            self.run(&mut self.kd(&["cluster", "create", &name]))?;
            Ok(name)
        });
        made.as_deref().map_err(Clone::clone)
    }

    /// The container of the shared cluster's node.
    pub fn node(&self) -> Measured<String> {
        Ok(format!("kd-{}-server-0", self.cluster()?))
    }

    /// Loads an image of the engine into the shared cluster.
    pub fn load(&self, image: &str) -> Measured<()> {
        let cluster = self.cluster()?;
        self.run(&mut self.kd(&["image", "load", image, "--cluster", cluster]))?;
        Ok(())
    }

    /// No figure runs another program after this.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Relaxed);
    }

    /// Deletes every cluster.
    pub fn clean(&self) {
        self.end();
        for name in self.clusters.lock().unwrap().iter() {
            let deleted = self.kd(&["--quiet", "cluster", "delete", name]).status();
            if !deleted.is_ok_and(|status| status.success()) {
                eprintln!("left behind: kd cluster delete {name}");
            }
        }
    }
}

/// The value that at most one percent of the values exceed.
pub fn percentile_99<T: PartialOrd + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("measured values are numbers"));
    sorted[(sorted.len() * 99).div_ceil(100) - 1]
}

/// The middle one of an odd number of values, the upper middle one of an even number.
pub fn median<T: PartialOrd + Copy>(values: &[T]) -> T {
    let mut sorted = values.to_vec();
    sorted.sort_by(|a, b| a.partial_cmp(b).expect("measured values are numbers"));
    sorted[sorted.len() / 2]
}
