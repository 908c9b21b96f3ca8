//! PodTopologySpread: pods of a group are spread evenly over topology domains, strictly or as well
//! as can be.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use kd_api::selector::Selector;
use kd_client::{label_selector, selects};

use super::node_affinity;
use super::taint_toleration::tolerates;
use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Normalize, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

const REASON: &str = "node(s) didn't match pod topology spread constraints";
const REASON_LABEL: &str =
    "node(s) didn't match pod topology spread constraints (missing required label)";

pub(super) struct PodTopologySpread;

/// A constraint with the pods counted by value of its topology key.
struct Spread<'a> {
    key: &'a str,
    skew_max: i64,
    required: bool,
    counts: HashMap<String, i64>,
    lowest: i64,
    /// The pod itself counts where it goes.
    itself: i64,
}

struct Spreads<'a>(Vec<Spread<'a>>);

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

    fn prepare<'a>(
        &self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let all: Vec<Spread<'_>> =
            pod.wishes.spread.iter().map(|c| Spread::of(c, cluster, pod)).collect();
        Ok((!all.is_empty()).then(|| Box::new(Spreads(all)) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        !matches!(event, ClusterEvent::Storage | ClusterEvent::Namespace)
    }
}

impl<'a> Spread<'a> {
    fn of(
        constraint: &'a TopologySpreadConstraint,
        cluster: &Cluster,
        pod: &PodFacts,
    ) -> Spread<'a> {
        let selector = label_selector(constraint.label_selector.as_ref())
            .unwrap_or_else(|_| Selector::nothing());
        let same_group = same_values(constraint, pod);
        let counted = |other: &PodFacts| {
            !other.deleting
                && other.key.namespace == pod.key.namespace
                && selects(&selector, &other.wishes.labels)
                && same_group.iter().all(|(k, v)| other.wishes.labels.get(k) == Some(v))
        };
        let mut counts: HashMap<String, i64> = HashMap::new();
        for node in cluster.nodes().filter(|node| eligible(constraint, pod, node)) {
            let Some(value) = node.labels.get(&constraint.topology_key) else { continue };
            let here = node.pods.iter().filter(|p| counted(p)).count() as i64;
            *counts.entry(value.clone()).or_insert(0) += here;
        }
        let few = i64::from(constraint.min_domains.unwrap_or(1)) > counts.len() as i64;
        let lowest = if few { 0 } else { counts.values().copied().min().unwrap_or(0) };
        Spread {
            key: &constraint.topology_key,
            skew_max: i64::from(constraint.max_skew),
            required: constraint.when_unsatisfiable != "ScheduleAnyway",
            counts,
            lowest,
            itself: i64::from(counted(pod)),
        }
    }
}

/// The pod's own values of `matchLabelKeys`.
fn same_values(constraint: &TopologySpreadConstraint, pod: &PodFacts) -> BTreeMap<String, String> {
    let keys = constraint.match_label_keys.as_deref().unwrap_or_default();
    let pairs = keys.iter().filter_map(|k| Some((k.clone(), pod.wishes.labels.get(k)?.clone())));
    pairs.collect()
}

/// Whether a node's domain takes part: by default, nodes that the pod's affinity accepts.
fn eligible(constraint: &TopologySpreadConstraint, pod: &PodFacts, node: &NodeFacts) -> bool {
    let by_affinity = constraint.node_affinity_policy.as_deref() != Some("Ignore");
    let by_taints = constraint.node_taints_policy.as_deref() == Some("Honor");
    let hard = node.taints.iter().filter(|t| t.effect != "PreferNoSchedule");
    (!by_affinity || node_affinity::accepts(pod, node))
        && (!by_taints
            || hard.into_iter().all(|t| pod.wishes.tolerations.iter().any(|x| tolerates(x, t))))
}

impl Prepared for Spreads<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        for spread in self.0.iter().filter(|s| s.required) {
            let Some(value) = node.labels.get(spread.key) else {
                return vec![Refusal::fixed(REASON_LABEL)];
            };
            let count = spread.counts.get(value).copied().unwrap_or(0);
            if count + spread.itself - spread.lowest > spread.skew_max {
                return vec![Refusal::resolvable(REASON)];
            }
        }
        Vec::new()
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let soft = self.0.iter().filter(|s| !s.required);
        let terms = soft.filter_map(|spread| {
            let count = spread.counts.get(node.labels.get(spread.key)?).copied().unwrap_or(0);
            // Many small domains weigh more than a few large ones.
            let weight = (spread.counts.len() as f64 + 2.0).ln();
            Some(count as f64 * weight + (spread.skew_max - 1) as f64)
        });
        terms.sum::<f64>().round() as i64
    }
}
