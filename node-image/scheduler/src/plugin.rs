//! What a plugin is: for one pod it prepares, once per cycle, what then filters and scores nodes.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::pod::PodFacts;

/// The highest score after normalization.
pub const SCORE_MAX: i64 = 100;

/// Why a node cannot take a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In upstream's words.
    pub reason: String,
    /// Whether removing pods from the node could change that.
    pub resolvable: bool,
}

impl Refusal {
    /// A refusal that removing pods could lift.
    pub fn resolvable(reason: impl Into<String>) -> Refusal {
        Refusal { reason: reason.into(), resolvable: true }
    }

    /// A refusal that stays whatever pods are removed.
    pub fn fixed(reason: impl Into<String>) -> Refusal {
        Refusal { reason: reason.into(), resolvable: false }
    }
}

/// Something changed that may help a pod that found no node.
#[derive(Clone, Debug)]
pub enum ClusterEvent {
    /// A node is new, or changed in a way that matters.
    Node(Arc<NodeFacts>),
    /// A pod left its node.
    PodRemoved(Arc<PodFacts>),
    /// A pod was placed, or its labels changed.
    PodPlaced,
    /// A claim, a volume or a class changed.
    Storage,
    /// A namespace's labels changed.
    Namespace,
}

/// How raw scores become 0 to 100.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Normalize {
    /// They are already.
    No,
    /// The highest becomes 100.
    HighestIsBest,
    /// The lowest is best: the highest becomes 0.
    LowestIsBest,
    /// Spread over the range between lowest and highest.
    Range,
    /// As above, the lowest being best.
    RangeReversed,
}

/// A rule of scheduling.
pub trait Plugin: Send + Sync {
    /// Its name, as upstream's configuration spells it.
    fn name(&self) -> &'static str;

    /// The weight of its scores; 0 when it only filters.
    fn weight(&self) -> i64 {
        0
    }

    /// How its raw scores are normalized.
    fn normalize(&self) -> Normalize {
        Normalize::No
    }

    /// Prepares for one pod. None when it has nothing to say about it; an error refuses the pod on
    /// every node.
    fn prepare<'a>(
        &self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal>;

    /// Whether a change may help a pod that this plugin refused.
    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool;
}

/// A plugin prepared for one pod and one state of the cluster.
pub trait Prepared {
    /// Says why the node cannot take the pod; empty when it can.
    fn filter(&self, _node: &NodeFacts) -> Vec<Refusal> {
        Vec::new()
    }

    /// How good the node is, before normalization.
    fn score(&self, _node: &NodeFacts) -> i64 {
        0
    }
}

/// Normalizes scores in place.
pub fn normalize(how: Normalize, scores: &mut [i64]) {
    let highest = scores.iter().copied().max().unwrap_or(0);
    let lowest = scores.iter().copied().min().unwrap_or(0);
    for score in scores {
        *score = match how {
            Normalize::No => *score,
            Normalize::HighestIsBest if highest == 0 => 0,
            Normalize::HighestIsBest => *score * SCORE_MAX / highest,
            Normalize::LowestIsBest if highest == 0 => SCORE_MAX,
            Normalize::LowestIsBest => SCORE_MAX - *score * SCORE_MAX / highest,
            Normalize::Range if highest == lowest => 0,
            Normalize::Range => (*score - lowest) * SCORE_MAX / (highest - lowest),
            Normalize::RangeReversed if highest == 0 => SCORE_MAX,
            Normalize::RangeReversed => (highest + lowest - *score) * SCORE_MAX / highest,
        };
    }
}
