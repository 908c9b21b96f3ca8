//! Which groups of pods are counted, by node and by domain: those that pods to be placed ask about,
//! and the affinity terms that placed pods hold.

#[cfg(test)]
use std::collections::BTreeMap;
use std::sync::Arc;

use crate::pod::PodFacts;
use crate::pod_set::{Anchor, Group, Namespaces, Term, anchor, label_anchor};
use crate::topology::{Slot, Tally, Topology};

/// Groups counted at once. Beyond, all are forgotten and counted again when they are asked for.
const GROUPS_MAX: usize = 4096;

/// What a held term asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Holding {
    /// Required affinity.
    Near,
    /// Required anti-affinity.
    Away,
    /// Preferred, with a signed weight.
    Weighed(i64),
}

/// A counted group.
#[derive(Clone, Debug)]
struct Counted {
    group: Arc<Group>,
    tally: Tally,
}

/// A term and the pods that hold it.
#[derive(Clone, Debug)]
pub struct Held {
    /// The term.
    pub term: Arc<Term>,
    /// What it asks for.
    pub holding: Holding,
    /// Where its holders are.
    pub tally: Tally,
}

/// The topologies that are kept up to date, by key.
pub type Topologies = imbl::OrdMap<String, Arc<Topology>>;

type HeldKey = (Holding, Box<str>);

/// Entries by a label that whatever they match has.
#[derive(Clone, Debug)]
struct Anchored<K> {
    by_label: imbl::HashMap<Anchor, Vec<K>>,
    rest: Vec<K>,
}

/// The counts. Clones share them.
#[derive(Clone, Debug, Default)]
pub struct Tallies {
    groups: imbl::HashMap<Box<str>, Arc<Counted>>,
    group_anchors: Anchored<Box<str>>,
    held: imbl::HashMap<HeldKey, Arc<Held>>,
    held_anchors: Anchored<HeldKey>,
}

impl<K> Default for Anchored<K> {
    fn default() -> Anchored<K> {
        Anchored { by_label: imbl::HashMap::new(), rest: Vec::new() }
    }
}

impl<K: Clone + PartialEq> Anchored<K> {
    fn insert(&mut self, anchor: Option<Anchor>, key: K) {
        match anchor {
            Some(anchor) => self.by_label.entry(anchor).or_default().push(key),
            None => self.rest.push(key),
        }
    }

    fn remove(&mut self, anchor: Option<Anchor>, key: &K) {
        let Some(anchor) = anchor else { return self.rest.retain(|known| known != key) };
        let Some(keys) = self.by_label.get_mut(&anchor) else { return };
        keys.retain(|known| known != key);
        if keys.is_empty() {
            self.by_label.remove(&anchor);
        }
    }

    /// What may match a pod.
    fn of<'a>(&'a self, pod: &'a PodFacts) -> impl Iterator<Item = &'a K> {
        let anchors = pod.wishes.labels.iter().map(|(key, value)| label_anchor(key, value));
        let labelled = anchors.filter_map(|anchor| self.by_label.get(&anchor));
        labelled.flatten().chain(&self.rest)
    }
}

impl Tallies {
    /// The count of a group, if it is kept.
    pub fn group(&self, group: &Group) -> Option<&Tally> {
        self.groups.get(&group.signature).map(|counted| &counted.tally)
    }

    /// Begins to keep a group's count.
    pub fn keep(&mut self, group: Arc<Group>, tally: Tally) {
        if self.groups.len() >= GROUPS_MAX {
            self.groups = imbl::HashMap::new();
            self.group_anchors = Anchored::default();
        }
        let (key, anchor) = (group.signature.clone(), group.anchor());
        let counted = Counted { group, tally };
        if self.groups.insert(key.clone(), Arc::new(counted)).is_none() {
            self.group_anchors.insert(anchor, key);
        }
    }

    /// Changes a kept count.
    pub fn group_mut(&mut self, group: &Group) -> Option<&mut Tally> {
        let counted = self.groups.get_mut(&group.signature)?;
        Some(&mut Arc::make_mut(counted).tally)
    }

    /// Forgets the groups that hang on the labels of namespaces, which changed.
    pub fn namespaces_changed(&mut self) {
        let stale: Vec<(Box<str>, Option<Anchor>)> = self
            .groups
            .iter()
            .filter(|(_, counted)| counted.group.by_namespace_labels())
            .map(|(key, counted)| (key.clone(), counted.group.anchor()))
            .collect();
        for (key, anchor) in stale {
            self.groups.remove(&key);
            self.group_anchors.remove(anchor, &key);
        }
    }

    /// The held terms that mean a pod.
    pub fn held_about<'a>(
        &'a self,
        namespaces: &'a Namespaces,
        pod: &'a PodFacts,
    ) -> impl Iterator<Item = &'a Held> {
        let held = self.held_anchors.of(pod).filter_map(|key| self.held.get(key));
        held.map(|held| &**held).filter(|held| held.term.pods.has(namespaces, pod))
    }

    /// A pod came to a node (`sign` 1) or left it (-1).
    pub fn count(
        &mut self,
        namespaces: &Namespaces,
        pod: &PodFacts,
        slot: Slot,
        sign: i64,
        topologies: &Topologies,
    ) {
        let domain = |key: &str| topologies.get(key)?.domain(slot);
        for key in self.group_anchors.of(pod) {
            let Some(counted) = self.groups.get_mut(key) else { continue };
            if counted.group.has(namespaces, pod) {
                Arc::make_mut(counted).tally.add(slot, sign, domain);
            }
        }
        let terms = &pod.wishes.affinity_terms;
        if terms.is_empty() {
            return;
        }
        let near = terms.required.iter().map(|term| (term, Holding::Near));
        let away = terms.anti.iter().map(|term| (term, Holding::Away));
        let weighed = terms.preferred.iter().map(|(term, w)| (term, Holding::Weighed(*w)));
        for (term, holding) in near.chain(away).chain(weighed) {
            self.hold(term, holding, slot, sign, topologies);
        }
    }

    fn hold(
        &mut self,
        term: &Arc<Term>,
        holding: Holding,
        slot: Slot,
        sign: i64,
        topologies: &Topologies,
    ) {
        let key = (holding, term.signature.clone());
        if !self.held.contains_key(&key) {
            let mut tally = Tally::default();
            if let Some(topology) = topologies.get(&term.topology_key) {
                tally.follow(topology);
            }
            let held = Held { term: term.clone(), holding, tally };
            self.held.insert(key.clone(), Arc::new(held));
            self.held_anchors.insert(anchor(&term.pods.selector), key.clone());
        }
        let Some(held) = self.held.get_mut(&key) else { return };
        let tally = &mut Arc::make_mut(held).tally;
        tally.add(slot, sign, |key| topologies.get(key)?.domain(slot));
        if tally.total() == 0 {
            self.held.remove(&key);
            self.held_anchors.remove(anchor(&term.pods.selector), &key);
        }
    }

    /// Everything counted: nodes and numbers, by text, for comparison in tests.
    #[cfg(test)]
    pub fn summary(&self, topologies: &Topologies) -> BTreeMap<String, Vec<i64>> {
        let line = |tally: &Tally| -> Vec<i64> {
            let mut nodes: Vec<(Slot, i64)> = tally.nodes().collect();
            nodes.sort_unstable();
            let domains = topologies.values().flat_map(|topology| {
                let mut counts = tally.counts(topology).into_owned();
                counts.resize(topology.bound(), 0);
                counts
            });
            nodes.into_iter().flat_map(|(slot, n)| [slot.into(), n]).chain(domains).collect()
        };
        let groups = self.groups.iter().map(|(key, c)| (key.to_string(), line(&c.tally)));
        let held = self.held.iter();
        let held = held.map(|((how, key), held)| (format!("{how:?}{key}"), line(&held.tally)));
        groups.chain(held).collect()
    }
}
