//! The state that scheduling decides on: nodes with their pods, assumed ones included, and what is
//! counted of them. It is changed one object at a time; clones share what did not change, so that
//! preemption can try things out.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;

use k8s_openapi::api::core::v1::Node;
use kd_client::Key;

use crate::budget::Budget;
use crate::devices::Devices;
use crate::node::NodeFacts;
use crate::plugin::Counting;
use crate::pod::PodFacts;
use crate::pod_set::{Group, Namespaces};
use crate::siblings::Siblings;
use crate::storage::Storage;
use crate::tallies::{Held, Tallies, Topologies};
use crate::topology::{Slot, Tally, Topology};

/// Topology keys kept up to date. Domains of more are made in the cycle that asks.
const TOPOLOGIES_MAX: usize = 256;
/// What makes a zone, with the labels that came before.
const REGIONS: [&str; 2] =
    ["topology.kubernetes.io/region", "failure-domain.beta.kubernetes.io/region"];
const ZONES: [&str; 2] = ["topology.kubernetes.io/zone", "failure-domain.beta.kubernetes.io/zone"];

/// Nodes, pods, namespaces and storage.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// By slot; some are free, and some are of nodes that do not exist (any more).
    nodes: Arc<Vec<Arc<NodeFacts>>>,
    slots: imbl::HashMap<String, Slot>,
    free: Vec<Slot>,
    /// The nodes that exist, zones taking turns; None after nodes came or went.
    order: Option<Arc<Vec<Slot>>>,
    count: usize,
    placed: imbl::HashMap<Key, Arc<PodFacts>>,
    /// On how many nodes an image is.
    images: imbl::HashMap<String, usize>,
    namespaces: Namespaces,
    topologies: Topologies,
    tallies: Tallies,
    /// PersistentVolumes, their claims and classes.
    pub storage: Arc<Storage>,
    /// What dynamic resource allocation has to give.
    pub devices: Arc<Devices>,
    /// PodDisruptionBudgets.
    pub budgets: Arc<HashMap<Key, Budget>>,
    /// What selects the pods that belong together.
    pub siblings: Arc<Siblings>,
}

impl Cluster {
    /// The nodes that exist.
    pub fn nodes(&self) -> impl Iterator<Item = &Arc<NodeFacts>> {
        self.nodes.iter().filter(|node| node.exists)
    }

    /// How many nodes exist.
    pub fn count(&self) -> usize {
        self.count
    }

    /// The nodes that exist in the order in which they are looked at: zones take turns.
    pub fn order(&self) -> Cow<'_, [Slot]> {
        match &self.order {
            Some(order) => Cow::Borrowed(order),
            None => Cow::Owned(self.ordered()),
        }
    }

    /// The node of a slot.
    pub fn at(&self, slot: Slot) -> &Arc<NodeFacts> {
        &self.nodes[slot as usize]
    }

    /// A node that exists.
    pub fn node(&self, name: &str) -> Option<&Arc<NodeFacts>> {
        let slot = self.slots.get(name)?;
        Some(self.at(*slot)).filter(|node| node.exists)
    }

    /// A pod that is on a node, or about to be.
    pub fn placed(&self, key: &Key) -> Option<&Arc<PodFacts>> {
        self.placed.get(key)
    }

    /// All pods that are on a node, or about to be.
    pub fn all_placed(&self) -> impl Iterator<Item = &Arc<PodFacts>> {
        self.placed.values()
    }

    /// On how many nodes an image is.
    pub fn nodes_with_image(&self, name: &str) -> usize {
        self.images.get(name).copied().unwrap_or(0)
    }

    /// Labels of namespaces.
    pub fn namespaces(&self) -> &Namespaces {
        &self.namespaces
    }

    /// The domains of a topology key.
    pub fn topology(&self, key: &str) -> Cow<'_, Topology> {
        match self.topologies.get(key) {
            Some(known) => Cow::Borrowed(&**known),
            None => Cow::Owned(Topology::of(key, self.nodes().map(|node| &**node))),
        }
    }

    /// Where the pods of a group are.
    pub fn tally(&self, group: &Group) -> Cow<'_, Tally> {
        match self.tallies.group(group) {
            Some(tally) => Cow::Borrowed(tally),
            None => Cow::Owned(self.counted(group)),
        }
    }

    /// The affinity terms of placed pods that mean a pod.
    pub fn held_about<'a>(&'a self, pod: &'a PodFacts) -> impl Iterator<Item = &'a Held> {
        self.tallies.held_about(&self.namespaces, pod)
    }

    /// From now on keeps these counts.
    pub fn follow(&mut self, wanted: &[Counting]) {
        if self.order.is_none() {
            self.order = Some(Arc::new(self.ordered()));
        }
        for counting in wanted {
            self.keep(&counting.group, &counting.topology_keys);
        }
    }

    fn keep(&mut self, group: &Arc<Group>, keys: &[String]) {
        if self.tallies.group(group).is_none() {
            let tally = self.counted(group);
            self.tallies.keep(group.clone(), tally);
        }
        for key in keys {
            self.follow_topology(key);
            let Some(topology) = self.topologies.get(key) else { continue };
            if let Some(tally) = self.tallies.group_mut(group) {
                tally.follow(topology);
            }
        }
    }

    fn follow_topology(&mut self, key: &str) {
        if !self.topologies.contains_key(key) && self.topologies.len() < TOPOLOGIES_MAX {
            let made = self.topology(key).into_owned();
            self.topologies.insert(key.to_owned(), Arc::new(made));
        }
    }

    fn counted(&self, group: &Group) -> Tally {
        let mut tally = Tally::default();
        for node in self.nodes() {
            for _ in node.pods.iter().filter(|pod| group.has(&self.namespaces, pod)) {
                tally.add(node.slot, 1, |_| None);
            }
        }
        tally
    }

    /// A namespace has these labels, or is gone.
    pub fn set_namespace(
        &mut self,
        name: &str,
        labels: Option<std::collections::BTreeMap<String, String>>,
    ) {
        let changed = match labels {
            Some(labels) => self.namespaces.insert(name.to_owned(), labels.clone()) != Some(labels),
            None => self.namespaces.remove(name).is_some(),
        };
        if changed {
            self.tallies.namespaces_changed();
        }
    }

    /// A node is new or changed; tells whether that matters to scheduling.
    pub fn set_node(&mut self, node: Node) -> bool {
        let slot = self.slot_of(node.metadata.name.as_deref().unwrap_or_default());
        let before = self.at(slot).clone();
        let mut after = NodeFacts::clone(&before);
        after.update(node);
        after.slot = slot;
        if *before.images != *after.images {
            self.count_images(&before, &after);
        }
        let moved = !before.exists || before.labels != after.labels;
        let news = !after.same_node(&before);
        if moved {
            self.recount(&before, -1);
            if zone_of(&before) != zone_of(&after) || !before.exists {
                self.order = None;
            }
            self.count += usize::from(!before.exists);
            let labels = after.labels.clone();
            self.set_domains(slot, |key| labels.get(key).map(String::as_str));
        }
        self.put(after);
        if moved {
            let now = self.at(slot).clone();
            self.recount(&now, 1);
        }
        news
    }

    /// A node is gone; its pods may outlive it for a while.
    pub fn remove_node(&mut self, name: &str) {
        let Some(slot) = self.slots.get(name).copied() else { return };
        let before = self.at(slot).clone();
        if !before.exists {
            return;
        }
        self.recount(&before, -1);
        self.set_domains(slot, |_| None);
        self.order = None;
        self.count -= 1;
        let after =
            NodeFacts { exists: false, images: Arc::default(), ..NodeFacts::clone(&before) };
        self.count_images(&before, &after);
        self.put(after);
        self.free_slot(slot);
    }

    /// A pod is on its node, or assumed there.
    pub fn place(&mut self, pod: Arc<PodFacts>) {
        self.unplace(&pod.key);
        let Some(name) = pod.node.as_deref() else { return };
        let slot = self.slot_of(name);
        for term in pod.wishes.affinity_terms.all() {
            self.follow_topology(&term.topology_key);
        }
        if self.at(slot).exists {
            self.tallies.count(&self.namespaces, &pod, slot, 1, &self.topologies);
        }
        Arc::make_mut(&mut Arc::make_mut(&mut self.nodes)[slot as usize]).add(pod.clone());
        self.placed.insert(pod.key.clone(), pod);
    }

    /// A pod is not on a node any more; tells what it was.
    pub fn unplace(&mut self, key: &Key) -> Option<Arc<PodFacts>> {
        let pod = self.placed.remove(key)?;
        let slot = *self.slots.get(pod.node.as_deref()?)?;
        if self.at(slot).exists {
            self.tallies.count(&self.namespaces, &pod, slot, -1, &self.topologies);
        }
        Arc::make_mut(&mut Arc::make_mut(&mut self.nodes)[slot as usize]).remove(&pod);
        self.free_slot(slot);
        Some(pod)
    }

    fn slot_of(&mut self, name: &str) -> Slot {
        if let Some(slot) = self.slots.get(name) {
            return *slot;
        }
        let nodes = Arc::make_mut(&mut self.nodes);
        let slot = self.free.pop().unwrap_or_else(|| {
            nodes.push(Arc::default());
            nodes.len() as Slot - 1
        });
        let blank = NodeFacts { name: name.to_owned(), slot, ..NodeFacts::default() };
        nodes[slot as usize] = Arc::new(blank);
        self.slots.insert(name.to_owned(), slot);
        slot
    }

    fn free_slot(&mut self, slot: Slot) {
        let node = self.at(slot);
        if node.exists || !node.pods.is_empty() {
            return;
        }
        let name = node.name.clone();
        self.slots.remove(&name);
        self.free.push(slot);
    }

    fn put(&mut self, node: NodeFacts) {
        let slot = node.slot as usize;
        Arc::make_mut(&mut self.nodes)[slot] = Arc::new(node);
    }

    /// Counts the pods of a node, or (-1) takes them away.
    fn recount(&mut self, node: &NodeFacts, sign: i64) {
        for pod in node.pods.iter().filter(|_| node.exists) {
            self.tallies.count(&self.namespaces, pod, node.slot, sign, &self.topologies);
        }
    }

    fn set_domains<'a>(&mut self, slot: Slot, value: impl Fn(&str) -> Option<&'a str>) {
        let keys: Vec<String> = self.topologies.keys().cloned().collect();
        for key in keys {
            if let Some(topology) = self.topologies.get_mut(&key) {
                Arc::make_mut(topology).set(slot, value(&key));
            }
        }
    }

    fn count_images(&mut self, before: &NodeFacts, after: &NodeFacts) {
        for name in before.images.keys() {
            let Some(count) = self.images.get_mut(name) else { continue };
            *count -= 1;
            if *count == 0 {
                self.images.remove(name);
            }
        }
        for name in after.images.keys() {
            *self.images.entry(name.clone()).or_insert(0) += 1;
        }
    }

    fn ordered(&self) -> Vec<Slot> {
        let mut zones: Vec<(String, Vec<Slot>)> = Vec::new();
        let mut known: HashMap<String, usize> = HashMap::new();
        for node in self.nodes() {
            let zone = zone_of(node);
            let at = *known.entry(zone.clone()).or_insert_with(|| {
                zones.push((zone, Vec::new()));
                zones.len() - 1
            });
            zones[at].1.push(node.slot);
        }
        let longest = zones.iter().map(|(_, slots)| slots.len()).max().unwrap_or(0);
        let turns = (0..longest)
            .flat_map(|turn| zones.iter().filter_map(move |(_, slots)| slots.get(turn).copied()));
        turns.collect()
    }
}

fn zone_of(node: &NodeFacts) -> String {
    let label = |names: [&str; 2]| names.iter().find_map(|name| node.labels.get(*name)).cloned();
    format!("{}\n{}", label(REGIONS).unwrap_or_default(), label(ZONES).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::profile::Profile;
    use crate::testing::{node, pod};

    const SEEDS: u64 = 20;
    const STEPS: usize = 300;

    /// Numbers that look random and repeat with the seed (xorshift).
    struct Numbers(u64);

    impl Numbers {
        fn below(&mut self, bound: u64) -> u64 {
            self.0 ^= self.0 << 13;
            self.0 ^= self.0 >> 7;
            self.0 ^= self.0 << 17;
            self.0 % bound
        }
    }

    fn asking(name: &str, app: u64, on: &str) -> PodFacts {
        let selector = json!({"matchLabels": {"app": app.to_string()}});
        let term = |key: &str| json!({"topologyKey": key, "labelSelector": selector});
        let affinity = match app % 3 {
            0 => json!({"podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                [term("kubernetes.io/hostname")]}}),
            1 => json!({"podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                [term("zone")], "preferredDuringSchedulingIgnoredDuringExecution":
                [{"weight": 3, "podAffinityTerm": term("kubernetes.io/hostname")}]}}),
            _ => Value::Null,
        };
        pod(
            name,
            json!({"metadata": {"labels": {"app": app.to_string()}},
            "spec": {"nodeName": on, "affinity": affinity, "topologySpreadConstraints": [
                {"maxSkew": 1, "topologyKey": "zone", "whenUnsatisfiable": "ScheduleAnyway",
                    "labelSelector": selector}]}}),
        )
    }

    fn step(cluster: &mut Cluster, numbers: &mut Numbers) {
        let name = format!("n{}", numbers.below(6));
        let key = format!("p{}", numbers.below(40));
        match numbers.below(6) {
            0 => {
                let zone = numbers.below(3).to_string();
                let labels = match zone.as_str() {
                    "2" => json!({}),
                    zone => json!({"zone": zone}),
                };
                let node = node(&name, json!({"metadata": {"labels": labels}}));
                cluster.set_node(serde_json::from_value(node).unwrap());
            }
            1 if numbers.below(3) == 0 => cluster.remove_node(&name),
            2 => drop(cluster.unplace(&Key::new("n", &key))),
            _ => cluster.place(Arc::new(asking(&key, numbers.below(5), &name))),
        }
    }

    /// The same nodes and pods, counted anew.
    fn again(cluster: &Cluster) -> Cluster {
        let mut fresh = cluster.clone();
        fresh.tallies = Tallies::default();
        for node in cluster.nodes() {
            for pod in &node.pods {
                let (names, topologies) = (&fresh.namespaces, &fresh.topologies);
                fresh.tallies.count(names, pod, node.slot, 1, topologies);
            }
        }
        fresh
    }

    #[test]
    fn counts_follow_every_change() {
        for seed in 1..=SEEDS {
            let (mut cluster, mut numbers) = (Cluster::default(), Numbers(seed));
            let profile = Profile::default();
            let asked: Vec<Counting> =
                (0..5).flat_map(|app| profile.counts(&cluster, &asking("x", app, ""))).collect();
            for at in 0..STEPS {
                if at == STEPS / 3 {
                    cluster.follow(&asked);
                }
                step(&mut cluster, &mut numbers);
            }
            let mut fresh = again(&cluster);
            fresh.follow(&asked);
            let topologies = &cluster.topologies;
            assert_eq!(
                cluster.tallies.summary(topologies),
                fresh.tallies.summary(topologies),
                "seed {seed}"
            );
            for topology in topologies.values() {
                let anew = Topology::of(&topology.key, cluster.nodes().map(|node| &**node));
                let found = (topology.domains(), topology.nodes());
                assert_eq!(found, (anew.domains(), anew.nodes()), "seed {seed}");
            }
            assert_eq!(cluster.count(), cluster.nodes().count(), "seed {seed}");
        }
    }

    #[test]
    fn zones_take_turns() {
        let mut cluster = Cluster::default();
        for (name, zone) in [("a", "1"), ("b", "1"), ("c", "2"), ("d", "1")] {
            let labels = json!({"topology.kubernetes.io/zone": zone});
            let node = node(name, json!({"metadata": {"labels": labels}}));
            cluster.set_node(serde_json::from_value(node).unwrap());
        }
        let order = cluster.order();
        let names: Vec<&str> = order.iter().map(|slot| &*cluster.at(*slot).name).collect();
        assert_eq!(names, ["a", "c", "b", "d"]);
    }
}
