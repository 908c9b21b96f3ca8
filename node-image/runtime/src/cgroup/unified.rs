//! The files of cgroup v2.

use std::io;
use std::path::Path;

use super::{read_key, read_number, set};
use crate::interface::{Resources, Stats};

/// What a container may be limited by.
const CONTROLLERS: &[&str] = &["cpu", "memory", "pids", "cpuset", "io", "hugetlb"];

/// Creates a group below a mount, with the controllers enabled on the way.
pub fn create(mount: &Path, directory: &Path) -> io::Result<()> {
    let below = directory.strip_prefix(mount).unwrap_or(Path::new(""));
    let mut here = mount.to_owned();
    for name in below.components() {
        enable(&here);
        here.push(name);
        match std::fs::create_dir(&here) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
            other => other?,
        }
    }
    Ok(())
}

fn enable(directory: &Path) {
    let read = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap_or_default();
    let (available, enabled) = (read("cgroup.controllers"), read("cgroup.subtree_control"));
    let has = |list: &str, name: &str| list.split_whitespace().any(|word| word == name);
    for controller in CONTROLLERS {
        if has(&available, controller) && !has(&enabled, controller) {
            // One by one: a controller that cannot be enabled here must not keep out the others.
            let _ = set(&directory.join("cgroup.subtree_control"), format!("+{controller}"));
        }
    }
}

/// Sets the limits that are given.
pub fn update(directory: &Path, resources: &Resources) -> io::Result<()> {
    let file = |name: &str| directory.join(name);
    if let Some(shares) = resources.cpu_shares {
        set(&file("cpu.weight"), weight(shares))?;
    }
    if resources.cpu_quota_us.is_some() || resources.cpu_period_us.is_some() {
        let period = resources.cpu_period_us.unwrap_or(100_000);
        let quota = match resources.cpu_quota_us {
            Some(quota) if quota > 0 => quota.to_string(),
            _ => "max".into(),
        };
        set(&file("cpu.max"), format!("{quota} {period}"))?;
    }
    if let Some(limit) = resources.memory_limit_bytes {
        // Swap would let a container outgrow its limit.
        set(&file("memory.swap.max"), if limit > 0 { "0" } else { "max" })?;
        set(&file("memory.max"), limit_or_max(limit))?;
    }
    if let Some(limit) = resources.pids_limit {
        set(&file("pids.max"), limit_or_max(limit))?;
    }
    if let Some(cores) = resources.cpuset_cpus.as_ref().filter(|cores| !cores.is_empty()) {
        set(&file("cpuset.cpus"), cores)?;
    }
    for (size, limit) in &resources.hugepage_limits {
        set(&file(&format!("hugetlb.{size}.max")), limit)?;
    }
    Ok(())
}

fn limit_or_max(limit: i64) -> String {
    if limit > 0 { limit.to_string() } else { "max".into() }
}

/// Shares (2 to 262144, usually 1024 a core) to weight (1 to 10000) on the curve that maps the
/// defaults 1024 and 100 to each other.
fn weight(shares: u64) -> u64 {
    match shares {
        0..=2 => 1,
        262_144.. => 10_000,
        _ => {
            let log = (shares as f64).log2();
            let exponent = (log * log + 125.0 * log) / 612.0 - 7.0 / 34.0;
            (10_f64.powf(exponent).ceil() as u64).clamp(1, 10_000)
        }
    }
}

/// What a group uses.
pub fn stats(directory: &Path) -> Stats {
    let file = |name: &str| directory.join(name);
    let usage = read_number(&file("memory.current")).unwrap_or(0);
    let memory = |key: &str| read_key(&file("memory.stat"), key).unwrap_or(0);
    let cpu = |key: &str| read_key(&file("cpu.stat"), key).unwrap_or(0);
    Stats {
        cpu_usage_ns: cpu("usage_usec") * 1000,
        cpu_periods: cpu("nr_periods"),
        cpu_throttled_periods: cpu("nr_throttled"),
        cpu_throttled_ns: cpu("throttled_usec") * 1000,
        memory_usage_bytes: usage,
        memory_working_set_bytes: usage.saturating_sub(memory("inactive_file")),
        memory_rss_bytes: memory("anon"),
        memory_cache_bytes: memory("file"),
        memory_swap_bytes: read_number(&file("memory.swap.current")).unwrap_or(0),
        // "max" is no number.
        memory_limit_bytes: read_number(&file("memory.max")),
        memory_limit_hits: read_key(&file("memory.events"), "max").unwrap_or(0),
        page_faults: memory("pgfault"),
        major_page_faults: memory("pgmajfault"),
        pids: read_number(&file("pids.current")).unwrap_or(0),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_files_say() {
        let directory = tempfile::tempdir().unwrap();
        let files = [
            ("cpu.stat", "usage_usec 2500\nnr_periods 7\nnr_throttled 3\nthrottled_usec 9\n"),
            ("memory.current", "1000\n"),
            ("memory.max", "max\n"),
            ("memory.stat", "anon 300\nfile 500\ninactive_file 200\npgfault 4\npgmajfault 1\n"),
            ("memory.events", "low 0\nmax 5\noom_kill 0\n"),
            ("pids.current", "2\n"),
        ];
        for (name, text) in files {
            std::fs::write(directory.path().join(name), text).unwrap();
        }
        let expect = Stats {
            cpu_usage_ns: 2_500_000,
            cpu_periods: 7,
            cpu_throttled_periods: 3,
            cpu_throttled_ns: 9000,
            memory_usage_bytes: 1000,
            memory_working_set_bytes: 800,
            memory_rss_bytes: 300,
            memory_cache_bytes: 500,
            memory_limit_hits: 5,
            page_faults: 4,
            major_page_faults: 1,
            pids: 2,
            ..Stats::default()
        };
        assert_eq!(stats(directory.path()), expect);
        std::fs::write(directory.path().join("memory.max"), "4096\n").unwrap();
        assert_eq!(stats(directory.path()).memory_limit_bytes, Some(4096));
    }

    #[test]
    fn weights() {
        let check = |shares: u64, expect: u64| assert_eq!(weight(shares), expect, "{shares}");
        check(2, 1);
        check(102, 17);
        check(1024, 100);
        check(262_144, 10_000);
    }
}
