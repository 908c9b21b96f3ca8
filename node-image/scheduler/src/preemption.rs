//! DefaultPreemption: when no node has room, finds the node where removing the least important pods
//! makes some.

use std::cmp::Reverse;
use std::sync::Arc;

use jiff::Timestamp;

use crate::budget;
use crate::cluster::Cluster;
use crate::cycle::{Cycle, Diagnosis, reasons};
use crate::plugin::{Plugin, Refusal};
use crate::pod::PodFacts;

/// What was found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Preemption {
    /// Remove these pods, and the pod fits on this node.
    Victims {
        /// The node.
        node: String,
        /// The pods to remove, the least important last.
        victims: Vec<Victim>,
    },
    /// Nothing, and why: appended to the pod's message.
    Nothing(String),
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

/// Looks for a node where the pod fits once pods of lower priority are gone.
pub fn preempt(
    plugins: &[Box<dyn Plugin>],
    cluster: &Cluster,
    pod: &PodFacts,
    diagnosis: &Diagnosis,
) -> Preemption {
    if diagnosis.nodes == 0 {
        return Preemption::Nothing(String::new());
    }
    if !pod.wishes.preempts {
        let why = "preemption: not eligible due to preemptionPolicy=Never.";
        return Preemption::Nothing(why.into());
    }
    if making_room(cluster, pod) {
        let why = "preemption: not eligible due to a terminating pod on the nominated node.";
        return Preemption::Nothing(why.into());
    }
    let mut best: Option<(Cost, String, Vec<Victim>)> = None;
    let mut outcomes: Vec<Refusal> = Vec::new();
    for (name, (_, refusals)) in &diagnosis.refusals {
        if !refusals.iter().all(|refusal| refusal.resolvable) {
            outcomes.push(Refusal::fixed("Preemption is not helpful for scheduling"));
            continue;
        }
        let Some(victims) = victims_on(plugins, cluster, pod, name) else {
            outcomes.push(Refusal::fixed("No preemption victims found for incoming pod"));
            continue;
        };
        let cost = Cost::of(&victims);
        if best.as_ref().is_none_or(|(known, _, _)| cost < *known) {
            best = Some((cost, name.clone(), victims));
        }
    }
    if let Some((_, node, victims)) = best {
        return Preemption::Victims { node, victims };
    }
    if diagnosis.whole.is_some() {
        let every = Refusal::fixed("Preemption is not helpful for scheduling");
        outcomes = vec![every; diagnosis.nodes];
    }
    let text = reasons(outcomes.iter());
    Preemption::Nothing(format!("preemption: 0/{} nodes are available{text}", diagnosis.nodes))
}

/// Whether victims of an earlier round are still going.
fn making_room(cluster: &Cluster, pod: &PodFacts) -> bool {
    let node = pod.nominated.as_deref().and_then(|name| cluster.node(name));
    let lower = |p: &Arc<PodFacts>| p.deleting && p.wishes.priority < pod.wishes.priority;
    node.is_some_and(|node| node.pods.iter().any(lower))
}

/// The fewest pods to remove from a node; None when even removing all does not help.
fn victims_on(
    plugins: &[Box<dyn Plugin>],
    cluster: &Cluster,
    pod: &PodFacts,
    name: &str,
) -> Option<Vec<Victim>> {
    let node = cluster.node(name)?;
    let lower = node.pods.iter().filter(|p| p.wishes.priority < pod.wishes.priority);
    let mut candidates: Vec<Arc<PodFacts>> = lower.cloned().collect();
    if candidates.is_empty() {
        return None;
    }
    let mut trial = cluster.clone();
    for candidate in &candidates {
        trial.unplace(&candidate.key);
    }
    if !fits(plugins, &trial, pod, name) {
        return None;
    }
    // The most important are put back first, of those whose budgets would break before the others;
    // who then does not fit any more has to go.
    candidates.sort_by_key(|p| (Reverse(p.wishes.priority), p.started));
    let violating = budget::violating(&cluster.budgets, &candidates);
    candidates.sort_by_key(|p| !violating.contains(&p.key));
    let mut victims = Vec::new();
    for candidate in candidates {
        trial.place(candidate.clone());
        if !fits(plugins, &trial, pod, name) {
            trial.unplace(&candidate.key);
            victims.push(Victim {
                key: candidate.key.clone(),
                uid: candidate.uid.clone(),
                priority: candidate.wishes.priority,
                started: candidate.started,
                violates: violating.contains(&candidate.key),
            });
        }
    }
    victims.sort_by_key(|victim| (Reverse(victim.priority), victim.started));
    Some(victims)
}

fn fits(plugins: &[Box<dyn Plugin>], cluster: &Cluster, pod: &PodFacts, name: &str) -> bool {
    let Some(node) = cluster.node(name) else { return false };
    Cycle::prepare(plugins, cluster, pod).is_ok_and(|cycle| cycle.filter(node).is_none())
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
    use crate::plugins::plugins;
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
            let found = preempt(&plugins(), &cluster, pod, &diagnosis);
            match (found, expect) {
                (Preemption::Victims { node, victims }, Ok((name, keys))) => {
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
            pod.wishes.labels = [("app".to_owned(), name.to_owned())].into();
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
            let found = preempt(&plugins(), &cluster, &pod, &diagnosis);
            let Preemption::Victims { victims, .. } = found else { panic!("{found:?}") };
            let names: Vec<&str> = victims.iter().map(|v| &*v.key.name).collect();
            assert_eq!(names, [victim]);
        };
        check(1, "guarded");
        check(0, "dearer");
    }
}
