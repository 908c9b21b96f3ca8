//! What is mounted over a container's root: the kernel's file systems, the pod's volumes, and the
//! masks over what containers should not see.

use std::ffi::CStr;
use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::{Path, PathBuf};

use nix::fcntl::OFlag;
use nix::mount::MsFlags;

use super::report::{Failed, Step};
use crate::cgroup::Cgroups;
use crate::interface::{Mount, Propagation};
use crate::sys::mount::{self, NODEV, NOEXEC, NOSUID, RDONLY, STRICTATIME};
use crate::sys::path::{Create, ensure_in_root, open_in_root};
use crate::user_namespace::{UserNamespace, host_id};

/// The group of terminals.
const TERMINAL_GROUP: u32 = 5;
const QUIET: u64 = NOSUID | NOEXEC | NODEV;

/// A file system of the kernel.
struct Special {
    target: &'static str,
    kind: &'static CStr,
    options: &'static str,
    attributes: u64,
}

const fn special(
    target: &'static str,
    kind: &'static CStr,
    options: &'static str,
    attributes: u64,
) -> Special {
    Special { target, kind, options, attributes }
}

const SPECIAL: &[Special] = &[
    special("/proc", c"proc", "", QUIET),
    special("/dev", c"tmpfs", "source=tmpfs,mode=755,size=65536k", NOSUID | STRICTATIME),
    special(
        "/dev/pts",
        c"devpts",
        "source=devpts,newinstance,ptmxmode=0666,mode=0620",
        NOSUID | NOEXEC,
    ),
    special("/dev/mqueue", c"mqueue", "", QUIET),
    special("/sys", c"sysfs", "", QUIET),
];

const MASKED: &[&str] = &[
    "/proc/acpi",
    "/proc/asound",
    "/proc/interrupts",
    "/proc/kcore",
    "/proc/keys",
    "/proc/latency_stats",
    "/proc/sched_debug",
    "/proc/scsi",
    "/proc/timer_list",
    "/proc/timer_stats",
    "/sys/devices/virtual/powercap",
    "/sys/firmware",
];

const READ_ONLY: &[&str] =
    &["/proc/bus", "/proc/fs", "/proc/irq", "/proc/sys", "/proc/sysrq-trigger"];

/// A volume's source, taken before the mount namespace is cut off from the node's, so that its
/// peer group is the node's.
pub struct Volume<'a> {
    mount: &'a Mount,
    tree: OwnedFd,
    is_directory: bool,
}

/// Takes the sources of all volumes.
pub fn open_volumes<'a>(
    mounts: &'a [Mount],
    user: Option<&UserNamespace>,
) -> Result<Vec<Volume<'a>>, Failed> {
    mounts
        .iter()
        .map(|mount| {
            let source = &mount.source;
            let operation = || format!("open volume {}", source.display());
            let is_directory = std::fs::metadata(source).step(operation)?.is_dir();
            let tree = mount::clone_tree(source).step(operation)?;
            if let Some(user) = user.filter(|_| !(mount.read_only && is_overlay(source))) {
                let operation = || format!("map the ids of volume {}", source.display());
                user.map_mount(&tree, true).step(operation)?;
            }
            Ok(Volume { mount, tree, is_directory })
        })
        .collect()
}

/// overlayfs cannot map ids. What is only read, such as an image's files, shows without.
fn is_overlay(path: &Path) -> bool {
    nix::sys::statfs::statfs(path)
        .is_ok_and(|found| found.filesystem_type() == nix::sys::statfs::OVERLAYFS_SUPER_MAGIC)
}

/// Mounts the kernel's file systems and the pod's shared memory.
pub fn mount_special(
    root: BorrowedFd<'_>,
    shared_memory: &Path,
    privileged: bool,
    user: Option<&UserNamespace>,
) -> Result<(), Failed> {
    for entry in SPECIAL {
        let operation = || format!("mount {}", entry.target);
        let target =
            ensure_in_root(root, Path::new(entry.target), Create::Directory).step(operation)?;
        let read_only = entry.target == "/sys" && !privileged;
        let attributes = entry.attributes | if read_only { RDONLY } else { 0 };
        let mut options = entry.options.to_owned();
        if entry.kind == c"devpts" {
            options.push_str(&format!(",gid={}", host_id(user, TERMINAL_GROUP)));
        }
        match mount::mount_new(entry.kind, &options, attributes, target.as_fd()) {
            // A kernel without POSIX message queues.
            Err(error) if entry.kind == c"mqueue" && error.raw_os_error() == Some(libc::ENODEV) => {
            }
            other => drop(other.step(operation)?),
        }
    }
    let operation = || "mount /dev/shm".to_owned();
    let target = ensure_in_root(root, Path::new("/dev/shm"), Create::Directory).step(operation)?;
    let tree = mount::clone_one(shared_memory).step(operation)?;
    mount::attach(tree.as_fd(), target.as_fd()).step(operation)?;
    mount::change(tree.as_fd(), false, QUIET, MsFlags::MS_PRIVATE).step(operation)
}

/// Shows the container its own part of the control groups.
pub fn mount_cgroups(
    root: BorrowedFd<'_>,
    cgroups: &Cgroups,
    privileged: bool,
) -> Result<(), Failed> {
    const TOP: &str = "/sys/fs/cgroup";
    let read_only = if privileged { 0 } else { RDONLY };
    let place = |path: &Path| {
        ensure_in_root(root, path, Create::Directory).step(|| format!("open {}", path.display()))
    };
    let hierarchies = cgroups.mounts();
    let top = place(Path::new(TOP))?;
    let operation = || format!("mount {TOP}");
    if hierarchies.is_empty() {
        let attributes = QUIET | read_only;
        mount::mount_new(c"cgroup2", "", attributes, top.as_fd()).step(operation)?;
        return Ok(());
    }
    mount::mount_new(c"tmpfs", "source=tmpfs,mode=755", QUIET, top.as_fd()).step(operation)?;
    for (name, options) in hierarchies {
        let path = Path::new(TOP).join(name);
        let target = place(&path)?;
        // The cgroup namespace makes our own group the root of what is mounted.
        mount::mount_new(c"cgroup", &options, QUIET | read_only, target.as_fd())
            .step(|| format!("mount {}", path.display()))?;
    }
    Ok(())
}

/// Attaches the volumes.
pub fn mount_volumes(root: BorrowedFd<'_>, volumes: Vec<Volume<'_>>) -> Result<(), Failed> {
    for volume in volumes {
        let mount = volume.mount;
        let operation =
            || format!("mount {} at {}", mount.source.display(), mount.target.display());
        if mount.target == Path::new("/") {
            return Err(Failed::invalid("a volume cannot be mounted at /"));
        }
        let create = if volume.is_directory { Create::Directory } else { Create::File };
        let target = ensure_in_root(root, &mount.target, create).step(operation)?;
        let tree = volume.tree.as_fd();
        mount::attach(tree, target.as_fd()).step(operation)?;
        mount::change(tree, true, 0, propagation(mount.propagation)).step(operation)?;
        if mount.read_only {
            let recursive = mount.recursive_read_only;
            mount::change(tree, recursive, RDONLY, MsFlags::empty()).step(operation)?;
        }
    }
    Ok(())
}

fn propagation(propagation: Propagation) -> MsFlags {
    match propagation {
        Propagation::Private => MsFlags::MS_PRIVATE,
        Propagation::HostToContainer => MsFlags::MS_SLAVE,
        Propagation::Bidirectional => MsFlags::MS_SHARED,
    }
}

/// Hides what shows or changes the node.
pub fn mask(root: BorrowedFd<'_>) -> Result<(), Failed> {
    for path in READ_ONLY {
        let Some(target) = existing(root, path)? else { continue };
        let operation = || format!("make {path} read-only");
        let tree = mount::clone_at(target.as_fd()).step(operation)?;
        mount::attach(tree.as_fd(), target.as_fd()).step(operation)?;
        let attributes = QUIET | RDONLY;
        mount::change(tree.as_fd(), false, attributes, MsFlags::empty()).step(operation)?;
    }
    let mut paths: Vec<PathBuf> = MASKED.iter().map(PathBuf::from).collect();
    paths.extend(thermal_throttle(root));
    for path in paths {
        let Some(target) = existing(root, &path)? else { continue };
        hide(root, &target).step(|| format!("mask {}", path.display()))?;
    }
    Ok(())
}

fn hide(root: BorrowedFd<'_>, target: &OwnedFd) -> io::Result<()> {
    let kind = nix::sys::stat::fstat(target)?.st_mode & libc::S_IFMT;
    if kind == libc::S_IFDIR {
        let options = "source=tmpfs,size=0,nr_inodes=1";
        return mount::mount_new(c"tmpfs", options, RDONLY, target.as_fd()).map(drop);
    }
    let null = open_in_root(root, Path::new("/dev/null"), OFlag::O_PATH)?;
    mount::attach(mount::clone_at(null.as_fd())?.as_fd(), target.as_fd())
}

/// Per-core counters that let containers on one machine find each other.
fn thermal_throttle(root: BorrowedFd<'_>) -> Vec<PathBuf> {
    let parent = Path::new("/sys/devices/system/cpu");
    let flags = OFlag::O_RDONLY | OFlag::O_DIRECTORY;
    let Ok(directory) = open_in_root(root, parent, flags) else { return Vec::new() };
    let Ok(directory) = nix::dir::Dir::from_fd(directory) else { return Vec::new() };
    let names = directory.into_iter().flatten();
    names
        .filter_map(|entry| {
            let name = entry.file_name().to_str().ok()?.to_owned();
            let number = name.strip_prefix("cpu")?;
            number.parse::<u32>().ok()?;
            Some(parent.join(name).join("thermal_throttle"))
        })
        .collect()
}

fn existing(root: BorrowedFd<'_>, path: impl AsRef<Path>) -> Result<Option<OwnedFd>, Failed> {
    let path = path.as_ref();
    match open_in_root(root, path, OFlag::O_PATH) {
        Ok(found) => Ok(Some(found)),
        Err(error)
            if matches!(
                error.raw_os_error(),
                Some(libc::ENOENT | libc::ENOTDIR | libc::EACCES)
            ) =>
        {
            Ok(None)
        }
        Err(error) => Err(error).step(|| format!("open {}", path.display())),
    }
}
