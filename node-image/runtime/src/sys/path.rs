//! Opening and creating paths inside a root directory without ever leaving it.

use std::collections::VecDeque;
use std::ffi::{CStr, CString, OsStr, OsString};
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Component, Path};

use nix::fcntl::OFlag;
use nix::sys::stat::Mode;

use super::{check_fd, unsupported};

const RESOLVE_NO_MAGICLINKS: u64 = 0x02;
const RESOLVE_IN_ROOT: u64 = 0x10;
/// Symbolic links followed in one path, as in the kernel.
const LINKS_MAX: usize = 40;

#[repr(C)]
struct OpenHow {
    flags: u64,
    mode: u64,
    resolve: u64,
}

/// What to create at the end of a path that is not there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Create {
    /// A directory, mode 0755.
    Directory,
    /// An empty file, mode 0644.
    File,
}

/// Opens `path` as if `root` were `/`: links and `..` stay inside.
pub fn open_in_root(root: BorrowedFd<'_>, path: &Path, flags: OFlag) -> io::Result<OwnedFd> {
    let path = CString::new(relative(path).as_bytes())
        .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
    let how = OpenHow {
        flags: (flags | OFlag::O_CLOEXEC).bits() as u64,
        mode: 0,
        resolve: RESOLVE_IN_ROOT | RESOLVE_NO_MAGICLINKS,
    };
    // SAFETY: `path` and `how` outlive the call; the size passed is that of `how`.
    check_fd(unsafe {
        libc::syscall(
            libc::SYS_openat2,
            root.as_raw_fd(),
            path.as_ptr(),
            &raw const how,
            size_of::<OpenHow>(),
        )
    })
}

/// Reads a small text file inside a root; `None` when it is not there.
pub fn read_in_root(root: BorrowedFd<'_>, path: &Path, bytes_max: u64) -> Option<String> {
    use std::io::Read;
    let flags = OFlag::O_RDONLY | OFlag::O_NONBLOCK | OFlag::O_NOCTTY;
    let file = std::fs::File::from(open_in_root(root, path, flags).ok()?);
    if !file.metadata().ok()?.is_file() {
        return None;
    }
    let mut bytes = Vec::new();
    file.take(bytes_max).read_to_end(&mut bytes).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}

/// Opens (`O_PATH`) a path inside a root, making what is absent.
pub fn ensure_in_root(root: BorrowedFd<'_>, path: &Path, create: Create) -> io::Result<OwnedFd> {
    match open_in_root(root, path, OFlag::O_PATH) {
        Err(error) if error.kind() == io::ErrorKind::NotFound || unsupported(&error) => {
            Walk::new(root, path)?.run(create)
        }
        other => other,
    }
}

fn relative(path: &Path) -> &OsStr {
    let bytes = path.as_os_str().as_bytes();
    let start = bytes.iter().position(|byte| *byte != b'/').unwrap_or(bytes.len());
    if start == bytes.len() { OsStr::new(".") } else { OsStr::from_bytes(&bytes[start..]) }
}

/// A walk that creates: the directories entered so far are held open, so `..` is a step back on
/// our own stack and nobody can move us out of the root.
struct Walk {
    stack: Vec<OwnedFd>,
    rest: VecDeque<OsString>,
    links: usize,
}

impl Walk {
    fn new(root: BorrowedFd<'_>, path: &Path) -> io::Result<Self> {
        let stack = vec![root.try_clone_to_owned()?];
        Ok(Self { stack, rest: components(path).collect(), links: 0 })
    }

    fn run(mut self, create: Create) -> io::Result<OwnedFd> {
        while let Some(name) = self.rest.pop_front() {
            if name == ".." {
                if self.stack.len() > 1 {
                    self.stack.pop();
                }
                continue;
            }
            let create = if self.rest.is_empty() { create } else { Create::Directory };
            self.step(&name, create)?;
        }
        self.stack.pop().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))
    }

    fn step(&mut self, name: &OsStr, create: Create) -> io::Result<()> {
        let name = CString::new(name.as_bytes())
            .map_err(|_| io::Error::from(io::ErrorKind::InvalidInput))?;
        let here = self.stack.last().ok_or_else(|| io::Error::from(io::ErrorKind::NotFound))?;
        let found = match open_entry(here.as_fd(), &name) {
            Err(nix::Error::ENOENT) => {
                make(here.as_fd(), &name, create)?;
                open_entry(here.as_fd(), &name)?
            }
            other => other?,
        };
        let kind = nix::sys::stat::fstat(&found)?.st_mode & libc::S_IFMT;
        if kind != libc::S_IFLNK {
            self.stack.push(found);
            return Ok(());
        }
        self.follow(&nix::fcntl::readlinkat(found.as_fd(), c"")?)
    }

    fn follow(&mut self, target: &OsStr) -> io::Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX {
            return Err(io::Error::from_raw_os_error(libc::ELOOP));
        }
        if target.as_bytes().starts_with(b"/") {
            self.stack.truncate(1);
        }
        for name in components(Path::new(target)).rev() {
            self.rest.push_front(name);
        }
        Ok(())
    }
}

fn components(path: &Path) -> impl DoubleEndedIterator<Item = OsString> {
    path.components().filter_map(|component| match component {
        Component::Normal(name) => Some(name.to_owned()),
        Component::ParentDir => Some(OsString::from("..")),
        _ => None,
    })
}

fn open_entry(directory: BorrowedFd<'_>, name: &CStr) -> nix::Result<OwnedFd> {
    let flags = OFlag::O_PATH | OFlag::O_NOFOLLOW | OFlag::O_CLOEXEC;
    nix::fcntl::openat(directory, name, flags, Mode::empty())
}

fn make(directory: BorrowedFd<'_>, name: &CStr, create: Create) -> nix::Result<()> {
    let made = match create {
        Create::Directory => {
            nix::sys::stat::mkdirat(directory, name, Mode::from_bits_truncate(0o755))
        }
        Create::File => {
            let flags = OFlag::O_CREAT | OFlag::O_EXCL | OFlag::O_WRONLY | OFlag::O_CLOEXEC;
            nix::fcntl::openat(directory, name, flags, Mode::from_bits_truncate(0o644)).map(drop)
        }
    };
    match made {
        Err(nix::Error::EEXIST) => Ok(()),
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_stay_in_the_root() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path();
        std::os::unix::fs::symlink("/deep/down", root.join("absolute")).unwrap();
        std::os::unix::fs::symlink("../../../escape", root.join("relative")).unwrap();
        std::os::unix::fs::symlink("loop", root.join("loop")).unwrap();
        let fd = OwnedFd::from(std::fs::File::open(root).unwrap());
        let check = |path: &str, create: Create, expect: &str| {
            ensure_in_root(fd.as_fd(), Path::new(path), create).unwrap();
            let found = root.join(expect);
            assert_eq!(found.is_dir(), create == Create::Directory, "{path} -> {expect}");
            assert!(found.exists(), "{path} -> {expect}");
        };
        check("/a/b/c", Create::Directory, "a/b/c");
        check("/a/file", Create::File, "a/file");
        check("/absolute/x", Create::File, "deep/down/x");
        check("/relative", Create::Directory, "escape");
        check("/../../up", Create::Directory, "up");
        check("/a/./b/../d", Create::Directory, "a/d");
        assert!(ensure_in_root(fd.as_fd(), Path::new("/loop/x"), Create::File).is_err());
    }
}
