//! What the objects of one View make this proxy do and say: a table to serve, statuses to write.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use kd_client::{Key, Object, Resource, View, resources};
use serde_json::{Value, json};

use crate::announcement::Announcement;
use crate::backends::Services;
use crate::certificates::Certificates;
use crate::gateway;
use crate::ingresses::{self, list};
use crate::route::{Routes, Table};

/// Where Ingresses are served.
const HTTP_PORT: u16 = 80;
const HTTPS_PORT: u16 = 443;

/// A write that makes an object what it should be.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Write {
    /// Whose.
    pub resource: Resource,
    pub key: Key,
    pub change: WriteKind,
}

/// What is written.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum WriteKind {
    /// A new object.
    Create(Value),
    /// A merge patch of the object.
    Patch(Value),
    /// The object's end.
    Delete,
    /// A merge patch of the status.
    Status(Value),
}

impl Write {
    /// Makes an object.
    pub(crate) fn create(resource: Resource, key: Key, object: Value) -> Write {
        Write { resource, key, change: WriteKind::Create(object) }
    }

    /// Changes an object.
    pub(crate) fn patch(resource: Resource, key: Key, patch: Value) -> Write {
        Write { resource, key, change: WriteKind::Patch(patch) }
    }

    /// Deletes an object.
    pub(crate) fn delete(resource: Resource, key: Key) -> Write {
        Write { resource, key, change: WriteKind::Delete }
    }

    /// Sets fields of the status, if the object is still what was looked at.
    pub(crate) fn status(resource: Resource, object: &Object, status: Value) -> Write {
        let metadata = json!({"resourceVersion": object.metadata.resource_version});
        let patch = json!({"metadata": metadata, "status": status});
        Write { resource, key: object.key(), change: WriteKind::Status(patch) }
    }
}

/// What comes of a View.
#[derive(Debug, Default)]
pub(crate) struct Compiled {
    /// What to serve.
    pub table: Table,
    /// What to write.
    pub writes: Vec<Write>,
    /// The Services that the table is about.
    pub services: BTreeSet<Key>,
    /// The Ingresses that are served.
    pub served: BTreeSet<Key>,
}

/// Looks at everything. `served` were the Ingresses of the last time, `refused` are ports that cannot
/// be opened.
pub(crate) fn compile(
    view: &View,
    certificates: &mut Certificates,
    served: &BTreeSet<Key>,
    refused: &BTreeSet<u16>,
    now: Timestamp,
) -> Compiled {
    let mut services = Services::new(view);
    let mut compiled = Compiled::default();
    let mut ports = gateway::Ports::default();
    let ours = ingresses::ours(view);
    if !ours.is_empty() {
        let (mut routes, mut keys) = (Routes::default(), Vec::new());
        for ingress in &ours {
            ingresses::add(ingress, view, &mut services, certificates, &mut routes, &mut keys);
        }
        ports.add_ingresses(HTTP_PORT, HTTPS_PORT, routes, keys);
    }
    let addresses = addresses(view);
    compiled.writes = ingress_statuses(view, &ours, served, &addresses);
    compiled.served = ours.iter().map(|object| object.key()).collect();
    let mut world =
        gateway::World { view, services, certificates, addresses: &addresses, refused, now };
    compiled.writes.extend(ingresses::missing_class(view));
    compiled.writes.extend(gateway::add(&mut world, &mut ports));
    compiled.services = world.services.asked();
    certificates.forget_unused();
    compiled.table = ports.into_table();
    let open = compiled.table.ports.keys().copied().filter(|port| !refused.contains(port));
    let announcement = Announcement::new(open.collect(), &addresses);
    compiled.writes.extend(announcement.write(view));
    compiled
}

/// The addresses of the nodes that serve.
fn addresses(view: &View) -> Vec<String> {
    let nodes = view.objects(&resources::NODES, None);
    let nodes = nodes.filter_map(|node| node.decode::<Value>());
    let mut all: Vec<String> = nodes
        .flat_map(|node| {
            let addresses = list(&node["status"]["addresses"]);
            let internal = addresses.filter(|address| address["type"] == "InternalIP");
            let texts = internal.filter_map(|address| address["address"].as_str());
            texts.map(str::to_owned).collect::<Vec<_>>()
        })
        .collect();
    all.sort_unstable();
    all.dedup();
    all
}

/// The addresses of ours, and none of those that were ours.
fn ingress_statuses(
    view: &View,
    ours: &[&Arc<Object>],
    served: &BTreeSet<Key>,
    addresses: &[String],
) -> Vec<Write> {
    let resource = ingresses::ingresses();
    let points: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
    let update = |object: &Object, wanted: &[Value]| {
        let ingress: Value = object.decode()?;
        let now: Vec<&Value> = list(&ingress["status"]["loadBalancer"]["ingress"]).collect();
        let is_right = now.iter().copied().eq(wanted);
        let points = if wanted.is_empty() { Value::Null } else { wanted.into() };
        let status = json!({"loadBalancer": {"ingress": points}});
        (!is_right).then(|| Write::status(resource.clone(), object, status))
    };
    let current: BTreeSet<Key> = ours.iter().map(|object| object.key()).collect();
    let left = served.difference(&current).filter_map(|key| view.object(&resource, key));
    let cleared = left.filter_map(|object| update(object, &[]));
    ours.iter().filter_map(|object| update(object, &points)).chain(cleared).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::CONTROLLER;
    use crate::testing::{ingress_class, object, view};

    fn ingress(name: &str, class: &str, addresses: &[&str]) -> Value {
        let points: Vec<Value> = addresses.iter().map(|ip| json!({"ip": ip})).collect();
        object(
            "Ingress",
            "a",
            name,
            json!({"spec": {"ingressClassName": class},
            "status": {"loadBalancer": {"ingress": points}}}),
        )
    }

    fn check(ingresses: &[Value], served: &[&str], expect: &[(&str, Value)]) {
        let mut objects = ingresses.to_vec();
        objects.push(ingress_class("kd", CONTROLLER));
        objects.push(object("Node", "", "n", json!({"status": {"addresses": [
            {"type": "InternalIP", "address": "172.18.0.2"}, {"type": "Hostname", "address": "n"}]}})));
        let view = view(&objects);
        let served = served.iter().map(|name| Key::new("a", name)).collect();
        let compiled = compile(
            &view,
            &mut Certificates::default(),
            &served,
            &BTreeSet::new(),
            Timestamp::UNIX_EPOCH,
        );
        let written: Vec<(String, Value)> = compiled
            .writes
            .iter()
            .filter(|write| write.resource.kind == "Ingress")
            .map(|write| {
                let WriteKind::Status(patch) = &write.change else { panic!("{write:?}") };
                let points = &patch["status"]["loadBalancer"]["ingress"];
                (write.key.name.to_string(), points.clone())
            })
            .collect();
        let expect: Vec<(String, Value)> =
            expect.iter().map(|(name, points)| (name.to_string(), points.clone())).collect();
        assert_eq!(written, expect);
    }

    #[test]
    fn statuses() {
        let ours = json!([{"ip": "172.18.0.2"}]);
        check(&[ingress("i", "kd", &[])], &[], &[("i", ours.clone())]);
        check(&[ingress("i", "kd", &["172.18.0.2"])], &["i"], &[]);
        check(&[ingress("i", "kd", &["172.18.0.9"])], &["i"], &[("i", ours)]);
        check(&[ingress("i", "other", &["192.0.2.1"])], &[], &[]);
        check(&[ingress("i", "other", &["172.18.0.2"])], &["i"], &[("i", Value::Null)]);
        check(&[], &["i"], &[]);
    }

    #[test]
    fn there_is_a_class() {
        let writes = |objects: &[Value]| {
            let none = (BTreeSet::new(), BTreeSet::new());
            let certificates = &mut Certificates::default();
            compile(&view(objects), certificates, &none.0, &none.1, Timestamp::UNIX_EPOCH).writes
        };
        let kinds = |writes: &[Write]| -> Vec<String> {
            let made = writes.iter().filter(|write| matches!(write.change, WriteKind::Create(_)));
            made.map(|write| format!("{} {}", write.resource.kind, write.key)).collect()
        };
        assert_eq!(kinds(&writes(&[])), ["IngressClass kd", "GatewayClass kd"]);
        assert_eq!(kinds(&writes(&[ingress_class("mine", CONTROLLER)])), ["GatewayClass kd"]);
        assert_eq!(kinds(&writes(&[ingress_class("kd", "x.com/y")])), ["GatewayClass kd"]);
    }

    #[test]
    fn ports_are_open_when_somebody_needs_them() {
        let ports = |class: &str| -> Vec<u16> {
            let objects = [ingress("i", class, &[]), ingress_class("kd", CONTROLLER)];
            let certificates = &mut Certificates::default();
            let none = (BTreeSet::new(), BTreeSet::new());
            let compiled =
                compile(&view(&objects), certificates, &none.0, &none.1, Timestamp::UNIX_EPOCH);
            compiled.table.ports.keys().copied().collect()
        };
        assert_eq!(ports("kd"), [80, 443]);
        assert_eq!(ports("other"), [0; 0]);
    }
}
