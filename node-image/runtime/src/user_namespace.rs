//! The user namespace of a pod with `hostUsers: false` (KEP-127): ids of its containers are others on
//! the node, and its network, IPC and UTS namespaces belong to it. The shim stays outside.

use std::fs::File;
use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::sched::{CloneFlags, setns, unshare};

use crate::interface::IdRange;
use crate::sys::message;
use crate::sys::process::{exit_now, fork_into, prctl};
use crate::sys::{check, mount};

/// `SECBIT_NO_SETUID_FIXUP`: capabilities stay when the file system ids change.
const NO_SETUID_FIXUP: u64 = 1 << 2;

/// A pod's user namespace; it lives as long as this, or a process in it.
#[derive(Debug)]
pub struct UserNamespace {
    descriptor: OwnedFd,
    ids: IdRange,
}

impl UserNamespace {
    /// Makes a user namespace, and others that belong to it; this process enters the others.
    pub fn make(ids: IdRange, others: CloneFlags) -> io::Result<Self> {
        let (ours, theirs) = message::pair()?;
        // SAFETY: the shim has one thread.
        let child = unsafe { fork_into(CloneFlags::CLONE_NEWUSER, None) }?;
        if child == 0 {
            drop(ours);
            let done = be_first(others, &theirs);
            exit_now(i32::from(done.is_err()));
        }
        drop(theirs);
        let made = Self::take_over(child, ids, others, &ours);
        drop(ours);
        nix::sys::wait::waitpid(nix::unistd::Pid::from_raw(child), None)?;
        made
    }

    fn take_over(
        child: libc::pid_t,
        ids: IdRange,
        others: CloneFlags,
        conversation: &OwnedFd,
    ) -> io::Result<Self> {
        let map = format!("0 {} {}\n", ids.first, ids.length);
        for file in ["uid_map", "gid_map"] {
            std::fs::write(format!("/proc/{child}/{file}"), &map)?;
        }
        message::send(conversation.as_fd(), b"mapped", &[])?;
        if message::receive(conversation.as_fd())?.is_none() {
            return Err(io::Error::other("the first process of the user namespace failed"));
        }
        let open = |name: &str| File::open(format!("/proc/{child}/ns/{name}"));
        let table = [
            ("net", CloneFlags::CLONE_NEWNET),
            ("ipc", CloneFlags::CLONE_NEWIPC),
            ("uts", CloneFlags::CLONE_NEWUTS),
        ];
        for (name, flag) in table.into_iter().filter(|(_, flag)| others.contains(*flag)) {
            setns(open(name)?, flag)?;
        }
        Ok(Self { descriptor: open("user")?.into(), ids })
    }

    /// The node's number of an id of the containers.
    pub fn host_id(&self, id: u32) -> u32 {
        self.ids.first.saturating_add(id)
    }

    /// What this process makes from now on belongs to the containers' root; it keeps its own rights.
    pub fn make_files_as_root(&self) -> io::Result<()> {
        prctl(libc::PR_SET_SECUREBITS, NO_SETUID_FIXUP, 0)?;
        for call in [libc::SYS_setfsgid, libc::SYS_setfsuid] {
            // SAFETY: only integers are passed. The answer is the former id.
            unsafe { libc::syscall(call, self.host_id(0)) };
        }
        Ok(())
    }

    /// Shows the files of a detached mount with the containers' ids.
    pub fn map_mount(&self, tree: &OwnedFd, recursive: bool) -> io::Result<()> {
        mount::map_ids(tree.as_fd(), recursive, self.descriptor.as_fd())
    }

    /// Enters it as its root, with all capabilities in it.
    pub fn enter(&self) -> io::Result<()> {
        setns(&self.descriptor, CloneFlags::CLONE_NEWUSER)?;
        become_root()
    }

    /// As [`UserNamespace::enter`], with a copy of the mounts that belongs to it. What was mounted
    /// before cannot be taken away in the copy.
    pub fn enter_with_mounts(&self) -> io::Result<()> {
        self.enter()?;
        Ok(unshare(CloneFlags::CLONE_NEWNS)?)
    }
}

/// The node's number of an id of a container.
pub fn host_id(namespace: Option<&UserNamespace>, id: u32) -> u32 {
    namespace.map_or(id, |namespace| namespace.host_id(id))
}

/// The child: makes the other namespaces as the new one's root, and ends when they are held.
fn be_first(others: CloneFlags, conversation: &OwnedFd) -> io::Result<()> {
    message::receive(conversation.as_fd())?;
    become_root()?;
    unshare(others)?;
    message::send(conversation.as_fd(), b"made", &[])?;
    message::receive(conversation.as_fd()).map(drop)
}

fn become_root() -> io::Result<()> {
    // By system call: the C library's wrappers would look for other threads.
    for call in [libc::SYS_setresgid, libc::SYS_setresuid] {
        // SAFETY: only integers are passed.
        check(unsafe { libc::syscall(call, 0, 0, 0) })?;
    }
    Ok(())
}
