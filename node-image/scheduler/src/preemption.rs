//! DefaultPreemption: when no node has room, finds the node where removing the least important pods
//! makes some.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;

use crate::budget;
use crate::cluster::Cluster;
use crate::cycle::{Cycle, Diagnosis, Nominated, fits_with, reasons};
use crate::node::NodeFacts;
use crate::plugin::Refusal;
use crate::pod::PodFacts;
use crate::profile::{Candidates, Profile};

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// On any of these nodes the pod fits once its victims are gone.
    Candidates(Vec<Candidate>),
    /// Nothing, and why: appended to the pod's message.
    Nothing(String),
}

/// A node, and the pods to remove from it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Candidate {
    /// The node.
    pub node: String,
    /// The pods, the least important last.
    pub victims: Vec<Victim>,
}

impl Candidate {
    /// How many PodDisruptionBudgets it breaks.
    pub fn violations(&self) -> usize {
        self.victims.iter().filter(|victim| victim.violates).count()
    }
}

/// A pod to remove.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Victim {
    /// Which.
    pub key: kd_client::Key,
    /// Its uid.
    pub uid: String,
    priority: i32,
    started: Option<Timestamp>,
    /// Its going breaks a PodDisruptionBudget.
    violates: bool,
}

/// Looks for a node where the pod fits once pods of lower priority are gone. `offset` is the place in
/// the diagnosis to begin with, so that nodes take turns.
pub fn preempt(
    profile: &Profile,
    cluster: &Cluster,
    nominated: &Nominated<'_>,
    pod: &PodFacts,
    diagnosis: &Diagnosis,
    offset: usize,
) -> Preemption {
    if diagnosis.nodes == 0 || !profile.preempts {
        return Preemption::Nothing(String::new());
    }
    if !pod.wishes.preempts {
        let why = "preemption: not eligible due to preemptionPolicy=Never.";
        return Preemption::Nothing(why.into());
    }
    if making_room(cluster, pod, diagnosis) {
        let why = "preemption: not eligible due to a terminating pod on the nominated node.";
        return Preemption::Nothing(why.into());
    }
    let hopeful = |refusals: &[Refusal]| refusals.iter().all(|refusal| refusal.resolvable);
    let nodes: Vec<&Arc<NodeFacts>> =
        diagnosis.refusals.iter().filter(|(_, _, why)| hopeful(why)).map(|(n, _, _)| n).collect();
    let Ok(cycle) = Cycle::prepare(profile, cluster, pod) else {
        return Preemption::Nothing(nothing(0, diagnosis.nodes));
    };
    let trial = Trial { profile, cluster, nominated, pod, cycle };
    let wanted = candidates_wanted(profile.candidates, nodes.len());
    let (mut candidates, mut unbroken) = (Vec::new(), false);
    for index in 0..nodes.len() {
        let node = nodes[(offset + index) % nodes.len()];
        let Some(victims) = trial.victims_on(node) else { continue };
        let candidate = Candidate { node: node.name.clone(), victims };
        unbroken |= candidate.violations() == 0;
        candidates.push(candidate);
        if candidates.len() >= wanted && unbroken {
            break;
        }
    }
    if !candidates.is_empty() {
        return Preemption::Candidates(candidates);
    }
    Preemption::Nothing(nothing(nodes.len(), diagnosis.nodes))
}

/// What is told when no victims were found on the nodes on which there could have been some.
fn nothing(hopeful: usize, nodes: usize) -> String {
    let told = [
        ("No preemption victims found for incoming pod", hopeful),
        ("Preemption is not helpful for scheduling", nodes - hopeful),
    ];
    let text = reasons(told.into_iter().filter(|(_, count)| *count > 0));
    format!("preemption: 0/{nodes} nodes are available{text}")
}

/// The cheapest of some candidates.
pub fn cheapest(candidates: Vec<Candidate>) -> Option<Candidate> {
    candidates.into_iter().min_by_key(|candidate| Cost::of(&candidate.victims))
}

/// How many nodes with victims are enough to choose from.
fn candidates_wanted(wanted: Candidates, nodes: usize) -> usize {
    let positive = |number: i32| usize::try_from(number).unwrap_or(0);
    let share = nodes * positive(wanted.percentage_min) / 100;
    share.max(positive(wanted.absolute_min)).min(nodes)
}

/// Whether victims of an earlier round are still going.
fn making_room(cluster: &Cluster, pod: &PodFacts, diagnosis: &Diagnosis) -> bool {
    let Some(node) = pod.nominated.as_deref().and_then(|name| cluster.node(name)) else {
        return false;
    };
    let hopeless = |(refused, _, why): &(Arc<NodeFacts>, &str, Vec<Refusal>)| {
        refused.slot == node.slot && why.iter().any(|refusal| !refusal.resolvable)
    };
    let lower =
        |p: &Arc<PodFacts>| p.deleting && p.preempted && p.wishes.priority < pod.wishes.priority;
    !diagnosis.refusals.iter().any(hopeless) && node.pods.iter().any(lower)
}

/// What is tried out.
struct Trial<'a> {
    profile: &'a Profile,
    cluster: &'a Cluster,
    nominated: &'a Nominated<'a>,
    pod: &'a PodFacts,
    cycle: Cycle<'a>,
}

impl Trial<'_> {
    /// The fewest pods to remove from a node; None when even removing all does not help.
    fn victims_on(&self, node: &Arc<NodeFacts>) -> Option<Vec<Victim>> {
        let lower = |p: &&Arc<PodFacts>| p.wishes.priority < self.pod.wishes.priority;
        let mut candidates: Vec<&Arc<PodFacts>> = node.pods.iter().filter(lower).collect();
        if candidates.is_empty() {
            return None;
        }
        if !self.fits(node, &candidates) {
            return None;
        }
        // The most important are put back first, of those whose budgets would break before the
        // others; who then does not fit any more has to go.
        candidates.sort_by_key(|p| (Reverse(p.wishes.priority), p.started));
        let violating = budget::violating(&self.cluster.budgets, &candidates);
        candidates.sort_by_key(|p| !violating.contains(&p.key));
        let mut removed = candidates.clone();
        for candidate in candidates {
            let rest: Vec<&Arc<PodFacts>> =
                removed.iter().copied().filter(|p| p.key != candidate.key).collect();
            if self.fits(node, &rest) {
                removed = rest;
            }
        }
        let victim = |p: &&Arc<PodFacts>| Victim {
            key: p.key.clone(),
            uid: p.uid.clone(),
            priority: p.wishes.priority,
            started: p.started,
            violates: violating.contains(&p.key),
        };
        let mut victims: Vec<Victim> = removed.iter().map(victim).collect();
        victims.sort_by_key(|victim| (Reverse(victim.priority), victim.started));
        Some(victims)
    }

    fn fits(&self, node: &Arc<NodeFacts>, removed: &[&Arc<PodFacts>]) -> bool {
        let first = self.nominated.get(&*node.name).map_or(&[][..], Vec::as_slice);
        let fits = |added: &[&Arc<PodFacts>]| {
            let (cluster, cycle) = (self.cluster, &self.cycle);
            fits_with(self.profile, cluster, cycle, self.pod, node, added, removed).is_none()
        };
        fits(first) && (first.is_empty() || fits(&[]))
    }
}

/// What a choice of victims costs: the lowest is chosen.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Cost {
    violations: usize,
    highest_priority: i32,
    priorities: i64,
    count: usize,
    /// The later the most important victims started, the better.
    started: Reverse<Option<Timestamp>>,
}

impl Cost {
    fn of(victims: &[Victim]) -> Cost {
        let highest_priority = victims.iter().map(|v| v.priority).max().unwrap_or(i32::MIN);
        let important = victims.iter().filter(|v| v.priority == highest_priority);
        let started = important.filter_map(|v| v.started).min();
        Cost {
            violations: victims.iter().filter(|v| v.violates).count(),
            highest_priority,
            // Shifted so that many low priorities do not look cheaper than one.
            priorities: victims
                .iter()
                .map(|v| i64::from(v.priority) + i64::from(i32::MAX) + 1)
                .sum(),
            count: victims.len(),
            started: Reverse(started),
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::{cluster, decide, node, pod};

    fn sized(name: &str, node: &str, priority: i32, cpu: &str) -> PodFacts {
        let mut spec = json!({"priority": priority, "containers": [{"name": "c",
            "resources": {"requests": {"cpu": cpu}}}]});
        if !node.is_empty() {
            spec["nodeName"] = json!(node);
        }
        pod(name, json!({"spec": spec}))
    }

    #[test]
    fn the_cheapest_node() {
        let nodes = [node("a", json!({})), node("b", json!({}))];
        let pods = [
            sized("high", "a", 50, "2"),
            sized("low", "b", 10, "1"),
            sized("lower", "b", 5, "2"),
            sized("keep", "a", 1000, "1"),
        ];
        let cluster = cluster(&nodes, &pods);
        let check = |pod: &PodFacts, expect: Result<(&str, Vec<&str>), &str>| {
            let diagnosis = decide(&cluster, pod).unwrap_err();
            let found =
                preempt(&Profile::default(), &cluster, &Nominated::new(), pod, &diagnosis, 0);
            match (found, expect) {
                (Preemption::Candidates(all), Ok((name, keys))) => {
                    let Candidate { node, victims } = cheapest(all).unwrap();
                    let found: Vec<&str> = victims.iter().map(|v| &*v.key.name).collect();
                    assert_eq!((node.as_str(), found), (name, keys));
                }
                (Preemption::Nothing(why), Err(text)) => assert_eq!(why, text),
                (found, expect) => panic!("{found:?}, not {expect:?}"),
            }
        };
        check(&sized("p", "", 100, "2"), Ok(("b", vec!["lower"])));
        check(&sized("p", "", 100, "4"), Ok(("b", vec!["low", "lower"])));
        let text =
            "preemption: 0/2 nodes are available: 2 No preemption victims found for incoming pod.";
        check(&sized("p", "", 1, "2"), Err(text));
        let text =
            "preemption: 0/2 nodes are available: 2 Preemption is not helpful for scheduling.";
        check(&sized("p", "", 100, "5"), Err(text));
    }

    #[test]
    fn budgets_are_broken_last() {
        let labelled = |name: &str, node: &str, priority: i32| {
            let mut pod = sized(name, node, priority, "2");
            Arc::make_mut(&mut pod.wishes).labels = [("app".to_owned(), name.to_owned())].into();
            pod
        };
        let nodes = [node("a", json!({})), node("b", json!({}))];
        let pods = [
            labelled("guarded", "a", 1),
            sized("keep", "a", 1000, "2"),
            labelled("dearer", "b", 50),
            labelled("spare", "b", 60),
        ];
        let check = |allowed: i32, victim: &str| {
            let mut cluster = cluster(&nodes, &pods);
            let budget = json!({"spec": {"selector": {"matchLabels": {"app": "guarded"}}},
                "status": {"disruptionsAllowed": allowed, "currentHealthy": 1,
                    "desiredHealthy": 1, "expectedPods": 1}});
            let budget = budget::Budget::of(serde_json::from_value(budget).unwrap());
            let key = kd_client::Key::new("n", "pdb");
            Arc::make_mut(&mut cluster.budgets).insert(key, budget);
            let pod = sized("p", "", 100, "2");
            let diagnosis = decide(&cluster, &pod).unwrap_err();
            let found =
                preempt(&Profile::default(), &cluster, &Nominated::new(), &pod, &diagnosis, 0);
            let Preemption::Candidates(all) = found else { panic!("{found:?}") };
            let victims = cheapest(all).unwrap().victims;
            let names: Vec<&str> = victims.iter().map(|v| &*v.key.name).collect();
            assert_eq!(names, [victim]);
        };
        check(1, "guarded");
        check(0, "dearer");
    }
}
