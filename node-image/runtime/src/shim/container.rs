//! One container as its shim holds it: from the request to start to the record of its exit.

use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};

use jiff::Timestamp;
use nix::sched::CloneFlags;

use super::log::Log;
use super::output::Output;
use crate::cgroup::Cgroups;
use crate::container::{self, Launch, Report, Streams, User};
use crate::interface::Exit;
use crate::layout::Layout;
use crate::protocol::Failure;
use crate::record::{self, ContainerRecord, SandboxRecord, Started};
use crate::sys::message;
use crate::sys::process::fork_into;
use crate::user_namespace::UserNamespace;

/// What the kubelet shows when a program never ran.
const START_ERROR_CODE: i32 = 128;

/// Where a container is in its life.
#[derive(Debug)]
pub enum Phase {
    /// The child is on its way to the program.
    Starting {
        /// Its reports come from here.
        conversation: OwnedFd,
        /// Who asked: client and call.
        caller: (u64, u64),
    },
    /// The program runs.
    Running {
        /// Since when.
        since: Timestamp,
    },
    /// Nothing of it is left but output.
    Ended,
}

/// Where a container is: its node and its pod.
#[derive(Clone, Copy)]
pub struct Place<'a> {
    pub layout: &'a Layout,
    pub cgroups: &'a Cgroups,
    pub sandbox: &'a SandboxRecord,
    pub user: Option<&'a UserNamespace>,
}

/// A container that was asked to start.
#[derive(Debug)]
pub struct Container {
    pub record: ContainerRecord,
    pub group: String,
    pub phase: Phase,
    pub pid: i32,
    pub user: User,
    pub log: Log,
    pub outputs: Vec<Output>,
    pub stdin: Option<OwnedFd>,
    pub terminal: Option<OwnedFd>,
    /// Read ends that hang up when an attached stdin ends.
    pub leases: Vec<OwnedFd>,
}

/// The other ends of a child's streams.
struct Ends {
    streams: Streams,
    stdin: Option<OwnedFd>,
    outputs: Vec<Output>,
}

impl Container {
    /// Forks the first process of a container, into the PID namespace of a process if one is given
    /// (with the shim's own).
    pub fn start(
        place: &Place<'_>,
        record: ContainerRecord,
        pid_namespace: Option<(&OwnedFd, &OwnedFd)>,
        caller: (u64, u64),
    ) -> Result<Self, Failure> {
        let Place { layout, cgroups, sandbox, user } = *place;
        let group = format!("{}/{}", sandbox.spec.cgroup_parent, record.id);
        let failed = |operation: &str| {
            let operation = operation.to_owned();
            move |error: io::Error| Failure::system(operation, &error)
        };
        prepare_group(cgroups, &group, &record).map_err(failed("create the cgroup"))?;
        let log = Log::open(&record.log_path).map_err(failed("open the log"))?;
        let ends = Ends::open(&record).map_err(failed("open the streams"))?;
        let (ours, theirs) = message::pair().map_err(failed("open the streams"))?;
        let launch = Launch { layout, cgroups, record: &record, user };
        let namespaces = namespaces(sandbox, &record);
        let cgroup = cgroups.open(&group);
        let pid =
            fork_inside(pid_namespace, namespaces, cgroup.as_ref()).map_err(failed("fork"))?;
        if pid == 0 {
            drop(ours);
            container::launch(&launch, ends.streams, theirs);
        }
        let container = Self {
            group,
            phase: Phase::Starting { conversation: ours, caller },
            pid,
            user: User::default(),
            log,
            outputs: ends.outputs,
            stdin: ends.stdin,
            terminal: None,
            leases: Vec::new(),
            record,
        };
        let groups = if cgroup.is_some() { None } else { Some(cgroups) };
        container.let_go(groups).map_err(failed("add to the cgroup"))?;
        Ok(container)
    }

    /// Puts the child into its cgroups, if the fork has not, then lets it run.
    fn let_go(&self, cgroups: Option<&Cgroups>) -> io::Result<()> {
        let Phase::Starting { conversation, .. } = &self.phase else { return Ok(()) };
        let result = release(conversation, || match cgroups {
            Some(cgroups) => cgroups.add(&self.group, self.pid),
            None => Ok(()),
        });
        if result.is_err() {
            self.kill();
        }
        result
    }

    /// The next report of the child, with a descriptor if one came; `None` when there is none now.
    pub fn report(&self) -> Option<(Report, Option<OwnedFd>)> {
        let Phase::Starting { conversation, .. } = &self.phase else { return None };
        receive_report(conversation)
    }

    /// True while a process of it may live.
    pub fn is_alive(&self) -> bool {
        !matches!(self.phase, Phase::Ended)
    }

    /// Sends SIGKILL to the first process.
    pub fn kill(&self) {
        self.signal(libc::SIGKILL);
    }

    /// Sends a signal to the first process.
    pub fn signal(&self, signal: i32) {
        if self.is_alive() {
            // SAFETY: only integers are passed; the pid is our child's until we have reaped it.
            unsafe { libc::kill(self.pid, signal) };
        }
    }

    /// Takes the master of the container's terminal.
    pub fn set_terminal(&mut self, master: OwnedFd) -> io::Result<()> {
        message::set_nonblocking(&master, true)?;
        self.outputs.push(Output::new("stdout", master.try_clone()?));
        if self.record.spec.stdin {
            self.stdin = Some(master.try_clone()?);
        }
        self.terminal = Some(master);
        Ok(())
    }

    /// The program runs: notes it on disk.
    pub fn set_running(&mut self, layout: &Layout, user: User) -> Started {
        let since = Timestamp::now();
        let started = Started { pid: self.pid, at: since, user: user.ids.clone() };
        self.user = user;
        self.phase = Phase::Running { since };
        if let Err(error) = record::write(&layout.container(&self.record.id).started(), &started) {
            eprintln!("container {}: note the start: {error}", self.record.id);
        }
        started
    }

    /// The first process is gone: takes in the last output and notes the exit on disk.
    pub fn set_ended(
        &mut self,
        layout: &Layout,
        cgroups: &Cgroups,
        code: i32,
        signal: Option<i32>,
        error: Option<String>,
    ) -> Exit {
        let started_at = match self.phase {
            Phase::Running { since } => Some(since),
            _ => None,
        };
        let oom_killed = cgroups.oom_kills(&self.group) > 0;
        // What shares a PID namespace does not end with its first process.
        cgroups.kill(&self.group);
        for output in &mut self.outputs {
            output.drain(&mut self.log);
        }
        self.stdin = None;
        self.terminal = None;
        self.leases.clear();
        self.phase = Phase::Ended;
        let code = if error.is_some() { START_ERROR_CODE } else { code };
        let finished_at = Timestamp::now();
        let exit = Exit { started_at, finished_at, code, signal, oom_killed, lost: false, error };
        if let Err(error) = record::write(&layout.container(&self.record.id).exit(), &exit) {
            eprintln!("container {}: note the exit: {error}", self.record.id);
        }
        // Not if a process shares its PID namespace and is not quite gone: removing the container
        // tries again.
        let _ = cgroups.remove(&self.group);
        exit
    }
}

impl Ends {
    fn open(record: &ContainerRecord) -> io::Result<Self> {
        if record.spec.tty {
            let streams = Streams::Terminal { console: true };
            return Ok(Self { streams, stdin: None, outputs: Vec::new() });
        }
        let (out_reader, out_writer) = pipe()?;
        let (error_reader, error_writer) = pipe()?;
        let (stdin, writer) = if record.spec.stdin {
            let (reader, writer) = pipe()?;
            message::set_nonblocking(&writer, true)?;
            (Some(reader), Some(writer))
        } else {
            (None, None)
        };
        message::set_nonblocking(&out_reader, true)?;
        message::set_nonblocking(&error_reader, true)?;
        Ok(Self {
            streams: Streams::Pipes { stdin, stdout: Some(out_writer), stderr: Some(error_writer) },
            stdin: writer,
            outputs: vec![Output::new("stdout", out_reader), Output::new("stderr", error_reader)],
        })
    }
}

/// Places a child, then lets it go on. One that has failed by then has told why.
pub fn release(conversation: &OwnedFd, place: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
    let placed = place().and_then(|()| message::send(conversation.as_fd(), b"go", &[]));
    match placed {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ESRCH | libc::EPIPE)) => {}
        other => other?,
    }
    message::set_nonblocking(conversation, true)
}

/// A close-on-exec pipe: (read end, write end).
pub fn pipe() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::unistd::pipe2(nix::fcntl::OFlag::O_CLOEXEC)?)
}

/// The next report on a non-blocking conversation.
pub fn receive_report(conversation: &OwnedFd) -> Option<(Report, Option<OwnedFd>)> {
    let (bytes, descriptors) = message::receive(conversation.as_fd()).ok()??;
    match serde_json::from_slice(&bytes) {
        Ok(report) => Some((report, descriptors.into_iter().next())),
        Err(error) => {
            eprintln!("report on {}: {error}", conversation.as_raw_fd());
            None
        }
    }
}

/// True when the containers have PID namespaces apart from the sandbox's.
pub fn has_pid_namespaces(sandbox: &SandboxRecord) -> bool {
    !sandbox.spec.host_pid && !sandbox.spec.share_process_namespace
}

/// True when a container has a PID namespace of its own: its processes end with the first.
pub fn owns_pid_namespace(sandbox: &SandboxRecord, container: &ContainerRecord) -> bool {
    has_pid_namespaces(sandbox) && container.spec.pid_target.is_empty()
}

fn namespaces(sandbox: &SandboxRecord, container: &ContainerRecord) -> CloneFlags {
    let pid = CloneFlags::CLONE_NEWPID;
    let own = if owns_pid_namespace(sandbox, container) { pid } else { CloneFlags::empty() };
    CloneFlags::CLONE_NEWNS | own
}

/// Forks; with the PID namespace of a process and the shim's own, the child is born in the former.
pub fn fork_inside(
    pid_namespace: Option<(&OwnedFd, &OwnedFd)>,
    namespaces: CloneFlags,
    cgroup: Option<&OwnedFd>,
) -> io::Result<i32> {
    if let Some((target, _)) = pid_namespace {
        nix::sched::setns(target, CloneFlags::CLONE_NEWPID)?;
    }
    // SAFETY: the shim has one thread.
    let result = unsafe { fork_into(namespaces, cgroup.map(AsFd::as_fd)) };
    if let (Some((_, own)), Ok(1..) | Err(_)) = (pid_namespace, &result) {
        nix::sched::setns(own, CloneFlags::CLONE_NEWPID)?;
    }
    result
}

fn prepare_group(cgroups: &Cgroups, group: &str, record: &ContainerRecord) -> io::Result<()> {
    cgroups.create(group, &record.spec.resources)?;
    cgroups.kill_together(group);
    if !record.spec.security.privileged {
        cgroups.restrict_devices(group, &container::device_rules(&record.spec.devices))?;
    }
    Ok(())
}
