//! [`NodeRuntime`]: the sandboxes and containers of a node, each sandbox held by its own shim. This
//! process may end at any time; what it knows it reads again from the shims and the disk.

mod connection;
mod containers;
mod objects;
mod recovery;
mod sandboxes;
mod sessions;
mod stream;

use std::collections::{BTreeMap, HashMap};
use std::ffi::OsString;
use std::io::{self, Read};
use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_trait::async_trait;
use tokio::sync::broadcast;

use crate::cgroup::Cgroups;
use crate::disk_use::disk_use;
use crate::interface::{
    ContainerSpec, ContainerStatus, DiskUse, Error, ExecOutput, ExecSpec, Images, Resources,
    Result, Runtime, RuntimeEvent, SandboxSpec, SandboxStatus, Session, Stats,
};
use crate::layout::Layout;
use crate::shim;
use objects::{Container, Sandbox};

/// Events kept for a slow subscriber; after more it lists again.
const EVENTS_MAX: usize = 1024;

/// How a runtime is set up.
#[derive(Clone, Debug)]
pub struct RuntimeConfig {
    /// Records and writable layers; survives the node. Not on overlayfs.
    pub state: PathBuf,
    /// Sockets and pinned namespaces; must be empty after the node has restarted.
    pub run: PathBuf,
    /// How to start a shim.
    pub shim: ShimCommand,
    /// Where control groups are mounted, `/sys/fs/cgroup`.
    pub cgroup_mount: PathBuf,
    /// The node's own group below it; empty with a cgroup namespace of its own.
    pub cgroup_base: String,
}

/// The program whose body is [`crate::shim_main`]; the shim's own arguments are added at the end.
#[derive(Clone, Debug)]
pub struct ShimCommand {
    /// The program.
    pub program: PathBuf,
    /// What comes before the shim's own arguments (`shim`).
    pub arguments: Vec<OsString>,
}

/// The sandboxes and containers of a node.
#[derive(Clone)]
pub struct NodeRuntime(Arc<Inner>);

struct Inner {
    config: RuntimeConfig,
    /// The shim's program, from where nobody can write to it; its path does where that cannot be.
    program: Option<OwnedFd>,
    layout: Layout,
    cgroups: Cgroups,
    images: Arc<dyn Images>,
    events: broadcast::Sender<RuntimeEvent>,
    sandboxes: Mutex<BTreeMap<String, Arc<Sandbox>>>,
    containers: Mutex<HashMap<String, Arc<Container>>>,
}

impl NodeRuntime {
    /// Opens the runtime and finds again what an earlier process or an earlier life of the node
    /// has left. Needs a tokio runtime.
    pub async fn open(config: RuntimeConfig, images: Arc<dyn Images>) -> Result<Self> {
        let layout = Layout::new(&config.state, &config.run);
        let system = |operation: &str| {
            let operation = operation.to_owned();
            move |source: io::Error| Error::System { operation, source }
        };
        layout.prepare().map_err(system("create the runtime's directories"))?;
        let cgroups = Cgroups::detect(&config.cgroup_mount, &config.cgroup_base)
            .map_err(system("find the control groups"))?;
        let inner = Arc::new(Inner {
            program: shim::read_only_program(&config.shim.program).ok(),
            config,
            layout,
            cgroups,
            images,
            events: broadcast::channel(EVENTS_MAX).0,
            sandboxes: Mutex::default(),
            containers: Mutex::default(),
        });
        recovery::recover(&inner).await?;
        Ok(Self(inner))
    }
}

impl Inner {
    fn sandbox(&self, id: &str) -> Result<Arc<Sandbox>> {
        lock(&self.sandboxes)
            .get(id)
            .cloned()
            .ok_or_else(|| Error::NotFound { kind: "sandbox", id: id.to_owned() })
    }

    fn container(&self, id: &str) -> Result<Arc<Container>> {
        lock(&self.containers)
            .get(id)
            .cloned()
            .ok_or_else(|| Error::NotFound { kind: "container", id: id.to_owned() })
    }

    fn emit(&self, event: RuntimeEvent) {
        // No subscriber is fine.
        let _ = self.events.send(event);
    }
}

/// Locks; the data behind these locks is replaced whole, so a panic elsewhere leaves it usable.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Runs file system and process work outside the async threads.
async fn blocking<T: Send + 'static>(
    operation: impl Into<String>,
    work: impl FnOnce() -> io::Result<T> + Send + 'static,
) -> Result<T> {
    let operation = operation.into();
    let result = tokio::task::spawn_blocking(work).await;
    result
        .unwrap_or_else(|error| Err(io::Error::other(error)))
        .map_err(|source| Error::System { operation, source })
}

/// A new id: 64 hexadecimal digits.
pub(crate) fn new_id() -> io::Result<String> {
    let mut bytes = [0_u8; 32];
    std::fs::File::open("/dev/urandom")?.read_exact(&mut bytes)?;
    Ok(bytes.iter().map(|byte| format!("{byte:02x}")).collect())
}

#[async_trait]
impl Runtime for NodeRuntime {
    async fn create_sandbox(&self, spec: SandboxSpec) -> Result<SandboxStatus> {
        self.0.create_sandbox(spec).await
    }

    async fn stop_sandbox(&self, id: &str) -> Result<()> {
        match self.0.sandbox(id) {
            Ok(sandbox) => self.0.stop_sandbox(&sandbox).await,
            Err(_) => Ok(()),
        }
    }

    async fn remove_sandbox(&self, id: &str) -> Result<()> {
        match self.0.sandbox(id) {
            Ok(sandbox) => self.0.remove_sandbox(&sandbox).await,
            Err(_) => Ok(()),
        }
    }

    async fn list(&self) -> Result<Vec<SandboxStatus>> {
        let sandboxes: Vec<Arc<Sandbox>> = lock(&self.0.sandboxes).values().cloned().collect();
        Ok(sandboxes.iter().map(|sandbox| sandbox.status(&self.0.layout)).collect())
    }

    async fn sandbox(&self, id: &str) -> Result<SandboxStatus> {
        Ok(self.0.sandbox(id)?.status(&self.0.layout))
    }

    async fn create_container(&self, sandbox_id: &str, spec: ContainerSpec) -> Result<String> {
        let sandbox = self.0.sandbox(sandbox_id)?;
        self.0.create_container(&sandbox, spec).await
    }

    async fn start_container(&self, id: &str) -> Result<()> {
        let container = self.0.container(id)?;
        self.0.start_container(&container).await
    }

    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()> {
        match self.0.container(id) {
            Ok(container) => self.0.stop_container(&container, grace).await,
            Err(_) => Ok(()),
        }
    }

    async fn remove_container(&self, id: &str) -> Result<()> {
        match self.0.container(id) {
            Ok(container) => self.0.remove_container(&container).await,
            Err(_) => Ok(()),
        }
    }

    async fn container(&self, id: &str) -> Result<ContainerStatus> {
        Ok(self.0.container(id)?.status())
    }

    async fn update_resources(&self, id: &str, resources: Resources) -> Result<()> {
        let container = self.0.container(id)?;
        self.0.update_resources(&container, resources).await
    }

    async fn update_sandbox(&self, id: &str, resources: Resources) -> Result<()> {
        let sandbox = self.0.sandbox(id)?;
        self.0.update_sandbox(&sandbox, resources).await
    }

    async fn reopen_log(&self, id: &str) -> Result<()> {
        let container = self.0.container(id)?;
        self.0.reopen_log(&container).await
    }

    async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<ExecOutput> {
        let container = self.0.container(id)?;
        self.0.exec_sync(&container, command, timeout).await
    }

    async fn exec(&self, id: &str, spec: ExecSpec) -> Result<Session> {
        let container = self.0.container(id)?;
        self.0.exec(&container, spec).await
    }

    async fn attach(&self, id: &str, spec: ExecSpec) -> Result<Session> {
        let container = self.0.container(id)?;
        self.0.attach(&container, spec).await
    }

    async fn dial(&self, sandbox_id: &str, port: u16) -> Result<tokio::net::TcpStream> {
        let sandbox = self.0.sandbox(sandbox_id)?;
        self.0.dial(&sandbox, port).await
    }

    async fn container_stats(&self, id: &str) -> Result<Stats> {
        let container = self.0.container(id)?;
        self.0.container_stats(&container).await
    }

    async fn sandbox_stats(&self, id: &str) -> Result<Stats> {
        let sandbox = self.0.sandbox(id)?;
        self.0.sandbox_stats(&sandbox).await
    }

    async fn set_group(&self, group: &str, resources: Resources) -> Result<()> {
        let (cgroups, group) = (self.0.cgroups.clone(), group.to_owned());
        let operation = format!("set up the control group {group}");
        blocking(operation, move || cgroups.create(&group, &resources)).await
    }

    async fn group_stats(&self, group: &str) -> Result<Stats> {
        let (cgroups, group) = (self.0.cgroups.clone(), group.to_owned());
        blocking("read a group's use", move || Ok(cgroups.stats(&group))).await
    }

    async fn container_disk(&self, id: &str) -> Result<DiskUse> {
        let files = self.0.layout.container(&self.0.container(id)?.id);
        blocking("measure what a container wrote", move || Ok(disk_use(&files.upper()))).await
    }

    fn events(&self) -> broadcast::Receiver<RuntimeEvent> {
        self.0.events.subscribe()
    }
}
