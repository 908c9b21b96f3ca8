//! Who goes first. Pure: upstream's order by what is short.

use std::cmp::Reverse;

use k8s_openapi::api::core::v1::Pod;

use super::signals::Signal;
use crate::pod::PodExt;
use crate::qos::{Side, effective};
use crate::quantity::amount;
use crate::stats::{PodUse, ephemeral};

/// A pod with what it uses.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// The pod.
    pub pod: &'a Pod,
    /// What it uses.
    pub used: &'a PodUse,
}

/// Sorts pods, those to go first in front: who takes more than asked for before who does not, then
/// by priority, then by how much more.
pub fn rank(signal: Signal, candidates: &mut [Candidate<'_>]) {
    candidates.sort_by_key(|candidate| {
        let priority = candidate.pod.spec().priority.unwrap_or(0);
        let over = over(signal, candidate);
        // Nobody asks for process ids.
        let exceeds = signal != Signal::PidsAvailable && over > 0;
        (Reverse(exceeds), priority, Reverse(over))
    });
}

/// How much more than its request a pod uses of what is short.
fn over(signal: Signal, candidate: &Candidate<'_>) -> i128 {
    let used = candidate.used;
    let disk = ephemeral(used);
    let (used, resource) = match signal {
        Signal::MemoryAvailable => (used.whole.stats.memory_working_set_bytes, "memory"),
        Signal::DiskAvailable | Signal::ImagesAvailable => (disk.bytes, "ephemeral-storage"),
        Signal::DiskInodesFree => (disk.inodes, ""),
        Signal::PidsAvailable => (used.whole.stats.pids, ""),
    };
    let requests = effective(candidate.pod, Side::Requests);
    let request = requests.get(resource).map_or(0, |quantity| amount(resource, quantity));
    i128::from(used) - i128::from(request)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::Measured;
    use kd_runtime::Stats;
    use serde_json::json;

    fn pod(name: &str, priority: i32, request: &str) -> Pod {
        serde_json::from_value(json!({"metadata": {"name": name}, "spec": {
            "priority": priority, "containers": [
                {"name": "c", "resources": {"requests": {"memory": request}}}]}}))
        .unwrap()
    }

    fn using(memory: u64, pids: u64) -> PodUse {
        let stats = Stats { memory_working_set_bytes: memory, pids, ..Stats::default() };
        PodUse { whole: Measured { stats, ..Measured::default() }, ..PodUse::default() }
    }

    #[test]
    fn order() {
        let pods = [
            (pod("modest", 0, "100"), using(50, 9)),
            (pod("greedy", 0, "100"), using(300, 1)),
            (pod("greedier", 0, "100"), using(900, 2)),
            (pod("important", 100, "0"), using(5000, 3)),
            (pod("cheap", -5, "100"), using(99, 4)),
        ];
        let check = |signal: Signal, expect: [&str; 5]| {
            let mut candidates: Vec<Candidate<'_>> =
                pods.iter().map(|(pod, used)| Candidate { pod, used }).collect();
            rank(signal, &mut candidates);
            let names: Vec<&str> = candidates.iter().map(|c| c.pod.name()).collect();
            assert_eq!(names, expect);
        };
        check(Signal::MemoryAvailable, ["greedier", "greedy", "important", "cheap", "modest"]);
        check(Signal::PidsAvailable, ["cheap", "modest", "greedier", "greedy", "important"]);
    }
}
