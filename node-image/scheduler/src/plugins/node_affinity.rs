//! NodeAffinity: node labels and names that a pod insists on or prefers, by nodeSelector and by
//! node affinity.

use kd_client::placement::{matches_selector, matches_term};
use kd_client::selects_all;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Normalize, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

const REASON: &str = "node(s) didn't match Pod's node affinity/selector";

pub(super) struct NodeAffinity;

struct Wanted<'a>(&'a PodFacts);

/// Whether a node is one of those that the pod insists on.
pub(super) fn accepts(pod: &PodFacts, node: &NodeFacts) -> bool {
    let affinity = pod.wishes.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required =
        affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    selects_all(&pod.wishes.node_selector, &node.labels)
        && required.is_none_or(|selector| matches_selector(selector, &node.name, &node.labels))
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
        &self,
        _: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let node_affinity = pod.wishes.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let silent = pod.wishes.node_selector.is_empty() && node_affinity.is_none();
        Ok((!silent).then(|| Box::new(Wanted(pod)) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool {
        matches!(event, ClusterEvent::Node(node) if accepts(pod, node))
    }
}

impl Prepared for Wanted<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        if accepts(self.0, node) { Vec::new() } else { vec![Refusal::fixed(REASON)] }
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let affinity = self.0.wishes.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let preferred =
            affinity.and_then(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref());
        let matching = preferred
            .into_iter()
            .flatten()
            .filter(|p| matches_term(&p.preference, &node.name, &node.labels));
        matching.map(|p| i64::from(p.weight)).sum()
    }
}
