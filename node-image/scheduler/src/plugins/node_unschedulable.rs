//! NodeUnschedulable: a cordoned node takes only pods that tolerate it.

use k8s_openapi::api::core::v1::Taint;
use kd_client::placement::is_tolerated;

use crate::cluster::Cluster;
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

pub(super) struct NodeUnschedulable;

struct Intolerant;

fn cordon() -> Taint {
    Taint {
        key: "node.kubernetes.io/unschedulable".into(),
        effect: "NoSchedule".into(),
        ..Taint::default()
    }
}

impl Plugin for NodeUnschedulable {
    fn name(&self) -> &'static str {
        "NodeUnschedulable"
    }

    fn prepare<'a>(
        &'a self,
        _: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        let tolerated = is_tolerated(&pod.wishes.tolerations, &cordon());
        Ok((!tolerated).then(|| Box::new(Intolerant) as Box<dyn Prepared>))
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        matches!(event, ClusterEvent::Node(node) if !node.unschedulable)
    }
}

impl Prepared for Intolerant {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        match node.unschedulable {
            true => vec![Refusal::fixed("node(s) were unschedulable")],
            false => Vec::new(),
        }
    }
}
