//! What the kubelet asks of a runtime: sandboxes, containers, streams, images. The names follow the
//! Kubernetes Container Runtime Interface (CRI) v1; the implementation is [`crate`]'s own, and tests
//! of the kubelet use a fake.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::{RwLock, broadcast};

/// The result of every runtime call.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a runtime call failed. `message` is fit for a container's `state.waiting.message`.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No such sandbox, container or image.
    #[error("{kind} {id:?} not found")]
    NotFound {
        /// "sandbox", "container" or "image".
        kind: &'static str,
        /// The id or reference asked for.
        id: String,
    },
    /// The specification cannot be carried out as written (a missing command, a bad user name, a
    /// path that leaves the root file system). Retrying will not help.
    #[error("{0}")]
    Invalid(String),
    /// The call is not possible in the object's present state (exec in an exited container).
    #[error("{0}")]
    State(String),
    /// A deadline given by the caller passed.
    #[error("{operation} timed out after {after:?}")]
    Timeout {
        /// What was being done.
        operation: String,
        /// The deadline.
        after: Duration,
    },
    /// An image could not be pulled or imported.
    #[error(transparent)]
    Image(#[from] ImageError),
    /// The system refused.
    #[error("{operation}: {source}")]
    System {
        /// What was being done, with its object ("mount /proc in container x").
        operation: String,
        /// The system's answer.
        #[source]
        source: std::io::Error,
    },
}

/// Why an image is not there. The kubelet maps these to its reasons (ErrImagePull,
/// InvalidImageName, ErrImageNeverPull, RegistryUnavailable).
#[derive(Debug, thiserror::Error)]
pub enum ImageError {
    /// The reference does not parse.
    #[error("couldn't parse image name {reference:?}: {reason}")]
    InvalidName {
        /// As written in the pod.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
    /// The registry has no such repository, tag or digest, or denies that it has.
    #[error("failed to pull image {reference:?}: {reason}")]
    NotFound {
        /// The normalised reference.
        reference: String,
        /// The registry's answer.
        reason: String,
    },
    /// The registry refused the credentials.
    #[error("failed to pull image {reference:?}: {reason}")]
    Unauthorized {
        /// The normalised reference.
        reference: String,
        /// The registry's answer.
        reason: String,
    },
    /// The registry could not be reached, or broke off.
    #[error("failed to pull image {reference:?}: {reason}")]
    Unavailable {
        /// The normalised reference.
        reference: String,
        /// What went wrong.
        reason: String,
    },
    /// The content is damaged, hostile, or not for this machine.
    #[error("image {reference:?}: {reason}")]
    Content {
        /// The normalised reference or the archive's name.
        reference: String,
        /// What is wrong with it.
        reason: String,
    },
}

/// How a pod's sandbox is made: its namespaces, cgroup parent and logs.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct SandboxSpec {
    /// Pod metadata, kept verbatim and returned by [`Runtime::list`].
    pub pod: PodMeta,
    /// The sandbox's host name (UTS namespace); at most 63 bytes. Ignored with `host_network`.
    pub hostname: String,
    /// Where the pod's container logs go: `<log_directory>/<container>/<attempt>.log`, CRI format.
    pub log_directory: PathBuf,
    /// The pod's cgroup, relative to the root of the hierarchy the node owns,
    /// e.g. `kubepods/burstable/pod<uid>`. Created with `resources` when absent.
    pub cgroup_parent: String,
    /// Limits of the whole pod.
    pub resources: Resources,
    /// Use the node's network namespace; otherwise a new one is pinned (see [`SandboxStatus::netns`]).
    pub host_network: bool,
    /// Use the node's PID namespace.
    pub host_pid: bool,
    /// Use the node's IPC namespace.
    pub host_ipc: bool,
    /// One PID namespace for all containers (`shareProcessNamespace`).
    pub share_process_namespace: bool,
    /// A user namespace of the pod's own, with these ids of the node (`hostUsers: false`).
    #[serde(default)]
    pub user_namespace: Option<IdRange>,
    /// Sysctls to set in the sandbox's namespaces.
    pub sysctls: BTreeMap<String, String>,
    /// Free-form, kept verbatim.
    pub annotations: BTreeMap<String, String>,
}

/// User and group ids of the node that are 0 and up in a pod.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct IdRange {
    /// The node's id of the pod's root.
    pub first: u32,
    /// How many.
    pub length: u32,
}

/// Who a sandbox belongs to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct PodMeta {
    /// Pod name.
    pub name: String,
    /// Pod namespace.
    pub namespace: String,
    /// Pod uid.
    pub uid: String,
    /// How many sandboxes the pod had before this one.
    pub attempt: u32,
}

/// What is known of a sandbox.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct SandboxStatus {
    /// The runtime's id: 64 hexadecimal digits.
    pub id: String,
    /// As asked for.
    pub spec: SandboxSpec,
    /// False once stopped, or when its namespaces or shim are gone.
    pub ready: bool,
    /// When it was created.
    pub created_at: Timestamp,
    /// The pinned network namespace; `None` with `host_network`.
    pub netns: Option<PathBuf>,
    /// Its containers, exited ones included, in creation order.
    pub containers: Vec<ContainerStatus>,
}

/// How a container is made. Paths are on the node unless said otherwise.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerSpec {
    /// Container name, unique in the pod together with `attempt`.
    pub name: String,
    /// How many containers of this name the pod had before.
    pub attempt: u32,
    /// The image's id as [`Images::status`] or [`Images::pull`] gave it.
    pub image_id: String,
    /// The reference the user wrote; kept for status.
    pub image: String,
    /// Replaces the image's entrypoint when not empty (the pod's `command`).
    pub command: Vec<String>,
    /// Replaces the image's cmd when not empty (the pod's `args`). With `command` set and `args`
    /// empty the image's cmd is dropped, as upstream does.
    pub args: Vec<String>,
    /// Replaces the image's working directory when not empty.
    pub working_dir: String,
    /// `NAME`, `value` in order; later ones win, and they win over the image's.
    pub env: Vec<(String, String)>,
    /// What is mounted over the root file system, in order.
    pub mounts: Vec<Mount>,
    /// Host devices to make visible.
    pub devices: Vec<Device>,
    /// Keep stdin open.
    pub stdin: bool,
    /// Close stdin after the first attach session ends.
    pub stdin_once: bool,
    /// Give it a terminal (stdin, stdout and stderr are one pty).
    pub tty: bool,
    /// Limits of this container.
    pub resources: Resources,
    /// Users, capabilities and filters.
    pub security: Security,
    /// The signal that asks it to stop, e.g. "SIGTERM"; empty: the image's, else SIGTERM.
    pub stop_signal: String,
    /// The running container of the sandbox whose PID namespace it shares, by name; empty: none.
    #[serde(default)]
    pub pid_target: String,
    /// Free-form, kept verbatim.
    pub annotations: BTreeMap<String, String>,
}

/// A bind mount into a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Mount {
    /// File or directory on the node; must exist.
    pub source: PathBuf,
    /// Absolute path in the container; created when absent, never followed out of the root.
    pub target: PathBuf,
    /// Mount read-only.
    pub read_only: bool,
    /// Make submounts read-only too.
    pub recursive_read_only: bool,
    /// How mounts travel between node and container.
    pub propagation: Propagation,
}

/// Mount propagation, the pod API's three values.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub enum Propagation {
    /// `None`: rprivate.
    #[default]
    Private,
    /// `HostToContainer`: rslave.
    HostToContainer,
    /// `Bidirectional`: rshared.
    Bidirectional,
}

/// A device node of the host shown in a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Device {
    /// Device on the node.
    pub host_path: PathBuf,
    /// Path in the container.
    pub container_path: PathBuf,
    /// Any of `r`, `w`, `m`.
    pub permissions: String,
}

/// Limits, in the units of the cgroup files. `None` is unlimited or the kernel's default.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Resources {
    /// cgroup v1 `cpu.shares` (2 to 262144); v2 gets the weight computed from it.
    pub cpu_shares: Option<u64>,
    /// Microseconds of CPU time per period.
    pub cpu_quota_us: Option<i64>,
    /// The period, microseconds; 100000 when a quota is given without one.
    pub cpu_period_us: Option<u64>,
    /// Bytes.
    pub memory_limit_bytes: Option<i64>,
    /// Number of tasks.
    pub pids_limit: Option<i64>,
    /// Cores, e.g. "0-1".
    pub cpuset_cpus: Option<String>,
    /// -1000 to 1000; best effort (the node may lack CAP_SYS_RESOURCE).
    pub oom_score_adj: Option<i32>,
    /// Page size (as in `hugetlb.2MB`) to bytes.
    pub hugepage_limits: BTreeMap<String, u64>,
}

/// Who the process is and what it may do.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Security {
    /// User id; `None`: the image's user.
    pub run_as_user: Option<i64>,
    /// Group id; `None`: the image's group, or the user's in /etc/passwd.
    pub run_as_group: Option<i64>,
    /// Refuse to start as uid 0, and refuse an image whose user is a name
    /// ([`Error::Invalid`] with upstream's sentence).
    pub run_as_non_root: bool,
    /// More groups (fsGroup among them), added to those of the image's /etc/group.
    pub supplemental_groups: Vec<i64>,
    /// Do not add groups from the image's /etc/group (`supplementalGroupsPolicy: Strict`).
    pub supplemental_groups_strict: bool,
    /// All capabilities, all devices, no masks, no filter.
    pub privileged: bool,
    /// Capabilities beyond the default set, without `CAP_`; "ALL" is understood.
    pub add_capabilities: Vec<String>,
    /// Capabilities taken from the default set; "ALL" is understood.
    pub drop_capabilities: Vec<String>,
    /// Set no_new_privs (allowPrivilegeEscalation: false).
    pub no_new_privileges: bool,
    /// Mount the root file system read-only.
    pub read_only_root: bool,
    /// System call filter.
    pub seccomp: Seccomp,
    /// The AppArmor profile; none when empty. One that the kernel does not have is an error.
    #[serde(default)]
    pub app_armor: String,
    /// Do not mask /proc paths (procMount: Unmasked).
    pub unmasked_proc: bool,
}

/// System call filter of a container.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub enum Seccomp {
    /// No filter: what Kubernetes gives when nothing is asked.
    #[default]
    Unconfined,
    /// The runtime's own default list.
    RuntimeDefault,
    /// A profile file in the OCI/Docker JSON form.
    Localhost(PathBuf),
}

/// What is known of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ContainerStatus {
    /// The runtime's id: 64 hexadecimal digits.
    pub id: String,
    /// The sandbox it lives in.
    pub sandbox_id: String,
    /// As asked for.
    pub spec: ContainerSpec,
    /// Where it is in its life.
    pub state: ContainerState,
    /// When it was created.
    pub created_at: Timestamp,
    /// Its log file.
    pub log_path: PathBuf,
    /// Its first process, while running.
    pub pid: Option<i32>,
    /// The user it runs as, for `status.containerStatuses[].user`.
    pub user: Option<ContainerUser>,
}

/// The identity a container's first process got.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ContainerUser {
    /// User id.
    pub uid: i64,
    /// Group id.
    pub gid: i64,
    /// All supplementary groups.
    pub supplemental_groups: Vec<i64>,
}

/// The states of a container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub enum ContainerState {
    /// Created, not started.
    Created,
    /// Started, its process alive.
    Running {
        /// When the process was started.
        started_at: Timestamp,
    },
    /// Its process ended.
    Exited(Exit),
}

/// How a container's process ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Exit {
    /// When the process was started; `None` when it never was.
    pub started_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Timestamp,
    /// Exit code; 128 + signal when a signal ended it.
    pub code: i32,
    /// The signal that ended it.
    pub signal: Option<i32>,
    /// The kernel killed a process of its cgroup for lack of memory.
    pub oom_killed: bool,
    /// Nobody saw it end: the node was gone first.
    #[serde(default)]
    pub lost: bool,
    /// What went wrong before the process ran, if so ("exec: \"foo\": not found"); the kubelet
    /// shows it with reason `StartError` (code 128) or `ContainerCannotRun`.
    pub error: Option<String>,
}

/// What a runtime reports by itself. Nothing polls: these wake the kubelet.
#[derive(Clone, Debug, PartialEq)]
pub enum RuntimeEvent {
    /// A container's process runs.
    ContainerStarted {
        /// Its sandbox.
        sandbox_id: String,
        /// Its id.
        container_id: String,
    },
    /// A container's process ended; [`Runtime::list`] shows the exit.
    ContainerExited {
        /// Its sandbox.
        sandbox_id: String,
        /// Its id.
        container_id: String,
    },
    /// The sandbox's shim died; its containers are being accounted for.
    SandboxLost {
        /// Its id.
        sandbox_id: String,
    },
}

/// A command to run in a container that runs already.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct ExecSpec {
    /// The command and its arguments.
    pub command: Vec<String>,
    /// Connect stdin.
    pub stdin: bool,
    /// Connect stdout.
    pub stdout: bool,
    /// Connect stderr (not with `tty`).
    pub stderr: bool,
    /// Give it a terminal.
    pub tty: bool,
}

/// A live exec or attach session. Dropping it detaches; an exec'd process is then sent SIGHUP
/// through its closed terminal or pipes, as upstream's runtimes do.
pub struct Session {
    /// Writes reach the process; shutting it down closes its stdin. `None` when not asked for.
    pub stdin: Option<Box<dyn AsyncWrite + Send + Unpin>>,
    /// What the process writes, or the terminal.
    pub stdout: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// What the process writes to stderr.
    pub stderr: Option<Box<dyn AsyncRead + Send + Unpin>>,
    /// Terminal size changes, (columns, rows).
    pub resize: tokio::sync::mpsc::Sender<(u16, u16)>,
    /// The exit code of an exec'd process, or of the container for attach.
    pub exit: tokio::sync::oneshot::Receiver<Result<i32>>,
}

/// What [`Runtime::exec_sync`] returns.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ExecOutput {
    /// At most 16 KiB are kept for probes and hooks.
    pub stdout: Vec<u8>,
    /// Likewise.
    pub stderr: Vec<u8>,
    /// Exit code.
    pub code: i32,
}

/// Use of resources now.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Stats {
    /// Total CPU time, nanoseconds.
    pub cpu_usage_ns: u64,
    /// Enforcement periods in which the group ran.
    pub cpu_periods: u64,
    /// Those in which its quota was used up.
    pub cpu_throttled_periods: u64,
    /// How long it was held back, nanoseconds.
    pub cpu_throttled_ns: u64,
    /// Memory charged, bytes.
    pub memory_usage_bytes: u64,
    /// Memory charged less inactive file pages, bytes.
    pub memory_working_set_bytes: u64,
    /// Anonymous memory, bytes.
    pub memory_rss_bytes: u64,
    /// Pages of files, bytes.
    pub memory_cache_bytes: u64,
    /// Swapped out, bytes.
    pub memory_swap_bytes: u64,
    /// Its limit, bytes.
    pub memory_limit_bytes: Option<u64>,
    /// How often the limit was met.
    pub memory_limit_hits: u64,
    /// Page faults.
    pub page_faults: u64,
    /// Those that had to read.
    pub major_page_faults: u64,
    /// Number of tasks.
    pub pids: u64,
}

/// Use of a part of a file system.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct DiskUse {
    /// Allocated bytes.
    pub bytes: u64,
    /// Files and directories.
    pub inodes: u64,
}

/// Sandboxes and containers. All calls are idempotent where CRI's are: stopping a stopped or
/// removing a removed object succeeds.
#[async_trait]
pub trait Runtime: Send + Sync + 'static {
    /// Makes namespaces, cgroup and shim. On error nothing is left behind.
    async fn create_sandbox(&self, spec: SandboxSpec) -> Result<SandboxStatus>;
    /// Kills what still runs in it and releases its namespaces (the network namespace too: detach
    /// the pod's network before).
    async fn stop_sandbox(&self, id: &str) -> Result<()>;
    /// Stops it if needed and removes everything but the logs.
    async fn remove_sandbox(&self, id: &str) -> Result<()>;
    /// Everything the runtime knows, also after a restart of this process or of the node.
    async fn list(&self) -> Result<Vec<SandboxStatus>>;
    /// One sandbox.
    async fn sandbox(&self, id: &str) -> Result<SandboxStatus>;

    /// Prepares root file system and process; the process does not run yet.
    async fn create_container(&self, sandbox_id: &str, spec: ContainerSpec) -> Result<String>;
    /// Runs the process. An error in the container's own setup (no such command) is reported here.
    async fn start_container(&self, id: &str) -> Result<()>;
    /// Sends the stop signal, waits up to `grace`, then SIGKILL; returns when the process is gone.
    /// A zero `grace` kills at once.
    async fn stop_container(&self, id: &str, grace: Duration) -> Result<()>;
    /// Removes an exited or created container with its root file system; the log stays.
    async fn remove_container(&self, id: &str) -> Result<()>;
    /// One container.
    async fn container(&self, id: &str) -> Result<ContainerStatus>;
    /// Changes limits in place.
    async fn update_resources(&self, id: &str, resources: Resources) -> Result<()>;
    /// Changes the limits of a whole sandbox in place.
    async fn update_sandbox(&self, id: &str, resources: Resources) -> Result<()>;
    /// Closes and reopens the log file (after rotation).
    async fn reopen_log(&self, id: &str) -> Result<()>;

    /// Runs a command to its end; kills it at the deadline ([`Error::Timeout`]).
    async fn exec_sync(
        &self,
        id: &str,
        command: Vec<String>,
        timeout: Option<Duration>,
    ) -> Result<ExecOutput>;
    /// Starts a command with streams.
    async fn exec(&self, id: &str, spec: ExecSpec) -> Result<Session>;
    /// Joins the streams of the container's first process.
    async fn attach(&self, id: &str, spec: ExecSpec) -> Result<Session>;
    /// Connects to `127.0.0.1:port` (then `[::1]`) inside the sandbox's network namespace.
    async fn dial(&self, sandbox_id: &str, port: u16) -> Result<tokio::net::TcpStream>;

    /// Use of one container.
    async fn container_stats(&self, id: &str) -> Result<Stats>;
    /// Use of a whole sandbox.
    async fn sandbox_stats(&self, id: &str) -> Result<Stats>;
    /// Makes a control group, by its path relative to the node's own, or changes its limits.
    async fn set_group(&self, group: &str, resources: Resources) -> Result<()>;
    /// Use of a control group by its path relative to the node's own; empty is the node's own.
    async fn group_stats(&self, group: &str) -> Result<Stats>;
    /// What a container has written over its image.
    async fn container_disk(&self, id: &str) -> Result<DiskUse>;
    /// Subscribes to events from now on. After a lag, call [`Runtime::list`].
    fn events(&self) -> broadcast::Receiver<RuntimeEvent>;
}

/// Registry credentials for one pull, as a `kubernetes.io/dockerconfigjson` entry holds them.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct RegistryAuth {
    /// User name.
    pub username: String,
    /// Password.
    pub password: String,
    /// A token that gets tokens, used instead when not empty.
    pub identity_token: String,
}

/// An image on this node.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Image {
    /// `sha256:<hex>` of the image's configuration.
    pub id: String,
    /// Tags, normalised (`docker.io/library/nginx:1.25`).
    pub repo_tags: Vec<String>,
    /// Digests, normalised (`docker.io/library/nginx@sha256:...`).
    pub repo_digests: Vec<String>,
    /// Unpacked size, bytes.
    pub size_bytes: u64,
    /// The user its configuration names, verbatim.
    pub user: String,
}

/// The images of a node.
#[async_trait]
pub trait Images: Send + Sync + 'static {
    /// The image of a reference or id, if it is here.
    async fn status(&self, reference: &str) -> Result<Option<Image>>;
    /// Everything here.
    async fn list(&self) -> Result<Vec<Image>>;
    /// Pulls from the reference's registry, trying the credentials in order, and none last when
    /// the list is empty.
    async fn pull(&self, reference: &str, auth: &[RegistryAuth]) -> Result<Image>;
    /// Forgets a reference, or an id with all its references.
    async fn remove(&self, reference: &str) -> Result<()>;
    /// Held for reading while something is made of an image, for writing while unused images are
    /// removed: what is being made is no user yet that could be seen.
    fn making(&self) -> Arc<RwLock<()>>;
    /// Removes layers that no image of any node uses, until enough bytes are free. Returns how many
    /// were freed.
    async fn free(&self, bytes: u64) -> Result<u64>;
    /// Where the image's unpacked layers are, top first, and its OCI configuration (JSON bytes):
    /// what a container's root file system is made of.
    async fn root_file_system(&self, image_id: &str) -> Result<RootFileSystem>;
}

/// The pieces of a container's root file system.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RootFileSystem {
    /// overlayfs lower directories, top layer first.
    pub layers: Vec<PathBuf>,
    /// The OCI image configuration.
    pub config: oci_spec::image::ImageConfiguration,
}

impl std::fmt::Debug for RegistryAuth {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RegistryAuth").field("username", &self.username).finish_non_exhaustive()
    }
}
