//! A command run in a container: its streams go to the client as they are; the shim only waits for
//! its end.

use std::io;
use std::os::fd::OwnedFd;

use nix::sched::CloneFlags;

use super::container::{Container, Place, fork_inside, has_pid_namespaces, pipe, release};
use crate::container::{self, Join, Streams};
use crate::interface::ExecSpec;
use crate::protocol::{Failure, Reply};
use crate::sys::message;
use crate::sys::process::pidfd_open;

/// A command.
#[derive(Debug)]
pub struct Exec {
    pub pid: i32,
    /// Client and call.
    pub caller: (u64, u64),
    /// Until it runs or has failed.
    pub conversation: Option<OwnedFd>,
    /// For the client, once it runs.
    pub reply: Reply,
    pub descriptors: Vec<OwnedFd>,
}

impl Exec {
    /// Forks a command into a running container.
    pub fn start(
        place: &Place<'_>,
        own_namespace: &OwnedFd,
        container: &Container,
        spec: &ExecSpec,
        caller: (u64, u64),
    ) -> Result<Self, Failure> {
        let Place { cgroups, sandbox, user, .. } = *place;
        let failed =
            |operation: &'static str| move |error: io::Error| Failure::system(operation, &error);
        let target = pidfd_open(container.pid).map_err(failed("open the container's process"))?;
        let (ours, theirs) = message::pair().map_err(failed("open the streams"))?;
        let mut reply = Reply::default();
        let mut descriptors = Vec::new();
        let streams =
            open_streams(spec, &mut reply, &mut descriptors).map_err(failed("open the streams"))?;
        let (record, who) = (&container.record, &container.user);
        let join = Join { record, user: who, target: &target, spec, namespace: user };
        let namespace = has_pid_namespaces(sandbox).then_some((&target, own_namespace));
        let cgroup = cgroups.open(&container.group);
        let pid = fork_inside(namespace, CloneFlags::empty(), cgroup.as_ref())
            .map_err(failed("fork into the container"))?;
        if pid == 0 {
            drop(ours);
            container::join(&join, streams, theirs);
        }
        let exec = Self { pid, caller, conversation: None, reply, descriptors };
        let released = release(&ours, || match cgroup {
            Some(_) => Ok(()),
            None => cgroups.add(&container.group, pid),
        });
        if let Err(error) = released {
            exec.kill();
            return Err(Failure::system("add to the cgroup", &error));
        }
        Ok(Self { conversation: Some(ours), ..exec })
    }

    /// The master of its terminal has come.
    pub fn set_terminal(&mut self, master: OwnedFd, spec_stdin: bool) -> io::Result<()> {
        if spec_stdin {
            self.reply.stdin = true;
            self.descriptors.push(master.try_clone()?);
        }
        self.reply.stdout = true;
        self.descriptors.push(master.try_clone()?);
        self.reply.control = true;
        self.descriptors.push(master);
        Ok(())
    }

    /// Kills it with what it has started in its session.
    pub fn kill(&self) {
        for target in [-self.pid, self.pid] {
            // SAFETY: only integers are passed; the pid is our child's until we have reaped it.
            unsafe { libc::kill(target, libc::SIGKILL) };
        }
    }
}

fn open_streams(
    spec: &ExecSpec,
    reply: &mut Reply,
    descriptors: &mut Vec<OwnedFd>,
) -> io::Result<Streams> {
    if spec.tty {
        return Ok(Streams::Terminal { console: false });
    }
    let mut stdin = None;
    if spec.stdin {
        let (reader, writer) = pipe()?;
        stdin = Some(reader);
        descriptors.push(writer);
        reply.stdin = true;
    }
    let mut output = |wanted: bool| -> io::Result<Option<OwnedFd>> {
        if !wanted {
            return Ok(None);
        }
        let (reader, writer) = pipe()?;
        descriptors.push(reader);
        Ok(Some(writer))
    };
    let (stdout, stderr) = (output(spec.stdout)?, output(spec.stderr)?);
    (reply.stdout, reply.stderr) = (stdout.is_some(), stderr.is_some());
    Ok(Streams::Pipes { stdin, stdout, stderr })
}
