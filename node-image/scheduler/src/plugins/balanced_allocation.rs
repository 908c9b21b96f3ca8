//! NodeResourcesBalancedAllocation: a node whose CPU and memory fill up evenly is better.

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal, SCORE_MAX};
use crate::pod::PodFacts;

pub(super) struct BalancedAllocation;

struct Balance<'a>(&'a PodFacts);

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn prepare<'a>(
        &self,
        _: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let requests = &pod.wishes.requests;
        let best_effort = requests.cpu_milli == 0 && requests.memory_bytes == 0;
        Ok((!best_effort).then(|| Box::new(Balance(pod)) as Box<dyn Prepared>))
    }

    fn helped_by(&self, _: &ClusterEvent, _: &PodFacts) -> bool {
        false
    }
}

impl Prepared for Balance<'_> {
    fn score(&self, node: &NodeFacts) -> i64 {
        let fraction = |have: i64, used: i64| match have > 0 {
            true => (used as f64 / have as f64).min(1.0),
            false => 1.0,
        };
        let (have, used, pod) = (&node.allocatable, &node.requested, &self.0.wishes.requests);
        let cpu = fraction(have.cpu_milli, used.cpu_milli + pod.cpu_milli);
        let memory = fraction(have.memory_bytes, used.memory_bytes + pod.memory_bytes);
        let deviation = (cpu - memory).abs() / 2.0;
        ((1.0 - deviation) * SCORE_MAX as f64) as i64
    }
}
