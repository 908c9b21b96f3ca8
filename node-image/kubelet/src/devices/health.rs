//! `allocatedResourcesStatus`: how the devices that containers have are.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::{ResourceHealth, ResourceStatus};
use tokio::sync::watch;

use super::{Devices, Offer};
use crate::kubelet::Kubelet;

/// Has pods tell anew of their devices when a plugin has told of these.
pub(crate) async fn follow_health(kubelet: Arc<Kubelet>) {
    let mut changes = kubelet.devices().changes();
    while changes.changed().await.is_ok() {
        for uid in kubelet.devices().pods() {
            if let Some(entry) = kubelet.pod_by_uid(&uid) {
                entry.wake();
            }
        }
    }
}

impl Devices {
    fn changes(&self) -> watch::Receiver<()> {
        self.changes.subscribe()
    }

    /// The pods that have devices.
    fn pods(&self) -> BTreeSet<String> {
        self.state().allocations.iter().map(|allocation| allocation.pod.clone()).collect()
    }

    /// The devices of a pod's containers, by the names of these.
    pub fn health(&self, uid: &str) -> HashMap<String, Vec<ResourceStatus>> {
        let state = self.state();
        let mut found: HashMap<String, Vec<ResourceStatus>> = HashMap::new();
        for given in state.allocations.iter().filter(|given| given.pod == uid) {
            let told = status(&given.resource, &given.devices, &state.offers);
            found.entry(given.container.clone()).or_default().push(told);
        }
        found
    }
}

fn status(
    resource: &str,
    devices: &BTreeSet<String>,
    offers: &BTreeMap<String, Offer>,
) -> ResourceStatus {
    let offer = offers.get(resource);
    let health = |id: &String| {
        let Some(offer) = offer.filter(|offer| offer.endpoint.is_some()) else { return "Unknown" };
        match offer.devices.get(id) {
            Some(device) if !device.healthy => "Unhealthy",
            _ => "Healthy",
        }
    };
    let one = |id: &String| ResourceHealth {
        resource_id: id.clone(),
        health: Some(health(id).to_owned()),
        ..ResourceHealth::default()
    };
    ResourceStatus { name: resource.to_owned(), resources: Some(devices.iter().map(one).collect()) }
}

#[cfg(test)]
mod tests {
    use super::super::{Device, Endpoint};
    use super::*;

    #[test]
    fn what_is_told_of_devices() {
        let endpoint = Endpoint {
            number: 1,
            socket: "/s".into(),
            options: Default::default(),
            over: Default::default(),
        };
        let device = |id: &str, healthy| (id.to_owned(), Device { healthy, ..Device::default() });
        let offer = |endpoint: Option<Endpoint>| Offer {
            devices: [device("a", true), device("b", false)].into(),
            endpoint,
            gone_at: None,
        };
        let check = |offer: Option<Offer>, expect: [&str; 3]| {
            let offers = offer.map(|offer| ("kd.test/toy".to_owned(), offer)).into_iter().collect();
            let given = ["a", "b", "c"].map(str::to_owned).into();
            let told = status("kd.test/toy", &given, &offers);
            let all = told.resources.unwrap_or_default();
            let found: Vec<_> = all.iter().filter_map(|one| one.health.as_deref()).collect();
            assert_eq!(found, expect);
        };
        // A device that its plugin no longer tells of is not known to be bad.
        check(Some(offer(Some(endpoint))), ["Healthy", "Unhealthy", "Healthy"]);
        check(Some(offer(None)), ["Unknown"; 3]);
        check(None, ["Unknown"; 3]);
    }
}
