//! One scheduling cycle: filter, score, choose. A pure function of the cluster's state.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{Prepared, Refusal, normalize};
use crate::pod::PodFacts;
use crate::profile::{Enabled, Profile};
use crate::topology::Slot;

/// Nodes below which all are looked at, and which are found at least.
const NODES_MIN: usize = 100;
/// The share of nodes that is found at least, in percent.
const PERCENTAGE_MIN: usize = 5;

/// Where cycles go on from each other, so that nodes take turns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// The node to begin with.
    pub start: usize,
    /// Breaks ties.
    pub tie: usize,
}

/// A chosen node.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// Its name.
    pub node: String,
    /// How many nodes were looked at.
    pub evaluated: usize,
}

/// The pods that are to be taken as placed where room is being made for them, by node.
pub type Nominated<'a> = BTreeMap<&'a str, Vec<&'a Arc<PodFacts>>>;

/// Why no node was found.
#[derive(Clone, Debug, Default)]
pub struct Diagnosis {
    /// What was refused, by which plugin.
    pub refusals: Vec<(Arc<NodeFacts>, &'static str, Vec<Refusal>)>,
    /// A refusal of the pod as a whole.
    pub whole: Option<(&'static str, Refusal)>,
    /// Plugins that named the only nodes in question, which leaves out the others.
    pub narrowed: Vec<&'static str>,
    /// Nodes there are.
    pub nodes: usize,
}

impl Diagnosis {
    /// The names of the plugins that refused.
    pub fn plugins(&self) -> Vec<&'static str> {
        let mut names: Vec<&'static str> = self.refusals.iter().map(|(_, name, _)| *name).collect();
        names.extend(self.whole.iter().map(|(name, _)| *name));
        names.extend(&self.narrowed);
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
            None => {
                let all = self.refusals.iter().flat_map(|(_, _, all)| all);
                let told = all.map(|refusal| (&*refusal.reason, 1));
                let names = self.narrowed.join(" ");
                let others = format!("node(s) didn't satisfy plugin(s) [{names}]");
                let left_out = self.nodes.saturating_sub(self.refusals.len());
                let left_out = (left_out > 0 && !names.is_empty()).then_some((&*others, left_out));
                text += &reasons(told.chain(left_out));
            }
        }
        if preemption.is_empty() { text } else { format!("{text} {preemption}") }
    }
}

/// `: 1 a, 2 b.`, sorted as text.
pub fn reasons<'a>(refusals: impl Iterator<Item = (&'a str, usize)>) -> String {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    for (reason, count) in refusals {
        *counts.entry(reason).or_insert(0) += count;
    }
    let mut texts: Vec<String> =
        counts.iter().map(|(why, count)| format!("{count} {why}")).collect();
    texts.sort();
    if texts.is_empty() { ".".into() } else { format!(": {}.", texts.join(", ")) }
}

/// All plugins prepared for one pod.
pub struct Cycle<'a> {
    rules: Vec<(&'a Enabled, Box<dyn Prepared + 'a>)>,
    /// The places of those that filter.
    filters: Vec<usize>,
}

impl<'a> Cycle<'a> {
    /// Prepares all plugins; an error is a plugin that refuses the pod as a whole.
    pub fn prepare(
        profile: &'a Profile,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Cycle<'a>, (&'static str, Refusal)> {
        let mut rules = Vec::with_capacity(profile.plugins.len());
        for enabled in &profile.plugins {
            let plugin = &enabled.plugin;
            let prepared = plugin.prepare(cluster, pod).map_err(|why| (plugin.name(), why))?;
            rules.extend(prepared.map(|prepared| (enabled, prepared)));
        }
        let filters = |(_, (enabled, rule)): &(usize, &(&Enabled, Box<dyn Prepared + 'a>))| {
            enabled.filters && rule.filters()
        };
        let filters = rules.iter().enumerate().filter(filters).map(|(place, _)| place).collect();
        Ok(Cycle { rules, filters })
    }

    /// The first plugin that refuses a node, and why.
    pub fn filter(&self, node: &NodeFacts) -> Option<(&'static str, Vec<Refusal>)> {
        self.filtering().find_map(|(enabled, rule)| {
            let refusals = rule.filter(node);
            (!refusals.is_empty()).then(|| (enabled.plugin.name(), refusals))
        })
    }

    fn filtering(&self) -> impl Iterator<Item = &(&'a Enabled, Box<dyn Prepared + 'a>)> {
        self.filters.iter().map(|place| &self.rules[*place])
    }

    /// Whether pods elsewhere decide what `filter` says of a node.
    pub fn looks_beyond(&self) -> bool {
        self.filtering().any(|(_, rule)| rule.looks_beyond())
    }

    /// The only nodes that come into question, and the plugins that say so.
    fn only(&self) -> Option<(Vec<String>, Vec<&'static str>)> {
        let mut found: Option<(Vec<String>, Vec<&'static str>)> = None;
        for (enabled, rule) in self.filtering() {
            let Some(names) = rule.only() else { continue };
            let (known, plugins) = found.get_or_insert_with(|| (names.clone(), Vec::new()));
            known.retain(|name| names.contains(name));
            plugins.push(enabled.plugin.name());
        }
        let (mut names, plugins) = found?;
        names.sort();
        names.dedup();
        Some((names, plugins))
    }

    fn scores(&mut self, nodes: &[&NodeFacts]) -> Vec<i64> {
        let (mut totals, mut scores) = (vec![0; nodes.len()], Vec::with_capacity(nodes.len()));
        for (enabled, rule) in self.rules.iter_mut().filter(|(enabled, _)| enabled.weight > 0) {
            if !rule.prepare_scores(nodes) {
                continue;
            }
            scores.clear();
            rule.scores(nodes, &mut scores);
            normalize(enabled.plugin.normalize(), &mut scores);
            for (total, score) in totals.iter_mut().zip(&scores) {
                *total += score * enabled.weight;
            }
        }
        totals
    }
}

/// Whether a pod fits on a node once pods there are added and removed.
pub fn fits_with(
    profile: &Profile,
    cluster: &Cluster,
    cycle: &Cycle<'_>,
    pod: &PodFacts,
    node: &Arc<NodeFacts>,
    added: &[&Arc<PodFacts>],
    removed: &[&Arc<PodFacts>],
) -> Option<(&'static str, Vec<Refusal>)> {
    if !cycle.looks_beyond() {
        let mut changed = NodeFacts::clone(node);
        removed.iter().for_each(|pod| changed.remove(pod));
        added.iter().for_each(|pod| changed.add((*pod).clone()));
        return cycle.filter(&changed);
    }
    let mut trial = cluster.clone();
    for pod in removed {
        trial.unplace(&pod.key);
    }
    for pod in added {
        trial.place(PodFacts::placed_on(pod, &node.name));
    }
    match Cycle::prepare(profile, &trial, pod) {
        Ok(cycle) => cycle.filter(trial.at(node.slot)),
        Err((plugin, refusal)) => Some((plugin, vec![refusal])),
    }
}

/// The nodes to look at.
enum Search<'a> {
    /// In this order, round from a start, until enough fit.
    Round { order: &'a [Slot], start: usize },
    /// Only these.
    Named(Vec<Slot>),
}

/// Nodes that a pod fits on.
pub struct Found<'a> {
    cycle: Cycle<'a>,
    /// The nodes.
    pub feasible: Vec<&'a Arc<NodeFacts>>,
    /// Why not others.
    pub diagnosis: Diagnosis,
    evaluated: usize,
}

impl Found<'_> {
    /// Chooses the best node; `more` are scores from elsewhere.
    pub fn best(&mut self, more: &HashMap<String, i64>, turn: Turn) -> Option<Choice> {
        let plain: Vec<&NodeFacts> = self.feasible.iter().map(|node| &***node).collect();
        let node = match plain.as_slice() {
            [] => return None,
            [only] => *only,
            nodes => {
                let mut scores = self.cycle.scores(nodes);
                for (score, node) in scores.iter_mut().zip(nodes) {
                    *score += more.get(&node.name).copied().unwrap_or(0);
                }
                let highest = scores.iter().copied().max().unwrap_or(0);
                let best = || nodes.iter().zip(&scores).filter(|(_, s)| **s == highest);
                let chosen = best().nth(turn.tie % best().count().max(1));
                chosen.map_or(nodes[0], |(node, _)| *node)
            }
        };
        Some(Choice { node: node.name.clone(), evaluated: self.evaluated })
    }
}

/// Finds the best node for a pod.
pub fn choose(
    profile: &Profile,
    cluster: &Cluster,
    nominated: &Nominated<'_>,
    pod: &PodFacts,
    turn: Turn,
) -> Result<Choice, Diagnosis> {
    let mut found = search(profile, cluster, nominated, pod, turn)?;
    found.best(&HashMap::new(), turn).ok_or(found.diagnosis)
}

/// Finds nodes that a pod fits on, of which there is at least one.
pub fn search<'a>(
    profile: &'a Profile,
    cluster: &'a Cluster,
    nominated: &Nominated<'_>,
    pod: &'a PodFacts,
    turn: Turn,
) -> Result<Found<'a>, Diagnosis> {
    let mut diagnosis = Diagnosis { nodes: cluster.count(), ..Diagnosis::default() };
    if diagnosis.nodes == 0 {
        return Err(diagnosis);
    }
    let cycle = match Cycle::prepare(profile, cluster, pod) {
        Ok(cycle) => cycle,
        Err(whole) => {
            diagnosis.whole = Some(whole);
            return Err(diagnosis);
        }
    };
    let fits = |node: &Arc<NodeFacts>| {
        let first = nominated.get(&*node.name).map_or(&[][..], Vec::as_slice);
        let refused = match first.is_empty() {
            true => None,
            false => fits_with(profile, cluster, &cycle, pod, node, first, &[]),
        };
        refused.or_else(|| cycle.filter(node))
    };
    // Room that was made for this pod is taken before anything better.
    if let Some(node) = pod.nominated.as_deref().and_then(|name| cluster.node(name))
        && fits(node).is_none()
    {
        return Ok(Found { feasible: vec![node], cycle, diagnosis, evaluated: 1 });
    }
    let order = cluster.order();
    let search = match cycle.only() {
        Some((names, plugins)) => {
            diagnosis.narrowed = plugins;
            let nodes = names.iter().filter_map(|name| cluster.node(name));
            Search::Named(nodes.map(|node| node.slot).collect())
        }
        None => Search::Round { order: &order, start: turn.start },
    };
    let (feasible, evaluated) = find(profile, cluster, search, fits, &mut diagnosis);
    match feasible.is_empty() {
        true => Err(diagnosis),
        false => Ok(Found { cycle, feasible, diagnosis, evaluated }),
    }
}

fn find<'a>(
    profile: &Profile,
    cluster: &'a Cluster,
    search: Search<'_>,
    fits: impl Fn(&Arc<NodeFacts>) -> Option<(&'static str, Vec<Refusal>)>,
    diagnosis: &mut Diagnosis,
) -> (Vec<&'a Arc<NodeFacts>>, usize) {
    let (order, start, wanted) = match &search {
        Search::Round { order, start } => {
            (*order, *start, nodes_to_find(profile.percentage_of_nodes, order.len()))
        }
        Search::Named(slots) => (slots.as_slice(), 0, slots.len()),
    };
    let (mut feasible, mut evaluated) = (Vec::with_capacity(wanted), 0);
    for index in 0..order.len() {
        if feasible.len() == wanted {
            break;
        }
        let node = cluster.at(order[(start + index) % order.len()]);
        evaluated += 1;
        match fits(node) {
            None => feasible.push(node),
            Some((plugin, why)) => diagnosis.refusals.push((node.clone(), plugin, why)),
        }
    }
    (feasible, evaluated)
}

/// How many nodes that fit are enough to choose the best of.
fn nodes_to_find(percentage: i32, nodes: usize) -> usize {
    if nodes < NODES_MIN {
        return nodes;
    }
    let percentage = match usize::try_from(percentage) {
        Ok(given) if given > 0 => given,
        _ => 50_usize.saturating_sub(nodes / 125).max(PERCENTAGE_MIN),
    };
    (nodes * percentage / 100).clamp(NODES_MIN, nodes)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{cluster, decide, node, pod};

    #[test]
    fn how_many_nodes_are_enough() {
        let check = |percentage, nodes, expect| {
            assert_eq!(nodes_to_find(percentage, nodes), expect, "{percentage} % of {nodes}");
        };
        check(0, 10, 10);
        check(0, 99, 99);
        check(0, 100, 100);
        check(0, 1000, 420);
        check(0, 5000, 500);
        check(0, 20_000, 1000);
        check(30, 1000, 300);
        check(100, 5000, 5000);
        check(1, 150, 100);
    }

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
