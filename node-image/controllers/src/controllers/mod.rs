//! The list of controllers.

mod deployment;
mod endpoint_slice;
mod endpoints;
mod garbage_collector;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod pod_garbage;
mod replica_set;
mod root_ca;
mod service_account;
mod taint_eviction;

use crate::{Config, Controller};

/// Every controller, in alphabetical order.
pub fn controllers(config: &Config) -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(deployment::Deployments),
        Box::new(endpoint_slice::EndpointSlices),
        Box::new(endpoints::EndpointsController),
        Box::new(garbage_collector::GarbageCollector),
        Box::new(namespace::NamespaceController),
        Box::new(node_ipam::NodeIpam::new(config)),
        Box::new(node_lifecycle::NodeLifecycle::new(config)),
        Box::new(pod_garbage::PodGarbage::new(config)),
        Box::new(replica_set::ReplicaSets::replica_sets()),
        Box::new(replica_set::ReplicaSets::replication_controllers()),
        Box::new(root_ca::RootCaPublisher::new(config)),
        Box::new(service_account::ServiceAccounts),
        Box::new(taint_eviction::TaintEviction),
    ]
}
