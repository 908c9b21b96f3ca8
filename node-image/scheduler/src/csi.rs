//! What CSI drivers tell of nodes and of room for volumes, as scheduling sees it.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use k8s_openapi::api::storage::v1::{CSIDriver, CSINode, CSIStorageCapacity};
use kd_api::selector::Selector;
use kd_client::{Key, label_selector, selects};

use crate::node::NodeFacts;

/// Limits of nodes, and room for volumes.
#[derive(Clone, Debug, Default)]
pub struct CsiFacts {
    /// By node, then by driver: the most volumes.
    limits: HashMap<String, BTreeMap<String, i64>>,
    /// Drivers that tell how much room there is.
    telling: BTreeSet<String>,
    rooms: BTreeMap<Key, Room>,
}

/// A CSIStorageCapacity.
#[derive(Clone, Debug, PartialEq)]
struct Room {
    class: String,
    nodes: Option<Selector>,
    /// The largest volume that can be made.
    bytes: i64,
}

impl CsiFacts {
    /// The most volumes of a driver that a node can have, if there is a limit.
    pub fn limit(&self, node: &str, driver: &str) -> Option<i64> {
        self.limits.get(node)?.get(driver).copied()
    }

    /// Whether a node has limits at all.
    pub fn has_limits(&self, node: &str) -> bool {
        self.limits.contains_key(node)
    }

    /// Whether a volume of a class can be made for a node, as far as its driver tells.
    pub fn has_room(&self, driver: &str, class: &str, bytes: i64, node: &NodeFacts) -> bool {
        let fits = |room: &Room| {
            let reached = room.nodes.as_ref().is_some_and(|nodes| selects(nodes, &node.labels));
            room.class == class && room.bytes >= bytes && reached
        };
        !self.telling.contains(driver) || self.rooms.values().any(fits)
    }

    /// A node's drivers, or none when the object is gone; tells whether that is news.
    pub fn set_node(&mut self, name: &str, node: Option<CSINode>) -> bool {
        let drivers = node.map(|node| node.spec.drivers).unwrap_or_default().into_iter();
        let limits: BTreeMap<String, i64> = drivers
            .filter_map(|driver| {
                let count = driver.allocatable?.count?;
                Some((driver.name, i64::from(count)))
            })
            .collect();
        let before = self.limits.get(name).cloned().unwrap_or_default();
        let news = before != limits;
        match limits.is_empty() {
            true => drop(self.limits.remove(name)),
            false => drop(self.limits.insert(name.to_owned(), limits)),
        }
        news
    }

    /// A driver, or none when its object is gone; tells whether that is news.
    pub fn set_driver(&mut self, name: &str, driver: Option<CSIDriver>) -> bool {
        match driver.is_some_and(|driver| driver.spec.storage_capacity == Some(true)) {
            true => self.telling.insert(name.to_owned()),
            false => self.telling.remove(name),
        }
    }

    /// Room for volumes, or none when its object is gone; tells whether that is news.
    pub fn set_room(&mut self, key: Key, room: Option<CSIStorageCapacity>) -> bool {
        let Some(told) = room else { return self.rooms.remove(&key).is_some() };
        let size = told.maximum_volume_size.or(told.capacity);
        let parsed = size.and_then(|q| q.0.parse::<kd_api::quantity::Quantity>().ok());
        let nodes = told.node_topology.as_ref().map(|selector| label_selector(Some(selector)));
        let room = Room {
            class: told.storage_class_name,
            // Validation refuses selectors that cannot be read.
            nodes: nodes.map(|read| read.unwrap_or_else(|_| Selector::nothing())),
            bytes: parsed.map_or(0, |quantity| quantity.value()),
        };
        self.rooms.insert(key, room.clone()) != Some(room)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn limits() {
        let mut facts = CsiFacts::default();
        let node = |count: Value| {
            let driver = json!({"name": "d", "nodeID": "i", "allocatable": {"count": count}});
            let all = json!({"metadata": {"name": "n"}, "spec": {"drivers": [driver]}});
            serde_json::from_value::<CSINode>(all).ok()
        };
        assert!(facts.set_node("n", node(json!(2))));
        assert!(!facts.set_node("n", node(json!(2))));
        assert_eq!((facts.limit("n", "d"), facts.limit("n", "e")), (Some(2), None));
        assert!(facts.set_node("n", node(Value::Null)));
        assert!(!facts.has_limits("n") && !facts.set_node("n", None));
    }

    #[test]
    fn room() {
        let check = |told: bool, room: Value, expect: bool| {
            let mut facts = CsiFacts::default();
            let driver = json!({"metadata": {"name": "d"}, "spec": {"storageCapacity": told}});
            facts.set_driver("d", serde_json::from_value(driver).ok());
            facts.set_room(Key::new("x", "r"), serde_json::from_value(room).ok());
            let labels = Arc::new(BTreeMap::from([("zone".to_owned(), "a".to_owned())]));
            let node = NodeFacts { labels, ..NodeFacts::default() };
            assert_eq!(facts.has_room("d", "fast", 1 << 30, &node), expect);
        };
        let here = || json!({"matchLabels": {"zone": "a"}});
        let room = |class: &str, capacity: &str, nodes: Value| {
            json!({"metadata": {}, "storageClassName": class, "capacity": capacity,
                "nodeTopology": nodes})
        };
        check(true, room("fast", "1Gi", here()), true);
        check(true, room("fast", "1Mi", here()), false);
        check(false, room("fast", "1Mi", here()), true);
        check(true, room("slow", "1Gi", here()), false);
        check(true, room("fast", "1Gi", json!({"matchLabels": {"zone": "b"}})), false);
        check(true, room("fast", "1Gi", Value::Null), false);
        let mut small = room("fast", "9Gi", here());
        small["maximumVolumeSize"] = json!("1Mi");
        check(true, small, false);
    }
}
