//! Which nodes a DaemonSet's pods are for.

use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Affinity, NodeSelector, PodSpec, Taint};
use kd_client::placement::{NodeDemand, tolerates_all};
use kd_client::{Change, Object};
use serde::Deserialize;

/// A node as a DaemonSet sees it.
pub(super) struct NodeFit {
    pub name: String,
    /// A pod should be there.
    pub runs: bool,
    /// A pod that is there may stay.
    pub keeps: bool,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeHead {
    spec: NodeSpecHead,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct NodeSpecHead {
    taints: Vec<Taint>,
}

/// How a pod fits nodes.
pub(super) fn fits<'a>(
    pod: &PodSpec,
    nodes: impl Iterator<Item = &'a Arc<Object>>,
) -> Vec<NodeFit> {
    let demand = NodeDemand::of(pod);
    let tolerations = pod.tolerations.as_deref().unwrap_or_default();
    let wanted = pod.node_name.as_deref().filter(|wanted| !wanted.is_empty());
    let fit = |node: &'a Arc<Object>| {
        let (name, taints) = (node.metadata.name.clone(), taints(node)?);
        let fits = wanted.is_none_or(|wanted| wanted == name)
            && demand.accepts(&name, &node.metadata.labels);
        let tolerated = |effects: &[&str]| tolerates_all(tolerations, taints, effects);
        let runs = fits && tolerated(&["NoSchedule", "NoExecute"]);
        let keeps = fits && tolerated(&["NoExecute"]);
        Some(NodeFit { name, runs, keeps })
    };
    nodes.filter_map(fit).collect()
}

/// A node's taints, which every DaemonSet asks for.
fn taints(node: &Object) -> Option<&[Taint]> {
    let head = node.derived(|node| node.decode::<NodeHead>());
    head.as_ref().map(|head| head.spec.taints.as_slice())
}

/// Whether a change of a node can change what fits it: heartbeats cannot.
pub(super) fn matters(change: &Change) -> bool {
    let (Some(old), Some(new)) = (&change.old, &change.new) else { return true };
    old.metadata.labels != new.metadata.labels || taints(old) != taints(new)
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodHead {
    spec: PodSpecHead,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct PodSpecHead {
    affinity: Option<Affinity>,
}

/// The node that a pod is for: the one it is on, or the one its affinity names.
pub(super) fn target_node(pod: &Object) -> Option<String> {
    if let Some(node) = pod.node() {
        return Some(node.to_owned());
    }
    let affinity = pod.decode::<PodHead>()?.spec.affinity?.node_affinity?;
    named_node(&affinity.required_during_scheduling_ignored_during_execution?)
}

fn named_node(selector: &NodeSelector) -> Option<String> {
    let fields = selector.node_selector_terms.iter().flat_map(|term| term.match_fields.iter());
    let mut named = fields.flatten().filter(|r| r.key == "metadata.name" && r.operator == "In");
    named.find_map(|r| match r.values.as_deref() {
        Some([name]) => Some(name.clone()),
        _ => None,
    })
}

/// Nodes by name.
pub(super) fn by_name(nodes: &[NodeFit]) -> BTreeMap<&str, &NodeFit> {
    nodes.iter().map(|node| (node.name.as_str(), node)).collect()
}
