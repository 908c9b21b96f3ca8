//! The device nodes of a container.

use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::sys::stat::{Mode, SFlag};

use super::report::{Failed, Step};
use crate::cgroup::DeviceRule;
use crate::interface::Device;
use crate::sys::mount;
use crate::sys::path::{Create, ensure_in_root, open_in_root};
use crate::user_namespace::{UserNamespace, host_id};

/// Name, major, minor.
const NODES: &[(&str, u32, u32)] = &[
    ("null", 1, 3),
    ("zero", 1, 5),
    ("full", 1, 7),
    ("random", 1, 8),
    ("urandom", 1, 9),
    ("tty", 5, 0),
];

/// Name, target.
const LINKS: &[(&str, &str)] = &[
    ("fd", "/proc/self/fd"),
    ("stdin", "/proc/self/fd/0"),
    ("stdout", "/proc/self/fd/1"),
    ("stderr", "/proc/self/fd/2"),
    ("ptmx", "pts/ptmx"),
    ("core", "/proc/kcore"),
];

/// A device of the node, looked up while the node's file systems are still there.
#[derive(Clone, Debug)]
pub struct Found {
    target: PathBuf,
    block: bool,
    number: libc::dev_t,
    mode: u32,
    owner: (u32, u32),
}

/// Looks the asked devices up; a privileged container gets all of the node's.
pub fn find(devices: &[Device], privileged: bool) -> Result<Vec<Found>, Failed> {
    let mut found = Vec::new();
    if privileged {
        walk(Path::new("/dev"), &mut found);
    }
    for device in devices {
        let path = &device.host_path;
        let metadata =
            std::fs::metadata(path).step(|| format!("open device {}", path.display()))?;
        let device = describe(&metadata, &device.container_path)
            .ok_or_else(|| Failed::invalid(format!("{} is not a device", path.display())))?;
        found.push(device);
    }
    Ok(found)
}

/// The rules that let a container use the devices it asked for.
pub fn rules(devices: &[Device]) -> Vec<DeviceRule> {
    let mut rules = DeviceRule::defaults();
    for device in devices {
        let Ok(metadata) = std::fs::metadata(&device.host_path) else { continue };
        let Some(found) = describe(&metadata, &device.container_path) else { continue };
        let may = |letter| device.permissions.is_empty() || device.permissions.contains(letter);
        rules.push(DeviceRule {
            block: found.block,
            major: Some(libc::major(found.number)),
            minor: Some(libc::minor(found.number)),
            read: may('r'),
            write: may('w'),
            make: may('m'),
        });
    }
    rules
}

fn describe(metadata: &std::fs::Metadata, target: &Path) -> Option<Found> {
    let kind = metadata.file_type();
    (kind.is_block_device() || kind.is_char_device()).then(|| Found {
        target: target.to_owned(),
        block: kind.is_block_device(),
        number: metadata.rdev(),
        mode: metadata.mode() & 0o7777,
        owner: (metadata.uid(), metadata.gid()),
    })
}

fn walk(directory: &Path, found: &mut Vec<Found>) {
    // File systems of their own, which the container has too, and the console we replace.
    const SKIPPED: &[&str] =
        &["/dev/pts", "/dev/shm", "/dev/mqueue", "/dev/fd", "/dev/console", "/dev/ptmx"];
    let Ok(entries) = std::fs::read_dir(directory) else { return };
    for path in entries.flatten().map(|entry| entry.path()) {
        if SKIPPED.iter().any(|skipped| path == Path::new(skipped)) {
            continue;
        }
        let Ok(metadata) = std::fs::symlink_metadata(&path) else { continue };
        if metadata.is_dir() {
            walk(&path, found);
        } else {
            found.extend(describe(&metadata, &path));
        }
    }
}

/// Makes the nodes and links of /dev, and the devices found.
pub fn make(
    root: BorrowedFd<'_>,
    devices: &[Found],
    user: Option<&UserNamespace>,
) -> Result<(), Failed> {
    let directory = open_in_root(root, Path::new("/dev"), OFlag::O_PATH | OFlag::O_DIRECTORY)
        .step(|| "open /dev".into())?;
    for (name, major, minor) in NODES {
        let device = Found {
            target: Path::new("/dev").join(name),
            block: false,
            number: libc::makedev(*major, *minor),
            mode: 0o666,
            owner: (0, 0),
        };
        make_one(root, &device, user)?;
    }
    for (name, target) in LINKS {
        match nix::unistd::symlinkat(*target, directory.as_fd(), *name) {
            Err(nix::Error::EEXIST) => {}
            other => other.step(|| format!("make /dev/{name}"))?,
        }
    }
    devices.iter().try_for_each(|device| make_one(root, device, user))
}

fn make_one(
    root: BorrowedFd<'_>,
    device: &Found,
    user: Option<&UserNamespace>,
) -> Result<(), Failed> {
    let path = &device.target;
    let operation = || format!("make device {}", path.display());
    let (Some(parent), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(Failed::invalid(format!("{} is no place for a device", path.display())));
    };
    let parent = ensure_in_root(root, parent, Create::Directory).step(operation)?;
    let kind = if device.block { SFlag::S_IFBLK } else { SFlag::S_IFCHR };
    let mode = Mode::from_bits_truncate(device.mode);
    match nix::sys::stat::mknodat(parent.as_fd(), name, kind, mode, device.number) {
        Err(nix::Error::EEXIST) => return Ok(()),
        // A node that may not make nodes can still show its own.
        Err(nix::Error::EPERM) => return bind(root, device),
        other => other.step(operation)?,
    }
    let owner = (host_id(user, device.owner.0), host_id(user, device.owner.1));
    let owner = (Some(owner.0.into()), Some(owner.1.into()));
    let flags = nix::fcntl::AtFlags::AT_SYMLINK_NOFOLLOW;
    nix::unistd::fchownat(parent.as_fd(), name, owner.0, owner.1, flags).step(operation)
}

fn bind(root: BorrowedFd<'_>, device: &Found) -> Result<(), Failed> {
    let path = &device.target;
    let operation = || format!("bind device {}", path.display());
    let target = ensure_in_root(root, path, Create::File).step(operation)?;
    let source = mount::clone_one(path).step(operation)?;
    mount::attach(source.as_fd(), target.as_fd()).step(operation)
}
