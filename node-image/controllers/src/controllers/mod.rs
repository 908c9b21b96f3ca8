//! The list of controllers.

mod attach_detach;
mod bootstrap_signer;
mod bootstrap_tokens;
mod certificate_approving;
mod certificate_cleaning;
mod certificate_signing;
mod cluster_dns;
mod cluster_role_aggregation;
mod cron_job;
mod daemon_set;
mod deployment;
mod device_taint_eviction;
mod disruption;
mod endpoint_slice;
mod endpoint_slice_mirroring;
mod endpoints;
mod ephemeral_volume;
mod garbage_collector;
mod horizontal_pod_autoscaler;
mod job;
mod kept;
mod local_path;
mod namespace;
mod node_ipam;
mod node_lifecycle;
mod node_ttl;
mod persistent_volume_binder;
mod pod_garbage;
mod replica_set;
mod resource_claim;
mod resource_quota;
mod root_ca;
mod service_account;
mod service_account_token;
mod service_cidr;
mod service_load_balancer;
mod simulated_node;
mod simulated_pod;
mod stateful_set;
mod taint_eviction;
mod token_cleaner;
mod ttl_after_finished;
mod volume_attributes_class_protection;
mod volume_expand;
mod volume_protection;

use crate::{Config, Controller};

/// Every controller, in alphabetical order; those of simulated nodes where there are such nodes.
pub fn controllers(config: &Config) -> Vec<Box<dyn Controller>> {
    let mut all = real(config);
    if config.simulated_nodes.count > 0 {
        all.push(Box::new(simulated_node::SimulatedNodes::new(config)));
        all.push(Box::new(simulated_pod::SimulatedPods));
    }
    all
}

fn real(config: &Config) -> Vec<Box<dyn Controller>> {
    vec![
        Box::new(attach_detach::AttachDetach),
        Box::new(bootstrap_signer::BootstrapSigner),
        Box::new(certificate_approving::CertificateApproving),
        Box::new(certificate_cleaning::CertificateCleaning),
        Box::new(certificate_signing::CertificateSigning),
        Box::new(cluster_dns::ClusterDns::new(config)),
        Box::new(cluster_role_aggregation::ClusterRoleAggregation),
        Box::new(cron_job::CronJobs),
        Box::new(daemon_set::DaemonSets),
        Box::new(deployment::Deployments),
        Box::new(device_taint_eviction::DeviceTaintEviction),
        Box::new(disruption::Disruption),
        Box::new(endpoint_slice::EndpointSlices),
        Box::new(endpoint_slice_mirroring::EndpointSliceMirroring),
        Box::new(endpoints::EndpointsController),
        Box::new(ephemeral_volume::EphemeralVolumes),
        Box::new(garbage_collector::GarbageCollector),
        Box::new(horizontal_pod_autoscaler::HorizontalPodAutoscalers),
        Box::new(job::Jobs),
        Box::new(local_path::LocalPathProvisioner),
        Box::new(namespace::NamespaceController),
        Box::new(node_ipam::NodeIpam::new(config)),
        Box::new(node_lifecycle::NodeLifecycle::new(config)),
        Box::new(node_ttl::NodeTtl),
        Box::new(persistent_volume_binder::PersistentVolumeBinder),
        Box::new(pod_garbage::PodGarbage::new(config)),
        Box::new(replica_set::ReplicaSets::of_replica_sets()),
        Box::new(replica_set::ReplicaSets::of_replication_controllers()),
        Box::new(resource_claim::ResourceClaims),
        Box::new(resource_quota::ResourceQuotas),
        Box::new(root_ca::RootCaPublisher::new(config)),
        Box::new(service_account::ServiceAccounts),
        Box::new(service_account_token::ServiceAccountTokens::new(config)),
        Box::new(service_cidr::ServiceCidrs),
        Box::new(service_load_balancer::ServiceLoadBalancer),
        Box::new(stateful_set::StatefulSets),
        Box::new(taint_eviction::TaintEviction),
        Box::new(token_cleaner::TokenCleaner),
        Box::new(ttl_after_finished::TtlAfterFinished),
        Box::new(volume_attributes_class_protection::VolumeAttributesClassProtection),
        Box::new(volume_expand::VolumeExpand),
        Box::new(volume_protection::VolumeProtection::of_claims()),
        Box::new(volume_protection::VolumeProtection::of_volumes()),
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_list_is_in_order_and_complete() {
        let mut config = Config::new("10.244.0.0/16".parse().unwrap(), 24, "");
        config.simulated_nodes.count = 1;
        let names: Vec<&str> = controllers(&config).iter().map(|c| c.name()).collect();
        let mut unique = names.clone();
        unique.sort_unstable();
        unique.dedup();
        assert_eq!(unique.len(), names.len(), "{names:?}");
        assert!(controllers(&config).iter().all(|c| !c.interests().is_empty()));
    }
}
