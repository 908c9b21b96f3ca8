//! Routes: which listeners they attach to, and what their status says.

use std::sync::Arc;

use kd_client::{Key, Object};
use serde_json::{Value, json};

use super::condition::{Condition, conditions};
use super::gateways::Gateway;
use super::rule::{Rules, rules};
use super::{GROUP, Ports, RouteKind, World};
use crate::CONTROLLER;
use crate::compile::Write;
use crate::ingresses::list;
use crate::route::HostPattern;

/// Attaches all routes and tells their statuses where they are not as they should be.
pub(super) fn attach(
    world: &mut World<'_>,
    gateways: &mut [Gateway],
    ports: &mut Ports,
) -> Vec<Write> {
    let of_kind = |kind: RouteKind| {
        let objects: Vec<Arc<Object>> =
            world.view.objects(&kind.resource(), None).cloned().collect();
        objects.into_iter().map(move |object| (kind, object))
    };
    let objects: Vec<(RouteKind, Arc<Object>)> =
        RouteKind::ALL.into_iter().flat_map(of_kind).collect();
    let mut writes = Vec::new();
    for (kind, object) in objects {
        let Some(route) = object.decode::<Value>() else { continue };
        if object.metadata.is_deleting() {
            continue;
        }
        let mut parents = Vec::new();
        let mut rules_of_route = None;
        for parent in list(&route["spec"]["parentRefs"]) {
            let Some(gateway) = gateway_of(&object, parent, gateways) else { continue };
            let rules = rules_of_route.get_or_insert_with(|| rules(world, kind, &object, &route));
            let accepted = match &rules.unsupported {
                Some(what) => Condition::no("Accepted", "UnsupportedValue", what.clone()),
                None => {
                    let route = Route { kind, object: &object, value: &route };
                    attach_to(world, &route, parent, gateway, rules, ports)
                }
            };
            parents.push((parent, [accepted, rules.resolved.clone()]));
        }
        writes.extend(status(world, kind, &object, &route, &parents));
    }
    writes
}

struct Route<'a> {
    kind: RouteKind,
    object: &'a Object,
    value: &'a Value,
}

fn gateway_of<'g>(
    route: &Object,
    parent: &Value,
    gateways: &'g mut [Gateway],
) -> Option<&'g mut Gateway> {
    let is_gateway = parent["kind"].as_str().is_none_or(|kind| kind == "Gateway")
        && parent["group"].as_str().is_none_or(|group| group == GROUP);
    let namespace = parent["namespace"].as_str().unwrap_or(&route.metadata.namespace);
    let key = Key::new(namespace, parent["name"].as_str().unwrap_or_default());
    gateways.iter_mut().find(|gateway| is_gateway && gateway.key == key)
}

/// Attaches a route to the listeners that a reference means, and tells whether one takes it.
fn attach_to(
    world: &World<'_>,
    route: &Route<'_>,
    parent: &Value,
    gateway: &mut Gateway,
    rules: &Rules,
    ports: &mut Ports,
) -> Condition {
    let no = |reason, message: &str| Condition::no("Accepted", reason, message);
    let section = parent["sectionName"].as_str();
    let port = parent["port"].as_u64();
    let mut named = gateway.listeners.iter_mut().filter(|listener| {
        section.is_none_or(|name| name == listener.name)
            && port.is_none_or(|port| port == u64::from(listener.port))
    });
    let Some(first) = named.next() else {
        return no("NoMatchingParent", "the Gateway has no such listener");
    };
    let mut allowing = [first]
        .into_iter()
        .chain(named)
        .filter(|l| l.allows(world.view, route.kind, &route.object.metadata.namespace));
    let Some(first) = allowing.next() else {
        return no("NotAllowedByListeners", "no listener lets the route attach");
    };
    let mut is_attached = false;
    for listener in [first].into_iter().chain(allowing) {
        let hosts = hosts(route.value, &listener.host);
        if hosts.is_empty() {
            continue;
        }
        is_attached = true;
        listener.attached += 1;
        if listener.is_usable() {
            for (host, rule) in
                hosts.iter().flat_map(|host| rules.all.iter().map(move |r| (host, r)))
            {
                ports.add(listener.port, host.clone(), rule.clone());
            }
        }
    }
    match is_attached {
        true => Condition::yes("Accepted", "Accepted", "the route is served"),
        false => no("NoMatchingListenerHostname", "no listener has a host of the route"),
    }
}

/// The hosts of a route that a listener has, too.
fn hosts(route: &Value, listener: &HostPattern) -> Vec<HostPattern> {
    let named: Vec<&str> = list(&route["spec"]["hostnames"]).filter_map(Value::as_str).collect();
    if named.is_empty() {
        return vec![listener.clone()];
    }
    let patterns = named.into_iter().map(HostPattern::of_gateway);
    patterns.filter_map(|pattern| pattern.intersection(listener)).collect()
}

/// What is said to the parents that are ours; what others say stays.
fn status(
    world: &World<'_>,
    kind: RouteKind,
    object: &Object,
    route: &Value,
    parents: &[(&Value, [Condition; 2])],
) -> Option<Write> {
    let before = &route["status"]["parents"];
    let others = list(before).filter(|one| one["controllerName"] != CONTROLLER).cloned();
    let ours = parents.iter().map(|(parent, wanted)| {
        let known = list(before)
            .find(|one| one["controllerName"] == CONTROLLER && one["parentRef"] == **parent);
        let known = known.map_or(&Value::Null, |known| &known["conditions"]);
        let all = conditions(known, wanted, object.metadata.generation, world.now);
        json!({"parentRef": parent, "controllerName": CONTROLLER, "conditions": all})
    });
    let wanted: Vec<Value> = others.chain(ours).collect();
    let is_right = list(before).eq(&wanted);
    (!is_right).then(|| Write::status(kind.resource(), object, json!({"parents": wanted})))
}
