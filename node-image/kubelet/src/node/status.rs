//! The Node's status. Pure.

use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    ContainerImage, DaemonEndpoint, NodeAddress, NodeCondition, NodeDaemonEndpoints, NodeFeatures,
    NodeRuntimeHandler, NodeRuntimeHandlerFeatures, NodeStatus,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kd_runtime::Image;

use super::machine::Machine;
use crate::config::Config;
use crate::devices::Counts;
use crate::eviction::{Condition, Pressures};
use crate::user_namespaces::kernel_has_user_namespaces;

/// What is known of the node now.
pub struct NodeFacts<'a> {
    /// What it was told.
    pub config: &'a Config,
    /// What it has.
    pub machine: &'a Machine,
    /// What it is short of.
    pub pressures: &'a Pressures,
    /// The devices that plugins offer.
    pub devices: &'a Counts,
    /// Its images.
    pub images: &'a [Image],
    /// What keeps it from running pods, if anything.
    pub not_ready: Option<String>,
}

/// Images told of; upstream's bound.
const IMAGES_MAX: usize = 50;

/// The status from what was told before and what is known now. Resources that others put into
/// the capacity stay.
pub fn node_status(before: &NodeStatus, facts: &NodeFacts<'_>, now: Timestamp) -> NodeStatus {
    let mut status = before.clone();
    let mut capacity = before.capacity.clone().unwrap_or_default();
    let mut allocatable = before.allocatable.clone().unwrap_or_default();
    let foreign =
        |name: &String| !facts.machine.capacity().contains_key(name) && name.contains('/');
    capacity.retain(|name, _| foreign(name));
    allocatable.retain(|name, _| foreign(name));
    for (name, quantity) in &capacity {
        allocatable.entry(name.clone()).or_insert_with(|| quantity.clone());
    }
    capacity.extend(facts.machine.capacity().clone());
    allocatable.extend(facts.machine.allocatable().clone());
    for (name, (all, usable)) in facts.devices {
        capacity.insert(name.clone(), Quantity(all.to_string()));
        allocatable.insert(name.clone(), Quantity(usable.to_string()));
    }
    status.capacity = Some(capacity);
    status.allocatable = Some(allocatable);
    status.addresses = Some(addresses(&facts.config.node_ips, &facts.config.node_name));
    status.node_info = Some(facts.machine.info().clone());
    status.daemon_endpoints = Some(NodeDaemonEndpoints {
        kubelet_endpoint: Some(DaemonEndpoint { port: i32::from(facts.config.port) }),
    });
    status.images = Some(images(facts.images));
    status.features = Some(NodeFeatures { supplemental_groups_policy: Some(true) });
    status.runtime_handlers = Some(runtime_handlers());
    status.conditions =
        Some(conditions(before.conditions.as_deref().unwrap_or_default(), facts, now));
    status
}

/// Whether two statuses tell the same, heartbeats aside.
pub fn is_same(a: &NodeStatus, b: &NodeStatus) -> bool {
    let still = |status: &NodeStatus| {
        let mut status = status.clone();
        for condition in status.conditions.iter_mut().flatten() {
            condition.last_heartbeat_time = None;
        }
        serde_json::to_value(status).ok()
    };
    still(a) == still(b)
}

fn addresses(ips: &[IpAddr], name: &str) -> Vec<NodeAddress> {
    let address = |kind: &str, address: String| NodeAddress { type_: kind.to_owned(), address };
    let mut all: Vec<NodeAddress> =
        ips.iter().map(|ip| address("InternalIP", ip.to_string())).collect();
    all.push(address("Hostname", name.to_owned()));
    all
}

/// The names of the runtime's only handler: none, and the one that manifests are written for.
pub const RUNTIME_HANDLERS: [&str; 2] = ["", "runc"];

fn runtime_handlers() -> Vec<NodeRuntimeHandler> {
    let features = NodeRuntimeHandlerFeatures {
        recursive_read_only_mounts: Some(true),
        user_namespaces: Some(kernel_has_user_namespaces()),
    };
    let named = |name: &str| NodeRuntimeHandler {
        name: Some(name.to_owned()),
        features: Some(features.clone()),
    };
    RUNTIME_HANDLERS.map(named).to_vec()
}

fn images(images: &[Image]) -> Vec<ContainerImage> {
    let mut sorted: Vec<&Image> = images.iter().collect();
    sorted.sort_by(|a, b| b.size_bytes.cmp(&a.size_bytes).then_with(|| a.id.cmp(&b.id)));
    let told = sorted.into_iter().take(IMAGES_MAX).map(|image| ContainerImage {
        names: Some(image.repo_digests.iter().chain(&image.repo_tags).cloned().collect()),
        size_bytes: i64::try_from(image.size_bytes).ok(),
    });
    told.collect()
}

struct Verdict {
    name: &'static str,
    status: bool,
    reason: &'static str,
    message: String,
}

fn verdicts(facts: &NodeFacts<'_>) -> [Verdict; 4] {
    let pressure = |of: Condition, bad: (&'static str, &str), good: (&'static str, &str)| {
        let under = facts.pressures.has(of);
        let (reason, message) = if under { bad } else { good };
        Verdict { name: of.as_str(), status: under, reason, message: message.to_owned() }
    };
    let ready = match &facts.not_ready {
        None => Verdict {
            name: "Ready",
            status: true,
            reason: "KubeletReady",
            message: "kubelet is posting ready status".into(),
        },
        Some(why) => Verdict {
            name: "Ready",
            status: false,
            reason: "KubeletNotReady",
            message: why.clone(),
        },
    };
    [
        pressure(
            Condition::Memory,
            ("KubeletHasInsufficientMemory", "kubelet has insufficient memory available"),
            ("KubeletHasSufficientMemory", "kubelet has sufficient memory available"),
        ),
        pressure(
            Condition::Disk,
            ("KubeletHasDiskPressure", "kubelet has disk pressure"),
            ("KubeletHasNoDiskPressure", "kubelet has no disk pressure"),
        ),
        pressure(
            Condition::Pids,
            ("KubeletHasInsufficientPID", "kubelet has insufficient PID available"),
            ("KubeletHasSufficientPID", "kubelet has sufficient PID available"),
        ),
        // Programs read the last condition.
        ready,
    ]
}

fn conditions(
    before: &[NodeCondition],
    facts: &NodeFacts<'_>,
    now: Timestamp,
) -> Vec<NodeCondition> {
    let verdicts = verdicts(facts);
    let own = |c: &&NodeCondition| verdicts.iter().any(|v| v.name == c.type_);
    let mut all: Vec<NodeCondition> = before.iter().filter(|c| !own(c)).cloned().collect();
    for verdict in &verdicts {
        let status = if verdict.status { "True" } else { "False" };
        let known = before.iter().find(|c| c.type_ == verdict.name && c.status == status);
        all.push(NodeCondition {
            type_: verdict.name.to_owned(),
            status: status.to_owned(),
            reason: Some(verdict.reason.to_owned()),
            message: Some(verdict.message.clone()),
            last_heartbeat_time: Some(Time(now)),
            last_transition_time: known
                .and_then(|c| c.last_transition_time.clone())
                .or(Some(Time(now))),
        });
    }
    all
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eviction::Signal;
    use serde_json::json;

    fn some(text: &str) -> Option<String> {
        Some(text.to_owned())
    }

    #[test]
    fn ready_is_last_and_foreign_resources_stay() {
        let config = Config {
            node_name: "n".into(),
            node_ips: vec!["172.18.0.2".parse().unwrap()],
            ..Config::default()
        };
        let machine = Machine::read(&config);
        let (good, mut bad) = (Pressures::default(), Pressures::default());
        bad.note(&[Signal::DiskAvailable], Timestamp::UNIX_EPOCH);
        let devices = Counts::from([("kd.test/toy".to_owned(), (3, 2))]);
        let facts = |full: bool| NodeFacts {
            config: &config,
            machine: &machine,
            pressures: if full { &bad } else { &good },
            devices: &devices,
            images: &[],
            not_ready: None,
        };
        let at = |n| Timestamp::from_second(n).unwrap();
        let before: NodeStatus = serde_json::from_value(json!({
            "capacity": {"example.com/dongle": "3", "bogus": "1"},
            "conditions": [{"type": "Ready", "status": "Unknown"}, {"type": "Other", "status": "True"}]}))
        .unwrap();
        let first = node_status(&before, &facts(false), at(1));
        let names: Vec<&str> =
            first.conditions.iter().flatten().map(|c| c.type_.as_str()).collect();
        assert_eq!(names, ["Other", "MemoryPressure", "DiskPressure", "PIDPressure", "Ready"]);
        assert_eq!(first.allocatable.as_ref().unwrap()["example.com/dongle"].0, "3");
        let toys = |list: &Option<crate::quantity::Resources>| {
            list.as_ref().and_then(|all| all.get("kd.test/toy")).map(|count| count.0.clone())
        };
        assert_eq!((toys(&first.capacity), toys(&first.allocatable)), (some("3"), some("2")));
        assert!(!first.capacity.as_ref().unwrap().contains_key("bogus"));
        let second = node_status(&first, &facts(false), at(9));
        assert!(is_same(&first, &second), "only the heartbeat differs");
        let third = node_status(&second, &facts(true), at(10));
        assert!(!is_same(&second, &third));
        let disk = &third.conditions.as_ref().unwrap()[2];
        assert_eq!(
            (disk.status.as_str(), disk.last_transition_time.clone()),
            ("True", Some(Time(at(10))))
        );
    }
}
