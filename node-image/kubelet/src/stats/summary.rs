//! `/stats/summary`: upstream's form of it.

use jiff::Timestamp;
use kd_runtime::DiskUse;
use serde_json::{Map, Value, json};

use super::network::Interface;
use super::{ContainerUse, FileSystem, Measured, NodeUse, PodUse, VolumeUse};

/// The whole summary. Without `disks` only CPU and memory.
pub fn summary(used: &NodeUse, disks: bool) -> Value {
    let mut node = json!({
        "nodeName": used.name,
        "systemContainers": [system("pods", used, &used.pods_group)],
        "startTime": used.started.map(time),
        "cpu": cpu(&used.own),
        "memory": memory(&used.own, Some(used.memory_bytes)),
        "swap": {"time": time(used.own.at), "swapUsageBytes": used.own.stats.memory_swap_bytes},
    });
    if disks {
        let at = used.own.at;
        let mut images = file_system(at, &used.disk);
        images["usedBytes"] = json!(used.images_bytes);
        node["network"] = network(at, &used.network);
        node["fs"] = file_system(at, &used.disk);
        node["runtime"] = json!({"imageFs": images, "containerFs": file_system(at, &used.disk)});
        if let Some((most, running)) = used.pids {
            node["rlimit"] = json!({"time": time(at), "maxpid": most, "curproc": running});
        }
    }
    let pods: Vec<Value> = used.pods.iter().map(|p| pod(p, &used.disk, disks)).collect();
    json!({"node": pruned(node), "pods": pods})
}

fn system(name: &str, used: &NodeUse, measured: &Measured) -> Value {
    pruned(json!({
        "name": name,
        "startTime": used.started.map(time),
        "cpu": cpu(measured),
        "memory": memory(measured, Some(used.memory_bytes)),
        "swap": {"time": time(measured.at), "swapUsageBytes": measured.stats.memory_swap_bytes},
    }))
}

fn pod(pod: &PodUse, disk: &FileSystem, disks: bool) -> Value {
    let at = pod.whole.at;
    let containers: Vec<Value> = pod.containers.iter().map(|c| container(c, disk, disks)).collect();
    let mut made = json!({
        "podRef": {"name": pod.name, "namespace": pod.namespace, "uid": pod.uid},
        "startTime": pod.started.map(time),
        "containers": containers,
        "cpu": cpu(&pod.whole),
        "memory": memory(&pod.whole, pod.whole.stats.memory_limit_bytes),
        "swap": {"time": time(at), "swapUsageBytes": pod.whole.stats.memory_swap_bytes},
    });
    if disks {
        if !pod.network.is_empty() {
            made["network"] = network(at, &pod.network);
        }
        made["process_stats"] = json!({"process_count": pod.whole.stats.pids});
        made["volume"] = pod.volumes.iter().map(|v| volume(at, v)).collect();
        let mut whole = file_system(at, disk);
        let own = ephemeral(pod);
        whole["usedBytes"] = json!(own.bytes);
        whole["inodesUsed"] = json!(own.inodes);
        made["ephemeral-storage"] = whole;
    }
    pruned(made)
}

/// What a pod takes of the node's disk: what its containers wrote, their logs, and its own volumes.
pub fn ephemeral(pod: &PodUse) -> DiskUse {
    let containers = pod.containers.iter().flat_map(|c| [c.written, c.logs]).flatten();
    let volumes = pod.volumes.iter().filter(|v| v.claim.is_none() && !v.by_driver).map(|v| v.used);
    containers.chain(volumes).fold(DiskUse::default(), |sum, part| DiskUse {
        bytes: sum.bytes + part.bytes,
        inodes: sum.inodes + part.inodes,
    })
}

fn container(container: &ContainerUse, disk: &FileSystem, disks: bool) -> Value {
    let measured = &container.measured;
    let part = |used: DiskUse| {
        let mut part = file_system(measured.at, disk);
        part["usedBytes"] = json!(used.bytes);
        part["inodesUsed"] = json!(used.inodes);
        part
    };
    let mut made = json!({
        "name": container.name,
        "startTime": container.started.map(time),
        "cpu": cpu(measured),
        "memory": memory(measured, measured.stats.memory_limit_bytes),
        "swap": {"time": time(measured.at), "swapUsageBytes": measured.stats.memory_swap_bytes},
    });
    if disks {
        made["rootfs"] = container.written.map(part).unwrap_or_default();
        made["logs"] = container.logs.map(part).unwrap_or_default();
    }
    pruned(made)
}

fn volume(at: Timestamp, volume: &VolumeUse) -> Value {
    let mut made = file_system(at, &volume.disk);
    made["usedBytes"] = json!(volume.used.bytes);
    made["inodesUsed"] = json!(volume.used.inodes);
    made["name"] = json!(volume.name);
    if let Some((namespace, name)) = &volume.claim {
        made["pvcRef"] = json!({"name": name, "namespace": namespace});
    }
    made
}

fn cpu(measured: &Measured) -> Value {
    pruned(json!({
        "time": time(measured.at),
        "usageNanoCores": measured.cpu_nano_cores,
        "usageCoreNanoSeconds": measured.stats.cpu_usage_ns,
    }))
}

fn memory(measured: &Measured, limit: Option<u64>) -> Value {
    let stats = &measured.stats;
    pruned(json!({
        "time": time(measured.at),
        "availableBytes": limit.map(|limit| limit.saturating_sub(stats.memory_working_set_bytes)),
        "usageBytes": stats.memory_usage_bytes,
        "workingSetBytes": stats.memory_working_set_bytes,
        "rssBytes": stats.memory_rss_bytes,
        "pageFaults": stats.page_faults,
        "majorPageFaults": stats.major_page_faults,
    }))
}

fn network(at: Timestamp, interfaces: &[Interface]) -> Value {
    let one = |interface: &Interface| {
        json!({"name": interface.name,
            "rxBytes": interface.received[0], "rxErrors": interface.received[2],
            "txBytes": interface.sent[0], "txErrors": interface.sent[2]})
    };
    let first = interfaces.iter().find(|i| i.name == "eth0").or(interfaces.first());
    let mut made = first.map(one).unwrap_or_else(|| json!({"name": ""}));
    made["time"] = json!(time(at));
    made["interfaces"] = interfaces.iter().map(one).collect();
    made
}

fn file_system(at: Timestamp, disk: &FileSystem) -> Value {
    json!({
        "time": time(at),
        "availableBytes": disk.available_bytes,
        "capacityBytes": disk.capacity_bytes,
        "usedBytes": disk.used_bytes,
        "inodesFree": disk.inodes_free,
        "inodes": disk.inodes,
        "inodesUsed": disk.inodes.saturating_sub(disk.inodes_free),
    })
}

fn time(at: Timestamp) -> String {
    at.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// Without fields that are null.
fn pruned(value: Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept: Map<String, Value> =
                fields.into_iter().filter(|(_, value)| !value.is_null()).collect();
            Value::Object(kept)
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kd_runtime::Stats;

    fn used() -> NodeUse {
        let stats = Stats {
            cpu_usage_ns: 5,
            memory_usage_bytes: 100,
            memory_working_set_bytes: 60,
            memory_limit_bytes: Some(200),
            ..Stats::default()
        };
        let measured = Measured { at: Timestamp::UNIX_EPOCH, stats, cpu_nano_cores: Some(7) };
        let container = ContainerUse {
            name: "c".into(),
            measured: measured.clone(),
            written: Some(DiskUse { bytes: 4096, inodes: 2 }),
            ..ContainerUse::default()
        };
        let volume = VolumeUse {
            name: "v".into(),
            claim: Some(("n".into(), "claim".into())),
            used: DiskUse { bytes: 1 << 20, inodes: 9 },
            ..VolumeUse::default()
        };
        NodeUse {
            name: "node".into(),
            own: measured.clone(),
            memory_bytes: 1000,
            pods: vec![PodUse {
                name: "p".into(),
                namespace: "n".into(),
                uid: "u".into(),
                whole: measured,
                containers: vec![container],
                volumes: vec![volume],
                ..PodUse::default()
            }],
            ..NodeUse::default()
        }
    }

    #[test]
    fn the_form() {
        let whole = summary(&used(), true);
        let check = |path: &str, expect: Value| {
            assert_eq!(whole.pointer(path), Some(&expect), "{path}");
        };
        check("/node/memory/availableBytes", json!(940));
        check("/node/cpu/usageNanoCores", json!(7));
        check("/pods/0/podRef/uid", json!("u"));
        check("/pods/0/memory/availableBytes", json!(140));
        check("/pods/0/containers/0/cpu/time", json!("1970-01-01T00:00:00Z"));
        check("/pods/0/containers/0/rootfs/usedBytes", json!(4096));
        check("/pods/0/volume/0/pvcRef/name", json!("claim"));
        check("/pods/0/ephemeral-storage/usedBytes", json!(4096));
        assert!(whole["node"].get("startTime").is_none());
        let small = summary(&used(), false);
        assert!(small["pods"][0].get("volume").is_none() && small["node"].get("fs").is_none());
    }
}
