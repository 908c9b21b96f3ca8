//! NodePorts: two pods cannot have the same port of a node.

use std::sync::Arc;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal};
use crate::pod::{HostPort, PodFacts};

pub(super) struct NodePorts;

struct Ports<'a>(&'a [HostPort]);

fn conflict(wanted: &[HostPort], taken: &[HostPort]) -> bool {
    wanted.iter().any(|port| taken.iter().any(|other| port.conflicts(other)))
}

impl Plugin for NodePorts {
    fn name(&self) -> &'static str {
        "NodePorts"
    }

    fn prepare<'a>(
        &'a self,
        _: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let ports = &pod.wishes.ports;
        Ok((!ports.is_empty()).then(|| Box::new(Ports(ports)) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, pod: &PodFacts) -> bool {
        match event {
            ClusterEvent::Node(_) => true,
            ClusterEvent::PodRemoved(gone) => conflict(&pod.wishes.ports, &gone.wishes.ports),
            _ => false,
        }
    }
}

impl Prepared for Ports<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        let taken = |pod: &Arc<PodFacts>| conflict(self.0, &pod.wishes.ports);
        match node.pods_with_ports > 0 && node.pods.iter().any(taken) {
            true => {
                let reason = "node(s) didn't have free ports for the requested pod ports";
                vec![Refusal::resolvable(reason)]
            }
            false => Vec::new(),
        }
    }
}
