//! Clusters, commands and waiting.

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Mutex, OnceLock};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// One test of a story.
pub type Test = (&'static str, fn(&Fixture));

/// A state that should come is waited for this long.
pub const PATIENCE: Duration = Duration::from_secs(90);

/// What all tests share: a folder for files, one single-node cluster, names of all clusters made.
pub struct Fixture {
    directory: TempDir,
    shared: OnceLock<String>,
    made: Mutex<Vec<String>>,
}

/// What a command printed and how it ended.
#[derive(Debug)]
pub struct Ran {
    pub out: String,
    pub err: String,
    pub code: Option<i32>,
    what: String,
}

impl Ran {
    /// Fails the test unless the command succeeded.
    #[track_caller]
    pub fn ok(self) -> Ran {
        assert_eq!(self.code, Some(0), "{}\n{}\n{}", self.what, self.out, self.err);
        self
    }

    /// Fails the test unless the command failed with this code and says this on stderr.
    #[track_caller]
    pub fn fails(self, code: i32, text: &str) -> Ran {
        assert_eq!(self.code, Some(code), "{}\n{}\n{}", self.what, self.out, self.err);
        self.says(text)
    }

    /// Fails the test unless this is on stderr.
    #[track_caller]
    pub fn says(self, text: &str) -> Ran {
        assert!(self.err.contains(text), "{} should say {text:?}:\n{}", self.what, self.err);
        self
    }

    /// Fails the test unless this is on stdout.
    #[track_caller]
    pub fn prints(self, text: &str) -> Ran {
        assert!(self.out.contains(text), "{} should print {text:?}:\n{}", self.what, self.out);
        self
    }
}

impl Fixture {
    pub fn new() -> Fixture {
        Fixture {
            directory: tempfile::Builder::new().prefix("kd-e2e").tempdir().unwrap(),
            shared: OnceLock::new(),
            made: Mutex::default(),
        }
    }

    /// A name that no other run uses; the cluster is deleted at the end.
    pub fn name(&self, suffix: &str) -> String {
        let name = format!("e2e-{}-{suffix}", std::process::id());
        self.made.lock().unwrap().push(name.clone());
        name
    }

    /// The cluster that tests share, with the test images. Made by the first that needs it.
    pub fn cluster(&self) -> &str {
        self.shared.get_or_init(|| {
            let name = self.name("shared");
            self.kd(&["cluster", "create", &name]).ok();
            self.kd(&["image", "load", "kd-test/busybox:1", "kd-test/nginx:1", "--cluster", &name])
                .ok();
            name
        })
    }

    /// The kubeconfig of all tests; never the user's.
    pub fn kubeconfig(&self) -> PathBuf {
        self.directory.path().join("kubeconfig")
    }

    /// A file of the tests' folder.
    pub fn file(&self, name: &str, content: &str) -> PathBuf {
        let path = self.directory.path().join(name);
        std::fs::write(&path, content).unwrap();
        path
    }

    pub fn directory(&self) -> &Path {
        self.directory.path()
    }

    pub fn command(&self, program: &str) -> Command {
        let mut command = Command::new(program);
        command.env("KUBECONFIG", self.kubeconfig()).env("HOME", self.directory.path());
        command
    }

    pub fn kd(&self, arguments: &[&str]) -> Ran {
        run(self.command(env!("CARGO_BIN_EXE_kd")).args(arguments), "")
    }

    /// kubectl on the shared cluster.
    pub fn kubectl(&self, arguments: &[&str]) -> Ran {
        self.kubectl_in(self.cluster(), arguments, "")
    }

    /// kubectl on a cluster, with standard input.
    pub fn kubectl_in(&self, cluster: &str, arguments: &[&str], stdin: &str) -> Ran {
        run(self.kubectl_command(cluster).args(arguments), stdin)
    }

    pub fn kubectl_command(&self, cluster: &str) -> Command {
        let program = std::env::var("E2E_KUBECTL").unwrap_or_else(|_| "kubectl".into());
        let mut command = self.command(&program);
        command.arg("--context").arg(format!("kd-{cluster}"));
        command
    }

    /// Applies a manifest to the shared cluster.
    pub fn apply(&self, manifest: &str) -> Ran {
        self.kubectl_in(self.cluster(), &["apply", "-f", "-"], manifest)
    }

    /// A namespace of the shared cluster for one test, deleted with the cluster.
    pub fn namespace(&self, name: &str) -> String {
        self.kubectl(&["create", "namespace", name]).ok();
        name.to_owned()
    }

    /// Deletes every cluster and returns what is left of any of them.
    pub fn tear_down(&self) -> Vec<String> {
        let names = self.made.lock().unwrap().clone();
        let mut left = Vec::new();
        for name in &names {
            let deleted = self.kd(&["cluster", "delete", name]);
            if deleted.code != Some(0) {
                left.push(format!("{}: {}", deleted.what, deleted.err));
            }
            left.extend(leftovers(name));
        }
        // The process ends by an exit code, which runs no destructors.
        if let Err(error) = std::fs::remove_dir_all(self.directory.path()) {
            left.push(format!("{}: {error}", self.directory.path().display()));
        }
        left
    }
}

/// Docker's objects of a cluster.
pub fn leftovers(cluster: &str) -> Vec<String> {
    let filter = format!("label=io.kd.cluster={cluster}");
    let kinds: [&[&str]; 3] = [
        &["ps", "-aq", "--filter", &filter],
        &["network", "ls", "-q", "--filter", &filter],
        &["volume", "ls", "-q", "--filter", &filter],
    ];
    let mut found = Vec::new();
    for arguments in kinds {
        let listed = run(Command::new("docker").args(arguments), "").ok();
        found.extend(listed.out.lines().map(|line| format!("{} {line}", arguments[0])));
    }
    found
}

/// Runs a command of the docker client.
pub fn docker(arguments: &[&str]) -> Ran {
    run(Command::new("docker").args(arguments), "")
}

/// Kills a program of a node (never anything else: it looks only at that container's processes).
pub fn kill_program(container: &str, program: &str) {
    let listed = docker(&["top", container, "-eo", "pid,args"]).ok();
    let mut pids = listed.out.lines().filter(|line| line.contains(program));
    let pid = pids.next().and_then(|line| line.split_whitespace().next()).unwrap();
    run(Command::new("kill").args(["-9", pid]), "").ok();
}

pub fn run(command: &mut Command, stdin: &str) -> Ran {
    let what = format!("{command:?}");
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().unwrap_or_else(|error| panic!("{what}: {error}"));
    let mut input = child.stdin.take().unwrap();
    // A command that does not read its input ends first; that is its choice.
    let _ = input.write_all(stdin.as_bytes());
    drop(input);
    let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Ran { out: text(stdout), err: text(stderr), code: status.code(), what }
}

/// Asks again until the answer is there: for states of other programs that tell nobody.
#[track_caller]
pub fn eventually<T>(what: &str, mut ask: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(Instant::now() < deadline, "{what} did not happen within {PATIENCE:?}");
        std::thread::sleep(Duration::from_millis(100));
    }
}
