//! TaintToleration: nodes with taints that a pod does not tolerate are refused, or scored down for
//! PreferNoSchedule.

use k8s_openapi::api::core::v1::{Taint, Toleration};
use kd_client::placement::is_tolerated;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Normalize, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

pub(super) struct TaintToleration;

struct Tolerations<'a>(&'a [Toleration]);

impl Plugin for TaintToleration {
    fn name(&self) -> &'static str {
        "TaintToleration"
    }

    fn weight(&self) -> i64 {
        3
    }

    fn normalize(&self) -> Normalize {
        Normalize::LowestIsBest
    }

    fn prepare<'a>(
        &'a self,
        _: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        Ok(Some(Box::new(Tolerations(&pod.wishes.tolerations))))
    }

    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool {
        let ClusterEvent::Node(node) = event else { return false };
        Tolerations(&pod.wishes.tolerations).filter(node).is_empty()
    }
}

impl Tolerations<'_> {
    fn cover(&self, taint: &Taint) -> bool {
        is_tolerated(self.0, taint)
    }
}

impl Prepared for Tolerations<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        let hard = |taint: &&Taint| taint.effect == "NoSchedule" || taint.effect == "NoExecute";
        match node.taints.iter().filter(hard).any(|taint| !self.cover(taint)) {
            true => vec![Refusal::fixed("node(s) had untolerated taint(s)")],
            false => Vec::new(),
        }
    }

    fn prepare_scores(&mut self, nodes: &[&NodeFacts]) -> bool {
        nodes.iter().any(|node| node.taints.iter().any(|t| t.effect == "PreferNoSchedule"))
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let soft = node.taints.iter().filter(|taint| taint.effect == "PreferNoSchedule");
        let bad = soft.filter(|taint| !self.cover(taint)).count();
        i64::try_from(bad).unwrap_or(i64::MAX)
    }
}
