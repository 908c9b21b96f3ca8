//! NodeResourcesFit: a node has to have what a pod asks for; the emptier node is better.

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal, SCORE_MAX};
use crate::pod::PodFacts;

pub(super) struct NodeResourcesFit;

struct Fit<'a>(&'a PodFacts);

impl Plugin for NodeResourcesFit {
    fn name(&self) -> &'static str {
        "NodeResourcesFit"
    }

    fn weight(&self) -> i64 {
        1
    }

    fn prepare<'a>(
        &self,
        _: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        Ok(Some(Box::new(Fit(pod))))
    }

    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool {
        match event {
            ClusterEvent::Node(node) => Fit(pod).filter(node).is_empty(),
            ClusterEvent::PodRemoved(_) => true,
            _ => false,
        }
    }
}

impl Prepared for Fit<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        let wanted = &self.0.wishes.requests;
        let (have, used) = (&node.allocatable, &node.requested);
        let mut refusals = Vec::new();
        if node.pods.len() as i64 + 1 > node.pods_max {
            refusals.push(Refusal::resolvable("Too many pods"));
        }
        let mut demand = |name: &str, wanted: i64, have: i64, used: i64| {
            if wanted > 0 && wanted > have - used {
                let reason = format!("Insufficient {name}");
                refusals.push(Refusal { reason, resolvable: wanted <= have });
            }
        };
        demand("cpu", wanted.cpu_milli, have.cpu_milli, used.cpu_milli);
        demand("memory", wanted.memory_bytes, have.memory_bytes, used.memory_bytes);
        demand(
            "ephemeral-storage",
            wanted.ephemeral_bytes,
            have.ephemeral_bytes,
            used.ephemeral_bytes,
        );
        for (name, amount) in &wanted.extended {
            let of = |all: &std::collections::BTreeMap<String, i64>| *all.get(name).unwrap_or(&0);
            demand(name, *amount, of(&have.extended), of(&used.extended));
        }
        refusals
    }

    fn score(&self, node: &NodeFacts) -> i64 {
        let free = |have: i64, used: i64| match have > 0 && used <= have {
            true => (have - used).saturating_mul(SCORE_MAX) / have,
            false => 0,
        };
        let (have, used, pod) = (&node.allocatable, &node.scoring, &self.0.scoring);
        let cpu = free(have.cpu_milli, used.cpu_milli + pod.cpu_milli);
        let memory = free(have.memory_bytes, used.memory_bytes + pod.memory_bytes);
        (cpu + memory) / 2
    }
}
