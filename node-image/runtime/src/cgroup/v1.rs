//! The files of cgroup v1: one hierarchy per controller, or per few of them.

use std::io;
use std::path::{Path, PathBuf};

use super::devices::DeviceRule;
use super::{join, read_key, read_number, set};
use crate::interface::{Resources, Stats};

/// "Unlimited" as v1 writes it.
const UNLIMITED: i64 = -1;

/// "Unlimited" reads as a number of bytes that no machine has.
const UNLIMITED_MIN: u64 = 1 << 62;

/// One mounted hierarchy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Hierarchy {
    /// Where.
    pub mount: PathBuf,
    /// Its controllers, or `name=systemd`.
    pub options: Vec<String>,
}

/// The v1 hierarchies mounted below a directory.
pub fn hierarchies(below: &Path) -> io::Result<Vec<Hierarchy>> {
    Ok(parse(&std::fs::read_to_string("/proc/self/mountinfo")?, below))
}

fn parse(mountinfo: &str, below: &Path) -> Vec<Hierarchy> {
    // Options of the super block that are no controllers.
    const OTHER: &[&str] = &["rw", "ro", "xattr", "noprefix", "clone_children", "seclabel"];
    let mut found: Vec<Hierarchy> = Vec::new();
    for line in mountinfo.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (Some(mount), Some(("cgroup", right))) =
            (left.split(' ').nth(4), right.split_once(' '))
        else {
            continue;
        };
        let mount = PathBuf::from(mount);
        if !mount.starts_with(below) || found.iter().any(|known| known.mount == mount) {
            continue;
        }
        let options = right.rsplit(' ').next().unwrap_or_default().split(',');
        let options = options
            .filter(|option| !OTHER.contains(option) && !option.starts_with("release_agent"))
            .map(str::to_owned)
            .collect();
        found.push(Hierarchy { mount, options });
    }
    found
}

/// The directory of a group in the hierarchy of a controller.
pub fn directory(
    hierarchies: &[Hierarchy],
    controller: &str,
    base: &str,
    group: &str,
) -> Option<PathBuf> {
    at(hierarchies, controller, &join(base, group))
}

fn at(hierarchies: &[Hierarchy], controller: &str, path: &str) -> Option<PathBuf> {
    let has = |h: &&Hierarchy| h.options.iter().any(|option| option == controller);
    Some(hierarchies.iter().find(has)?.mount.join(path))
}

/// Creates a group in every hierarchy.
pub fn create(hierarchies: &[Hierarchy], path: &str) -> io::Result<()> {
    for hierarchy in hierarchies {
        let mut here = hierarchy.mount.clone();
        for name in Path::new(path).components() {
            let parent = here.clone();
            here.push(name);
            match std::fs::create_dir(&here) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => continue,
                other => other?,
            }
            // A new cpuset is empty, and nothing can run in it.
            for file in ["cpuset.cpus", "cpuset.mems"] {
                if let Ok(value) = std::fs::read_to_string(parent.join(file)) {
                    set(&here.join(file), value.trim())?;
                }
            }
        }
    }
    Ok(())
}

/// Sets the limits that are given.
pub fn update(hierarchies: &[Hierarchy], path: &str, resources: &Resources) -> io::Result<()> {
    let write =
        |controller: &str, file: &str, value: String| match at(hierarchies, controller, path) {
            Some(directory) => set(&directory.join(file), value),
            None => Ok(()),
        };
    if let Some(shares) = resources.cpu_shares {
        write("cpu", "cpu.shares", shares.max(2).to_string())?;
    }
    if let Some(period) = resources.cpu_period_us {
        write("cpu", "cpu.cfs_period_us", period.to_string())?;
    }
    if let Some(quota) = resources.cpu_quota_us {
        let quota = if quota > 0 { quota } else { UNLIMITED };
        write("cpu", "cpu.cfs_quota_us", quota.to_string())?;
    }
    if let Some(limit) = resources.memory_limit_bytes {
        set_memory(hierarchies, path, if limit > 0 { limit } else { UNLIMITED })?;
    }
    if let Some(limit) = resources.pids_limit {
        let limit = if limit > 0 { limit.to_string() } else { "max".into() };
        write("pids", "pids.max", limit)?;
    }
    if let Some(cores) = resources.cpuset_cpus.as_ref().filter(|cores| !cores.is_empty()) {
        write("cpuset", "cpuset.cpus", cores.clone())?;
    }
    for (size, limit) in &resources.hugepage_limits {
        write("hugetlb", &format!("hugetlb.{size}.limit_in_bytes"), limit.to_string())?;
    }
    Ok(())
}

/// Memory, and memory with swap at the same value (no swap). The sum may never be the smaller one,
/// so growing sets it first.
fn set_memory(hierarchies: &[Hierarchy], path: &str, limit: i64) -> io::Result<()> {
    let Some(directory) = at(hierarchies, "memory", path) else { return Ok(()) };
    let memory = directory.join("memory.limit_in_bytes");
    let sum = directory.join("memory.memsw.limit_in_bytes");
    let grows = limit < 0 || read_number(&memory).is_some_and(|now| limit as u64 > now);
    let (first, second) = if grows { (sum, memory) } else { (memory, sum) };
    set(&first, limit)?;
    set(&second, limit)
}

/// Allows only these devices.
pub fn restrict_devices(
    hierarchies: &[Hierarchy],
    path: &str,
    rules: &[DeviceRule],
) -> io::Result<()> {
    let Some(directory) = at(hierarchies, "devices", path) else { return Ok(()) };
    set(&directory.join("devices.deny"), "a")?;
    for rule in rules {
        set(&directory.join("devices.allow"), rule.v1())?;
    }
    Ok(())
}

/// What a group uses.
pub fn stats(hierarchies: &[Hierarchy], base: &str, group: &str) -> Stats {
    let file = |controller: &str, name: &str| {
        directory(hierarchies, controller, base, group).map(|directory| directory.join(name))
    };
    let number = |controller: &str, name: &str| {
        file(controller, name).and_then(|file| read_number(&file)).unwrap_or(0)
    };
    let memory = |key: &str| {
        file("memory", "memory.stat").and_then(|file| read_key(&file, key)).unwrap_or(0)
    };
    let cpu =
        |key: &str| file("cpu", "cpu.stat").and_then(|file| read_key(&file, key)).unwrap_or(0);
    let usage = number("memory", "memory.usage_in_bytes");
    let limit = number("memory", "memory.limit_in_bytes");
    Stats {
        cpu_usage_ns: number("cpuacct", "cpuacct.usage"),
        cpu_periods: cpu("nr_periods"),
        cpu_throttled_periods: cpu("nr_throttled"),
        cpu_throttled_ns: cpu("throttled_time"),
        memory_usage_bytes: usage,
        memory_working_set_bytes: usage.saturating_sub(memory("total_inactive_file")),
        memory_rss_bytes: memory("total_rss"),
        memory_cache_bytes: memory("total_cache"),
        memory_swap_bytes: memory("total_swap"),
        memory_limit_bytes: Some(limit).filter(|limit| (1..UNLIMITED_MIN).contains(limit)),
        memory_limit_hits: number("memory", "memory.failcnt"),
        page_faults: memory("total_pgfault"),
        major_page_faults: memory("total_pgmajfault"),
        pids: number("pids", "pids.current"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mountinfo() {
        let text = "\
25 20 0:22 / /sys/fs/cgroup rw - tmpfs tmpfs rw,mode=755
26 25 0:23 / /sys/fs/cgroup/cpu,cpuacct rw shared:9 - cgroup cgroup rw,cpu,cpuacct
27 25 0:24 / /sys/fs/cgroup/systemd rw - cgroup cgroup rw,xattr,release_agent=/x,name=systemd
28 25 0:25 / /sys/fs/cgroup/unified rw - cgroup2 cgroup2 rw
29 20 0:23 / /elsewhere rw - cgroup cgroup rw,cpu,cpuacct
";
        let found = parse(text, Path::new("/sys/fs/cgroup"));
        let expect = |mount: &str, options: &[&str]| Hierarchy {
            mount: mount.into(),
            options: options.iter().map(|option| option.to_string()).collect(),
        };
        assert_eq!(
            found,
            [
                expect("/sys/fs/cgroup/cpu,cpuacct", &["cpu", "cpuacct"]),
                expect("/sys/fs/cgroup/systemd", &["name=systemd"]),
            ]
        );
    }
}
