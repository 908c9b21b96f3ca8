//! Mirrors Endpoints that a user wrote, for Services without a selector, into EndpointSlices.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{EndpointAddress, EndpointSubset, Endpoints, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointConditions, EndpointPort, EndpointSlice};
use kd_client::{Change, DeleteOptions, Interest, Key, Object, View, resources};
use serde_json::json;

use crate::claims::owner_reference;
use crate::controller::shared;
use crate::{Controller, Plan, Step, Target};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const OURS: &str = "endpointslicemirroring-controller.k8s.io";
/// A label by which Endpoints ask not to be mirrored, and an annotation of those that are locks.
const SKIP: &str = "endpointslice.kubernetes.io/skip-mirror";
const LEADER: &str = "control-plane.alpha.kubernetes.io/leader";
/// Annotations that are not passed on.
const OWN_ANNOTATIONS: [&str; 2] = [
    "endpoints.kubernetes.io/last-change-trigger-time",
    "kubectl.kubernetes.io/last-applied-configuration",
];
/// Addresses of one subset that are mirrored.
const ADDRESSES_MAX: usize = 1000;

pub(super) struct EndpointSliceMirroring;

impl Controller for EndpointSliceMirroring {
    fn name(&self) -> &'static str {
        "endpointslice-mirroring-controller"
    }

    fn account(&self) -> &'static str {
        "endpointslicemirroring-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::ENDPOINTS),
            Interest::full(&resources::ENDPOINT_SLICES),
            Interest::full(&resources::SERVICES),
        ]
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        let Some(object) = change.object() else { return Vec::new() };
        let name = match change.resource.same(&resources::ENDPOINT_SLICES) {
            false => Some(&object.metadata.name),
            true if !is_ours(object) => None,
            true => object.metadata.labels.get(SERVICE_NAME),
        };
        let key = name.map(|name| Key::new(&object.metadata.namespace, name));
        key.map(|key| Target::new(&shared(&resources::ENDPOINTS), key)).into_iter().collect()
    }

    fn reconcile(&self, view: &View, target: &Target, _now: Timestamp) -> Plan {
        let existing = own_slices(view, &target.key);
        let source = mirrored(view, &target.key);
        let mut steps = Vec::new();
        let mut left = existing;
        if let Some((object, endpoints)) = source {
            for ((family, _), (ports, addresses)) in groups(&endpoints) {
                let desired = slice(object, &endpoints, family, ports, addresses);
                let same = left.iter().position(|known| {
                    known.address_type == desired.address_type && known.ports == desired.ports
                });
                match same.map(|place| left.remove(place)) {
                    Some(known) => steps.extend(update(known, desired)),
                    None => steps.push(create(&target.key, &desired)),
                }
            }
        }
        steps.extend(left.iter().map(delete));
        Plan::together(steps)
    }
}

fn is_ours(slice: &Object) -> bool {
    slice.metadata.labels.get(MANAGED_BY).is_some_and(|by| by == OURS)
}

fn own_slices(view: &View, key: &Key) -> Vec<EndpointSlice> {
    let slices = view.objects(&resources::ENDPOINT_SLICES, Some(&key.namespace));
    let ours = slices.filter(|slice| {
        is_ours(slice)
            && slice.metadata.labels.get(SERVICE_NAME).is_some_and(|name| **name == *key.name)
            && !slice.metadata.is_deleting()
    });
    ours.filter_map(|slice| slice.decode()).collect()
}

/// The Endpoints, if they are to be mirrored.
fn mirrored<'a>(view: &'a View, key: &Key) -> Option<(&'a Object, Endpoints)> {
    let object = view.object(&resources::ENDPOINTS, key)?;
    let endpoints: Endpoints = object.decode()?;
    let service: Service = view.get(&key.namespace, &key.name)?;
    let selects = service.spec?.selector.is_some_and(|selector| !selector.is_empty());
    let skipped = object.metadata.labels.get(SKIP).is_some_and(|value| value == "true");
    let annotations = endpoints.metadata.annotations.as_ref();
    let lock = annotations.is_some_and(|all| all.contains_key(LEADER));
    let wanted = !selects && !skipped && !lock && !object.metadata.is_deleting();
    wanted.then_some((object, endpoints))
}

type Group = (Vec<EndpointPort>, Vec<Endpoint>);

/// Addresses by family and ports; the second half of the key is the ports as text.
fn groups(endpoints: &Endpoints) -> BTreeMap<(&'static str, String), Group> {
    let mut groups: BTreeMap<(&'static str, String), Group> = BTreeMap::new();
    for subset in endpoints.subsets.iter().flatten() {
        let ports = ports(subset);
        let name = json!(ports).to_string();
        let ready = subset.addresses.iter().flatten().map(|address| (address, true));
        let others = subset.not_ready_addresses.iter().flatten().map(|address| (address, false));
        for (address, ready) in ready.chain(others).take(ADDRESSES_MAX) {
            let family = if address.ip.contains(':') { "IPv6" } else { "IPv4" };
            let group = groups.entry((family, name.clone())).or_default();
            group.0.clone_from(&ports);
            group.1.push(endpoint(address, ready));
        }
    }
    groups
}

fn ports(subset: &EndpointSubset) -> Vec<EndpointPort> {
    let ports = subset.ports.iter().flatten().map(|port| EndpointPort {
        name: Some(port.name.clone().unwrap_or_default()),
        port: Some(port.port),
        protocol: port.protocol.clone().or_else(|| Some("TCP".into())),
        app_protocol: port.app_protocol.clone(),
    });
    ports.collect()
}

fn endpoint(address: &EndpointAddress, ready: bool) -> Endpoint {
    Endpoint {
        addresses: vec![address.ip.clone()],
        conditions: Some(EndpointConditions { ready: Some(ready), ..Default::default() }),
        hostname: address.hostname.clone(),
        node_name: address.node_name.clone(),
        target_ref: address.target_ref.clone(),
        ..Endpoint::default()
    }
}

fn slice(
    object: &Object,
    endpoints: &Endpoints,
    family: &str,
    ports: Vec<EndpointPort>,
    addresses: Vec<Endpoint>,
) -> EndpointSlice {
    let mut slice = EndpointSlice {
        address_type: family.to_owned(),
        ports: Some(ports),
        endpoints: Some(addresses),
        ..EndpointSlice::default()
    };
    let mut labels = object.metadata.labels.clone();
    labels.insert(SERVICE_NAME.into(), object.metadata.name.clone());
    labels.insert(MANAGED_BY.into(), OURS.into());
    slice.metadata.labels = Some(labels);
    let mut annotations = endpoints.metadata.annotations.clone().unwrap_or_default();
    annotations.retain(|name, _| !OWN_ANNOTATIONS.contains(&name.as_str()));
    slice.metadata.annotations = (!annotations.is_empty()).then_some(annotations);
    slice.metadata.namespace = Some(object.metadata.namespace.clone());
    slice.metadata.generate_name = Some(format!("{}-", object.metadata.name));
    let owner = owner_reference(&resources::ENDPOINTS, object);
    slice.metadata.owner_references = serde_json::from_value(json!([owner])).ok();
    slice
}

fn create(key: &Key, slice: &EndpointSlice) -> Step {
    Step::create(&resources::ENDPOINT_SLICES, &key.namespace, slice)
}

fn update(known: EndpointSlice, desired: EndpointSlice) -> Option<Step> {
    let (before, after) = (&known.metadata, &desired.metadata);
    let same = known.endpoints == desired.endpoints
        && before.labels == after.labels
        && before.annotations == after.annotations;
    if same {
        return None;
    }
    let key = key_of(&known);
    let mut updated = known;
    updated.endpoints = desired.endpoints;
    updated.metadata.labels = desired.metadata.labels;
    updated.metadata.annotations = desired.metadata.annotations;
    Some(Step::update(&resources::ENDPOINT_SLICES, key, &updated))
}

fn delete(slice: &EndpointSlice) -> Step {
    let options = DeleteOptions::of(slice.metadata.uid.as_deref().unwrap_or_default());
    Step::delete(&resources::ENDPOINT_SLICES, key_of(slice), options)
}

fn key_of(slice: &EndpointSlice) -> Key {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Key::new(&text(&slice.metadata.namespace), &text(&slice.metadata.name))
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{body, lines, merge, object, plan, view};

    fn endpoints(more: Value) -> Value {
        let mut all = object(
            "Endpoints",
            "a",
            "e",
            json!({"metadata": {"labels": {"k": "v"}}, "subsets": [
                {"addresses": [{"ip": "10.0.0.1"}, {"ip": "fd00::1"}],
                    "notReadyAddresses": [{"ip": "10.0.0.2"}], "ports": [{"port": 80}]}]}),
        );
        merge(&mut all, more);
        all
    }

    fn check(endpoints: Value, spec: Value, others: &[Value], expect: &[&str]) -> Plan {
        let service = object("Service", "a", "e", json!({"spec": spec}));
        let all = [&[endpoints, service], others].concat();
        let resource = &resources::ENDPOINTS;
        let plan = plan(&EndpointSliceMirroring, &view(&all), resource, ("a", "e"), 1);
        assert_eq!(lines(&plan), expect);
        plan
    }

    #[test]
    fn one_slice_for_a_family_and_its_ports() {
        let create = "create endpointslices a/";
        let plan = check(endpoints(json!({})), json!({}), &[], &[create, create]);
        let first = body(&plan, 0);
        assert_eq!(first["addressType"], "IPv4");
        assert_eq!(
            first["endpoints"],
            json!([{"addresses": ["10.0.0.1"], "conditions": {"ready": true}},
                {"addresses": ["10.0.0.2"], "conditions": {"ready": false}}])
        );
        assert_eq!(
            first["metadata"]["labels"],
            json!({"k": "v", SERVICE_NAME: "e", MANAGED_BY: OURS})
        );
        assert_eq!(first["ports"], json!([{"name": "", "port": 80, "protocol": "TCP"}]));
        // What is there is kept, brought up to date, or removed.
        let stored = |place: usize, name: &str| {
            let mut slice = body(&plan, place).clone();
            let generated = slice["metadata"].as_object_mut().unwrap();
            generated.remove("generateName");
            let mut all = object("EndpointSlice", "a", name, json!({}));
            merge(&mut all, slice);
            all
        };
        let both = [stored(0, "x"), stored(1, "y")];
        check(endpoints(json!({})), json!({}), &both, &[]);
        let fewer = endpoints(json!({"subsets": [
            {"addresses": [{"ip": "10.0.0.1"}], "ports": [{"port": 80}]}]}));
        check(fewer, json!({}), &both, &["update endpointslices a/x", "delete endpointslices a/y"]);
    }

    #[test]
    fn some_are_not_mirrored() {
        check(endpoints(json!({})), json!({"selector": {"a": "b"}}), &[], &[]);
        check(endpoints(json!({"metadata": {"labels": {SKIP: "true"}}})), json!({}), &[], &[]);
        check(endpoints(json!({"metadata": {"annotations": {LEADER: "x"}}})), json!({}), &[], &[]);
    }
}
