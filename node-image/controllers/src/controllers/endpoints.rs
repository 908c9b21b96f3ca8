//! Endpoints: the addresses behind each Service with a selector, in one object of its name.

use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Endpoints, Service};
use kd_client::{Change, DeleteOptions, Interest, Resource, View, resources};
use serde_json::{Value, json};

use crate::backends::{
    Backend, HEADLESS, backends, concerned_services, is_headless, protocol, publishes_not_ready,
};
use crate::{Controller, Guard, Plan, Step, Target};

const MANAGED_BY: (&str, &str) = ("endpoints.kubernetes.io/managed-by", "endpoint-controller");
const OVER_CAPACITY: &str = "endpoints.kubernetes.io/over-capacity";
const ADDRESSES_MAX: usize = 1000;

pub(super) struct EndpointsController;

impl Controller for EndpointsController {
    fn name(&self) -> &'static str {
        "endpoint-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::SERVICES),
            Interest::full(&resources::ENDPOINTS),
            Interest::full(&resources::PODS),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        concerned_services(view, change, &resources::ENDPOINTS, |endpoints| {
            let metadata = &endpoints.metadata;
            let own = metadata.labels.get(MANAGED_BY.0).is_some_and(|name| name == MANAGED_BY.1);
            // Without a Service, those that somebody else made are left to them.
            (own || view.object(&resources::SERVICES, &endpoints.key()).is_some())
                .then(|| metadata.name.clone())
        })
    }

    fn reconcile(&self, view: &View, target: &Target, _: Timestamp) -> Plan {
        let existing = view.object(&resources::ENDPOINTS, &target.key);
        let Some(service) = view.get::<Service>(&target.key.namespace, &target.key.name) else {
            let Some(left) = existing else { return Plan::nothing() };
            let options = DeleteOptions::of(&left.metadata.uid);
            let absent = Guard::Absent {
                resource: Resource::clone(&target.resource),
                key: target.key.clone(),
                uid: String::new(),
            };
            let step = Step::delete(&resources::ENDPOINTS, target.key.clone(), options);
            return Plan::one(step.guarded(absent));
        };
        let Some(backends) = backends(view, &service) else { return Plan::nothing() };
        let wanted = wanted(&service, &backends);
        let Some(existing) = existing else {
            return Plan::one(Step::create(&resources::ENDPOINTS, &target.key.namespace, &wanted));
        };
        let Some(before) = existing.decode::<Endpoints>() else { return Plan::nothing() };
        let Ok(after) = serde_json::from_value::<Endpoints>(wanted.clone()) else {
            return Plan::nothing();
        };
        let none = Vec::new();
        let same = before.subsets.as_ref().unwrap_or(&none)
            == after.subsets.as_ref().unwrap_or(&none)
            && before.metadata.labels == after.metadata.labels;
        if same {
            return Plan::nothing();
        }
        let mut updated = before;
        updated.subsets = after.subsets;
        updated.metadata.labels = after.metadata.labels;
        let annotations = updated.metadata.annotations.get_or_insert_default();
        annotations.remove(OVER_CAPACITY);
        annotations.extend(after.metadata.annotations.unwrap_or_default());
        Plan::one(Step::update(&resources::ENDPOINTS, target.key.clone(), &updated))
    }
}

fn wanted(service: &Service, backends: &[Backend]) -> Value {
    let metadata = &service.metadata;
    let mut labels = metadata.labels.clone().unwrap_or_default();
    labels.insert(MANAGED_BY.0.into(), MANAGED_BY.1.into());
    if is_headless(service) {
        labels.insert(HEADLESS.into(), String::new());
    } else {
        labels.remove(HEADLESS);
    }
    let mut all = json!({
        "apiVersion": "v1", "kind": "Endpoints",
        "metadata": {"name": metadata.name, "namespace": metadata.namespace, "labels": labels},
    });
    if backends.len() > ADDRESSES_MAX {
        all["metadata"]["annotations"] = json!({OVER_CAPACITY: "truncated"});
    }
    let subsets = subsets(service, &backends[..backends.len().min(ADDRESSES_MAX)]);
    if !subsets.is_empty() {
        all["subsets"] = json!(subsets);
    }
    all
}

/// Addresses that have the same ports share a subset.
fn subsets(service: &Service, backends: &[Backend]) -> Vec<Value> {
    let families = service.spec.as_ref().and_then(|s| s.ip_families.as_ref());
    let ipv6 = families.and_then(|f| f.first()).is_some_and(|family| family == "IPv6");
    let anyhow = publishes_not_ready(service);
    let mut groups: BTreeMap<String, Group> = BTreeMap::new();
    for backend in backends {
        if backend.object.metadata.is_deleting() && !anyhow {
            continue;
        }
        let Some(address) = backend.address(ipv6) else { continue };
        let ports = ports(service, backend);
        if ports.is_empty() && !is_headless(service) {
            continue;
        }
        let mut entry = json!({"ip": address, "targetRef": backend.target()});
        if let Some(node) = backend.object.node() {
            entry["nodeName"] = json!(node);
        }
        let name = metadata_name(service);
        if let Some(hostname) = backend.hostname(name) {
            entry["hostname"] = json!(hostname);
        }
        let group = groups.entry(json!(ports).to_string()).or_default();
        group.ports = ports;
        let list = if backend.ready || anyhow { &mut group.ready } else { &mut group.waiting };
        list.push(entry);
    }
    groups.into_values().map(Group::subset).collect()
}

/// Addresses that have the same ports.
#[derive(Default)]
struct Group {
    ports: Vec<Value>,
    ready: Vec<Value>,
    waiting: Vec<Value>,
}

impl Group {
    fn subset(mut self) -> Value {
        for list in [&mut self.ready, &mut self.waiting] {
            list.sort_by(|a, b| a["ip"].as_str().cmp(&b["ip"].as_str()));
        }
        let mut subset = json!({});
        let lists =
            [("addresses", self.ready), ("notReadyAddresses", self.waiting), ("ports", self.ports)];
        for (name, list) in lists.into_iter().filter(|(_, list)| !list.is_empty()) {
            subset[name] = json!(list);
        }
        subset
    }
}

fn ports(service: &Service, backend: &Backend) -> Vec<Value> {
    let all = service.spec.iter().flat_map(|s| s.ports.iter().flatten());
    let found = all.filter_map(|port| {
        let mut entry = json!({"port": backend.port(port)?, "protocol": protocol(port)});
        if let Some(name) = port.name.as_ref().filter(|name| !name.is_empty()) {
            entry["name"] = json!(name);
        }
        if let Some(app) = &port.app_protocol {
            entry["appProtocol"] = json!(app);
        }
        Some(entry)
    });
    found.collect()
}

fn metadata_name(service: &Service) -> &str {
    service.metadata.name.as_deref().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use kd_client::Key;

    use super::*;
    use crate::controller::shared;
    use crate::testing::{body, lines, object, plan, view};

    fn pod(name: &str, ip: &str, ready: &str) -> Value {
        object(
            "Pod",
            "a",
            name,
            json!({"metadata": {"labels": {"app": "x"}},
                "spec": {"nodeName": "n", "containers": [{"name": "c",
                    "ports": [{"name": "web", "containerPort": 8080}]}]},
                "status": {"podIP": ip, "conditions": [{"type": "Ready", "status": ready}]}}),
        )
    }

    fn reconcile(objects: &[Value]) -> Plan {
        plan(&EndpointsController, &view(objects), &resources::SERVICES, ("a", "s"), 0)
    }

    #[test]
    fn ready_and_not() {
        let service = object(
            "Service",
            "a",
            "s",
            json!({"metadata": {"labels": {"l": "v"}}, "spec": {"selector": {"app": "x"},
                "ports": [{"name": "http", "port": 80, "targetPort": "web"}]}}),
        );
        let pods = [
            pod("p", "10.0.0.2", "True"),
            pod("q", "10.0.0.1", "True"),
            pod("r", "10.0.0.3", "False"),
        ];
        let mut all = vec![service.clone()];
        all.extend(pods);
        let created = reconcile(&all);
        assert_eq!(lines(&created), ["create endpoints a/s"]);
        let made = body(&created, 0);
        let subset = &made["subsets"][0];
        assert_eq!(subset["ports"], json!([{"name": "http", "port": 8080, "protocol": "TCP"}]));
        assert_eq!(subset["addresses"][0]["ip"], "10.0.0.1");
        assert_eq!(subset["addresses"][1]["targetRef"]["uid"], "p-uid");
        assert_eq!(subset["notReadyAddresses"][0]["ip"], "10.0.0.3");
        assert_eq!(made["metadata"]["labels"]["l"], "v");
        all.push(object("Endpoints", "a", "s", made.clone()));
        assert!(reconcile(&all).is_empty(), "nothing changes twice");
        all.remove(1);
        assert_eq!(lines(&reconcile(&all)), ["update endpoints a/s"]);
        assert_eq!(lines(&reconcile(&all[3..])), ["delete endpoints a/s"]);
    }

    #[test]
    fn without_a_service_others_are_left_alone() {
        let check = |objects: &[Value], expect: &[&str]| {
            let view = view(objects);
            let new = view.object(&resources::ENDPOINTS, &Key::new("a", "s")).cloned();
            let change = Change { resource: shared(&resources::ENDPOINTS), old: None, new };
            let targets = EndpointsController.targets(&view, &change);
            let found: Vec<String> = targets.iter().map(|t| t.key.to_string()).collect();
            assert_eq!(found, expect);
        };
        let (name, value) = MANAGED_BY;
        let own = object("Endpoints", "a", "s", json!({"metadata": {"labels": {name: value}}}));
        let other = object("Endpoints", "a", "s", json!({}));
        check(&[own], &["a/s"]);
        check(std::slice::from_ref(&other), &[]);
        check(&[other, object("Service", "a", "s", json!({}))], &["a/s"]);
    }

    #[test]
    fn without_selector_they_are_the_users() {
        let service = object("Service", "a", "s", json!({"spec": {"ports": []}}));
        assert!(reconcile(&[service]).is_empty());
    }
}
