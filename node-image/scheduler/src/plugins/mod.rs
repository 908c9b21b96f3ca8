//! The list of plugins.

mod balanced_allocation;
mod dynamic_resources;
mod image_locality;
mod inter_pod_affinity;
mod node_affinity;
mod node_name;
mod node_ports;
mod node_resources_fit;
mod node_unschedulable;
mod node_volume_limits;
mod pod_topology_spread;
mod taint_toleration;
mod volume_binding;
mod volume_restrictions;
mod volume_zone;

use crate::plugin::Plugin;

pub use balanced_allocation::BalancedAllocation;
pub use inter_pod_affinity::InterPodAffinity;
pub use node_affinity::NodeAffinity;
pub use node_resources_fit::{NodeResourcesFit, Strategy, Weighed};
pub use pod_topology_spread::{DefaultConstraint, PodTopologySpread};
pub use volume_binding::claims_of;

/// Every plugin, in the order in which upstream filters: the first refusal of a node is the one told.
pub fn plugins() -> Vec<Box<dyn Plugin>> {
    vec![
        Box::new(node_unschedulable::NodeUnschedulable),
        Box::new(node_name::NodeName),
        Box::new(taint_toleration::TaintToleration),
        Box::new(NodeAffinity::default()),
        Box::new(node_ports::NodePorts),
        Box::new(NodeResourcesFit::default()),
        Box::new(volume_restrictions::VolumeRestrictions),
        Box::new(node_volume_limits::NodeVolumeLimits),
        Box::new(volume_binding::VolumeBinding),
        Box::new(volume_zone::VolumeZone),
        Box::new(PodTopologySpread::default()),
        Box::new(InterPodAffinity::default()),
        Box::new(dynamic_resources::DynamicResources),
        Box::new(BalancedAllocation::default()),
        Box::new(image_locality::ImageLocality),
    ]
}

#[cfg(test)]
mod tests;
