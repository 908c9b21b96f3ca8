//! What the machine has, honest to the limits of the node's own cgroup, and how much is in use.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use k8s_openapi::api::core::v1::NodeSystemInfo;

use crate::config::Config;
use crate::eviction::{Level, Levels};
use crate::quantity::{Resources, amount, from_amount};
use crate::stats::FileSystem;

/// What the machine has.
#[derive(Clone, Debug)]
pub struct Machine {
    cpu_milli: i64,
    memory_bytes: u64,
    disk_bytes: u64,
    info: NodeSystemInfo,
    capacity: Resources,
    allocatable: Resources,
}

impl Machine {
    /// Looks at the machine.
    pub fn read(config: &Config) -> Machine {
        let cpu_milli = cpu_milli();
        let memory_bytes = memory_bytes();
        let disk_bytes = disk(&config.root_directory).map_or(0, |(total, _)| total);
        let capacity = capacity(cpu_milli, memory_bytes, disk_bytes, config.pods_max);
        let allocatable = allocatable(&capacity, config, disk_bytes);
        Machine { cpu_milli, memory_bytes, disk_bytes, info: info(config), capacity, allocatable }
    }

    /// `status.capacity`
    pub fn capacity(&self) -> &Resources {
        &self.capacity
    }

    /// `status.allocatable`
    pub fn allocatable(&self) -> &Resources {
        &self.allocatable
    }

    /// Bytes of memory.
    pub fn memory_bytes(&self) -> u64 {
        self.memory_bytes
    }

    /// Thousandths of cores.
    pub fn cpu_milli(&self) -> i64 {
        self.cpu_milli
    }

    /// Bytes of the root directory's file system.
    pub fn disk_bytes(&self) -> u64 {
        self.disk_bytes
    }

    /// `status.nodeInfo`
    pub fn info(&self) -> &NodeSystemInfo {
        &self.info
    }

    /// Most process ids, and those in use.
    pub fn pids(&self) -> Option<(u64, u64)> {
        pids().map(|(most, free)| (most, most.saturating_sub(free)))
    }

    /// When the machine was started.
    pub fn started(&self) -> Option<jiff::Timestamp> {
        let text = fs::read_to_string("/proc/stat").ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("btime "))?;
        jiff::Timestamp::from_second(line.trim().parse().ok()?).ok()
    }

    /// Whether the kernel enforces AppArmor profiles.
    pub fn has_app_armor(&self) -> bool {
        let enabled = fs::read_to_string("/sys/module/apparmor/parameters/enabled");
        enabled.is_ok_and(|text| text.trim() == "Y")
    }

    /// How much is left now.
    pub fn levels(&self, root: &Path) -> Levels {
        let level = |(capacity, available): (u64, u64)| Level { capacity, available };
        let available = memory_available(self.memory_bytes);
        let files = FileSystem::of(root);
        Levels {
            memory: Some(Level { capacity: self.memory_bytes, available }),
            disk: disk(root).map(level),
            inodes: files.map(|files| level((files.inodes, files.inodes_free))),
            pids: pids().map(level),
        }
    }
}

/// The capacity without what is set aside: for the system, and so that pods are evicted in time.
fn allocatable(capacity: &Resources, config: &Config, disk_bytes: u64) -> Resources {
    let limits = &config.pressure;
    let kept = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let disk = disk_bytes / 100 * u64::from(limits.disk_available_percent_min);
    let held =
        [("memory", kept(limits.memory_available_bytes_min)), ("ephemeral-storage", kept(disk))];
    let mut left = capacity.clone();
    for (name, quantity) in &mut left {
        let reserved = config.reserved.get(name).map_or(0, |reserved| amount(name, reserved));
        let held = held.iter().find(|(held, _)| held == name).map_or(0, |(_, bytes)| *bytes);
        if reserved + held > 0 {
            *quantity = from_amount(name, (amount(name, quantity) - reserved - held).max(0));
        }
    }
    left
}

fn capacity(cpu_milli: i64, memory: u64, disk: u64, pods: u32) -> Resources {
    let bytes = |bytes: u64| i64::try_from(bytes).unwrap_or(i64::MAX);
    let kibibytes =
        |n: u64| k8s_openapi::apimachinery::pkg::api::resource::Quantity(format!("{}Ki", n >> 10));
    let mut capacity = BTreeMap::from([
        ("cpu".to_owned(), from_amount("cpu", cpu_milli)),
        ("memory".to_owned(), kibibytes(memory)),
        ("ephemeral-storage".to_owned(), kibibytes(disk)),
        ("pods".to_owned(), from_amount("pods", i64::from(pods))),
    ]);
    for (size, count) in huge_pages() {
        let name = match size {
            s if s % (1 << 20) == 0 => format!("hugepages-{}Gi", s >> 20),
            s => format!("hugepages-{}Mi", s >> 10),
        };
        capacity.insert(name, from_amount("memory", bytes(size * 1024 * count)));
    }
    capacity
}

/// Sizes in KiB with their counts.
fn huge_pages() -> Vec<(u64, u64)> {
    let Ok(entries) = fs::read_dir("/sys/kernel/mm/hugepages") else { return Vec::new() };
    entries
        .flatten()
        .filter_map(|entry| {
            let name = entry.file_name().to_string_lossy().into_owned();
            let size = name.strip_prefix("hugepages-")?.strip_suffix("kB")?.parse().ok()?;
            // Smaller than a mebibyte has no resource name.
            (size >= 1024).then_some((size, number(&entry.path().join("nr_hugepages"))?))
        })
        .collect()
}

fn number(path: &Path) -> Option<u64> {
    fs::read_to_string(path).ok()?.trim().parse().ok()
}

/// Files of the node's own cgroup: version 2, then version 1.
fn cgroup_number(v2: &str, v1: &str) -> Option<u64> {
    let root = Path::new("/sys/fs/cgroup");
    number(&root.join(v2)).or_else(|| number(&root.join(v1)))
}

fn cpu_milli() -> i64 {
    let cores = std::thread::available_parallelism().map_or(1, |n| n.get() as i64);
    let quota = cpu_quota_milli().filter(|quota| *quota > 0);
    quota.map_or(cores * 1000, |quota| quota.min(cores * 1000))
}

fn cpu_quota_milli() -> Option<i64> {
    if let Ok(text) = fs::read_to_string("/sys/fs/cgroup/cpu.max") {
        let (quota, period) = text.trim().split_once(' ')?;
        return Some(quota.parse::<i64>().ok()? * 1000 / period.parse::<i64>().ok()?.max(1));
    }
    let read = |name: &str| -> Option<i64> {
        fs::read_to_string(format!("/sys/fs/cgroup/cpu/{name}")).ok()?.trim().parse().ok()
    };
    Some(read("cpu.cfs_quota_us")? * 1000 / read("cpu.cfs_period_us")?.max(1))
}

fn meminfo(field: &str) -> Option<u64> {
    let text = fs::read_to_string("/proc/meminfo").ok()?;
    let line = text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(':'))?;
    Some(line.trim().strip_suffix(" kB")?.parse::<u64>().ok()? << 10)
}

fn memory_bytes() -> u64 {
    let total = meminfo("MemTotal").unwrap_or(0);
    let limit = cgroup_number("memory.max", "memory/memory.limit_in_bytes");
    limit.map_or(total, |limit| limit.min(total))
}

fn memory_available(total: u64) -> u64 {
    let machine = meminfo("MemAvailable").unwrap_or(total);
    let used = cgroup_number("memory.current", "memory/memory.usage_in_bytes").unwrap_or(0);
    let inactive = cgroup_stat("inactive_file").or_else(|| cgroup_stat("total_inactive_file"));
    let working_set = used.saturating_sub(inactive.unwrap_or(0));
    machine.min(total.saturating_sub(working_set))
}

fn cgroup_stat(field: &str) -> Option<u64> {
    let root = Path::new("/sys/fs/cgroup");
    let files: [PathBuf; 2] = [root.join("memory.stat"), root.join("memory/memory.stat")];
    let text = files.iter().find_map(|path| fs::read_to_string(path).ok())?;
    text.lines().find_map(|l| l.strip_prefix(field)?.strip_prefix(' ')?.parse().ok())
}

/// Total and available bytes of a path's file system; of the nearest parent that exists.
fn disk(path: &Path) -> Option<(u64, u64)> {
    let existing = path.ancestors().find(|p| p.exists())?;
    let stat = nix::sys::statvfs::statvfs(existing).ok()?;
    let unit = stat.fragment_size();
    Some((stat.blocks() * unit, stat.blocks_available() * unit))
}

/// Most process ids and how many are free.
fn pids() -> Option<(u64, u64)> {
    let max = number(Path::new("/proc/sys/kernel/pid_max"))?;
    let threads = fs::read_to_string("/proc/loadavg").ok()?;
    let total: u64 = threads.split(' ').nth(3)?.split('/').nth(1)?.parse().ok()?;
    Some((max, max.saturating_sub(total)))
}

fn info(config: &Config) -> NodeSystemInfo {
    let read =
        |path: &str| fs::read_to_string(path).map(|t| t.trim().to_owned()).unwrap_or_default();
    let kernel = nix::sys::utsname::uname();
    let kernel = kernel.map(|u| u.release().to_string_lossy().into_owned()).unwrap_or_default();
    let uuid = read("/sys/class/dmi/id/product_uuid");
    let machine = Some(read("/etc/machine-id")).filter(|id| !id.is_empty());
    let machine = machine.unwrap_or_else(|| named_id(&config.node_name));
    NodeSystemInfo {
        architecture: architecture().into(),
        boot_id: read("/proc/sys/kernel/random/boot_id"),
        container_runtime_version: config.container_runtime_version.clone(),
        kernel_version: kernel,
        kube_proxy_version: String::new(),
        kubelet_version: config.kubelet_version.clone(),
        system_uuid: if uuid.is_empty() { machine.clone() } else { uuid },
        machine_id: machine,
        operating_system: "linux".into(),
        os_image: "kd node".into(),
        swap: None,
    }
}

/// An id for nodes whose image has none: stable, and another for each name.
fn named_id(name: &str) -> String {
    let mut halves = [0xcbf2_9ce4_8422_2325_u64, 0x8422_2325_cbf2_9ce4];
    for (at, byte) in name.bytes().chain([0xff; 8]).enumerate() {
        let half = &mut halves[at % 2];
        *half = (*half ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    format!("{:016x}{:016x}", halves[0], halves[1])
}

/// The name Kubernetes uses for this machine's architecture.
pub(super) fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn this_machine() {
        let machine = Machine::read(&Config { node_name: "n".into(), ..Config::default() });
        assert!(machine.cpu_milli() > 0 && machine.memory_bytes() > 0);
        assert_eq!(machine.capacity()["pods"].0, "110");
        assert_eq!(machine.info().machine_id.len(), 32);
        assert!(machine.levels(Path::new("/")).memory.unwrap().available > 0);
    }

    #[test]
    fn what_is_set_aside() {
        let quantity =
            |text: &str| k8s_openapi::apimachinery::pkg::api::resource::Quantity(text.into());
        let list = |cpu: &str, memory: &str| {
            BTreeMap::from([
                ("cpu".to_owned(), quantity(cpu)),
                ("memory".to_owned(), quantity(memory)),
            ])
        };
        let mut config = Config { reserved: list("500m", "100Mi"), ..Config::default() };
        assert_eq!(allocatable(&list("2", "1Gi"), &config, 0), list("1500m", "824Mi"));
        config.reserved = BTreeMap::new();
        config.pressure.memory_available_bytes_min = 0;
        assert_eq!(allocatable(&list("2", "1Gi"), &config, 0), list("2", "1Gi"));
    }
}
