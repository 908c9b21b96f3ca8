//! Keeps the kernel's rules equal to the API's Services.

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kd_client::{Cache, Client, Interest, Resource, View};
use kd_network::Services;

use crate::service_ports;

/// Programs this network namespace, which is that of the node `node`, until the API's watches end
/// with the process. Rules of an earlier run stay in force until the first complete list is known;
/// established connections are never touched.
pub async fn run(client: Client, node: String) {
    let interests = vec![
        Interest::full(&Resource::of::<Service>()),
        Interest::full(&Resource::of::<EndpointSlice>()),
    ];
    let (cache, mut changes) = Cache::start(client, interests);
    let mut services = Services::default();
    while changes.next().await.is_some() {
        let view = cache.view();
        if is_complete(&view) {
            apply(&mut services, &view, &node);
        }
    }
}

fn is_complete(view: &View) -> bool {
    view.is_synced(&Resource::of::<Service>()) && view.is_synced(&Resource::of::<EndpointSlice>())
}

fn apply(services: &mut Services, view: &View, node: &str) {
    let (all, slices) = (view.list::<Service>(None), view.list::<EndpointSlice>(None));
    let ports = service_ports(&all, &slices, node);
    if let Err(error) = services.set(ports) {
        // The next change tries again with everything.
        tracing::error!(%error, "cannot program services");
    }
}
