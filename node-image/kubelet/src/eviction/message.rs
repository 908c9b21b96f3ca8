//! What an evicted pod's status says. Pure.

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

use super::ranking::Candidate;
use super::signals::{Shortage, Signal};
use crate::pod::PodExt;
use crate::quantity::{amount, from_amount};
use crate::stats::ContainerUse;

/// Programs read these sentences.
pub fn message(shortage: &Shortage, candidate: &Candidate<'_>) -> String {
    let signal = shortage.signal;
    let mut text = format!(
        "The node was low on resource: {}. Threshold quantity: {}, available: {}. ",
        signal.resource(),
        shown(signal, shortage.threshold).0,
        // Upstream rounds to kibibytes.
        rounded(signal, shortage.available),
    );
    let resource = match signal {
        Signal::MemoryAvailable => "memory",
        Signal::DiskAvailable | Signal::ImagesAvailable => "ephemeral-storage",
        Signal::DiskInodesFree | Signal::PidsAvailable => return text,
    };
    for container in &candidate.used.containers {
        let Some(member) = candidate.pod.member(&container.name) else { continue };
        let requests = member.container.resources.as_ref().and_then(|r| r.requests.as_ref());
        let request = requests.and_then(|list| list.get(resource));
        let asked = request.map_or(0, |quantity| amount(resource, quantity));
        let used = container_use(signal, container);
        if i128::from(used) > i128::from(asked) {
            text += &format!(
                "Container {} was using {}, request is {}, has larger consumption of {resource}. ",
                container.name,
                rounded(signal, used),
                request.map_or("0", |quantity| quantity.0.as_str()),
            );
        }
    }
    text
}

fn container_use(signal: Signal, container: &ContainerUse) -> u64 {
    match signal {
        Signal::MemoryAvailable => container.measured.stats.memory_working_set_bytes,
        _ => [container.written, container.logs].iter().flatten().map(|disk| disk.bytes).sum(),
    }
}

fn shown(signal: Signal, value: u64) -> Quantity {
    let name = match signal {
        Signal::DiskInodesFree | Signal::PidsAvailable => "count",
        _ => "memory",
    };
    from_amount(name, i64::try_from(value).unwrap_or(i64::MAX))
}

fn rounded(signal: Signal, value: u64) -> String {
    match signal {
        Signal::DiskInodesFree | Signal::PidsAvailable => shown(signal, value).0,
        _ => format!("{}Ki", value.div_ceil(1024)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::stats::{Measured, PodUse};
    use kd_runtime::Stats;
    use serde_json::json;

    #[test]
    fn sentences() {
        let pod = serde_json::from_value(json!({"spec": {"containers": [
            {"name": "a", "resources": {"requests": {"memory": "1Mi"}}}, {"name": "b"}]}}))
        .unwrap();
        let container = |name: &str, memory: u64| {
            let stats = Stats { memory_working_set_bytes: memory, ..Stats::default() };
            let measured = Measured { stats, ..Measured::default() };
            ContainerUse { name: name.into(), measured, ..ContainerUse::default() }
        };
        let used = PodUse {
            containers: vec![container("a", 1 << 20), container("b", 2048)],
            ..PodUse::default()
        };
        let candidate = Candidate { pod: &pod, used: &used };
        let check = |signal, threshold, available, expect: &str| {
            assert_eq!(message(&Shortage { signal, threshold, available }, &candidate), expect);
        };
        check(
            Signal::MemoryAvailable,
            100 << 20,
            90 << 20,
            "The node was low on resource: memory. Threshold quantity: 100Mi, available: 92160Ki. \
             Container b was using 2Ki, request is 0, has larger consumption of memory. ",
        );
        check(
            Signal::DiskInodesFree,
            5000,
            10,
            "The node was low on resource: inodes. Threshold quantity: 5k, available: 10. ",
        );
    }
}
