//! A container's first process: from a fresh fork in new namespaces to its program.

use std::convert::Infallible;
use std::os::fd::{AsFd, OwnedFd};
use std::path::Path;

use nix::mount::MsFlags;
use nix::sched::CloneFlags;

use super::identity::{self, Identity, die_with_parent};
use super::report::{Failed, Report, Reporter, Step};
use super::{Streams, devices, mounts, root, user};
use crate::cgroup::Cgroups;
use crate::layout::Layout;
use crate::record::ContainerRecord;
use crate::sys::mount;
use crate::sys::path::{Create, ensure_in_root};
use crate::sys::process::exit_now;
use crate::user_namespace::{UserNamespace, host_id};

/// What a first process is made of.
pub struct Launch<'a> {
    /// Where things are.
    pub layout: &'a Layout,
    /// The node's control groups.
    pub cgroups: &'a Cgroups,
    /// The container.
    pub record: &'a ContainerRecord,
    /// The pod's user namespace.
    pub user: Option<&'a UserNamespace>,
}

/// Runs in the child; never returns.
pub fn run(launch: &Launch<'_>, streams: Streams, conversation: OwnedFd) -> ! {
    let reporter = Reporter(conversation);
    finish(&reporter, || launch.go(streams, &reporter))
}

/// Reports a failure, panics included: a child must never return into the shim's own loop.
pub fn finish(reporter: &Reporter, steps: impl FnOnce() -> Result<Infallible, Failed>) -> ! {
    let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(steps));
    let failed = match result {
        Ok(Ok(never)) => match never {},
        Ok(Err(failed)) => failed,
        Err(_) => Failed::invalid("the container's setup panicked"),
    };
    let _ = reporter.send(&Report::Failed(failed.0));
    exit_now(1)
}

impl Launch<'_> {
    fn go(&self, streams: Streams, reporter: &Reporter) -> Result<Infallible, Failed> {
        let (spec, process) = (&self.record.spec, &self.record.process);
        let security = &spec.security;
        die_with_parent().step(|| "tie process to its shim".into())?;
        nix::unistd::setsid().step(|| "start session".into())?;
        set_oom_score(spec.resources.oom_score_adj);
        let identity = Identity::of(security, self.user.is_some())?;
        let found = devices::find(&spec.devices, security.privileged)?;
        let volumes = mounts::open_volumes(&spec.mounts, self.user)?;
        cut_off().step(|| "make mounts private".into())?;
        let files = self.layout.container(&self.record.id);
        if let Some(user) = self.user {
            root::map_layers(&self.record.layers, user).step(|| "map the image's ids".into())?;
            user.make_files_as_root().step(|| "make files as the container's root".into())?;
            // Changing an id forgets this.
            die_with_parent().step(|| "tie process to its shim".into())?;
        }
        let root = root::mount_root(&files, &self.record.layers)
            .step(|| "mount root file system".into())?;
        let at = root.as_fd();
        // Before the volumes: they must not say who the image's users are.
        let user = user::resolve(at, &process.image_user, security)?;
        let shared_memory = match self.layout.shared_memory(&self.record.sandbox_id) {
            path if path.exists() => path,
            _ => "/dev/shm".into(),
        };
        mounts::mount_special(at, &shared_memory, security.privileged, self.user)?;
        // On cgroup v1 the shim's part takes as long as all that is above.
        reporter.wait().step(|| "wait for the shim".into())?;
        if !security.privileged {
            nix::sched::unshare(CloneFlags::CLONE_NEWCGROUP).step(|| "unshare cgroups".into())?;
        }
        mounts::mount_cgroups(at, self.cgroups, security.privileged)?;
        devices::make(at, &found, self.user)?;
        mounts::mount_volumes(at, volumes)?;
        if !security.privileged && !security.unmasked_proc {
            mounts::mask(at)?;
        }
        // What cannot be made cannot be entered either; that is the clearer error.
        let _ = ensure_in_root(at, Path::new(&process.working_dir), Create::Directory);
        if security.read_only_root {
            mount::change(at, false, mount::RDONLY, MsFlags::empty())
                .step(|| "make root read-only".into())?;
        }
        root::enter(&root).step(|| "enter root file system".into())?;
        nix::sys::stat::umask(nix::sys::stat::Mode::from_bits_truncate(0o022));
        identity::connect(streams, host_id(self.user, user.ids.uid as u32), reporter)?;
        if let Some(namespace) = self.user {
            namespace.enter_with_mounts().step(|| "enter the user namespace".into())?;
        }
        identity::run(process, &user, &identity, reporter)
    }
}

/// Nothing mounted from here on reaches the node.
fn cut_off() -> nix::Result<()> {
    let none = None::<&str>;
    nix::mount::mount(none, "/", none, MsFlags::MS_REC | MsFlags::MS_PRIVATE, none)
}

/// Best effort: lowering it takes a capability that a node may lack.
pub fn set_oom_score(score: Option<i32>) {
    if let Some(score) = score {
        let _ = std::fs::write("/proc/self/oom_score_adj", score.to_string());
    }
}
