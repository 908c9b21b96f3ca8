//! NodeName: a pod that names its node goes nowhere else.

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

pub(super) struct NodeName;

struct Named<'a>(&'a str);

impl Plugin for NodeName {
    fn name(&self) -> &'static str {
        "NodeName"
    }

    fn prepare<'a>(
        &'a self,
        _: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        Ok(pod.node.as_deref().map(|name| Box::new(Named(name)) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        matches!(event, ClusterEvent::Node(_))
    }
}

impl Prepared for Named<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        match node.name == self.0 {
            true => Vec::new(),
            false => vec![Refusal::fixed("node(s) didn't match the requested node name")],
        }
    }
}
