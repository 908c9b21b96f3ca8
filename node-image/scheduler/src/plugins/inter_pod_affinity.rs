//! InterPodAffinity: pods that want to be near others, or away from them, within a topology domain
//! (nodes that share a label's value).

use std::borrow::Cow;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Counting, Normalize, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;
use crate::pod_set::{Group, Term};
use crate::tallies::Holding;
use crate::topology::{Topology, count};

const AFFINITY: &str = "node(s) didn't match pod affinity rules";
const ANTI_AFFINITY: &str = "node(s) didn't match pod anti-affinity rules";
const EXISTING: &str = "node(s) didn't satisfy existing pods anti-affinity rules";
/// Upstream's default of `hardPodAffinityWeight`.
pub const REQUIRED_WEIGHT: i64 = 1;

/// The plugin.
pub struct InterPodAffinity {
    /// How much an existing pod's required affinity counts in scores.
    pub required_weight: i64,
    /// Whether existing pods' preferences count only for pods that have some themselves.
    pub ignore_existing_preferences: bool,
}

impl Default for InterPodAffinity {
    fn default() -> InterPodAffinity {
        InterPodAffinity { required_weight: REQUIRED_WEIGHT, ignore_existing_preferences: false }
    }
}

/// Counts by domain.
struct Counts<'a> {
    topology: Cow<'a, Topology>,
    counts: Cow<'a, [i64]>,
}

impl Counts<'_> {
    fn at(&self, node: &NodeFacts) -> Option<i64> {
        Some(count(&self.counts, self.topology.domain(node.slot)?))
    }
}

struct Prepare<'a> {
    plugin: &'a InterPodAffinity,
    cluster: &'a Cluster,
    pod: &'a PodFacts,
    /// By required term, pods that match all of them.
    near: Vec<Counts<'a>>,
    /// By anti-affinity term, pods that match it.
    away: Vec<Counts<'a>>,
    /// By held term, pods that keep this one out.
    refused: Vec<Counts<'a>>,
    /// The pod would be the first of its group and matches its own terms.
    first_of_group: bool,
    liked: Vec<(Counts<'a>, i64)>,
}

fn counts<'a>(cluster: &'a Cluster, group: &Group, key: &str) -> Counts<'a> {
    let topology = cluster.topology(key);
    let counts = match cluster.tally(group) {
        Cow::Borrowed(tally) => tally.counts(&topology),
        Cow::Owned(tally) => Cow::Owned(tally.counts(&topology).into_owned()),
    };
    Counts { topology, counts }
}

impl Plugin for InterPodAffinity {
    fn name(&self) -> &'static str {
        "InterPodAffinity"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn normalize(&self) -> Normalize {
        Normalize::Range
    }

    fn counts(&self, _: &Cluster, pod: &PodFacts) -> Vec<Counting> {
        let terms = &pod.wishes.affinity_terms;
        let keys =
            |terms: &[Arc<Term>]| terms.iter().map(|term| term.topology_key.clone()).collect();
        let near = terms
            .near
            .clone()
            .map(|group| Counting { group, topology_keys: keys(&terms.required) });
        let single = |term: &Arc<Term>| Counting {
            group: term.group.clone(),
            topology_keys: vec![term.topology_key.clone()],
        };
        let preferred = terms.preferred.iter().map(|(term, _)| term);
        near.into_iter().chain(terms.anti.iter().chain(preferred).map(single)).collect()
    }

    fn prepare<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let terms = &pod.wishes.affinity_terms;
        let held: Vec<_> = cluster.held_about(pod).collect();
        if terms.is_empty() && held.is_empty() {
            return Ok(None);
        }
        let mut near = Vec::new();
        let mut first_of_group = false;
        if let Some(group) = &terms.near {
            let on_key = |term: &Arc<Term>| counts(cluster, group, &term.topology_key);
            near.extend(terms.required.iter().map(on_key));
            let none = near.iter().all(|c: &Counts<'_>| c.counts.iter().all(|count| *count == 0));
            first_of_group = none && group.has(cluster.namespaces(), pod);
        }
        let away = terms.anti.iter();
        let away = away.map(|term| counts(cluster, &term.group, &term.topology_key));
        let refused = held.iter().filter(|held| held.holding == Holding::Away);
        let refused = refused.map(|held| {
            let topology = cluster.topology(&held.term.topology_key);
            let counts = held.tally.counts(&topology);
            Counts { topology, counts }
        });
        Ok(Some(Box::new(Prepare {
            plugin: self,
            cluster,
            pod,
            near,
            away: away.collect(),
            refused: refused.collect(),
            first_of_group,
            liked: Vec::new(),
        })))
    }

    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool {
        let terms = &pod.wishes.affinity_terms;
        match event {
            ClusterEvent::Node(node) => {
                terms.required.iter().all(|term| node.labels.contains_key(&term.topology_key))
            }
            ClusterEvent::PodPlaced(other) => {
                terms.required.iter().any(|term| selects(term, other))
            }
            ClusterEvent::PodRemoved(other) => {
                let held = &other.wishes.affinity_terms.anti;
                terms.anti.iter().any(|term| selects(term, other))
                    || held.iter().any(|term| selects(term, pod))
                    // Without the last of its group the pod may be the first.
                    || terms.required.iter().any(|term| selects(term, other))
            }
            ClusterEvent::Namespace => true,
            _ => false,
        }
    }
}

/// Whether a term may mean a pod, whatever the labels of its namespace.
fn selects(term: &Term, pod: &PodFacts) -> bool {
    let namespaces = &term.pods.namespaces;
    kd_client::selects(&term.pods.selector, &pod.wishes.labels)
        && (term.pods.namespace_selector.is_some()
            || namespaces.iter().any(|namespace| **namespace == *pod.key.namespace))
}

impl Prepare<'_> {
    fn near_enough(&self, node: &NodeFacts) -> bool {
        let mut everywhere = true;
        for counts in &self.near {
            let Some(here) = counts.at(node) else { return false };
            everywhere &= here > 0;
        }
        everywhere || self.first_of_group
    }
}

impl Prepared for Prepare<'_> {
    fn filters(&self) -> bool {
        !(self.near.is_empty() && self.away.is_empty() && self.refused.is_empty())
    }

    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        let some = |counts: &[Counts<'_>]| {
            counts.iter().any(|counts| counts.at(node).is_some_and(|here| here > 0))
        };
        if !self.near_enough(node) {
            return vec![Refusal::fixed(AFFINITY)];
        }
        if some(&self.away) {
            return vec![Refusal::resolvable(ANTI_AFFINITY)];
        }
        match some(&self.refused) {
            true => vec![Refusal::resolvable(EXISTING)],
            false => Vec::new(),
        }
    }

    fn looks_beyond(&self) -> bool {
        true
    }

    fn prepare_scores(&mut self, _: &[&NodeFacts]) -> bool {
        let preferred = &self.pod.wishes.affinity_terms.preferred;
        for (term, weight) in preferred {
            let counts = counts(self.cluster, &term.group, &term.topology_key);
            self.liked.push((counts, *weight));
        }
        if preferred.is_empty() && self.plugin.ignore_existing_preferences {
            return false;
        }
        for held in self.cluster.held_about(self.pod) {
            let weight = match held.holding {
                Holding::Near => self.plugin.required_weight,
                Holding::Away => 0,
                Holding::Weighed(weight) => weight,
            };
            if weight != 0 {
                let topology = self.cluster.topology(&held.term.topology_key);
                let counts = held.tally.counts(&topology);
                self.liked.push((Counts { topology, counts }, weight));
            }
        }
        !self.liked.is_empty()
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let here = |(counts, weight): &(Counts<'_>, i64)| counts.at(node).unwrap_or(0) * weight;
        self.liked.iter().map(here).sum()
    }
}
