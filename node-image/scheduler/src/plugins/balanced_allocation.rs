//! NodeResourcesBalancedAllocation: a node whose resources fill up evenly is better.

use super::node_resources_fit::{Weighed, cpu_and_memory};
use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal, SCORE_MAX};
use crate::pod::PodFacts;

/// The plugin.
pub struct BalancedAllocation {
    /// What should fill up evenly.
    pub resources: Vec<Weighed>,
}

impl Default for BalancedAllocation {
    fn default() -> BalancedAllocation {
        BalancedAllocation { resources: cpu_and_memory() }
    }
}

struct Balance<'a> {
    plugin: &'a BalancedAllocation,
    pod: &'a PodFacts,
}

impl Plugin for BalancedAllocation {
    fn name(&self) -> &'static str {
        "NodeResourcesBalancedAllocation"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn prepare<'a>(
        &'a self,
        _: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let asks = |(name, _): &Weighed| pod.wishes.requests.get(name) > 0;
        let best_effort = !self.resources.iter().any(asks);
        Ok((!best_effort).then(|| Box::new(Balance { plugin: self, pod }) as Box<dyn Prepared>))
    }

    fn helped_by(&self, _: &ClusterEvent, _: &PodFacts) -> bool {
        false
    }
}

impl Prepared for Balance<'_> {
    fn score(&self, node: &NodeFacts) -> i64 {
        let used = |name: &str| node.requested.get(name) + self.pod.wishes.requests.get(name);
        let fraction = |(name, _): &Weighed| {
            let have = node.allocatable.get(name);
            (have > 0).then(|| (used(name) as f64 / have as f64).min(1.0))
        };
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for fraction in self.plugin.resources.iter().filter_map(fraction) {
            count += 1.0;
            sum += fraction;
            squares += fraction * fraction;
        }
        if count == 0.0 {
            return SCORE_MAX;
        }
        let mean = sum / count;
        let deviation = (squares / count - mean * mean).max(0.0).sqrt();
        ((1.0 - deviation) * SCORE_MAX as f64) as i64
    }
}
