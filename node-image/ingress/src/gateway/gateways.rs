//! Gateways of our classes and their statuses.

use std::sync::Arc;

use kd_client::{Key, Object};
use serde_json::{Value, json};

use super::condition::{Condition, conditions};
use super::listener::{self, Listener};
use super::{Ports, World, gateways, our_classes};
use crate::compile::Write;
use crate::ingresses::list;

/// A Gateway of ours.
pub(super) struct Gateway {
    pub key: Key,
    pub listeners: Vec<Listener>,
    object: Arc<Object>,
    value: Value,
}

/// The Gateways, the oldest first, with their ports opened.
pub(super) fn ours(world: &mut World<'_>, ports: &mut Ports) -> Vec<Gateway> {
    let classes = our_classes(world.view);
    let resource = gateways();
    let all = world.view.objects(&resource, None).filter(|object| !object.metadata.is_deleting());
    let decoded = all.filter_map(|object| Some((object.clone(), object.decode::<Value>()?)));
    let is_ours = |(_, value): &(Arc<Object>, Value)| {
        value["spec"]["gatewayClassName"].as_str().is_some_and(|class| classes.contains(class))
    };
    let mut found: Vec<(Arc<Object>, Value)> = decoded.filter(is_ours).collect();
    found.sort_by_key(|(object, _)| (object.metadata.creation_timestamp, object.key()));
    let mut gateways = Vec::new();
    for (object, value) in found {
        let key = object.key();
        let listeners = list(&value["spec"]["listeners"]);
        let listeners = listeners.map(|one| listener::read(world, ports, &key, one)).collect();
        gateways.push(Gateway { key, listeners, object, value });
    }
    gateways
}

impl Gateway {
    /// The status, when it is not as it should be.
    pub(super) fn status(&self, world: &World<'_>) -> Option<Write> {
        let before = &self.value["status"];
        let generation = self.object.metadata.generation;
        let listeners: Vec<Value> = self
            .listeners
            .iter()
            .map(|listener| {
                let known = list(&before["listeners"]).find(|one| one["name"] == *listener.name);
                let known = known.unwrap_or(&Value::Null);
                let all = listener.conditions(world);
                json!({"name": listener.name, "supportedKinds": listener.supported_kinds(),
                    "attachedRoutes": listener.attached,
                    "conditions": conditions(&known["conditions"], &all, generation, world.now)})
            })
            .collect();
        let own = conditions(&before["conditions"], &self.conditions(world), generation, world.now);
        let addresses: Vec<Value> = world
            .addresses
            .iter()
            .map(|address| json!({"type": "IPAddress", "value": address}))
            .collect();
        let wanted = json!({"addresses": addresses, "conditions": own, "listeners": listeners});
        let is_right = ["addresses", "conditions", "listeners"]
            .iter()
            .all(|field| before[field] == wanted[field]);
        (!is_right).then(|| Write::status(gateways(), &self.object, wanted))
    }

    fn conditions(&self, world: &World<'_>) -> Vec<Condition> {
        let is_programmed = |listener: &Listener| {
            listener.conditions(world).iter().any(|c| c.kind == "Programmed" && c.status)
        };
        let good = self.listeners.iter().filter(|listener| is_programmed(listener)).count();
        let wrong = self.listeners.iter().any(|listener| !listener.is_usable());
        let accepted = match (wrong, self.listeners.iter().any(Listener::is_usable)) {
            (false, _) => Condition::yes("Accepted", "Accepted", "the Gateway is served"),
            (true, true) => {
                Condition::yes("Accepted", "ListenersNotValid", "some listeners are not valid")
            }
            (true, false) => Condition::no("Accepted", "ListenersNotValid", "no listener is valid"),
        };
        let programmed = match () {
            () if good == 0 => Condition::no("Programmed", "Invalid", "no listener is served"),
            () if world.addresses.is_empty() => {
                Condition::no("Programmed", "AddressNotAssigned", "no node serves yet")
            }
            () => Condition::yes("Programmed", "Programmed", "listeners are served"),
        };
        vec![accepted, programmed]
    }
}
