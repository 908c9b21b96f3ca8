//! NodeAffinity: node labels and names that a pod insists on or prefers, by nodeSelector and by
//! node affinity.

use k8s_openapi::api::core::v1::{self as core, NodeSelector, PreferredSchedulingTerm};
use kd_client::placement::{matches_selector, matches_term};
use kd_client::selects_all;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Normalize, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

const REASON: &str = "node(s) didn't match Pod's node affinity/selector";

const ENFORCED: &str = "node(s) didn't match scheduler-enforced node affinity";

/// The plugin.
#[derive(Default)]
pub struct NodeAffinity {
    /// What the profile asks of all nodes, besides.
    pub added: Option<core::NodeAffinity>,
}

struct Wanted<'a> {
    plugin: &'a NodeAffinity,
    pod: &'a PodFacts,
}

/// Whether a node is one of those that the pod insists on.
pub(super) fn accepts(pod: &PodFacts, node: &NodeFacts) -> bool {
    selects_all(&pod.wishes.node_selector, &node.labels)
        && required(pod).is_none_or(|selector| matches_selector(selector, &node.name, &node.labels))
}

/// Whether a pod insists on some nodes.
pub(super) fn selects(pod: &PodFacts) -> bool {
    !pod.wishes.node_selector.is_empty() || required(pod).is_some()
}

fn required(pod: &PodFacts) -> Option<&NodeSelector> {
    let affinity = pod.wishes.node_affinity.as_ref()?;
    affinity.required_during_scheduling_ignored_during_execution.as_ref()
}

/// The nodes that every term names, when every term does.
fn named(pod: &PodFacts) -> Option<Vec<String>> {
    let terms = &required(pod)?.node_selector_terms;
    let mut names = Vec::new();
    for term in terms {
        let mut both: Option<Vec<String>> = None;
        for field in term.match_fields.iter().flatten() {
            if field.key == "metadata.name" && field.operator == "In" {
                let values = field.values.clone().unwrap_or_default();
                both = Some(match both {
                    Some(known) => known.into_iter().filter(|n| values.contains(n)).collect(),
                    None => values,
                });
            }
        }
        names.extend(both?);
    }
    (!terms.is_empty()).then_some(names)
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
        let silent = pod.wishes.node_selector.is_empty()
            && pod.wishes.node_affinity.is_none()
            && self.added.is_none();
        let wanted = || Box::new(Wanted { plugin: self, pod }) as Box<dyn Prepared>;
        Ok((!silent).then(wanted))
    }

    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool {
        matches!(event, ClusterEvent::Node(node) if self.enforces(node) && accepts(pod, node))
    }
}

impl NodeAffinity {
    fn enforces(&self, node: &NodeFacts) -> bool {
        let required = self.added.as_ref();
        let required =
            required.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        required.is_none_or(|selector| matches_selector(selector, &node.name, &node.labels))
    }
}

impl Wanted<'_> {
    fn preferred(&self) -> impl Iterator<Item = &PreferredSchedulingTerm> {
        let both = [self.pod.wishes.node_affinity.as_ref(), self.plugin.added.as_ref()];
        let lists = both.into_iter().flatten();
        lists
            .filter_map(|a| a.preferred_during_scheduling_ignored_during_execution.as_ref())
            .flatten()
    }
}

impl Prepared for Wanted<'_> {
    fn only(&self) -> Option<Vec<String>> {
        named(self.pod)
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
        let matching =
            self.preferred().filter(|p| matches_term(&p.preference, &node.name, &node.labels));
        matching.map(|p| i64::from(p.weight)).sum()
    }
}
