//! Keeps the Node object: registers it, tells its status, learns its pod range and the ways to the
//! other nodes.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, NodeSpec, NodeStatus, Taint};
use k8s_openapi::api::storage::v1::CSINode;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kd_network::OtherNode;
use kube::api::{Api, Patch, PatchParams, PostParams};
use serde_json::json;
use tokio::sync::watch;

use super::machine::architecture;
use super::status::{NodeFacts, is_same, node_status};
use crate::config::Config;
use crate::error::api_code;
use crate::events::EventType;
use crate::kubelet::Kubelet;
use crate::lifecycle::backoff::since;
use crate::reflector::{Update, reflect};
use crate::volumes::csi_node;

const RETRY_MIN: Duration = Duration::from_millis(50);
const RETRY_MAX: Duration = Duration::from_secs(7);
/// On the Node: the attach-detach controller attaches its volumes.
const ATTACHED_BY_CONTROLLER: &str = "volumes.kubernetes.io/controller-managed-attach-detach";

/// Registers the node, then tells its status when it changed, and now and then when it did not.
pub(crate) async fn run_node_agent(kubelet: Arc<Kubelet>) {
    let api: Api<Node> = Api::all(kubelet.client().clone());
    let registered = register(&kubelet, &api).await;
    kubelet.set_own_node(registered);
    kubelet.events().node(EventType::Normal, "Starting", "Starting kubelet.");
    announce_storage(&kubelet).await;
    let mut reported: Option<(NodeStatus, Timestamp)> = None;
    let mut ready = kubelet.addresses_ready();
    let mut deleted = kubelet.node_deletions();
    let mut pressures = kubelet.pressure_changes();
    let mut in_use = kubelet.csi().in_use();
    let mut devices = kubelet.devices().counts();
    let mut ending = kubelet.ending().subscribe();
    loop {
        report(&kubelet, &api, &mut reported).await;
        tokio::select! {
            () = tokio::time::sleep(kubelet.config().node_check_every) => {}
            Ok(()) = ready.changed() => {}
            Ok(()) = pressures.changed() => {}
            Ok(()) = in_use.changed() => {}
            Ok(()) = devices.changed() => {}
            Ok(()) = ending.changed() => {}
            Ok(()) = deleted.changed() => {
                kubelet.set_own_node(register(&kubelet, &api).await);
                announce_storage(&kubelet).await;
                kubelet.csi().announce(kubelet.client()).await;
                reported = None;
            }
        }
    }
}

/// Creates the Node, or adopts the one that is there.
async fn register(kubelet: &Kubelet, api: &Api<Node>) -> Node {
    let wanted = node_object(kubelet.config());
    let mut delay = RETRY_MIN;
    loop {
        let error = match register_once(kubelet, api, &wanted).await {
            Ok(node) => return node,
            Err(error) => error,
        };
        tracing::info!(%error, "the node could not be registered yet");
        tokio::time::sleep(delay).await;
        delay = (delay * 2).min(RETRY_MAX);
    }
}

async fn register_once(
    kubelet: &Kubelet,
    api: &Api<Node>,
    wanted: &Node,
) -> Result<Node, kube::Error> {
    let mut first = wanted.clone();
    first.status = Some(status_now(kubelet, &NodeStatus::default()).await);
    match api.create(&PostParams::default(), &first).await {
        Ok(node) => {
            tell_first(kubelet, &first.status.unwrap_or_default());
            Ok(node)
        }
        Err(error) if api_code(&error) == Some(409) => {
            let metadata = &wanted.metadata;
            let labels = json!({"metadata": {"labels": metadata.labels,
                "annotations": metadata.annotations}});
            let name = &kubelet.config().node_name;
            api.patch(name, &PatchParams::default(), &Patch::Strategic(labels)).await
        }
        result => result,
    }
}

fn node_object(config: &Config) -> Node {
    let name = config.node_name.clone();
    let mut labels = BTreeMap::from(
        [
            ("beta.kubernetes.io/arch", architecture()),
            ("beta.kubernetes.io/os", "linux"),
            ("kubernetes.io/arch", architecture()),
            ("kubernetes.io/os", "linux"),
            ("kubernetes.io/hostname", name.as_str()),
        ]
        .map(|(key, value)| (key.to_owned(), value.to_owned())),
    );
    labels.extend(config.node_labels.clone());
    let taints: Vec<Taint> = config.node_taints.iter().filter_map(|t| taint(t)).collect();
    Node {
        metadata: ObjectMeta {
            name: Some(name),
            labels: Some(labels),
            annotations: Some(BTreeMap::from([(ATTACHED_BY_CONTROLLER.into(), "true".into())])),
            ..ObjectMeta::default()
        },
        spec: (!taints.is_empty())
            .then(|| NodeSpec { taints: Some(taints), ..NodeSpec::default() }),
        status: None,
    }
}

/// `key=value:effect` or `key:effect`.
fn taint(written: &str) -> Option<Taint> {
    let (head, effect) = written.rsplit_once(':')?;
    let (key, value) = head.split_once('=').unwrap_or((head, ""));
    Some(Taint {
        key: key.to_owned(),
        value: (!value.is_empty()).then(|| value.to_owned()),
        effect: effect.to_owned(),
        time_added: None,
    })
}

async fn status_now(kubelet: &Kubelet, before: &NodeStatus) -> NodeStatus {
    let config = kubelet.config();
    let machine = kubelet.machine();
    let (images, runtime_error) = match kubelet.images().list().await {
        Ok(images) => (images, None),
        Err(error) => (Vec::new(), Some(format!("container runtime is down: {error}"))),
    };
    let no_network = || {
        let why = match kubelet.addresses().are_by_network() {
            true => "Network plugin returns error: cni plugin not initialized",
            false => "the node has no podCIDR yet",
        };
        format!(
            "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady \
             message:{why}"
        )
    };
    let ending = || kubelet.ending().borrow().then(|| "node is shutting down".to_owned());
    let no_network = || (!kubelet.addresses().is_ready()).then(no_network);
    let not_ready = runtime_error.or_else(no_network).or_else(ending);
    let pressures = kubelet.pressures();
    kubelet.devices().count();
    let devices = kubelet.devices().counts().borrow().clone();
    let facts = NodeFacts {
        config,
        machine,
        pressures: &pressures,
        devices: &devices,
        images: &images,
        not_ready,
    };
    let mut status = node_status(before, &facts, Timestamp::now());
    let in_use = kubelet.csi().in_use().borrow().clone();
    status.volumes_in_use = (!in_use.is_empty()).then_some(in_use);
    status
}

async fn report(
    kubelet: &Kubelet,
    api: &Api<Node>,
    reported: &mut Option<(NodeStatus, Timestamp)>,
) {
    let config = kubelet.config();
    let node = kubelet.node().await;
    // What the server has now: others (and a deletion) may have changed it.
    let known = node.status.clone().unwrap_or_default();
    let status = status_now(kubelet, &known).await;
    let now = Timestamp::now();
    let fresh = reported.as_ref().is_some_and(|(_, at)| since(*at, now) < config.node_report_every);
    if fresh && is_same(&known, &status) {
        return;
    }
    tell_transitions(kubelet, &known, &status);
    tell_reboot(kubelet, &known, &status);
    let order: Vec<_> =
        status.conditions.iter().flatten().map(|c| json!({"type": c.type_})).collect();
    let mut body = serde_json::to_value(&status).unwrap_or_default();
    if let Some(fields) = body.as_object_mut() {
        fields.insert("$setElementOrder/conditions".into(), order.into());
        // Merged by type: addresses that are gone must be named as gone.
        let mut addresses = vec![json!({"$patch": "replace"})];
        addresses.extend(fields["addresses"].as_array().cloned().unwrap_or_default());
        fields.insert("addresses".into(), addresses.into());
        // Named even when there is none.
        fields.insert("volumesInUse".into(), json!(status.volumes_in_use));
        // Not the kubelet's.
        fields.remove("volumesAttached");
    }
    let patch = Patch::Strategic(json!({"status": body}));
    match api.patch_status(&config.node_name, &PatchParams::default(), &patch).await {
        Ok(node) => {
            kubelet.set_own_node(node);
            *reported = Some((status, now));
        }
        Err(error) if api_code(&error) == Some(404) => {
            let node = register(kubelet, api).await;
            kubelet.set_own_node(node);
        }
        Err(error) => tracing::debug!(%error, "the node's status could not be sent"),
    }
}

/// A new node tells what it has enough of; whether it is ready is told when that changes.
fn tell_first(kubelet: &Kubelet, status: &NodeStatus) {
    let ready = status.conditions.iter().flatten().filter(|c| c.type_ == "Ready");
    let before = NodeStatus { conditions: Some(ready.cloned().collect()), ..NodeStatus::default() };
    tell_transitions(kubelet, &before, status);
}

/// `NodeReady` and its sisters, when a condition changes.
fn tell_transitions(kubelet: &Kubelet, before: &NodeStatus, now: &NodeStatus) {
    let name = &kubelet.config().node_name;
    let table = [
        ("MemoryPressure", "True", "NodeHasInsufficientMemory"),
        ("MemoryPressure", "False", "NodeHasSufficientMemory"),
        ("DiskPressure", "True", "NodeHasDiskPressure"),
        ("DiskPressure", "False", "NodeHasNoDiskPressure"),
        ("PIDPressure", "True", "NodeHasInsufficientPID"),
        ("PIDPressure", "False", "NodeHasSufficientPID"),
        ("Ready", "True", "NodeReady"),
        ("Ready", "False", "NodeNotReady"),
    ];
    let known = |status: &NodeStatus, kind: &str| {
        let conditions = status.conditions.as_deref().unwrap_or_default();
        conditions.iter().find(|c| c.type_ == kind).map(|c| c.status.clone())
    };
    for (kind, status, reason) in table {
        if known(now, kind).as_deref() == Some(status)
            && known(before, kind).as_deref() != Some(status)
        {
            let message = format!("Node {name} status is now: {reason}");
            kubelet.events().node(EventType::Normal, reason, message);
        }
    }
}

/// `Rebooted`, when the machine was started since the last status.
fn tell_reboot(kubelet: &Kubelet, before: &NodeStatus, now: &NodeStatus) {
    let boot = |status: &NodeStatus| {
        let info = status.node_info.as_ref();
        info.map(|info| info.boot_id.clone()).unwrap_or_default()
    };
    if !boot(before).is_empty() && boot(before) != boot(now) {
        let name = &kubelet.config().node_name;
        let message = format!("Node {name} has been rebooted, boot id: {}", boot(now));
        kubelet.events().node(EventType::Warning, "Rebooted", message);
    }
}

/// The node's object for storage drivers: they add themselves.
async fn announce_storage(kubelet: &Kubelet) {
    let object = csi_node(&kubelet.node().await);
    let api: Api<CSINode> = Api::all(kubelet.client().clone());
    match api.create(&PostParams::default(), &object).await {
        Err(error) if api_code(&error) != Some(409) => {
            tracing::warn!(%error, "the CSINode could not be created");
        }
        _ => {}
    }
}

/// For networks that give pods their addresses: whether they can.
pub(crate) async fn follow_network(kubelet: Arc<Kubelet>) {
    let Some(mut ready) = kubelet.network().own_addresses() else {
        return kubelet.over().cancelled().await;
    };
    loop {
        let now = *ready.borrow_and_update();
        kubelet.addresses().set_network_ready(now);
        if ready.changed().await.is_err() {
            return kubelet.over().cancelled().await;
        }
    }
}

/// The nodes as the pod network needs them.
#[derive(Clone, Default, PartialEq)]
struct Nodes {
    own: Vec<IpNet>,
    others: BTreeMap<String, OtherNode>,
}

/// Follows all nodes: this one's pod ranges, and the ways to the others.
pub(crate) async fn watch_nodes(kubelet: Arc<Kubelet>) {
    let api: Api<Node> = Api::all(kubelet.client().clone());
    let (sender, mut changed) = watch::channel(None::<Nodes>);
    let own = kubelet.config().node_name.clone();
    let mut nodes = Nodes::default();
    let following = {
        let kubelet = Arc::clone(&kubelet);
        reflect(api, None, move |update| {
            let seen: Vec<(Node, bool)> = match update {
                Update::Replaced(all) => {
                    nodes.others.clear();
                    all.into_iter().map(|n| (n, true)).collect()
                }
                Update::Applied(node) => vec![(node, true)],
                Update::Deleted(node) => vec![(node, false)],
                Update::Failed(error) => {
                    return tracing::warn!(error, "the nodes cannot be watched");
                }
            };
            for (node, exists) in seen {
                let name = node.metadata.name.clone().unwrap_or_default();
                if name == own {
                    nodes.own = pod_ranges(&node);
                    kubelet.own_node_changed(node, exists);
                    continue;
                }
                match other_node(&node).filter(|_| exists) {
                    Some(other) => nodes.others.insert(name, other),
                    None => nodes.others.remove(&name),
                };
            }
            sender.send_if_modified(|known| {
                let differs = known.as_ref() != Some(&nodes);
                if differs {
                    *known = Some(nodes.clone());
                }
                differs
            });
        })
    };
    let applying = async {
        while changed.changed().await.is_ok() {
            // Nothing is known before the first list: routes of an earlier kubelet stay till then.
            let Some(wanted) = changed.borrow_and_update().clone() else { continue };
            let others: Vec<OtherNode> = wanted.others.into_values().collect();
            if let Err(error) = kubelet.network().set_nodes(&wanted.own, &others).await {
                tracing::warn!(%error, "the routes to other nodes could not be set");
                tokio::time::sleep(RETRY_MAX).await;
                changed.mark_changed();
            }
        }
    };
    tokio::join!(following, applying);
}

/// The pod ranges of a node, one of a family.
pub(crate) fn pod_ranges(node: &Node) -> Vec<IpNet> {
    let Some(spec) = &node.spec else { return Vec::new() };
    let listed = spec.pod_cidrs.iter().flatten();
    let mut ranges: Vec<IpNet> = listed.filter_map(|range| range.parse().ok()).collect();
    if ranges.is_empty() {
        ranges.extend(spec.pod_cidr.as_deref().and_then(|range| range.parse::<IpNet>().ok()));
    }
    ranges
}

fn other_node(node: &Node) -> Option<OtherNode> {
    let addresses = node.status.as_ref()?.addresses.as_deref()?;
    let internal = addresses.iter().filter(|a| a.type_ == "InternalIP");
    let addresses: Vec<IpAddr> = internal.filter_map(|a| a.address.parse().ok()).collect();
    let pod_ranges = pod_ranges(node);
    let reachable = !addresses.is_empty() && !pod_ranges.is_empty();
    reachable.then_some(OtherNode { pod_ranges, addresses })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn others_have_ranges_and_addresses() {
        let check = |spec, addresses: &[&str], expect: Option<(usize, usize)>| {
            let list: Vec<_> =
                addresses.iter().map(|a| json!({"type": "InternalIP", "address": a})).collect();
            let status = json!({"addresses": list});
            let node = serde_json::from_value(json!({"spec": spec, "status": status})).unwrap();
            let found = other_node(&node).map(|o| (o.pod_ranges.len(), o.addresses.len()));
            assert_eq!(found, expect);
        };
        let one = json!({"podCIDR": "10.244.1.0/24"});
        check(one.clone(), &["172.18.0.3"], Some((1, 1)));
        let both = json!({"podCIDR": "10.244.1.0/24", "podCIDRs": ["10.244.1.0/24", "fd00::/64"]});
        check(both, &["172.18.0.3", "fd00:2::3"], Some((2, 2)));
        check(json!({}), &["172.18.0.3"], None);
        check(one, &[], None);
    }

    #[test]
    fn taints() {
        let made = taint("node-role.kubernetes.io/control-plane:NoSchedule").unwrap();
        assert_eq!((made.value, made.effect.as_str()), (None, "NoSchedule"));
        assert_eq!(taint("a=b:NoExecute").unwrap().value.as_deref(), Some("b"));
        assert!(taint("a").is_none());
    }
}
