//! PodTopologySpread: pods of a group are spread evenly over topology domains, strictly or as well
//! as can be.

use std::collections::{BTreeMap, HashMap};

use k8s_openapi::api::core::v1::TopologySpreadConstraint;
use kd_api::selector::Selector;
use kd_client::placement::is_tolerated;
use kd_client::{label_selector, selects};

use super::node_affinity;
use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Normalize, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

const REASON: &str = "node(s) didn't match pod topology spread constraints";
const REASON_LABEL: &str =
    "node(s) didn't match pod topology spread constraints (missing required label)";

/// How pods that name no constraint are spread: upstream's topology keys and skews.
const DEFAULTS: [(&str, i64); 2] =
    [("kubernetes.io/hostname", 3), ("topology.kubernetes.io/zone", 5)];

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
        let explicit = pod.wishes.spread.iter().map(|c| Constraint::of(c, pod));
        let mut constraints: Vec<Constraint<'_>> = explicit.collect();
        if constraints.is_empty()
            && let Some(selector) = cluster.siblings.of(pod)
        {
            let default = |(key, skew)| Constraint::default(key, skew, selector.clone());
            constraints.extend(DEFAULTS.map(default));
        }
        let spread = |constraint| Spread::of(constraint, cluster, pod);
        let all: Vec<Spread<'_>> = constraints.into_iter().map(spread).collect();
        Ok((!all.is_empty()).then(|| Box::new(Spreads(all)) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        !matches!(event, ClusterEvent::Storage | ClusterEvent::Namespace)
    }
}

/// A constraint as it is meant: everything defaulted.
struct Constraint<'a> {
    key: &'a str,
    skew_max: i64,
    required: bool,
    domains_min: i64,
    selector: Selector,
    same_group: BTreeMap<String, String>,
    by_affinity: bool,
    by_taints: bool,
}

impl<'a> Constraint<'a> {
    fn of(constraint: &'a TopologySpreadConstraint, pod: &PodFacts) -> Constraint<'a> {
        Constraint {
            required: constraint.when_unsatisfiable != "ScheduleAnyway",
            domains_min: constraint.min_domains.unwrap_or(1).into(),
            same_group: same_values(constraint, pod),
            by_affinity: constraint.node_affinity_policy.as_deref() != Some("Ignore"),
            by_taints: constraint.node_taints_policy.as_deref() == Some("Honor"),
            ..Constraint::default(
                &constraint.topology_key,
                constraint.max_skew.into(),
                label_selector(constraint.label_selector.as_ref())
                    .unwrap_or_else(|_| Selector::nothing()),
            )
        }
    }

    /// A wish that any node may leave unfulfilled.
    fn default(key: &'a str, skew_max: i64, selector: Selector) -> Constraint<'a> {
        Constraint {
            key,
            skew_max,
            required: false,
            domains_min: 1,
            selector,
            same_group: BTreeMap::new(),
            by_affinity: true,
            by_taints: false,
        }
    }

    /// Whether a node's domain takes part: by default, nodes that the pod's affinity accepts.
    fn eligible(&self, pod: &PodFacts, node: &NodeFacts) -> bool {
        let hard = node.taints.iter().filter(|t| t.effect != "PreferNoSchedule");
        (!self.by_affinity || node_affinity::accepts(pod, node))
            && (!self.by_taints
                || hard.into_iter().all(|t| is_tolerated(&pod.wishes.tolerations, t)))
    }

    /// Whether a pod counts.
    fn counts(&self, pod: &PodFacts, other: &PodFacts) -> bool {
        !other.deleting
            && other.key.namespace == pod.key.namespace
            && selects(&self.selector, &other.wishes.labels)
            && self.same_group.iter().all(|(k, v)| other.wishes.labels.get(k) == Some(v))
    }
}

impl<'a> Spread<'a> {
    fn of(constraint: Constraint<'a>, cluster: &Cluster, pod: &PodFacts) -> Spread<'a> {
        let mut counts: HashMap<String, i64> = HashMap::new();
        for node in cluster.nodes().filter(|node| constraint.eligible(pod, node)) {
            let Some(value) = node.labels.get(constraint.key) else { continue };
            let here = node.pods.iter().filter(|p| constraint.counts(pod, p)).count() as i64;
            *counts.entry(value.clone()).or_insert(0) += here;
        }
        let few = constraint.domains_min > counts.len() as i64;
        let lowest = if few { 0 } else { counts.values().copied().min().unwrap_or(0) };
        Spread {
            key: constraint.key,
            skew_max: constraint.skew_max,
            required: constraint.required,
            counts,
            lowest,
            itself: i64::from(constraint.counts(pod, pod)),
        }
    }
}

/// The pod's own values of `matchLabelKeys`.
fn same_values(constraint: &TopologySpreadConstraint, pod: &PodFacts) -> BTreeMap<String, String> {
    let keys = constraint.match_label_keys.as_deref().unwrap_or_default();
    let pairs = keys.iter().filter_map(|k| Some((k.clone(), pod.wishes.labels.get(k)?.clone())));
    pairs.collect()
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
