//! The rules of all Services, kept from change to change: what did not change is not looked at again.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kd_client::{Change, Key, Object, View, resources};
use kd_network::ServicePort;

use crate::endpoints::Place;
use crate::ports::service_rules;

/// Ties a slice to its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";
const ZONE_LABEL: &str = "topology.kubernetes.io/zone";

/// What one Service makes this node do.
#[derive(Clone, Debug, Default)]
struct Known {
    ports: Vec<Arc<ServicePort>>,
    health: Option<(u16, usize)>,
}

/// Rules by Service.
#[derive(Debug, Default)]
pub(crate) struct State {
    place: Place,
    services: BTreeMap<Key, Known>,
    slices: HashMap<Key, BTreeSet<Key>>,
    /// Services to look at; all of them when `is_whole` is not set.
    dirty: BTreeSet<Key>,
    is_whole: bool,
}

impl State {
    pub(crate) fn new(node: String) -> State {
        State { place: Place { node, zone: String::new() }, ..State::default() }
    }

    /// Takes note of what changed.
    pub(crate) fn note(&mut self, changes: &[Change]) {
        for change in changes {
            if change.resource.same(&resources::SERVICES) {
                self.dirty.extend(change.object().map(|object| object.key()));
            } else if change.resource.same(&resources::ENDPOINT_SLICES) {
                self.note_slice(change);
            } else if change.resource.same(&resources::NODES) {
                self.note_node(change);
            }
        }
    }

    fn note_slice(&mut self, change: &Change) {
        for (object, is_there) in [(&change.old, false), (&change.new, true)] {
            let Some(object) = object else { continue };
            let Some(service) = service_of(object) else { continue };
            let slices = self.slices.entry(service.clone()).or_default();
            match is_there {
                true => slices.insert(object.key()),
                false => slices.remove(&object.key()),
            };
            if slices.is_empty() {
                self.slices.remove(&service);
            }
            self.dirty.insert(service);
        }
    }

    fn note_node(&mut self, change: &Change) {
        let Some(node) = &change.new else { return };
        let zone = node.metadata.labels.get(ZONE_LABEL).cloned().unwrap_or_default();
        if node.metadata.name == self.place.node && zone != self.place.zone {
            self.place.zone = zone;
            self.is_whole = false;
        }
    }

    /// Looks at what changed; false when the rules are as before.
    pub(crate) fn refresh(&mut self, view: &View) -> bool {
        let was_whole = std::mem::replace(&mut self.is_whole, true);
        let mut dirty = std::mem::take(&mut self.dirty);
        if !was_whole {
            dirty.extend(view.objects(&resources::SERVICES, None).map(|object| object.key()));
        }
        let mut changed = !was_whole;
        for key in dirty {
            changed |= self.refresh_one(view, key);
        }
        changed
    }

    fn refresh_one(&mut self, view: &View, key: Key) -> bool {
        let Some(service) = view.get::<Service>(&key.namespace, &key.name) else {
            return self.services.remove(&key).is_some();
        };
        let slices = self.slices.get(&key).into_iter().flatten();
        let slices: Vec<EndpointSlice> = slices
            .filter_map(|key| view.object(&resources::ENDPOINT_SLICES, key)?.decode())
            .collect();
        let rules = service_rules(&service, &slices, &self.place);
        let known = self.services.entry(key).or_default();
        let is_same = known.health == rules.health
            && known.ports.len() == rules.ports.len()
            && known.ports.iter().zip(&rules.ports).all(|(old, new)| **old == *new);
        if !is_same {
            known.ports = rules.ports.into_iter().map(Arc::new).collect();
            known.health = rules.health;
        }
        !is_same
    }

    /// All ports.
    pub(crate) fn ports(&self) -> impl Iterator<Item = Arc<ServicePort>> {
        self.services.values().flat_map(|known| known.ports.iter().cloned())
    }

    /// What load balancers may ask for: by port, the Service and how many endpoints are here.
    pub(crate) fn health(&self) -> BTreeMap<u16, (Key, usize)> {
        let all = self.services.iter();
        all.filter_map(|(key, known)| {
            let (port, count) = known.health?;
            Some((port, (key.clone(), count)))
        })
        .collect()
    }
}

fn service_of(slice: &Object) -> Option<Key> {
    let name = slice.metadata.labels.get(SERVICE_NAME_LABEL)?;
    Some(Key::new(&slice.metadata.namespace, name))
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use kd_client::{Keep, Resource};
    use serde_json::{Value, json};

    use super::*;

    struct World {
        view: View,
        state: State,
    }

    impl World {
        fn new() -> World {
            let watched = [Resource::of::<Service>(), Resource::of::<EndpointSlice>()];
            World { view: View::of(watched), state: State::new("here".into()) }
        }

        fn put(&mut self, resource: Resource, object: Value) {
            let bytes = serde_json::to_vec(&object).unwrap();
            let parse = || Object::parse(&resource, &bytes, Keep::Full, Timestamp::UNIX_EPOCH);
            let new = Arc::new(parse().unwrap());
            let old = self.view.object(&resource, &new.key()).cloned();
            self.view.insert(&resource, parse().unwrap());
            self.state.note(&[Change { resource: Arc::new(resource), old, new: Some(new) }]);
        }

        fn service(&mut self, name: &str, address: &str) {
            let spec = json!({"clusterIP": address, "ports": [{"port": 80}]});
            let metadata = json!({"namespace": "n", "name": name});
            self.put(Resource::of::<Service>(), json!({"metadata": metadata, "spec": spec}));
        }

        fn slice(&mut self, name: &str, service: &str, endpoint: &str) {
            let labels = json!({SERVICE_NAME_LABEL: service});
            let slice = json!({"metadata": {"namespace": "n", "name": name, "labels": labels},
                "addressType": "IPv4", "ports": [{"port": 80}],
                "endpoints": [{"addresses": [endpoint]}]});
            self.put(Resource::of::<EndpointSlice>(), slice);
        }

        fn check(&mut self, changed: bool, expect: &[&str]) {
            assert_eq!(self.state.refresh(&self.view), changed);
            let ports = self.state.ports();
            let ends: Vec<String> = ports
                .map(|port| port.endpoints.iter().map(ToString::to_string).collect())
                .collect();
            assert_eq!(ends, expect);
        }
    }

    #[test]
    fn rules_follow_changes() {
        let mut world = World::new();
        world.service("a", "10.96.0.8");
        world.service("b", "10.96.0.9");
        world.slice("b-1", "b", "10.244.0.2");
        world.check(true, &["", "10.244.0.2:80"]);
        world.check(false, &["", "10.244.0.2:80"]);
        world.slice("b-1", "b", "10.244.0.2");
        world.check(false, &["", "10.244.0.2:80"]);
        world.slice("b-1", "b", "10.244.0.3");
        world.check(true, &["", "10.244.0.3:80"]);
        world.slice("b-1", "a", "10.244.0.3");
        world.check(true, &["10.244.0.3:80", ""]);
    }
}
