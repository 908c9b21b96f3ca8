//! Creating, stopping and removing sandboxes.

use std::io;
use std::os::fd::{AsFd, AsRawFd, FromRawFd, IntoRawFd};
use std::sync::{Arc, Weak};
use std::time::Duration;

use jiff::Timestamp;
use tokio::sync::mpsc;

use super::connection::Connection;
use super::objects::Sandbox;
use super::{Inner, blocking, lock, new_id};
use crate::interface::{Error, Resources, Result, RuntimeEvent, SandboxSpec, SandboxStatus, Stats};
use crate::protocol::{Message, Request};
use crate::record::{self, SandboxRecord, Started};
use crate::shim;
use crate::sys::process::{pidfd_open, pidfd_signal};

/// How long a shim may take to kill its containers and end, before it is killed itself.
const SHIM_STOP_MAX: Duration = Duration::from_secs(10);
/// What a process that was killed with its shim is reported to have ended with.
const KILLED_CODE: i32 = 137;

impl Inner {
    pub(super) async fn create_sandbox(
        self: &Arc<Self>,
        spec: SandboxSpec,
    ) -> Result<SandboxStatus> {
        check(&spec)?;
        let id =
            new_id().map_err(|source| Error::System { operation: "make an id".into(), source })?;
        let record =
            SandboxRecord { id: id.clone(), spec, created_at: Timestamp::now(), stopped: false };
        let (path, run) = (self.layout.sandbox_record(&id), self.layout.sandbox_run(&id));
        let (stored, directory) = (record.clone(), run.clone());
        blocking("record the sandbox", move || {
            std::fs::create_dir_all(directory)?;
            record::write(&path, &stored)
        })
        .await?;
        let sandbox = Arc::new(Sandbox::new(record));
        match self.start_shim(&sandbox).await {
            Ok(()) => {
                lock(&self.sandboxes).insert(id, sandbox.clone());
                Ok(sandbox.status(&self.layout))
            }
            Err(error) => {
                if let Err(cleanup) = self.forget_sandbox(&sandbox).await {
                    tracing::error!(sandbox = sandbox.id, error = %cleanup, "undo a sandbox");
                }
                Err(error)
            }
        }
    }

    async fn start_shim(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> Result<()> {
        let command = &self.config.shim;
        let values = [
            sandbox.id.as_ref(),
            self.layout.state().as_os_str(),
            self.layout.run().as_os_str(),
            self.config.cgroup_mount.as_os_str(),
            self.config.cgroup_base.as_ref(),
        ];
        let options =
            shim::OPTIONS.iter().zip(values).flat_map(|(name, value)| [(*name).as_ref(), value]);
        let program = match &self.program {
            Some(program) => format!("/proc/self/fd/{}", program.as_raw_fd()).into(),
            None => command.program.clone(),
        };
        let output = tokio::process::Command::new(program)
            .arg0(&command.program)
            .args(&command.arguments)
            .args(options)
            .stdin(std::process::Stdio::null())
            .output()
            .await
            .map_err(|source| Error::System {
                operation: format!("start {}", command.program.display()),
                source,
            })?;
        if !output.status.success() {
            let message = String::from_utf8_lossy(&output.stderr).trim().to_owned();
            return Err(Error::State(format!("start the sandbox's shim: {message}")));
        }
        self.connect(sandbox).map_err(|source| Error::System {
            operation: format!("connect to the shim of sandbox {}", sandbox.id),
            source,
        })
    }

    /// Connects to the shim of a sandbox and follows what it says.
    pub(super) fn connect(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> io::Result<()> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let connection = Connection::open(&self.layout.sandbox_run(&sandbox.id), sender)?;
        *lock(&sandbox.connection) = Some(Arc::new(connection));
        tokio::spawn(follow(Arc::downgrade(self), Arc::downgrade(sandbox), receiver));
        Ok(())
    }

    /// The connection to a shim has ended without our doing.
    async fn disconnected(self: &Arc<Self>, sandbox: &Arc<Sandbox>) {
        let _turn = sandbox.turn.lock().await;
        if lock(&sandbox.record).stopped {
            return;
        }
        // The shim may only have let us go.
        if self.connect(sandbox).is_ok() {
            for container in lock(&sandbox.containers).iter() {
                if container.refresh(&self.layout).unwrap_or(false) {
                    self.emit_exit(&sandbox.id, &container.id);
                }
            }
            return;
        }
        if let Err(error) = self.account_for(sandbox, KILLED_CODE).await {
            tracing::error!(sandbox = sandbox.id, %error, "clean up after a lost shim");
        }
        self.emit(RuntimeEvent::SandboxLost { sandbox_id: sandbox.id.clone() });
    }

    fn take_in(&self, event: Message) {
        match event {
            Message::Started { container, pid, at, user } => {
                let Ok(container) = self.container(&container) else { return };
                container.set_started(Started { pid, at, user });
                self.emit(RuntimeEvent::ContainerStarted {
                    sandbox_id: container.sandbox_id.clone(),
                    container_id: container.id.clone(),
                });
            }
            Message::Exited { container, exit } => {
                let Ok(container) = self.container(&container) else { return };
                if container.set_exited(exit) {
                    self.emit_exit(&container.sandbox_id, &container.id);
                }
            }
            Message::Reply { .. } | Message::ExecExited { .. } => {}
        }
    }

    pub(super) fn emit_exit(&self, sandbox_id: &str, container_id: &str) {
        self.emit(RuntimeEvent::ContainerExited {
            sandbox_id: sandbox_id.to_owned(),
            container_id: container_id.to_owned(),
        });
    }

    /// After the end of a shim: kills what is left of the sandbox, releases what it held, and gives
    /// each container an end. The caller has the sandbox's turn.
    pub(super) async fn account_for(&self, sandbox: &Arc<Sandbox>, code: i32) -> Result<()> {
        lock(&sandbox.connection).take();
        self.release(sandbox).await?;
        let containers = lock(&sandbox.containers).clone();
        let layout = self.layout.clone();
        let stopped = sandbox.clone();
        let ended = blocking("note the end of a sandbox", move || {
            stopped.set_stopped(&layout)?;
            let mut ended = Vec::new();
            for container in containers {
                if container.set_lost(&layout, code)? {
                    ended.push(container.id.clone());
                }
            }
            Ok(ended)
        })
        .await?;
        for container in ended {
            self.emit_exit(&sandbox.id, &container);
        }
        Ok(())
    }

    /// Kills the processes of a sandbox without its shim, and takes away its cgroups, pins and run
    /// directory. What is not there is fine.
    async fn release(&self, sandbox: &Sandbox) -> Result<()> {
        let containers = lock(&sandbox.containers).clone();
        let mut groups: Vec<String> =
            containers.iter().map(|container| sandbox.group(&container.id)).collect();
        groups.push(sandbox.group(&sandbox.id));
        let (cgroups, layout, id) = (self.cgroups.clone(), self.layout.clone(), sandbox.id.clone());
        blocking(format!("release sandbox {id}"), move || {
            // All is tried; the first error is told.
            let mut result = Ok(());
            for group in groups {
                result = result.and(cgroups.kill_and_wait(&group));
                result = result.and(cgroups.remove(&group));
            }
            result.and(shim::release(&layout, &id)).and(layout.remove_run(&id))
        })
        .await
    }

    pub(super) async fn stop_sandbox(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> Result<()> {
        let _turn = sandbox.turn.lock().await;
        if lock(&sandbox.record).stopped {
            return Ok(());
        }
        let connection = lock(&sandbox.connection).clone();
        if let Some(connection) = connection {
            let stopped = tokio::time::timeout(SHIM_STOP_MAX, connection.call(Request::Stop)).await;
            if stopped.is_err() {
                kill_shim(&connection);
            }
            connection.closed().await;
        }
        self.account_for(sandbox, KILLED_CODE).await
    }

    pub(super) async fn remove_sandbox(self: &Arc<Self>, sandbox: &Arc<Sandbox>) -> Result<()> {
        self.stop_sandbox(sandbox).await?;
        let containers = lock(&sandbox.containers).clone();
        for container in containers {
            self.remove_container(&container).await?;
        }
        let _turn = sandbox.turn.lock().await;
        self.forget_sandbox(sandbox).await?;
        lock(&self.sandboxes).remove(&sandbox.id);
        Ok(())
    }

    /// Removes what is left of a sandbox without containers.
    async fn forget_sandbox(&self, sandbox: &Sandbox) -> Result<()> {
        self.release(sandbox).await?;
        let group = lock(&sandbox.record).spec.cgroup_parent.clone();
        let (cgroups, path) = (self.cgroups.clone(), self.layout.sandbox_record(&sandbox.id));
        blocking(format!("forget sandbox {}", sandbox.id), move || {
            cgroups.remove_empty(&group);
            match std::fs::remove_file(path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                other => other,
            }
        })
        .await
    }

    pub(super) async fn dial(&self, sandbox: &Sandbox, port: u16) -> Result<tokio::net::TcpStream> {
        let targets = [format!("127.0.0.1:{port}"), format!("[::1]:{port}")];
        let mut first = None;
        for (index, target) in targets.iter().enumerate() {
            let address = target.parse().map_err(|_| Error::Invalid(target.clone()))?;
            let socket = self.socket(sandbox, index == 1).await?;
            match socket.connect(address).await {
                Ok(stream) => return Ok(stream),
                Err(error) => {
                    first.get_or_insert(error);
                }
            }
        }
        let source = first.unwrap_or_else(|| io::Error::from(io::ErrorKind::ConnectionRefused));
        Err(Error::System { operation: format!("dial {}", targets[0]), source })
    }

    async fn socket(&self, sandbox: &Sandbox, ipv6: bool) -> Result<tokio::net::TcpSocket> {
        let request = Request::Socket { ipv6 };
        let (_, mut descriptors) = sandbox.connection()?.call(request).await?;
        let Some(socket) = descriptors.pop() else {
            return Err(Error::State("the shim gave no socket".into()));
        };
        // SAFETY: the descriptor is ours alone and a TCP socket, which the type asks for.
        let socket = unsafe { std::net::TcpStream::from_raw_fd(socket.into_raw_fd()) };
        Ok(tokio::net::TcpSocket::from_std_stream(socket))
    }

    pub(super) async fn update_sandbox(
        &self,
        sandbox: &Arc<Sandbox>,
        resources: Resources,
    ) -> Result<()> {
        let (cgroups, path) = (self.cgroups.clone(), self.layout.sandbox_record(&sandbox.id));
        let sandbox = sandbox.clone();
        blocking(format!("update sandbox {}", sandbox.id), move || {
            let mut record = lock(&sandbox.record);
            cgroups.update(&record.spec.cgroup_parent, &resources)?;
            record.spec.resources = resources;
            record::write(&path, &*record)
        })
        .await
    }

    pub(super) async fn sandbox_stats(&self, sandbox: &Sandbox) -> Result<Stats> {
        let group = lock(&sandbox.record).spec.cgroup_parent.clone();
        let cgroups = self.cgroups.clone();
        blocking("read a pod's use", move || Ok(cgroups.stats(&group))).await
    }
}

/// Takes in what a shim says. Holds neither the runtime nor the sandbox: letting go of the runtime
/// ends its connections, and with them this.
async fn follow(
    inner: Weak<Inner>,
    sandbox: Weak<Sandbox>,
    mut events: mpsc::UnboundedReceiver<Message>,
) {
    while let Some(event) = events.recv().await {
        let Some(inner) = inner.upgrade() else { return };
        inner.take_in(event);
    }
    if let (Some(inner), Some(sandbox)) = (inner.upgrade(), sandbox.upgrade()) {
        inner.disconnected(&sandbox).await;
    }
}

/// A last resort: a shim that does not answer. Its containers go with it.
fn kill_shim(connection: &Connection) {
    let killed = connection
        .shim_pid()
        .and_then(pidfd_open)
        .and_then(|process| pidfd_signal(process.as_fd(), libc::SIGKILL));
    if let Err(error) = killed {
        tracing::error!(%error, "kill a shim that does not answer");
    }
}

fn check(spec: &SandboxSpec) -> Result<()> {
    let parts = spec.cgroup_parent.trim_matches('/');
    if parts.is_empty() || parts.split('/').any(|part| matches!(part, "" | "." | "..")) {
        return Err(Error::Invalid(format!(
            "cgroup parent {:?} is not a path",
            spec.cgroup_parent
        )));
    }
    if !spec.log_directory.is_absolute() {
        let shown = spec.log_directory.display();
        return Err(Error::Invalid(format!("log directory {shown} is not absolute")));
    }
    if spec.hostname.len() > 63 {
        return Err(Error::Invalid(format!("host name {:?} is too long", spec.hostname)));
    }
    Ok(())
}
