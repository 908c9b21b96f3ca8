//! Keeps containers from writing to the runtime's own program. A container can get at it as
//! `/proc/<pid>/exe` of a child of ours, or by a script whose interpreter is `/proc/self/exe`; so the
//! shim runs from a read-only mount of the program that is attached nowhere.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::mount::MsFlags;
use nix::sys::statvfs::{FsFlags, statvfs};

use crate::sys::mount;

/// A read-only mount of a program, attached nowhere. Whoever starts the shim from it saves the shim from
/// starting itself again.
pub fn read_only(program: &Path) -> io::Result<OwnedFd> {
    let tree = mount::clone_one(program)?;
    mount::change(tree.as_fd(), false, mount::RDONLY, MsFlags::empty())?;
    Ok(tree)
}

/// Starts this program again, with the same arguments, from a read-only mount of it; returns when
/// that has been done, or cannot be.
pub fn run_from_read_only_mount() -> io::Result<()> {
    let program = Path::new("/proc/self/exe");
    if statvfs(program)?.flags().contains(FsFlags::ST_RDONLY) {
        return Ok(());
    }
    let tree = read_only(&std::fs::read_link(program)?)?;
    let list =
        |items: Vec<Vec<u8>>| items.into_iter().map(CString::new).collect::<Result<Vec<_>, _>>();
    let arguments = list(std::env::args_os().map(|item| item.as_bytes().to_vec()).collect())?;
    let variable = |(name, value): (std::ffi::OsString, std::ffi::OsString)| {
        [name.as_bytes(), b"=", value.as_bytes()].concat()
    };
    let environment = list(std::env::vars_os().map(variable).collect())?;
    // A descriptor that is closed on exec is fine for a program that is no script.
    let pointers = |list: &[CString]| -> Vec<*const libc::c_char> {
        list.iter().map(|item| item.as_ptr()).chain([std::ptr::null()]).collect()
    };
    let (argument_list, environment_list) = (pointers(&arguments), pointers(&environment));
    // SAFETY: both lists end with null and point to C strings that live in `arguments` and
    // `environment` above until the call replaces this process, or fails.
    unsafe {
        libc::syscall(
            libc::SYS_execveat,
            tree.as_raw_fd(),
            c"".as_ptr(),
            argument_list.as_ptr(),
            environment_list.as_ptr(),
            libc::AT_EMPTY_PATH,
        )
    };
    Err(io::Error::last_os_error())
}
