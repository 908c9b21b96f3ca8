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
        let wanted: Vec<&str> = self.wanted_addresses().collect();
        let is_meant = |address: &&String| wanted.is_empty() || wanted.contains(&address.as_str());
        let addresses: Vec<Value> = world
            .addresses
            .iter()
            .filter(is_meant)
            .map(|address| json!({"type": "IPAddress", "value": address}))
            .collect();
        let wanted = json!({"addresses": addresses, "conditions": own, "listeners": listeners});
        let is_right = ["addresses", "conditions", "listeners"]
            .iter()
            .all(|field| before[field] == wanted[field]);
        (!is_right).then(|| Write::status(gateways(), &self.object, wanted))
    }

    /// The addresses that the user asks for; none: any.
    fn wanted_addresses(&self) -> impl Iterator<Item = &str> {
        let addresses = list(&self.value["spec"]["addresses"]);
        addresses.filter_map(|address| address["value"].as_str()).filter(|text| !text.is_empty())
    }

    /// The type of an address that no node has.
    fn unsupported_address(&self) -> Option<&str> {
        let mut types =
            list(&self.value["spec"]["addresses"]).filter_map(|address| address["type"].as_str());
        types.find(|kind| *kind != "IPAddress")
    }

    fn conditions(&self, world: &World<'_>) -> Vec<Condition> {
        let is_programmed = |listener: &Listener| {
            listener.conditions(world).iter().any(|c| c.kind == "Programmed" && c.status)
        };
        let good = self.listeners.iter().filter(|listener| is_programmed(listener)).count();
        let wrong = self.listeners.iter().any(|listener| !listener.is_usable());
        let is_any_usable = self.listeners.iter().any(Listener::is_usable);
        if let Some(kind) = self.unsupported_address() {
            let message = format!("addresses of type {kind} are not served");
            return vec![
                Condition::no("Accepted", "UnsupportedAddress", message.clone()),
                Condition::no("Programmed", "Invalid", message),
            ];
        }
        let accepted = match (wrong, is_any_usable) {
            (false, _) => Condition::yes("Accepted", "Accepted", "the Gateway is served"),
            (true, true) => {
                Condition::yes("Accepted", "ListenersNotValid", "some listeners are not valid")
            }
            (true, false) => Condition::no("Accepted", "ListenersNotValid", "no listener is valid"),
        };
        let is_foreign = |address: &&str| !world.addresses.iter().any(|own| own == address);
        let unusable = self.wanted_addresses().find(is_foreign);
        let programmed = match unusable {
            Some(address) if good > 0 => {
                let message = format!("no node that serves has the address {address}");
                Condition::no("Programmed", "AddressNotUsable", message)
            }
            _ if good == 0 => Condition::no("Programmed", "Invalid", "no listener is served"),
            _ if world.addresses.is_empty() => {
                Condition::no("Programmed", "AddressNotAssigned", "no node serves yet")
            }
            _ => Condition::yes("Programmed", "Programmed", "listeners are served"),
        };
        vec![accepted, programmed]
    }
}
