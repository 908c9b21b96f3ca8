//! A command in a container that runs: from a fork of the shim to its program.

use std::convert::Infallible;
use std::os::fd::OwnedFd;

use nix::sched::CloneFlags;

use super::identity::{self, Identity, die_with_parent};
use super::launch::{finish, set_oom_score};
use super::report::{Failed, Reporter, Step};
use super::{Streams, User};
use crate::interface::ExecSpec;
use crate::record::{ContainerRecord, Process};
use crate::user_namespace::{UserNamespace, host_id};

/// What a command is made of.
pub struct Join<'a> {
    /// The container.
    pub record: &'a ContainerRecord,
    /// Who its first process is.
    pub user: &'a User,
    /// Its first process.
    pub target: &'a OwnedFd,
    /// The command.
    pub spec: &'a ExecSpec,
    /// The pod's user namespace.
    pub namespace: Option<&'a UserNamespace>,
}

/// Runs in the child; never returns.
pub fn run(join: &Join<'_>, streams: Streams, conversation: OwnedFd) -> ! {
    let reporter = Reporter(conversation);
    finish(&reporter, || join.go(streams, &reporter))
}

impl Join<'_> {
    fn go(&self, streams: Streams, reporter: &Reporter) -> Result<Infallible, Failed> {
        die_with_parent().step(|| "tie process to its shim".into())?;
        reporter.wait().step(|| "wait for the shim".into())?;
        nix::unistd::setsid().step(|| "start session".into())?;
        set_oom_score(self.record.spec.resources.oom_score_adj);
        let identity = Identity::of(&self.record.spec.security, self.namespace.is_some())?;
        // The shim is in the pod's network, IPC and UTS namespaces, and the fork put us into the
        // PID namespace.
        let namespaces = CloneFlags::CLONE_NEWNS | CloneFlags::CLONE_NEWCGROUP;
        nix::sched::setns(self.target, namespaces).step(|| "join the container".into())?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        let mut process =
            Process { arguments: self.spec.command.clone(), ..self.record.process.clone() };
        if process.arguments.is_empty() {
            return Err(Failed::invalid("no command specified"));
        }
        if self.spec.tty && !process.environment.iter().any(|entry| entry.starts_with("TERM=")) {
            process.environment.push("TERM=xterm".into());
        }
        identity::connect(streams, host_id(self.namespace, self.user.ids.uid as u32), reporter)?;
        if let Some(namespace) = self.namespace {
            namespace.enter().step(|| "enter the user namespace".into())?;
        }
        identity::run(&process, self.user, &identity, reporter)
    }
}
