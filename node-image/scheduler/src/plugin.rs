//! What a plugin is: for one pod it prepares, once per cycle, what then filters and scores nodes.

use std::borrow::Cow;
use std::sync::Arc;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::pod::PodFacts;
use crate::pod_set::Group;

/// The highest score after normalization.
pub const SCORE_MAX: i64 = 100;
/// The score of a node that a plugin leaves out: 0 in the end, whatever the others get.
pub const LEFT_OUT: i64 = i64::MIN;

/// Why a node cannot take a pod.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// In upstream's words.
    pub reason: Cow<'static, str>,
    /// Whether removing pods from the node could change that.
    pub resolvable: bool,
}

impl Refusal {
    /// A refusal that removing pods could lift.
    pub fn resolvable(reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { reason: reason.into(), resolvable: true }
    }

    /// A refusal that stays whatever pods are removed.
    pub fn fixed(reason: impl Into<Cow<'static, str>>) -> Refusal {
        Refusal { reason: reason.into(), resolvable: false }
    }
}

/// A group of pods to be counted, by the domains of some topology keys.
#[derive(Clone, Debug, PartialEq)]
pub struct Counting {
    /// The pods.
    pub group: Arc<Group>,
    /// The keys.
    pub topology_keys: Vec<String>,
}

/// Something changed that may help a pod that found no node.
#[derive(Clone, Debug)]
pub enum ClusterEvent {
    /// A node is new, or changed in a way that matters.
    Node(Arc<NodeFacts>),
    /// A pod left its node.
    PodRemoved(Arc<PodFacts>),
    /// A pod was placed, or its labels changed.
    PodPlaced(Arc<PodFacts>),
    /// A claim, a volume or a class changed.
    Storage,
    /// A namespace's labels changed.
    Namespace,
    /// A resource claim, slice or device class changed.
    Devices,
}

impl ClusterEvent {
    /// What upstream's metrics call it.
    pub fn name(&self) -> &'static str {
        match self {
            ClusterEvent::Node(_) => "NodeUpdate",
            ClusterEvent::PodRemoved(_) => "AssignedPodDelete",
            ClusterEvent::PodPlaced(_) => "AssignedPodAdd",
            ClusterEvent::Storage => "StorageUpdate",
            ClusterEvent::Namespace => "NamespaceUpdate",
            ClusterEvent::Devices => "ResourceClaimUpdate",
        }
    }
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

    /// The weight of its scores by default; 0 when it only filters.
    fn weight(&self) -> i64 {
        0
    }

    /// How its raw scores are normalized.
    fn normalize(&self) -> Normalize {
        Normalize::No
    }

    /// The counts that preparing for this pod will read. They may be kept up to date beforehand, or
    /// not: that makes no difference but to the time it takes.
    fn counts(&self, _cluster: &Cluster, _pod: &PodFacts) -> Vec<Counting> {
        Vec::new()
    }

    /// Prepares for one pod. None when it has nothing to say about it; an error refuses the pod on
    /// every node.
    fn prepare<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal>;

    /// Whether a change may help a pod that this plugin refused.
    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool;
}

/// A plugin prepared for one pod and one state of the cluster.
pub trait Prepared: Send {
    /// The only nodes that come into question, if that is known before they are looked at.
    fn only(&self) -> Option<Vec<String>> {
        None
    }

    /// Whether `filter` may refuse a node at all; else it is not asked.
    fn filters(&self) -> bool {
        true
    }

    /// Says why the node cannot take the pod; empty when it can.
    fn filter(&self, _node: &NodeFacts) -> Vec<Refusal> {
        Vec::new()
    }

    /// Whether pods on other nodes, too, decide what `filter` says of a node.
    fn looks_beyond(&self) -> bool {
        false
    }

    /// Prepares scores of the nodes that are left. False when it has none to give.
    fn prepare_scores(&mut self, _nodes: &[&NodeFacts]) -> bool {
        true
    }

    /// How good the node is, before normalization.
    fn score(&self, _node: &NodeFacts) -> i64 {
        0
    }

    /// The scores of all nodes that are left, in their order.
    fn scores(&self, nodes: &[&NodeFacts], scores: &mut Vec<i64>) {
        scores.extend(nodes.iter().map(|node| self.score(node)));
    }
}

/// Normalizes scores in place.
pub fn normalize(how: Normalize, scores: &mut [i64]) {
    let counted = || scores.iter().copied().filter(|score| *score != LEFT_OUT);
    let (highest, lowest) = (counted().max().unwrap_or(0), counted().min().unwrap_or(0));
    for score in scores {
        *score = match how {
            _ if *score == LEFT_OUT => 0,
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
