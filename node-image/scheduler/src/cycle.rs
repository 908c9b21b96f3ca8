//! One scheduling cycle: filter, score, choose. A pure function of the cluster's state.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{Plugin, Prepared, Refusal, normalize};
use crate::pod::PodFacts;

/// Why no node was found.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Diagnosis {
    /// By node, what was refused and by which plugin.
    pub refusals: BTreeMap<String, (&'static str, Vec<Refusal>)>,
    /// A refusal of the pod as a whole.
    pub whole: Option<(&'static str, Refusal)>,
    /// Nodes there are.
    pub nodes: usize,
}

impl Diagnosis {
    /// The names of the plugins that refused.
    pub fn plugins(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.refusals.values().map(|(name, _)| *name).collect();
        names.extend(self.whole.iter().map(|(name, _)| *name));
        names.sort_unstable();
        names.dedup();
        names
    }

    /// `0/3 nodes are available: 1 Insufficient cpu, 2 ...`, with what preemption found appended.
    pub fn message(&self, preemption: &str) -> String {
        if self.nodes == 0 {
            return "no nodes available to schedule pods".into();
        }
        let mut text = format!("0/{} nodes are available", self.nodes);
        match &self.whole {
            Some((_, refusal)) => text += &format!(": {}.", refusal.reason),
            None => text += &reasons(self.refusals.values().flat_map(|(_, all)| all)),
        }
        if preemption.is_empty() { text } else { format!("{text} {preemption}") }
    }
}

/// `: 1 a, 2 b.`, sorted as text.
pub fn reasons<'a>(refusals: impl Iterator<Item = &'a Refusal>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for refusal in refusals {
        *counts.entry(&refusal.reason).or_insert(0) += 1;
    }
    let mut texts: Vec<String> =
        counts.iter().map(|(why, count)| format!("{count} {why}")).collect();
    texts.sort();
    if texts.is_empty() { ".".into() } else { format!(": {}.", texts.join(", ")) }
}

/// All plugins prepared for one pod.
pub struct Cycle<'a> {
    rules: Vec<(&'a dyn Plugin, Box<dyn Prepared + 'a>)>,
}

impl<'a> Cycle<'a> {
    /// Prepares all plugins; an error is a plugin that refuses the pod as a whole.
    pub fn prepare(
        plugins: &'a [Box<dyn Plugin>],
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Cycle<'a>, (&'static str, Refusal)> {
        let mut rules = Vec::with_capacity(plugins.len());
        for plugin in plugins {
            let prepared = plugin.prepare(cluster, pod).map_err(|why| (plugin.name(), why))?;
            rules.extend(prepared.map(|prepared| (&**plugin, prepared)));
        }
        Ok(Cycle { rules })
    }

    /// The first plugin that refuses a node, and why.
    pub fn filter(&self, node: &NodeFacts) -> Option<(&'static str, Vec<Refusal>)> {
        self.rules.iter().find_map(|(plugin, rule)| {
            let refusals = rule.filter(node);
            (!refusals.is_empty()).then(|| (plugin.name(), refusals))
        })
    }

    fn scores(&self, nodes: &[&Arc<NodeFacts>]) -> Vec<i64> {
        let mut totals = vec![0; nodes.len()];
        for (plugin, rule) in self.rules.iter().filter(|(plugin, _)| plugin.weight() > 0) {
            let mut scores: Vec<i64> = nodes.iter().map(|node| rule.score(node)).collect();
            normalize(plugin.normalize(), &mut scores);
            for (total, score) in totals.iter_mut().zip(scores) {
                *total += score * plugin.weight();
            }
        }
        totals
    }
}

/// Finds the best node for a pod. `turn` breaks ties, so that equal nodes take turns.
pub fn choose(
    plugins: &[Box<dyn Plugin>],
    cluster: &Cluster,
    pod: &PodFacts,
    turn: usize,
) -> Result<String, Diagnosis> {
    let nodes = cluster.nodes().count();
    let mut diagnosis = Diagnosis { nodes, ..Diagnosis::default() };
    let cycle = match Cycle::prepare(plugins, cluster, pod) {
        Ok(cycle) => cycle,
        Err(whole) => {
            diagnosis.whole = Some(whole);
            return Err(diagnosis);
        }
    };
    let mut feasible: Vec<&Arc<NodeFacts>> = Vec::new();
    for node in cluster.nodes() {
        match cycle.filter(node) {
            None => feasible.push(node),
            Some(refused) => {
                diagnosis.refusals.insert(node.name.clone(), refused);
            }
        }
    }
    // Room that was made for this pod is taken before anything better.
    let nominated = pod.nominated.as_ref();
    if let Some(node) = feasible.iter().find(|node| Some(&node.name) == nominated) {
        return Ok(node.name.clone());
    }
    if feasible.is_empty() {
        return Err(diagnosis);
    }
    let scores = cycle.scores(&feasible);
    let best = scores.iter().copied().max().unwrap_or(0);
    let ties: Vec<&&Arc<NodeFacts>> =
        feasible.iter().zip(&scores).filter(|(_, s)| **s == best).map(|(node, _)| node).collect();
    Ok(ties[turn % ties.len()].name.clone())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::testing::{cluster, decide, node, pod};

    #[test]
    fn messages() {
        let tainted =
            node("a", json!({"spec": {"taints": [{"key": "k", "effect": "NoSchedule"}]}}));
        let small = node("b", json!({"status": {"allocatable": {"cpu": "1", "pods": "10"}}}));
        let full = node("c", json!({"status": {"allocatable": {"cpu": "1", "pods": "0"}}}));
        let big = pod(
            "p",
            json!({"spec": {"containers": [{"name": "c",
            "resources": {"requests": {"cpu": "2"}}}]}}),
        );
        assert_eq!(
            decide(&cluster(&[tainted, small, full], &[]), &big).unwrap_err().message(""),
            "0/3 nodes are available: 1 Too many pods, 1 node(s) had untolerated taint(s), \
             2 Insufficient cpu."
        );
        let none = decide(&cluster(&[], &[]), &big).unwrap_err();
        assert_eq!(none.message(""), "no nodes available to schedule pods");
        let claiming = pod(
            "p",
            json!({"spec": {"volumes": [
            {"name": "v", "persistentVolumeClaim": {"claimName": "x"}}]}}),
        );
        let node = node("a", json!({}));
        assert_eq!(
            decide(&cluster(&[node], &[]), &claiming).unwrap_err().message(""),
            "0/1 nodes are available: persistentvolumeclaim \"x\" not found."
        );
    }
}
