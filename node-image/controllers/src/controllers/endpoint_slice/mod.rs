//! EndpointSlices: the addresses behind each Service with a selector, at most 100 to an object, so
//! that one pod's change is one small write.

mod topology;

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kd_client::{
    Change, DeleteOptions, EventType, Interest, Key, Object, Occurrence, View, resources,
};
use serde_json::{Value, json};

use crate::backends::{
    Backend, HEADLESS, backends, concerned_services, is_headless, protocol, publishes_not_ready,
};
use crate::claims::owner_reference;
use crate::controller::shared;
use crate::{Controller, Plan, Step, Target, event};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const OURS: &str = "endpointslice-controller.k8s.io";
const ZONE: &str = "topology.kubernetes.io/zone";
/// Annotations that ask for zones' shares; the second one is the older name.
const MODES: [&str; 2] =
    ["service.kubernetes.io/topology-mode", "service.kubernetes.io/topology-aware-hints"];
const ENDPOINTS_MAX: usize = 100;

pub(super) struct EndpointSlices;

impl Controller for EndpointSlices {
    fn name(&self) -> &'static str {
        "endpoint-slice-controller"
    }

    fn account(&self) -> &'static str {
        "endpointslice-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::SERVICES),
            Interest::full(&resources::ENDPOINT_SLICES),
            Interest::full(&resources::PODS),
            Interest::full(&resources::NODES),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        if change.resource.same(&resources::NODES) {
            return shared_out_by_zone(view, change);
        }
        concerned_services(view, change, &resources::ENDPOINT_SLICES, |slice| {
            slice.metadata.labels.get(SERVICE_NAME).cloned()
        })
    }

    fn reconcile(&self, view: &View, target: &Target, _: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::SERVICES, &target.key) else {
            // The garbage collector takes the slices with their owner.
            return Plan::nothing();
        };
        let Some(service) = object.decode::<Service>() else { return Plan::nothing() };
        let existing = own_slices(view, object);
        if object.metadata.is_deleting() {
            return Plan::nothing();
        }
        let Some(backends) = backends(view, &service) else {
            // The selector was taken away: what was made for it goes too.
            return Plan::together(existing.iter().map(delete).collect());
        };
        let mut plan = Plan::nothing();
        let mut steps = Vec::new();
        for family in families(&service) {
            let (ours, _): (Vec<&EndpointSlice>, Vec<&EndpointSlice>) =
                existing.iter().partition(|slice| slice.address_type == family);
            let desired = Desired { view, object, service: &service, family };
            let (changes, told) = desired.steps(&backends, ours);
            // What is at rest was told before.
            plan.events.extend(told.filter(|_| !changes.is_empty()));
            steps.extend(changes);
        }
        let served = families(&service);
        let stale = existing.iter().filter(|slice| !served.contains(&slice.address_type.as_str()));
        steps.extend(stale.map(delete));
        plan.then(steps);
        plan
    }
}

/// Whether a Service's endpoints are shared out to zones.
fn is_auto(service: &Service) -> bool {
    let annotations = service.metadata.annotations.as_ref();
    let mode = annotations.and_then(|all| MODES.iter().find_map(|name| all.get(*name)));
    mode.is_some_and(|mode| mode == "Auto" || mode == "auto")
}

/// The Services that a node's change may concern.
fn shared_out_by_zone(view: &View, change: &Change) -> Vec<Target> {
    let state = |node: &Option<Arc<Object>>| {
        let node = node.as_ref()?;
        Some((topology::readiness(node), node.metadata.labels.get(ZONE).cloned()))
    };
    if state(&change.old) == state(&change.new) {
        return Vec::new();
    }
    let services = view.objects(&resources::SERVICES, None);
    let auto = services.filter(|service| service.decode().is_some_and(|s| is_auto(&s)));
    auto.map(|service| Target::of(&shared(&resources::SERVICES), service)).collect()
}

fn own_slices(view: &View, service: &Object) -> Vec<EndpointSlice> {
    let namespace = Some(service.metadata.namespace.as_str());
    let slices = view.objects(&resources::ENDPOINT_SLICES, namespace).filter(|slice| {
        let labels = &slice.metadata.labels;
        labels.get(SERVICE_NAME) == Some(&service.metadata.name)
            && labels.get(MANAGED_BY).is_some_and(|by| by == OURS)
            && !slice.metadata.is_deleting()
    });
    slices.filter_map(|slice| slice.decode()).collect()
}

fn families(service: &Service) -> Vec<&'static str> {
    let listed = service.spec.as_ref().and_then(|s| s.ip_families.as_ref());
    let named = listed.into_iter().flatten().map(|f| if f == "IPv6" { "IPv6" } else { "IPv4" });
    let all: Vec<&'static str> = named.collect();
    if all.is_empty() { vec!["IPv4"] } else { all }
}

fn delete(slice: &EndpointSlice) -> Step {
    let options = DeleteOptions::of(slice.metadata.uid.as_deref().unwrap_or_default());
    Step::delete(&resources::ENDPOINT_SLICES, slice_key(slice), options)
}

fn slice_key(slice: &EndpointSlice) -> Key {
    let text = |value: &Option<String>| value.clone().unwrap_or_default();
    Key::new(&text(&slice.metadata.namespace), &text(&slice.metadata.name))
}

/// The slices that one family of a Service should have.
struct Desired<'a> {
    view: &'a View,
    object: &'a Object,
    service: &'a Service,
    family: &'static str,
}

/// Endpoints by the name of their pod; the pods of one group have the same ports.
type Group = (Vec<EndpointPort>, BTreeMap<String, Endpoint>);

impl Desired<'_> {
    fn steps(
        &self,
        backends: &[Backend],
        existing: Vec<&EndpointSlice>,
    ) -> (Vec<Step>, Option<Occurrence>) {
        let mut groups = self.groups(backends);
        let told = is_auto(self.service).then(|| self.share_out(&mut groups, &existing)).flatten();
        let mut steps = Vec::new();
        let mut left = existing;
        for (ports, endpoints) in groups {
            let (same, other): (Vec<_>, Vec<_>) = left
                .into_iter()
                .partition(|slice| slice.ports.as_deref().unwrap_or_default() == ports);
            left = other;
            self.fill(&mut steps, &ports, endpoints, same);
        }
        steps.extend(left.into_iter().map(delete));
        (steps, told)
    }

    /// Gives the endpoints their zones, and tells when that begins or is not possible.
    fn share_out(&self, groups: &mut [Group], before: &[&EndpointSlice]) -> Option<Occurrence> {
        let mut all: Vec<&mut Endpoint> =
            groups.iter_mut().flat_map(|(_, endpoints)| endpoints.values_mut()).collect();
        let zones = topology::zones(self.view);
        let tell = |kind, reason, message: &str| {
            let message = format!("{message}, addressType: {}", self.family);
            Some(event(&resources::SERVICES, self.object, kind, reason, message))
        };
        if let Err(why) = topology::assign(zones.as_ref(), &mut all) {
            all.iter_mut().for_each(|endpoint| endpoint.hints = None);
            return tell(EventType::Warning, "TopologyAwareHintsDisabled", &why);
        }
        let mut endpoints = before.iter().flat_map(|slice| slice.endpoints.iter().flatten());
        if endpoints.any(|endpoint| endpoint.hints.is_some()) {
            return None;
        }
        let message = "Topology Aware Hints has been enabled";
        tell(EventType::Normal, "TopologyAwareHintsEnabled", message)
    }

    /// Puts endpoints into slices: where they are already, then where there is room, then into new
    /// ones. Slices left empty go, unless nothing else tells that the Service has no endpoints.
    fn fill(
        &self,
        steps: &mut Vec<Step>,
        ports: &[EndpointPort],
        mut wanted: BTreeMap<String, Endpoint>,
        slices: Vec<&EndpointSlice>,
    ) {
        let nothing = wanted.is_empty();
        let mut kept: Vec<(&EndpointSlice, Vec<Endpoint>)> = Vec::new();
        for slice in slices {
            let here = slice.endpoints.iter().flatten();
            let stay = here.filter_map(|e| wanted.remove(&pod_of(e)));
            kept.push((slice, stay.collect()));
        }
        let mut new = wanted.into_values();
        for (_, endpoints) in kept.iter_mut().filter(|(_, e)| !e.is_empty() || nothing) {
            let room = ENDPOINTS_MAX.saturating_sub(endpoints.len());
            endpoints.extend(new.by_ref().take(room));
        }
        // A slice that lost all its endpoints is used again rather than deleted beside a create.
        for (_, endpoints) in kept.iter_mut().filter(|(_, e)| e.is_empty()) {
            endpoints.extend(new.by_ref().take(ENDPOINTS_MAX));
        }
        let mut placeholder = nothing;
        for (slice, endpoints) in kept {
            if endpoints.is_empty() && !std::mem::take(&mut placeholder) {
                steps.push(delete(slice));
                continue;
            }
            steps.extend(self.update(slice, endpoints));
        }
        let rest: Vec<Endpoint> = new.collect();
        steps.extend(rest.chunks(ENDPOINTS_MAX).map(|chunk| self.create(ports, chunk)));
        if placeholder {
            steps.push(self.create(ports, &[]));
        }
    }

    fn groups(&self, backends: &[Backend]) -> Vec<Group> {
        let mut groups: BTreeMap<String, Group> = BTreeMap::new();
        for backend in backends {
            let Some(endpoint) = self.endpoint(backend) else { continue };
            let ports = self.ports(backend);
            let name = json!(ports).to_string();
            let group = groups.entry(name).or_insert_with(|| (ports, BTreeMap::new()));
            group.1.insert(backend.object.metadata.name.clone(), endpoint);
        }
        if groups.is_empty() {
            return vec![(Vec::new(), BTreeMap::new())];
        }
        groups.into_values().collect()
    }

    fn ports(&self, backend: &Backend) -> Vec<EndpointPort> {
        let all = self.service.spec.iter().flat_map(|s| s.ports.iter().flatten());
        let found = all.filter_map(|port| {
            Some(EndpointPort {
                name: Some(port.name.clone().unwrap_or_default()),
                port: Some(backend.port(port)?),
                protocol: Some(protocol(port).to_owned()),
                app_protocol: port.app_protocol.clone(),
            })
        });
        found.collect()
    }

    fn endpoint(&self, backend: &Backend) -> Option<Endpoint> {
        let address = backend.address(self.family == "IPv6")?;
        let terminating = backend.object.metadata.is_deleting();
        let ready = publishes_not_ready(self.service) || (backend.ready && !terminating);
        let node = backend.object.node();
        let zone = node.and_then(|name| {
            let labels = &self.view.object(&resources::NODES, &Key::cluster(name))?.metadata.labels;
            labels.get(ZONE).cloned()
        });
        let service = self.object.metadata.name.as_str();
        serde_json::from_value(json!({
            "addresses": [address],
            "conditions": {"ready": ready, "serving": backend.ready, "terminating": terminating},
            "hints": ready.then(|| self.hints(node, zone.as_deref())).flatten(),
            "hostname": backend.hostname(service),
            "nodeName": node,
            "targetRef": backend.target(),
            "zone": zone,
        }))
        .ok()
    }

    /// Whom a ready endpoint is for, by the Service's `trafficDistribution`.
    fn hints(&self, node: Option<&str>, zone: Option<&str>) -> Option<Value> {
        if is_auto(self.service) {
            return None;
        }
        let wanted = self.service.spec.as_ref()?.traffic_distribution.as_deref()?;
        let named = |name: Option<&str>| name.map(|name| json!([{"name": name}]));
        match wanted {
            "PreferClose" | "PreferSameZone" => Some(json!({"forZones": [{"name": zone?}]})),
            "PreferSameNode" => {
                Some(json!({"forNodes": [{"name": node?}], "forZones": named(zone)}))
            }
            _ => None,
        }
    }

    fn labels(&self) -> BTreeMap<String, String> {
        let mut labels = self.object.metadata.labels.clone();
        labels.remove(HEADLESS);
        if is_headless(self.service) {
            labels.insert(HEADLESS.into(), String::new());
        }
        labels.insert(SERVICE_NAME.into(), self.object.metadata.name.clone());
        labels.insert(MANAGED_BY.into(), OURS.into());
        labels
    }

    fn create(&self, ports: &[EndpointPort], endpoints: &[Endpoint]) -> Step {
        let metadata = &self.object.metadata;
        let slice = json!({
            "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"generateName": format!("{}-", metadata.name),
                "namespace": metadata.namespace, "labels": self.labels(),
                "ownerReferences": [owner_reference(&resources::SERVICES, self.object)]},
            "addressType": self.family,
            "endpoints": endpoints,
            "ports": ports,
        });
        Step::create(&resources::ENDPOINT_SLICES, &metadata.namespace, &slice)
    }

    fn update(&self, slice: &EndpointSlice, endpoints: Vec<Endpoint>) -> Option<Step> {
        let before = slice.endpoints.as_deref().unwrap_or_default();
        let labels = Some(self.labels());
        if before == endpoints && slice.metadata.labels == labels {
            return None;
        }
        let mut updated = slice.clone();
        updated.endpoints = Some(endpoints);
        updated.metadata.labels = labels;
        Some(Step::update(&resources::ENDPOINT_SLICES, slice_key(slice), &updated))
    }
}

fn pod_of(endpoint: &Endpoint) -> String {
    let target = endpoint.target_ref.as_ref();
    target.and_then(|t| t.name.clone()).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, lines, object, plan, view};

    fn service() -> Value {
        object(
            "Service",
            "a",
            "s",
            json!({"spec": {"selector": {"app": "x"}, "clusterIP": "None",
                "ports": [{"name": "http", "port": 80, "targetPort": 8080}]}}),
        )
    }

    fn pod(name: &str, last: usize, ready: &str) -> Value {
        object(
            "Pod",
            "a",
            name,
            json!({"metadata": {"labels": {"app": "x"}},
                "spec": {"nodeName": "n", "containers": []},
                "status": {"podIP": format!("10.0.0.{last}"),
                    "conditions": [{"type": "Ready", "status": ready}]}}),
        )
    }

    fn reconcile(objects: &[Value]) -> Plan {
        plan(&EndpointSlices, &view(objects), &resources::SERVICES, ("a", "s"), 0)
    }

    fn made(plan: &Plan, index: usize, name: &str) -> Value {
        object("EndpointSlice", "a", name, body(plan, index).clone())
    }

    #[test]
    fn one_slice_follows_its_pods() {
        let zone = object("Node", "", "n", json!({"metadata": {"labels": {ZONE: "z"}}}));
        let mut all = vec![service(), zone, pod("p", 1, "True"), pod("q", 2, "False")];
        let created = reconcile(&all);
        assert_eq!(lines(&created), ["create endpointslices a/"]);
        let slice = body(&created, 0);
        assert_eq!(slice["endpoints"][0]["zone"], "z");
        assert_eq!(
            slice["endpoints"][1]["conditions"],
            json!({"ready": false, "serving": false, "terminating": false})
        );
        assert_eq!(slice["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
        assert_eq!(slice["metadata"]["labels"][HEADLESS], "");
        all.push(made(&created, 0, "s-1"));
        assert!(reconcile(&all).is_empty(), "nothing changes twice");
        all[3] = pod("q", 2, "True");
        let updated = reconcile(&all);
        assert_eq!(lines(&updated), ["update endpointslices a/s-1"]);
        all.drain(2..4);
        let emptied = reconcile(&all);
        // The ports of no pod are unknown: a placeholder replaces the slice.
        assert_eq!(lines(&emptied), ["create endpointslices a/", "delete endpointslices a/s-1"]);
    }

    #[test]
    fn hints_follow_the_distribution() {
        let check = |wanted: &str, expect: Value| {
            let zone = object("Node", "", "n", json!({"metadata": {"labels": {ZONE: "z"}}}));
            let mut service = service();
            service["spec"]["trafficDistribution"] = wanted.into();
            let all = [service, zone, pod("p", 1, "True"), pod("q", 2, "False")];
            let made = reconcile(&all);
            let endpoints = &body(&made, 0)["endpoints"];
            assert_eq!(endpoints[0]["hints"], expect);
            assert_eq!(endpoints[1]["hints"], Value::Null, "not ready");
        };
        let (zones, nodes) = (json!([{"name": "z"}]), json!([{"name": "n"}]));
        check("", Value::Null);
        check("PreferClose", json!({"forZones": zones}));
        check("PreferSameZone", json!({"forZones": zones}));
        check("PreferSameNode", json!({"forNodes": nodes, "forZones": zones}));
    }

    #[test]
    fn auto_shares_out_to_zones() {
        let node = |name: &str, zone: &str| {
            object(
                "Node",
                "",
                name,
                json!({"metadata": {"labels": {ZONE: zone}}, "status": {
                    "allocatable": {"cpu": "2"},
                    "conditions": [{"type": "Ready", "status": "True"}]}}),
            )
        };
        let mut service = service();
        service["metadata"]["annotations"] = json!({MODES[0]: "Auto"});
        let mut all = vec![service, node("n", "y"), node("m", "z"), pod("p", 1, "True")];
        let refused = reconcile(&all);
        assert_eq!(body(&refused, 0)["endpoints"][0]["hints"], Value::Null);
        assert_eq!(
            refused.events[0].message,
            "Insufficient number of endpoints (1 endpoints, 2 zones), addressType: IPv4"
        );
        all.push(pod("q", 2, "True"));
        let made = reconcile(&all);
        let zones: Vec<&Value> = body(&made, 0)["endpoints"]
            .as_array()
            .unwrap()
            .iter()
            .map(|endpoint| &endpoint["hints"]["forZones"][0]["name"])
            .collect();
        assert_eq!(zones, [&json!("z"), &json!("y")]);
        assert_eq!(made.events[0].reason, "TopologyAwareHintsEnabled");
    }

    #[test]
    fn a_service_without_pods_has_a_placeholder() {
        let created = reconcile(&[service()]);
        assert_eq!(lines(&created), ["create endpointslices a/"]);
        assert_eq!(body(&created, 0)["endpoints"], json!([]));
        assert!(reconcile(&[service(), made(&created, 0, "s-1")]).is_empty());
    }

    #[test]
    fn a_hundred_to_a_slice() {
        let mut all = vec![service()];
        all.extend((1..=150).map(|i| pod(&format!("p{i:03}"), i, "True")));
        let created = reconcile(&all);
        assert_eq!(created.steps().count(), 2);
        assert_eq!(body(&created, 1)["endpoints"].as_array().unwrap().len(), 50);
        all.push(made(&created, 0, "s-1"));
        all.push(made(&created, 1, "s-2"));
        all.push(pod("new", 200, "True"));
        assert_eq!(lines(&reconcile(&all)), ["update endpointslices a/s-2"]);
    }
}
