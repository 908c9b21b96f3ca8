//! The node's lease: the heartbeat that others judge it by.

use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::api::core::v1::Node;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{MicroTime, ObjectMeta};
use kube::api::{Api, PostParams};

use crate::error::api_code;
use crate::events::node_owner;
use crate::kubelet::Kubelet;

const NAMESPACE: &str = "kube-node-lease";
const RETRY_MIN: Duration = Duration::from_millis(200);
const RETRY_MAX: Duration = Duration::from_secs(7);

/// Renews the lease for ever.
pub(crate) async fn run_lease(kubelet: Arc<Kubelet>) {
    let api: Api<Lease> = Api::namespaced(kubelet.client().clone(), NAMESPACE);
    let config = kubelet.config();
    let mut known: Option<Lease> = None;
    let mut retry = RETRY_MIN;
    loop {
        let node = kubelet.node().await;
        match renew(&api, known.take(), &config.node_name, config.lease_duration, &node).await {
            Ok(lease) => {
                known = Some(lease);
                retry = RETRY_MIN;
                tokio::time::sleep(config.lease_renew_every).await;
            }
            Err(error) => {
                tracing::debug!(%error, "the node lease could not be renewed");
                tokio::time::sleep(retry).await;
                retry = (retry * 2).min(RETRY_MAX);
            }
        }
    }
}

async fn renew(
    api: &Api<Lease>,
    known: Option<Lease>,
    name: &str,
    duration: Duration,
    node: &Node,
) -> Result<Lease, kube::Error> {
    let known = match known {
        Some(lease) => Some(lease),
        None => api.get_opt(name).await?,
    };
    let parameters = PostParams::default();
    let Some(mut lease) = known else {
        let made = api.create(&parameters, &renewed(Lease::default(), name, duration, node)).await;
        return match made {
            // Somebody was faster; its version is needed.
            Err(error) if api_code(&error) == Some(409) => api.get(name).await,
            result => result,
        };
    };
    lease = renewed(lease, name, duration, node);
    api.replace(name, &parameters, &lease).await
}

fn renewed(mut lease: Lease, name: &str, duration: Duration, node: &Node) -> Lease {
    let metadata = ObjectMeta {
        name: Some(name.to_owned()),
        namespace: Some(NAMESPACE.to_owned()),
        ..lease.metadata
    };
    lease.metadata = metadata;
    if lease.metadata.owner_references.as_ref().is_none_or(Vec::is_empty) {
        lease.metadata.owner_references = Some(vec![node_owner(node)]);
    }
    let spec = lease.spec.take().unwrap_or_default();
    lease.spec = Some(LeaseSpec {
        holder_identity: Some(name.to_owned()),
        lease_duration_seconds: i32::try_from(duration.as_secs()).ok(),
        renew_time: Some(MicroTime(Timestamp::now())),
        ..spec
    });
    lease
}
