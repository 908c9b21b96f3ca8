//! NodeAffinity: node labels and names that a pod insists on or prefers, by nodeSelector and by
//! node affinity.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{NodeSelector, NodeSelectorRequirement, NodeSelectorTerm};
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
        && required.is_none_or(|selector| matches_selector(selector, node))
}

/// Terms are alternatives; the requirements of a term all have to hold. An empty term holds nowhere.
pub fn matches_selector(selector: &NodeSelector, node: &NodeFacts) -> bool {
    selector.node_selector_terms.iter().any(|term| matches_term(term, node))
}

fn matches_term(term: &NodeSelectorTerm, node: &NodeFacts) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let named = BTreeMap::from([("metadata.name".to_owned(), node.name.clone())]);
    let empty = expressions.is_empty() && fields.is_empty();
    !empty
        && expressions.iter().all(|r| holds(r, &node.labels))
        && fields.iter().all(|r| holds(r, &named))
}

fn holds(requirement: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => !value.is_some_and(|value| values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number().is_some_and(|(have, bound)| have > bound),
        "Lt" => number().is_some_and(|(have, bound)| have < bound),
        _ => false,
    }
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
        let matching =
            preferred.into_iter().flatten().filter(|p| matches_term(&p.preference, node));
        matching.map(|p| i64::from(p.weight)).sum()
    }
}
