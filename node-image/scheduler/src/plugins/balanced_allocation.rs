//! NodeResourcesBalancedAllocation: a node whose resources fill up evenly is better.

use super::node_resources_fit::{Weighed, cpu_and_memory};
use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal, SCORE_MAX};
use crate::pod::PodFacts;
use crate::resource_amounts::ResourceName;

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

/// The resources, and how much the pod asks for of each.
struct Balance<'a>(Vec<(ResourceName<'a>, i64)>);

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
        let asked = |(name, _): &'a Weighed| {
            let name = ResourceName::of(name);
            (name, pod.wishes.requests.get(name))
        };
        let asked: Vec<_> = self.resources.iter().map(asked).collect();
        let best_effort = asked.iter().all(|(_, wanted)| *wanted == 0);
        Ok((!best_effort).then(|| Box::new(Balance(asked)) as Box<dyn Prepared>))
    }

    fn helped_by(&self, _: &ClusterEvent, _: &PodFacts) -> bool {
        false
    }
}

impl Prepared for Balance<'_> {
    fn filters(&self) -> bool {
        false
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let fraction = |(name, wanted): &(ResourceName<'_>, i64)| {
            let have = node.allocatable.get(*name);
            let used = node.requested.get(*name) + wanted;
            (have > 0).then(|| (used as f64 / have as f64).min(1.0))
        };
        let (mut count, mut sum, mut squares) = (0.0, 0.0, 0.0);
        for fraction in self.0.iter().filter_map(fraction) {
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
