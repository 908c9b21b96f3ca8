//! A node for one test: a runtime over a small root file system made of busybox, with control
//! groups, state and run directories of its own. Everything is gone at the test's end.

// Each test file uses a part of it.
#![allow(dead_code)]

pub mod bundle;

use std::future::Future;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use kd_runtime::{
    ContainerSpec, ContainerState, Exit, Image, Images, NodeRuntime, RegistryAuth, Result,
    RootFileSystem, Runtime, RuntimeConfig, SandboxSpec, ShimCommand,
};

const BUSYBOX: &str = "/bin/busybox";
const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\nweb:x:101:102::/srv/web:/bin/false\n";
const GROUP: &str = "root:x:0:\nweb:x:102:\nlogs:x:200:web\n";
/// No wait in a test may be longer.
pub const WAIT_MAX: Duration = Duration::from_secs(20);

/// More than mount(2) can take.
const LAYERS_MANY: usize = 450;

/// The one image of a node: busybox in two layers; as "many" with more between them, one twice.
struct OneImage {
    layers: Vec<PathBuf>,
}

#[async_trait]
impl Images for OneImage {
    async fn status(&self, _: &str) -> Result<Option<Image>> {
        Ok(None)
    }
    async fn list(&self) -> Result<Vec<Image>> {
        Ok(Vec::new())
    }
    async fn pull(&self, _: &str, _: &[RegistryAuth]) -> Result<Image> {
        Ok(Image::default())
    }
    async fn remove(&self, _: &str) -> Result<()> {
        Ok(())
    }
    fn making(&self) -> Arc<tokio::sync::RwLock<()>> {
        Arc::default()
    }

    async fn free(&self, _bytes: u64) -> Result<u64> {
        Ok(0)
    }

    async fn root_file_system(&self, id: &str) -> Result<RootFileSystem> {
        let config = r#"{"architecture":"amd64","os":"linux",
            "rootfs":{"type":"layers","diff_ids":[]},
            "config":{"Env":["PATH=/bin","FROM=image"],"Cmd":["sh"]}}"#;
        let config = serde_json::from_str(config).expect("image configuration");
        let mut layers = self.layers.clone();
        if id == "many" {
            let parent = layers[0].with_file_name("many");
            let more = (0..LAYERS_MANY).map(|number| {
                let layer = parent.join(number.to_string());
                std::fs::create_dir_all(&layer).expect("layer");
                std::fs::write(layer.join(format!("file-{number}")), "").expect("file");
                layer
            });
            layers.splice(1..1, more);
            layers.push(layers[1].clone());
        }
        Ok(RootFileSystem { layers, config })
    }
}

/// A node.
pub struct Node {
    pub runtime: NodeRuntime,
    pub directory: tempfile::TempDir,
    pub cgroups: PathBuf,
    pub cgroup_base: String,
}

/// Runs a test in a node, if this machine can; then checks that nothing is left.
pub fn run<F: Future<Output = ()>>(test: impl FnOnce(Arc<Node>) -> F) {
    run_with(Path::new("/sys/fs/cgroup"), test);
}

/// As [`run`], with the control groups mounted at a place.
pub fn run_with<F: Future<Output = ()>>(cgroups: &Path, test: impl FnOnce(Arc<Node>) -> F) {
    if !nix::unistd::geteuid().is_root() || !Path::new(BUSYBOX).exists() {
        eprintln!("skipped: needs root and {BUSYBOX} (Debian's busybox-static)");
        return;
    }
    let runtime = tokio::runtime::Runtime::new().expect("tokio");
    runtime.block_on(async {
        let node = Arc::new(Node::new(cgroups).await);
        test(node.clone()).await;
        node.clean().await;
    });
}

impl Node {
    async fn new(cgroups: &Path) -> Self {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let number = COUNT.fetch_add(1, Ordering::Relaxed);
        let cgroup_base = format!("kd-test-{}-{number}", std::process::id());
        let directory = tempfile::tempdir().expect("directory");
        make_layers(directory.path());
        let runtime = open(directory.path(), cgroups, &cgroup_base).await;
        Self { runtime, directory, cgroups: cgroups.to_owned(), cgroup_base }
    }

    /// A second runtime over the same node, as after a restart of the kubelet.
    pub async fn reopen(&self) -> NodeRuntime {
        open(self.directory.path(), &self.cgroups, &self.cgroup_base).await
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    pub fn sandbox_spec(&self) -> SandboxSpec {
        SandboxSpec {
            hostname: "pod".into(),
            log_directory: self.path("logs"),
            cgroup_parent: "kubepods/pod1".into(),
            ..SandboxSpec::default()
        }
    }

    pub async fn sandbox(&self) -> String {
        self.runtime.create_sandbox(self.sandbox_spec()).await.expect("sandbox").id
    }

    /// Creates and starts a container in a new sandbox; returns the container.
    pub async fn start(&self, spec: ContainerSpec) -> String {
        let sandbox = self.sandbox().await;
        self.start_in(&sandbox, spec).await
    }

    pub async fn start_in(&self, sandbox: &str, spec: ContainerSpec) -> String {
        let id = self.runtime.create_container(sandbox, spec).await.expect("create");
        self.runtime.start_container(&id).await.expect("start");
        id
    }

    /// Runs a shell script to its end: (exit code, stdout of the log).
    pub async fn script(
        &self,
        script: &str,
        change: impl FnOnce(&mut ContainerSpec),
    ) -> (i32, String) {
        let mut spec = shell(script);
        change(&mut spec);
        let id = self.start(spec).await;
        let exit = self.exit(&id).await;
        (exit.code, self.log(&id).await)
    }

    pub async fn exit(&self, id: &str) -> Exit {
        exit_of(&self.runtime, id).await
    }

    /// The lines of a container's log without their heads.
    pub async fn log(&self, id: &str) -> String {
        let status = self.runtime.container(id).await.expect("status");
        let text = std::fs::read_to_string(status.log_path).expect("log");
        text.lines()
            .map(|line| line.splitn(4, ' ').nth(3).unwrap_or_default().to_owned() + "\n")
            .collect()
    }

    async fn clean(&self) {
        for sandbox in self.runtime.list().await.expect("list") {
            self.runtime.remove_sandbox(&sandbox.id).await.expect("remove");
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").expect("mountinfo");
        let here = self.directory.path().to_str().expect("path");
        assert!(!mounts.contains(here), "mounts are left:\n{mounts}");
        for place in ["state/containers", "state/sandboxes", "run"] {
            let left: Vec<_> = std::fs::read_dir(self.path(place)).expect(place).collect();
            assert!(left.is_empty(), "{place}: {left:?}");
        }
        self.remove_groups();
    }

    /// On cgroup v1 the node's base group, and v2's on any.
    fn remove_groups(&self) {
        let hierarchies = std::fs::read_dir(&self.cgroups).expect("cgroups").flatten();
        let places = hierarchies.map(|entry| entry.path()).chain([self.cgroups.clone()]);
        for base in places.map(|place| place.join(&self.cgroup_base)) {
            if base.exists() {
                for path in [base.join("kubepods"), base] {
                    std::fs::remove_dir(&path)
                        .unwrap_or_else(|error| panic!("{}: {error}", path.display()));
                }
            }
        }
    }
}

pub async fn exit_of(runtime: &NodeRuntime, id: &str) -> Exit {
    let mut events = runtime.events();
    let wait = async {
        loop {
            let status = runtime.container(id).await.expect("status");
            if let ContainerState::Exited(exit) = status.state {
                return exit;
            }
            let _ = events.recv().await;
        }
    };
    tokio::time::timeout(WAIT_MAX, wait).await.expect("container does not end")
}

pub fn shell(script: &str) -> ContainerSpec {
    ContainerSpec {
        name: "main".into(),
        image_id: "busybox".into(),
        command: vec!["sh".into(), "-c".into(), script.into()],
        ..ContainerSpec::default()
    }
}

pub async fn open(directory: &Path, cgroups: &Path, cgroup_base: &str) -> NodeRuntime {
    let config = RuntimeConfig {
        state: directory.join("state"),
        run: directory.join("run"),
        shim: ShimCommand { program: env!("CARGO_BIN_EXE_kd-shim").into(), arguments: Vec::new() },
        cgroup_mount: cgroups.to_owned(),
        cgroup_base: cgroup_base.to_owned(),
    };
    let layers = vec![directory.join("layers/top"), directory.join("layers/bottom")];
    NodeRuntime::open(config, Arc::new(OneImage { layers })).await.expect("runtime")
}

fn make_layers(directory: &Path) {
    let (top, bottom) = (directory.join("layers/top"), directory.join("layers/bottom"));
    for path in [bottom.join("bin"), bottom.join("etc"), bottom.join("tmp"), top.join("srv/web")] {
        std::fs::create_dir_all(path).expect("layer");
    }
    for path in [directory, &directory.join("layers"), &top, &bottom] {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(0o755)).expect("mode");
    }
    std::fs::set_permissions(bottom.join("tmp"), std::fs::Permissions::from_mode(0o1777))
        .expect("mode");
    std::fs::copy(BUSYBOX, bottom.join("bin/busybox")).expect("busybox");
    let applets = "sh true false cat echo id sleep ls grep head tail stat mkdir rm mount umount \
                   hostname kill ps env pwd readlink chown chmod touch dd nc wc tr stty tty date \
                   unshare test ping df pidof mknod awk sed seq printf ln cp sort";
    for applet in applets.split_whitespace() {
        std::os::unix::fs::symlink("busybox", bottom.join("bin").join(applet)).expect("applet");
    }
    std::fs::write(bottom.join("etc/passwd"), PASSWD).expect("passwd");
    std::fs::write(bottom.join("etc/group"), GROUP).expect("group");
    std::fs::write(top.join("top"), "top\n").expect("file");
}

impl Drop for Node {
    /// After a failed test: its shims, and with them everything else, end here.
    fn drop(&mut self) {
        if !std::thread::panicking() {
            return;
        }
        kill_shims(self);
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let here = self.directory.path().to_string_lossy().into_owned();
        for target in mounts.lines().filter_map(|line| line.split(' ').nth(4)) {
            if target.starts_with(&here) {
                let _ = nix::mount::umount2(target, nix::mount::MntFlags::MNT_DETACH);
            }
        }
    }
}

/// SIGKILL to every shim of a node.
pub fn kill_shims(node: &Node) {
    let run = node.path("run");
    for process in std::fs::read_dir("/proc").expect("processes").flatten() {
        let Ok(arguments) = std::fs::read_to_string(process.path().join("cmdline")) else {
            continue;
        };
        let pid: Option<i32> = process.file_name().to_str().and_then(|name| name.parse().ok());
        if let Some(pid) = pid.filter(|_| arguments.contains(run.to_str().expect("path"))) {
            let _ = nix::sys::signal::kill(
                nix::unistd::Pid::from_raw(pid),
                nix::sys::signal::Signal::SIGKILL,
            );
        }
    }
}
