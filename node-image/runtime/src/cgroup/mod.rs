//! Control groups, v2 and v1, below the part of the hierarchy that the node owns. Groups are named
//! by paths relative to it; controllers that are not there are left out.

mod devices;
mod unified;
mod v1;

use std::collections::BTreeSet;
use std::io;
use std::os::fd::{AsFd, OwnedFd};
use std::path::{Path, PathBuf};

pub use devices::DeviceRule;
pub use v1::Hierarchy;

use crate::interface::{Resources, Stats};
use crate::sys::process::{pidfd_open, pidfd_signal};

const CGROUP2_MAGIC: i64 = 0x6367_7270;
/// Rounds of killing before a group that keeps forking is given up; each round kills everything
/// that the one before missed.
const KILL_ROUNDS_MAX: usize = 64;
/// How long killed processes may take to be gone, milliseconds.
const KILL_WAIT_MS: u16 = 10_000;

/// The control groups of a node.
#[derive(Clone, Debug)]
pub enum Cgroups {
    /// One hierarchy.
    Unified {
        /// The node's own group.
        root: PathBuf,
        /// The mount it is on.
        mount: PathBuf,
    },
    /// A hierarchy per controller.
    V1 {
        /// What is mounted.
        hierarchies: Vec<Hierarchy>,
        /// The node's own group in each.
        base: String,
    },
}

impl Cgroups {
    /// Looks at what is mounted at `mount` (`/sys/fs/cgroup`). `base` is the node's own group in
    /// it, empty when the node has a cgroup namespace.
    pub fn detect(mount: &Path, base: &str) -> io::Result<Self> {
        let kind = nix::sys::statfs::statfs(mount)?.filesystem_type().0;
        if kind as i64 == CGROUP2_MAGIC {
            let root = mount.join(base.trim_matches('/'));
            return Ok(Self::Unified { root, mount: mount.to_owned() });
        }
        let hierarchies = v1::hierarchies(mount)?;
        Ok(Self::V1 { hierarchies, base: base.trim_matches('/').to_owned() })
    }

    /// Creates a group with its ancestors and sets its limits.
    pub fn create(&self, group: &str, resources: &Resources) -> io::Result<()> {
        match self {
            Self::Unified { root, mount } => unified::create(mount, &root.join(group))?,
            Self::V1 { hierarchies, base } => v1::create(hierarchies, &join(base, group))?,
        }
        self.update(group, resources)
    }

    /// Sets the limits that are given; the others stay.
    pub fn update(&self, group: &str, resources: &Resources) -> io::Result<()> {
        match self {
            Self::Unified { root, .. } => unified::update(&root.join(group), resources),
            Self::V1 { hierarchies, base } => {
                v1::update(hierarchies, &join(base, group), resources)
            }
        }
    }

    /// Kills a whole container when the kernel kills one process of it for lack of memory (v2).
    pub fn kill_together(&self, group: &str) {
        if let Self::Unified { root, .. } = self {
            let _ = std::fs::write(root.join(group).join("memory.oom.group"), "1");
        }
    }

    /// Only the devices of these rules may be used in the group.
    pub fn restrict_devices(&self, group: &str, rules: &[DeviceRule]) -> io::Result<()> {
        match self {
            Self::Unified { root, .. } => devices::attach_program(&root.join(group), rules),
            Self::V1 { hierarchies, base } => {
                v1::restrict_devices(hierarchies, &join(base, group), rules)
            }
        }
    }

    /// Moves a process into the group.
    pub fn add(&self, group: &str, pid: i32) -> io::Result<()> {
        for directory in self.directories(group) {
            match std::fs::write(directory.join("cgroup.procs"), pid.to_string()) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// The group as clone3 takes it; v2 only.
    pub fn open(&self, group: &str) -> Option<OwnedFd> {
        let Self::Unified { root, .. } = self else { return None };
        std::fs::File::open(root.join(group)).ok().map(OwnedFd::from)
    }

    /// Sends SIGKILL to every process of the group and of those below; does not wait.
    pub fn kill(&self, group: &str) {
        if let Self::Unified { root, .. } = self
            && std::fs::write(root.join(group).join("cgroup.kill"), "1").is_ok()
        {
            return;
        }
        // A frozen group cannot fork while we read it.
        self.freeze(group, true);
        let mut killed = BTreeSet::new();
        for _ in 0..KILL_ROUNDS_MAX {
            let found: Vec<i32> =
                self.processes(group).into_iter().filter(|pid| killed.insert(*pid)).collect();
            if found.is_empty() {
                break;
            }
            for pid in found {
                let _ = nix::sys::signal::kill(
                    nix::unistd::Pid::from_raw(pid),
                    nix::sys::signal::Signal::SIGKILL,
                );
            }
        }
        self.freeze(group, false);
    }

    /// Kills every process of the group and waits until they are gone.
    pub fn kill_and_wait(&self, group: &str) -> io::Result<()> {
        for _ in 0..KILL_ROUNDS_MAX {
            // Taken before the kill, so that none is missed.
            let processes: Vec<OwnedFd> =
                self.processes(group).into_iter().filter_map(|pid| pidfd_open(pid).ok()).collect();
            if processes.is_empty() {
                return Ok(());
            }
            self.kill(group);
            for process in &processes {
                let _ = pidfd_signal(process.as_fd(), libc::SIGKILL);
                wait(process)?;
            }
        }
        Err(io::Error::from_raw_os_error(libc::EBUSY))
    }

    /// Removes the group and those below; what is not there is fine.
    pub fn remove(&self, group: &str) -> io::Result<()> {
        let mut result = Ok(());
        for directory in self.directories(group) {
            if let Err(error) = remove_tree(&directory) {
                result = Err(error);
            }
        }
        result
    }

    /// Removes the group if nothing is in it.
    pub fn remove_empty(&self, group: &str) {
        for directory in self.directories(group) {
            // Another sandbox of the pod may be in it.
            let _ = std::fs::remove_dir(directory);
        }
    }

    /// All processes of the group and of those below.
    pub fn processes(&self, group: &str) -> Vec<i32> {
        let mut found = BTreeSet::new();
        for directory in self.directories(group) {
            collect_processes(&directory, &mut found);
        }
        found.into_iter().collect()
    }

    /// How many processes of the group the kernel has killed for lack of memory.
    pub fn oom_kills(&self, group: &str) -> u64 {
        match self {
            Self::Unified { root, .. } => {
                read_key(&root.join(group).join("memory.events"), "oom_kill").unwrap_or(0)
            }
            Self::V1 { hierarchies, base } => v1::directory(hierarchies, "memory", base, group)
                .and_then(|directory| read_key(&directory.join("memory.oom_control"), "oom_kill"))
                .unwrap_or(0),
        }
    }

    /// What the group uses.
    pub fn stats(&self, group: &str) -> Stats {
        match self {
            Self::Unified { root, .. } => unified::stats(&root.join(group)),
            Self::V1 { hierarchies, base } => v1::stats(hierarchies, base, group),
        }
    }

    /// What to mount at /sys/fs/cgroup in a container: (directory below it, options).
    pub fn mounts(&self) -> Vec<(String, String)> {
        match self {
            Self::Unified { .. } => Vec::new(),
            Self::V1 { hierarchies, .. } => hierarchies
                .iter()
                .filter_map(|hierarchy| {
                    let name = hierarchy.mount.file_name()?.to_str()?.to_owned();
                    Some((name, hierarchy.options.join(",")))
                })
                .collect(),
        }
    }

    fn freeze(&self, group: &str, frozen: bool) {
        let (file, on, off) = match self {
            Self::Unified { root, .. } => (root.join(group).join("cgroup.freeze"), "1", "0"),
            Self::V1 { hierarchies, base } => {
                let Some(directory) = v1::directory(hierarchies, "freezer", base, group) else {
                    return;
                };
                (directory.join("freezer.state"), "FROZEN", "THAWED")
            }
        };
        // Best effort: without it, killing takes more rounds.
        let _ = std::fs::write(file, if frozen { on } else { off });
    }

    fn directories(&self, group: &str) -> Vec<PathBuf> {
        match self {
            Self::Unified { root, .. } => vec![root.join(group)],
            Self::V1 { hierarchies, base } => {
                let path = join(base, group);
                hierarchies.iter().map(|hierarchy| hierarchy.mount.join(&path)).collect()
            }
        }
    }
}

fn wait(process: &OwnedFd) -> io::Result<()> {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(process.as_fd(), PollFlags::POLLIN)];
    match poll(&mut fds, PollTimeout::from(KILL_WAIT_MS))? {
        0 => Err(io::Error::from_raw_os_error(libc::ETIMEDOUT)),
        _ => Ok(()),
    }
}

fn join(base: &str, group: &str) -> String {
    let group = group.trim_matches('/');
    if base.is_empty() { group.to_owned() } else { format!("{base}/{group}") }
}

fn collect_processes(directory: &Path, found: &mut BTreeSet<i32>) {
    if let Ok(text) = std::fs::read_to_string(directory.join("cgroup.procs")) {
        // A process of another PID namespace reads as 0.
        found.extend(text.lines().filter_map(|line| line.parse::<i32>().ok()).filter(|p| *p > 0));
    }
    for child in subdirectories(directory) {
        collect_processes(&child, found);
    }
}

fn remove_tree(directory: &Path) -> io::Result<()> {
    for child in subdirectories(directory) {
        remove_tree(&child)?;
    }
    match std::fs::remove_dir(directory) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        other => other,
    }
}

fn subdirectories(directory: &Path) -> Vec<PathBuf> {
    let Ok(entries) = std::fs::read_dir(directory) else { return Vec::new() };
    entries
        .flatten()
        .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
        .map(|entry| entry.path())
        .collect()
}

/// The number of a file that holds only one.
fn read_number(file: &Path) -> Option<u64> {
    std::fs::read_to_string(file).ok()?.trim().parse().ok()
}

/// The number after a key, in a file of `key value` lines.
fn read_key(file: &Path, key: &str) -> Option<u64> {
    let text = std::fs::read_to_string(file).ok()?;
    text.lines()
        .find_map(|line| line.split_once(' ').filter(|(name, _)| *name == key)?.1.parse().ok())
}

/// Writes a value; a controller that is not there is left out.
fn set(file: &Path, value: impl ToString) -> io::Result<()> {
    let value = value.to_string();
    match std::fs::OpenOptions::new().write(true).open(file) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(error),
        Ok(mut opened) => io::Write::write_all(&mut opened, value.as_bytes()).map_err(|error| {
            io::Error::new(error.kind(), format!("write {value:?} to {}: {error}", file.display()))
        }),
    }
}
