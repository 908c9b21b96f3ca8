//! The mount API by file descriptor: fsopen, open_tree, move_mount, mount_setattr.

use std::ffi::{CStr, CString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::path::Path;

use nix::mount::MsFlags;

use super::{c_path, check, check_fd};

/// Mount is read-only.
pub const RDONLY: u64 = 0x1;
/// Ignore set-user-id bits.
pub const NOSUID: u64 = 0x2;
/// No device nodes.
pub const NODEV: u64 = 0x4;
/// No programs.
pub const NOEXEC: u64 = 0x8;
/// Update access times always.
pub const STRICTATIME: u64 = 0x20;

const MOUNT_ATTR_IDMAP: u64 = 0x0010_0000;
const OPEN_TREE_CLONE: libc::c_uint = 1;
const OPEN_TREE_CLOEXEC: libc::c_uint = libc::O_CLOEXEC as libc::c_uint;
const AT_RECURSIVE: libc::c_uint = 0x8000;
const MOVE_MOUNT_F_EMPTY_PATH: libc::c_uint = 0x4;
const MOVE_MOUNT_T_EMPTY_PATH: libc::c_uint = 0x40;
const FSOPEN_CLOEXEC: libc::c_uint = 1;
const FSMOUNT_CLOEXEC: libc::c_uint = 1;
const FSCONFIG_SET_FLAG: libc::c_uint = 0;
const FSCONFIG_SET_STRING: libc::c_uint = 1;
const FSCONFIG_CMD_CREATE: libc::c_uint = 6;

/// A detached copy of the mount (and of those below it) at a path.
pub fn clone_tree(path: &Path) -> io::Result<OwnedFd> {
    open_tree(libc::AT_FDCWD, &c_path(path)?, AT_RECURSIVE)
}

/// A detached copy of the single mount at a path.
pub fn clone_one(path: &Path) -> io::Result<OwnedFd> {
    open_tree(libc::AT_FDCWD, &c_path(path)?, 0)
}

/// A detached copy of what an `O_PATH` descriptor refers to, without the mounts below it.
pub fn clone_at(target: BorrowedFd<'_>) -> io::Result<OwnedFd> {
    open_tree(target.as_raw_fd(), c"", libc::AT_EMPTY_PATH as libc::c_uint)
}

fn open_tree(directory: libc::c_int, path: &CStr, flags: libc::c_uint) -> io::Result<OwnedFd> {
    let flags = flags | OPEN_TREE_CLONE | OPEN_TREE_CLOEXEC;
    // SAFETY: `path` is a valid C string for the whole call.
    check_fd(unsafe { libc::syscall(libc::SYS_open_tree, directory, path.as_ptr(), flags) })
}

/// Attaches a detached mount at what `target` (an `O_PATH` descriptor) refers to.
pub fn attach(mount: BorrowedFd<'_>, target: BorrowedFd<'_>) -> io::Result<()> {
    let flags = MOVE_MOUNT_F_EMPTY_PATH | MOVE_MOUNT_T_EMPTY_PATH;
    // SAFETY: both paths are the static empty string; the descriptors are open.
    check(unsafe {
        libc::syscall(
            libc::SYS_move_mount,
            mount.as_raw_fd(),
            c"".as_ptr(),
            target.as_raw_fd(),
            c"".as_ptr(),
            flags,
        )
    })
    .map(drop)
}

#[repr(C)]
#[derive(Default)]
struct MountAttributes {
    set: u64,
    clear: u64,
    propagation: u64,
    user_namespace: u64,
}

/// Maps the ids of a detached mount (and of those below it) by a user namespace (Linux 5.12).
pub fn map_ids(
    mount: BorrowedFd<'_>,
    recursive: bool,
    user_namespace: BorrowedFd<'_>,
) -> io::Result<()> {
    let attributes = MountAttributes {
        set: MOUNT_ATTR_IDMAP,
        user_namespace: user_namespace.as_raw_fd() as u64,
        ..MountAttributes::default()
    };
    set_attributes(mount, recursive, &attributes)
}

fn set_attributes(
    mount: BorrowedFd<'_>,
    recursive: bool,
    attributes: &MountAttributes,
) -> io::Result<()> {
    let flags = libc::AT_EMPTY_PATH as libc::c_uint | if recursive { AT_RECURSIVE } else { 0 };
    // SAFETY: the path is a static C string; `attributes` lives through the call and its size is
    // the one passed.
    check(unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            mount.as_raw_fd(),
            c"".as_ptr(),
            flags,
            &raw const *attributes,
            size_of::<MountAttributes>(),
        )
    })
    .map(drop)
}

/// Changes attributes or propagation of an attached mount. Before Linux 5.12 the older call does
/// it, which cannot make submounts read-only.
pub fn change(
    mount: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    propagation: MsFlags,
) -> io::Result<()> {
    let attributes =
        MountAttributes { set, propagation: propagation.bits(), ..MountAttributes::default() };
    match set_attributes(mount, recursive, &attributes) {
        Err(error) if error.raw_os_error() == Some(libc::ENOSYS) => {
            change_by_path(mount, recursive, set, propagation)
        }
        other => other,
    }
}

fn change_by_path(
    mount: BorrowedFd<'_>,
    recursive: bool,
    set: u64,
    propagation: MsFlags,
) -> io::Result<()> {
    let path = format!("/proc/self/fd/{}", mount.as_raw_fd());
    let none = None::<&str>;
    if !propagation.is_empty() {
        let depth = if recursive { MsFlags::MS_REC } else { MsFlags::empty() };
        nix::mount::mount(none, path.as_str(), none, propagation | depth, none)?;
    }
    if set != 0 {
        let table = [
            (RDONLY, MsFlags::MS_RDONLY),
            (NOSUID, MsFlags::MS_NOSUID),
            (NODEV, MsFlags::MS_NODEV),
            (NOEXEC, MsFlags::MS_NOEXEC),
            (STRICTATIME, MsFlags::MS_STRICTATIME),
        ];
        let flags = table.iter().filter(|(bit, _)| set & bit != 0).map(|(_, flag)| *flag);
        let flags = flags.fold(MsFlags::MS_REMOUNT | MsFlags::MS_BIND, |all, flag| all | flag);
        nix::mount::mount(none, path.as_str(), none, flags, none)?;
    }
    Ok(())
}

/// A file system being configured.
pub struct FileSystem(OwnedFd);

impl FileSystem {
    /// Begins the configuration of a file system type.
    pub fn open(kind: &CStr) -> io::Result<Self> {
        // SAFETY: `kind` is a valid C string for the whole call.
        check_fd(unsafe { libc::syscall(libc::SYS_fsopen, kind.as_ptr(), FSOPEN_CLOEXEC) })
            .map(Self)
    }

    /// Sets an option with a value (at most 255 bytes).
    pub fn set(&self, key: &CStr, value: &CStr) -> io::Result<()> {
        self.configure(FSCONFIG_SET_STRING, Some(key), Some(value))
    }

    /// Sets a path as an option.
    pub fn set_path(&self, key: &CStr, value: &Path) -> io::Result<()> {
        self.set(key, &c_path(value)?)
    }

    /// Sets an option without a value.
    pub fn flag(&self, key: &CStr) -> io::Result<()> {
        self.configure(FSCONFIG_SET_FLAG, Some(key), None)
    }

    /// Sets options written as for mount(8): `mode=755,size=64m,nosuid`.
    pub fn options(&self, options: &str) -> io::Result<()> {
        let text = |part: &str| {
            CString::new(part).map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))
        };
        for option in options.split(',').filter(|option| !option.is_empty()) {
            match option.split_once('=') {
                Some((key, value)) => self.set(&text(key)?, &text(value)?)?,
                None => self.flag(&text(option)?)?,
            }
        }
        Ok(())
    }

    /// Creates the file system and a detached mount of it.
    pub fn mount(self, attributes: u64) -> io::Result<OwnedFd> {
        self.configure(FSCONFIG_CMD_CREATE, None, None)?;
        // SAFETY: only integers are passed.
        check_fd(unsafe {
            libc::syscall(libc::SYS_fsmount, self.0.as_raw_fd(), FSMOUNT_CLOEXEC, attributes)
        })
    }

    fn configure(
        &self,
        command: libc::c_uint,
        key: Option<&CStr>,
        value: Option<&CStr>,
    ) -> io::Result<()> {
        let pointer = |text: Option<&CStr>| text.map_or(std::ptr::null(), CStr::as_ptr);
        // SAFETY: both pointers are null or C strings that outlive the call.
        check(unsafe {
            libc::syscall(
                libc::SYS_fsconfig,
                self.0.as_raw_fd(),
                command,
                pointer(key),
                pointer(value),
                0,
            )
        })
        .map(drop)
    }
}

/// Mounts a new file system of `kind` at what `target` refers to; returns the mount.
pub fn mount_new(
    kind: &CStr,
    options: &str,
    attributes: u64,
    target: BorrowedFd<'_>,
) -> io::Result<OwnedFd> {
    let system = FileSystem::open(kind)?;
    system.options(options)?;
    let mount = system.mount(attributes)?;
    attach(mount.as_fd(), target)?;
    Ok(mount)
}
