//! Keeps the zone equal to the API.

use std::collections::BTreeSet;

use kd_client::{Cache, Change, Client, Interest, Key, View, resources};
use tokio::sync::watch;

use crate::zone::{Zone, service_of_slice};

/// Follows the API for as long as somebody reads the zone. What was known stays known while the API
/// cannot be reached.
pub(crate) async fn follow(client: Client, zone: watch::Sender<Zone>) {
    let (cache, mut changes) = Cache::start(client, interests());
    loop {
        let batch = tokio::select! {
            batch = changes.next() => batch,
            () = zone.closed() => return,
        };
        let Some(batch) = batch else { return };
        let view = cache.view();
        if zone.borrow().is_complete() {
            let (services, namespaces) = touched(&batch);
            zone.send_modify(|zone| zone.update(&view, &services, &namespaces));
        } else if is_complete(&view) {
            zone.send_modify(|zone| zone.fill(&view));
        }
    }
}

fn interests() -> Vec<Interest> {
    vec![
        Interest::full(&resources::SERVICES),
        Interest::full(&resources::ENDPOINT_SLICES),
        Interest::metadata(&resources::NAMESPACES),
    ]
}

fn is_complete(view: &View) -> bool {
    interests().iter().all(|interest| view.is_synced(&interest.resource))
}

/// The Services and namespaces that changes are about. A slice may have moved to another Service.
fn touched(changes: &[Change]) -> (BTreeSet<Key>, BTreeSet<Box<str>>) {
    let (mut services, mut namespaces) = (BTreeSet::new(), BTreeSet::new());
    for change in changes {
        let objects = change.old.iter().chain(&change.new);
        match &*change.resource.plural {
            "services" => services.extend(objects.map(|object| object.key())),
            "endpointslices" => services.extend(objects.filter_map(|s| service_of_slice(s))),
            _ => namespaces.extend(objects.map(|object| object.key().name)),
        }
    }
    (services, namespaces)
}
