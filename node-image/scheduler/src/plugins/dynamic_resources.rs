//! DynamicResources: a node has to reach the devices that a pod's claims ask for, or have.

use crate::cluster::Cluster;
use crate::devices::{Allocator, PodClaims};
use crate::node::NodeFacts;
use crate::plugin::{ClusterEvent, Plugin, Prepared, Refusal};
use crate::pod::PodFacts;

pub(super) struct DynamicResources;

struct Claims<'a> {
    claims: PodClaims<'a>,
    allocator: Option<Allocator<'a>>,
}

impl Plugin for DynamicResources {
    fn name(&self) -> &'static str {
        "DynamicResources"
    }

    fn prepare<'a>(
        &'a self,
        cluster: &'a Cluster,
        pod: &'a PodFacts,
    ) -> Result<Option<Box<dyn Prepared + 'a>>, Refusal> {
        if pod.wishes.device_claims.is_empty() {
            return Ok(None);
        }
        let claims = cluster.devices.claims_of(pod).map_err(Refusal::fixed)?;
        if claims.is_empty() {
            return Ok(None);
        }
        Ok(Some(Box::new(Claims { allocator: claims.allocator(), claims })))
    }

    fn helped_by(&self, event: &ClusterEvent, _: &PodFacts) -> bool {
        matches!(event, ClusterEvent::Devices | ClusterEvent::Node(_))
    }
}

impl Prepared for Claims<'_> {
    fn filter(&self, node: &NodeFacts) -> Vec<Refusal> {
        if !self.claims.available_on(node) {
            return vec![Refusal::fixed("resourceclaim not available on the node")];
        }
        let Some(allocator) = &self.allocator else { return Vec::new() };
        match allocator.allocate(node) {
            Ok(Some(_)) => Vec::new(),
            Ok(None) => vec![Refusal::fixed("cannot allocate all claims")],
            Err(why) => vec![Refusal::fixed(why)],
        }
    }
}
