//! NodeAffinity: node labels and names that a pod insists on or prefers, by nodeSelector and by
//! node affinity.

use k8s_openapi::api::core::v1::NodeAffinity as Written;
use kd_client::placement::{NodeTerm, NodeTerms};

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Normalize, Plugin, Prepared, Refusal};
use crate::pod::{PodFacts, PreferredNodes, preferred_nodes};

const REASON: &str = "node(s) didn't match Pod's node affinity/selector";

const ENFORCED: &str = "node(s) didn't match scheduler-enforced node affinity";

/// The plugin.
#[derive(Default)]
pub struct NodeAffinity {
    /// What the profile insists on for all pods, besides.
    enforced: Option<NodeTerms>,
    /// What it prefers for all pods.
    preferred: PreferredNodes,
}

struct Wanted<'a> {
    plugin: &'a NodeAffinity,
    pod: &'a PodFacts,
}

/// Whether a node is one of those that the pod insists on.
pub(super) fn accepts(pod: &PodFacts, node: &NodeFacts) -> bool {
    pod.wishes.node_demand.accepts(&node.name, &node.labels)
}

/// Whether a pod insists on some nodes.
pub(super) fn selects(pod: &PodFacts) -> bool {
    !pod.wishes.node_demand.is_empty()
}

impl Plugin for NodeAffinity {
    fn name(&self) -> &'static str {
        "NodeAffinity"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn normalize(&self) -> Normalize {
        Normalize::HighestIsBest
    }

    fn prepare<'a>(
        &'a self,
        _: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let silent = pod.wishes.node_demand.is_empty()
            && pod.wishes.preferred_nodes.is_empty()
            && self.enforced.is_none()
            && self.preferred.is_empty();
        let wanted = || Box::new(Wanted { plugin: self, pod }) as Box<dyn Prepared>;
        Ok((!silent).then(wanted))
    }

    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool {
        matches!(event, ClusterEvent::Node(node) if self.enforces(node) && accepts(pod, node))
    }
}

impl NodeAffinity {
    /// The plugin with an affinity that the profile adds to every pod's.
    pub fn with_added(added: Option<&Written>) -> NodeAffinity {
        let required =
            added.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        NodeAffinity {
            enforced: required.map(NodeTerms::of),
            preferred: added.map(preferred_nodes).unwrap_or_default(),
        }
    }

    fn enforces(&self, node: &NodeFacts) -> bool {
        self.enforced.as_ref().is_none_or(|terms| terms.accept(&node.name, &node.labels))
    }
}

impl Wanted<'_> {
    fn preferred(&self) -> impl Iterator<Item = &(NodeTerm, i64)> {
        self.pod.wishes.preferred_nodes.iter().chain(&self.plugin.preferred)
    }
}

impl Prepared for Wanted<'_> {
    fn only(&self) -> Option<Vec<String>> {
        let names = self.pod.wishes.node_demand.names()?;
        Some(names.into_iter().map(str::to_owned).collect())
    }

    fn filters(&self) -> bool {
        self.plugin.enforced.is_some() || selects(self.pod)
    }

    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        if !self.plugin.enforces(node) {
            return vec![Refusal::fixed(ENFORCED)];
        }
        if accepts(self.pod, node) { Vec::new() } else { vec![Refusal::fixed(REASON)] }
    }

    fn prepare_scores(&mut self, _: &[&NodeFacts]) -> bool {
        self.preferred().next().is_some()
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let matching = self.preferred().filter(|(term, _)| term.accepts(&node.name, &node.labels));
        matching.map(|(_, weight)| weight).sum()
    }
}
