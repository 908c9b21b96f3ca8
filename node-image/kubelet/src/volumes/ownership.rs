//! Who owns the files of a volume: `fsGroup`.

use std::fs;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, lchown};
use std::path::Path;

use k8s_openapi::api::core::v1::Pod;

use crate::pod::PodExt;

/// Group that a pod's volumes belong to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Ownership {
    group: Option<u32>,
    /// `fsGroupChangePolicy: OnRootMismatch`
    on_root_mismatch: bool,
}

const SETGID: u32 = 0o2000;

impl Ownership {
    /// `spec.securityContext.fsGroup`.
    pub fn of(pod: &Pod) -> Ownership {
        let context = pod.spec().security_context.as_ref();
        let group = context.and_then(|s| s.fs_group).and_then(|g| u32::try_from(g).ok());
        let policy = context.and_then(|s| s.fs_group_change_policy.as_deref());
        Ownership { group, on_root_mismatch: policy == Some("OnRootMismatch") }
    }

    /// The group.
    pub fn group(&self) -> Option<u32> {
        self.group
    }

    /// Whether there is a group.
    pub fn is_set(&self) -> bool {
        self.group.is_some()
    }

    /// The mode of a file that the pod may only read.
    pub fn read_only_mode(&self, mode: u32) -> u32 {
        if self.is_set() { mode | 0o440 } else { mode }
    }

    /// Gives a tree to the group, for reading.
    pub fn apply_read_only(&self, root: &Path) -> io::Result<()> {
        self.apply(root, 0o440)
    }

    /// Gives a tree to the group, for writing.
    pub fn apply_writable(&self, root: &Path) -> io::Result<()> {
        self.apply(root, 0o660)
    }

    /// Gives the tree of a lasting volume to the group, unless the pod wants that only when the
    /// root is not the group's yet.
    pub fn apply_to_persistent(&self, root: &Path) -> io::Result<()> {
        if self.on_root_mismatch {
            let metadata = fs::metadata(root)?;
            let ours = Some(metadata.gid()) == self.group;
            let wanted = 0o660 | 0o110 | SETGID;
            if ours && metadata.mode() & wanted == wanted {
                return Ok(());
            }
        }
        self.apply_writable(root)
    }

    fn apply(&self, path: &Path, mask: u32) -> io::Result<()> {
        let Some(group) = self.group else { return Ok(()) };
        let metadata = fs::symlink_metadata(path)?;
        lchown(path, None, Some(group))?;
        if metadata.is_symlink() {
            return Ok(());
        }
        let extra = if metadata.is_dir() { mask | 0o110 | SETGID } else { mask };
        fs::set_permissions(path, fs::Permissions::from_mode(metadata.mode() & 0o7777 | extra))?;
        if metadata.is_dir() {
            for entry in fs::read_dir(path)? {
                self.apply(&entry?.path(), mask)?;
            }
        }
        Ok(())
    }
}

/// The user that all containers of a pod run as, when they agree: tokens are then readable by it
/// alone.
pub fn shared_user(pod: &Pod) -> Option<u32> {
    let default = pod.spec().security_context.as_ref().and_then(|s| s.run_as_user);
    let members = pod.members();
    let mut users = members
        .iter()
        .map(|m| m.container.security_context.as_ref().and_then(|s| s.run_as_user).or(default));
    let first = users.next()??;
    users.all(|user| user == Some(first)).then(|| u32::try_from(first).ok())?
}
