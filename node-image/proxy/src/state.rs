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

/// Services that changed, and their ports now.
pub(crate) type Changed = Vec<(String, Vec<Arc<ServicePort>>)>;

/// Rules by Service.
#[derive(Debug, Default)]
pub(crate) struct State {
    place: Place,
    services: BTreeMap<Key, Known>,
    slices: HashMap<Key, BTreeSet<Key>>,
    /// Services to look at; all of them when `is_whole` is not set.
    dirty: BTreeSet<Key>,
    is_whole: bool,
    has_other_health: bool,
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

    /// Looks at what changed; tells the Services whose ports are others now.
    pub(crate) fn refresh(&mut self, view: &View) -> Changed {
        let was_whole = std::mem::replace(&mut self.is_whole, true);
        let mut dirty = std::mem::take(&mut self.dirty);
        if !was_whole {
            dirty.extend(view.objects(&resources::SERVICES, None).map(|object| object.key()));
        }
        dirty.into_iter().filter_map(|key| self.refresh_one(view, key)).collect()
    }

    fn refresh_one(&mut self, view: &View, key: Key) -> Option<(String, Vec<Arc<ServicePort>>)> {
        let name = key.to_string();
        let Some(service) = view.get::<Service>(&key.namespace, &key.name) else {
            let gone = self.services.remove(&key)?;
            self.has_other_health |= gone.health.is_some();
            return Some((name, Vec::new()));
        };
        let slices = self.slices.get(&key).into_iter().flatten();
        let slices: Vec<EndpointSlice> = slices
            .filter_map(|key| view.object(&resources::ENDPOINT_SLICES, key)?.decode())
            .collect();
        let rules = service_rules(&service, &slices, &self.place);
        let known = self.services.entry(key).or_default();
        self.has_other_health |= known.health != rules.health;
        known.health = rules.health;
        let is_same = known.ports.len() == rules.ports.len()
            && known.ports.iter().zip(&rules.ports).all(|(old, new)| **old == *new);
        if is_same {
            return None;
        }
        known.ports = rules.ports.into_iter().map(Arc::new).collect();
        Some((name, known.ports.clone()))
    }

    /// What load balancers may ask for, when that changed: by port, the Service and how many
    /// endpoints are here.
    pub(crate) fn changed_health(&mut self) -> Option<BTreeMap<u16, (Key, usize)>> {
        if !std::mem::take(&mut self.has_other_health) {
            return None;
        }
        let all = self.services.iter();
        let told = all.filter_map(|(key, known)| {
            let (port, count) = known.health?;
            Some((port, (key.clone(), count)))
        });
        Some(told.collect())
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

        fn delete_service(&mut self, name: &str) {
            let resource = Resource::of::<Service>();
            let key = Key::new("n", name);
            let old = self.view.object(&resource, &key).cloned();
            self.view.remove(&resource, &key);
            self.state.note(&[Change { resource: Arc::new(resource), old, new: None }]);
        }

        /// The Services that changed, each with its endpoints.
        fn check(&mut self, expect: &[(&str, &str)]) {
            let changed = self.state.refresh(&self.view);
            let ends = |ports: &[Arc<ServicePort>]| -> String {
                let all = ports.iter().flat_map(|port| &port.endpoints);
                all.map(ToString::to_string).collect()
            };
            let changed: Vec<(&str, String)> =
                changed.iter().map(|(name, ports)| (name.as_str(), ends(ports))).collect();
            let expect: Vec<_> =
                expect.iter().map(|(name, ends)| (*name, (*ends).to_owned())).collect();
            assert_eq!(changed, expect);
        }
    }

    #[test]
    fn rules_follow_changes() {
        let mut world = World::new();
        world.service("a", "10.96.0.8");
        world.service("b", "10.96.0.9");
        world.slice("b-1", "b", "10.244.0.2");
        world.check(&[("n/a", ""), ("n/b", "10.244.0.2:80")]);
        world.check(&[]);
        world.slice("b-1", "b", "10.244.0.2");
        world.check(&[]);
        world.slice("b-1", "b", "10.244.0.3");
        world.check(&[("n/b", "10.244.0.3:80")]);
        world.slice("b-1", "a", "10.244.0.3");
        world.check(&[("n/a", "10.244.0.3:80"), ("n/b", "")]);
        world.delete_service("a");
        world.check(&[("n/a", "")]);
        world.check(&[]);
    }

    #[test]
    fn health_is_told_when_it_changed() {
        let mut world = World::new();
        let spec = json!({"clusterIP": "10.96.0.8", "type": "LoadBalancer",
            "externalTrafficPolicy": "Local", "healthCheckNodePort": 31000,
            "ports": [{"port": 80}]});
        let metadata = json!({"namespace": "n", "name": "a"});
        world.put(Resource::of::<Service>(), json!({"metadata": metadata, "spec": spec}));
        world.service("b", "10.96.0.9");
        world.state.refresh(&world.view);
        let told = BTreeMap::from([(31000, (Key::new("n", "a"), 0))]);
        assert_eq!(world.state.changed_health(), Some(told));
        world.slice("b-1", "b", "10.244.0.2");
        world.state.refresh(&world.view);
        assert_eq!(world.state.changed_health(), None);
        world.delete_service("a");
        world.state.refresh(&world.view);
        assert_eq!(world.state.changed_health(), Some(BTreeMap::new()));
    }
}
