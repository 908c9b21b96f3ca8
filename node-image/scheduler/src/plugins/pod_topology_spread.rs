//! PodTopologySpread: pods of a group are spread evenly over topology domains, strictly or as well
//! as can be.

use std::borrow::Cow;

use kd_client::placement::is_tolerated;

use super::node_affinity;
use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Counting, LEFT_OUT, Normalize, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;
use crate::spread::{Constraint, HOSTNAME};
use crate::topology::{Tally, Topology, count};

const REASON: &str = "node(s) didn't match pod topology spread constraints";
const REASON_LABEL: &str =
    "node(s) didn't match pod topology spread constraints (missing required label)";

/// A constraint that pods get which name none; it applies to the siblings of the pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DefaultConstraint {
    /// Its topology key.
    pub key: String,
    /// How uneven it may be.
    pub skew_max: i64,
    /// Whether it must hold.
    pub required: bool,
}

/// The plugin.
pub struct PodTopologySpread {
    /// What pods get that name no constraints.
    pub defaults: Vec<DefaultConstraint>,
    /// Whether those are upstream's own: then nodes without the labels are scored, too.
    pub system_defaults: bool,
}

impl Default for PodTopologySpread {
    fn default() -> PodTopologySpread {
        let wish = |(key, skew_max): (&str, i64)| DefaultConstraint {
            key: key.to_owned(),
            skew_max,
            required: false,
        };
        PodTopologySpread {
            defaults: [(HOSTNAME, 3), ("topology.kubernetes.io/zone", 5)].map(wish).into(),
            system_defaults: true,
        }
    }
}

impl PodTopologySpread {
    fn constraints<'a>(&self, cluster: &Cluster, pod: &'a PodFacts) -> Cow<'a, [Constraint]> {
        if !pod.wishes.spread.is_empty() || self.defaults.is_empty() {
            return Cow::Borrowed(&pod.wishes.spread);
        }
        let Some(selector) = cluster.siblings.of(pod) else { return Cow::Borrowed(&[]) };
        let constraint = |default: &DefaultConstraint| Constraint {
            required: default.required,
            ..Constraint::wish(&default.key, default.skew_max, &pod.key.namespace, selector.clone())
        };
        Cow::Owned(self.defaults.iter().map(constraint).collect())
    }
}

impl Plugin for PodTopologySpread {
    fn name(&self) -> &'static str {
        "PodTopologySpread"
    }

    fn weight(&self) -> i64 {
        2
    }

    fn normalize(&self) -> Normalize {
        Normalize::RangeReversed
    }

    fn counts(&self, cluster: &Cluster, pod: &PodFacts) -> Vec<Counting> {
        let counting = |constraint: &Constraint| Counting {
            group: constraint.group.clone(),
            topology_keys: vec![constraint.key.clone()],
        };
        self.constraints(cluster, pod).iter().map(counting).collect()
    }

    fn prepare<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let constraints = self.constraints(cluster, pod).into_owned();
        if constraints.is_empty() {
            return Ok(None);
        }
        let (hard, soft): (Vec<_>, Vec<_>) = constraints.into_iter().partition(|c| c.required);
        let explicit = !pod.wishes.spread.is_empty() || !self.system_defaults;
        Ok(Some(Box::new(Spreads {
            hard: spreads(cluster, pod, hard, true),
            soft: spreads(cluster, pod, soft, explicit),
            explicit,
        })))
    }

    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool {
        match event {
            ClusterEvent::Node(node) => {
                pod.wishes.spread.iter().all(|c| node.labels.contains_key(&c.key))
            }
            ClusterEvent::PodRemoved(other) | ClusterEvent::PodPlaced(other) => {
                other.key.namespace == pod.key.namespace
            }
            _ => false,
        }
    }
}

/// A constraint with the pods counted by domain.
struct Spread<'a> {
    constraint: Constraint,
    topology: Cow<'a, Topology>,
    tally: Cow<'a, Tally>,
    counts: Cow<'a, [i64]>,
    /// Domains that take part.
    domains: usize,
    lowest: i64,
    /// The pod itself counts where it goes.
    itself: i64,
    weight: f64,
}

struct Spreads<'a> {
    hard: Vec<Spread<'a>>,
    soft: Vec<Spread<'a>>,
    /// Nodes that lack one of the keys are left out.
    explicit: bool,
}

/// Counts for all constraints of a kind. With `together` only nodes that have all keys take part.
fn spreads<'a>(
    cluster: &'a Cluster,
    pod: &PodFacts,
    constraints: Vec<Constraint>,
    together: bool,
) -> Vec<Spread<'a>> {
    let mut spreads: Vec<Spread<'a>> = constraints
        .into_iter()
        .map(|constraint| Spread {
            topology: cluster.topology(&constraint.key),
            tally: cluster.tally(&constraint.group),
            counts: Cow::Borrowed(&[]),
            domains: 0,
            lowest: 0,
            itself: i64::from(constraint.group.has(cluster.namespaces(), pod)),
            weight: 0.0,
            constraint,
        })
        .collect();
    let all_labelled = spreads.iter().all(|s| s.topology.nodes() == cluster.count());
    let selective = |c: &Constraint| c.by_affinity && node_affinity::selects(pod) || c.by_taints;
    for index in 0..spreads.len() {
        let simple = !selective(&spreads[index].constraint) && (!together || all_labelled);
        let (counts, domains) = match simple {
            true => count_all(&spreads[index]),
            false => {
                let (counts, domains) = count_some(cluster, pod, &spreads, index, together);
                (Cow::Owned(counts), domains)
            }
        };
        let spread = &mut spreads[index];
        if spread.constraint.required {
            spread.lowest = lowest(&counts, domains, spread.constraint.domains_min);
        }
        (spread.counts, spread.domains) = (counts, domains);
    }
    spreads
}

/// Every node takes part.
fn count_all<'a>(spread: &Spread<'a>) -> (Cow<'a, [i64]>, usize) {
    let counts = match &spread.tally {
        Cow::Borrowed(tally) => tally.counts(&spread.topology),
        Cow::Owned(tally) => Cow::Owned(tally.counts(&spread.topology).into_owned()),
    };
    (counts, spread.topology.domains())
}

/// The nodes take part that the constraint's policies let in. Others' domains hold -1.
fn count_some(
    cluster: &Cluster,
    pod: &PodFacts,
    spreads: &[Spread<'_>],
    index: usize,
    together: bool,
) -> (Vec<i64>, usize) {
    let spread = &spreads[index];
    let mut counts = vec![-1; spread.topology.bound()];
    let mut domains = 0;
    for node in cluster.nodes() {
        let Some(domain) = spread.topology.domain(node.slot) else { continue };
        let labelled = || spreads.iter().all(|s| s.topology.domain(node.slot).is_some());
        if (together && !labelled()) || !eligible(&spread.constraint, pod, node) {
            continue;
        }
        let count = &mut counts[domain as usize];
        if *count < 0 {
            *count = 0;
            domains += 1;
        }
        *count += spread.tally.on(node.slot);
    }
    (counts, domains)
}

/// Whether a node's domain takes part: by default, nodes that the pod's affinity accepts.
fn eligible(constraint: &Constraint, pod: &PodFacts, node: &NodeFacts) -> bool {
    let hard = |effect: &str| effect == "NoSchedule" || effect == "NoExecute";
    (!constraint.by_affinity || node_affinity::accepts(pod, node))
        && (!constraint.by_taints
            || node
                .taints
                .iter()
                .filter(|taint| hard(&taint.effect))
                .all(|taint| is_tolerated(&pod.wishes.tolerations, taint)))
}

/// The count of the emptiest domain. Domains without pods may be missing at the end of `counts`.
fn lowest(counts: &[i64], domains: usize, domains_min: i64) -> i64 {
    let counted = counts.iter().filter(|count| **count > 0);
    if (domains as i64) < domains_min || counted.clone().count() < domains {
        return 0;
    }
    counted.copied().min().unwrap_or(0)
}

impl Prepared for Spreads<'_> {
    fn filters(&self) -> bool {
        !self.hard.is_empty()
    }

    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        for spread in &self.hard {
            let Some(domain) = spread.topology.domain(node.slot) else {
                return vec![Refusal::fixed(REASON_LABEL)];
            };
            let here = count(&spread.counts, domain).max(0);
            if here + spread.itself - spread.lowest > spread.constraint.skew_max {
                return vec![Refusal::resolvable(REASON)];
            }
        }
        Vec::new()
    }

    fn looks_beyond(&self) -> bool {
        true
    }

    fn prepare_scores(&mut self, nodes: &[&NodeFacts]) -> bool {
        let labelled = |node: &NodeFacts, soft: &[Spread<'_>]| {
            !self.explicit || soft.iter().all(|s| s.topology.domain(node.slot).is_some())
        };
        let taking_part: Vec<&NodeFacts> =
            nodes.iter().copied().filter(|node| labelled(node, &self.soft)).collect();
        for spread in &mut self.soft {
            let size = match spread.constraint.key == HOSTNAME {
                true => taking_part.len(),
                false => domains_of(&spread.topology, &taking_part),
            };
            // Many small domains weigh more than a few large ones.
            spread.weight = (size as f64 + 2.0).ln();
        }
        !self.soft.is_empty()
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let mut total = 0.0;
        for spread in &self.soft {
            let Some(domain) = spread.topology.domain(node.slot) else {
                if self.explicit {
                    return LEFT_OUT;
                }
                continue;
            };
            let here = match spread.constraint.key == HOSTNAME {
                true => spread.tally.on(node.slot),
                false => count(&spread.counts, domain).max(0),
            };
            total += here as f64 * spread.weight + (spread.constraint.skew_max - 1) as f64;
        }
        total.round() as i64
    }
}

/// How many domains these nodes are in.
fn domains_of(topology: &Topology, nodes: &[&NodeFacts]) -> usize {
    let mut seen = vec![false; topology.bound()];
    for domain in nodes.iter().filter_map(|node| topology.domain(node.slot)) {
        seen[domain as usize] = true;
    }
    seen.into_iter().filter(|seen| *seen).count()
}
