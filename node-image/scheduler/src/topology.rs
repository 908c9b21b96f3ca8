//! Topology domains: the values that nodes have for a label, as small numbers, and how many pods of
//! a group each domain holds. Kept up to date pod by pod, so that a cycle does not count.

use std::borrow::Cow;
use std::collections::HashMap;
use std::hash::{BuildHasherDefault, Hasher};

use crate::node::NodeFacts;

/// A node's place in the cluster's list.
pub type Slot = u32;
/// A value of a topology key.
pub type Domain = u32;

const NONE: Domain = Domain::MAX;

/// The domains of one topology key.
#[derive(Clone, Debug, Default)]
pub struct Topology {
    /// The label.
    pub key: String,
    domain_of: Vec<Domain>,
    domains: HashMap<Box<str>, Domain>,
    /// Nodes by domain; a domain without any has a free number.
    members: Vec<u32>,
    values: Vec<Box<str>>,
    free: Vec<Domain>,
    nodes: usize,
}

impl Topology {
    /// The domains of these nodes, which exist.
    pub fn of<'a>(key: &str, nodes: impl Iterator<Item = &'a NodeFacts>) -> Topology {
        let mut topology = Topology { key: key.to_owned(), ..Topology::default() };
        for node in nodes {
            topology.set(node.slot, node.labels.get(key).map(String::as_str));
        }
        topology
    }

    /// The domain of a node.
    pub fn domain(&self, slot: Slot) -> Option<Domain> {
        self.domain_of.get(slot as usize).copied().filter(|domain| *domain != NONE)
    }

    /// The label's value in a domain.
    pub fn value(&self, domain: Domain) -> &str {
        self.values.get(domain as usize).map_or("", |value| value)
    }

    /// How many domains have nodes.
    pub fn domains(&self) -> usize {
        self.domains.len()
    }

    /// How many nodes have the label.
    pub fn nodes(&self) -> usize {
        self.nodes
    }

    /// One more than the greatest number of a domain.
    pub fn bound(&self) -> usize {
        self.members.len()
    }

    /// A node's value is this now. What was counted for its old domain is the caller's to move.
    pub fn set(&mut self, slot: Slot, value: Option<&str>) {
        let at = slot as usize;
        if self.domain_of.len() <= at {
            self.domain_of.resize(at + 1, NONE);
        }
        let before = self.domain_of[at];
        if before != NONE {
            if value == Some(self.value(before)) {
                return;
            }
            self.leave(before);
        }
        self.domain_of[at] = value.map_or(NONE, |value| self.enter(value));
    }

    fn leave(&mut self, domain: Domain) {
        self.nodes -= 1;
        let members = &mut self.members[domain as usize];
        *members -= 1;
        if *members == 0 {
            self.domains.remove(&self.values[domain as usize]);
            self.free.push(domain);
        }
    }

    fn enter(&mut self, value: &str) -> Domain {
        self.nodes += 1;
        if let Some(known) = self.domains.get(value) {
            self.members[*known as usize] += 1;
            return *known;
        }
        let domain = self.free.pop().unwrap_or_else(|| {
            self.members.push(0);
            self.values.push("".into());
            self.members.len() as Domain - 1
        });
        self.members[domain as usize] = 1;
        self.values[domain as usize] = value.into();
        self.domains.insert(value.into(), domain);
        domain
    }
}

/// Slots are small numbers given out by us: spreading them needs no more than a multiplication.
#[derive(Clone, Copy, Debug, Default)]
struct SlotHasher(u64);

impl Hasher for SlotHasher {
    fn finish(&self) -> u64 {
        self.0
    }

    fn write(&mut self, bytes: &[u8]) {
        bytes.iter().for_each(|byte| self.write_u32((*byte).into()));
    }

    fn write_u32(&mut self, number: u32) {
        self.0 = (self.0 ^ u64::from(number)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
}

/// How many pods of something are where.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    on_node: HashMap<Slot, u32, BuildHasherDefault<SlotHasher>>,
    /// By topology key, then by domain.
    by_domain: Vec<(String, Vec<i64>)>,
    total: i64,
}

impl Tally {
    /// Adds to what is counted on a node; `domain` tells its domain for a topology key.
    pub fn add(&mut self, slot: Slot, sign: i64, domain: impl Fn(&str) -> Option<Domain>) {
        let here = self.on_node.entry(slot).or_insert(0);
        *here = here.saturating_add_signed(sign as i32);
        if *here == 0 {
            self.on_node.remove(&slot);
        }
        self.total += sign;
        for (key, counts) in &mut self.by_domain {
            if let Some(domain) = domain(key) {
                raise(counts, domain, sign);
            }
        }
    }

    /// From now on counts by this topology, too.
    pub fn follow(&mut self, topology: &Topology) {
        if !self.by_domain.iter().any(|(key, _)| *key == topology.key) {
            let counts = self.counted(topology);
            self.by_domain.push((topology.key.clone(), counts));
        }
    }

    /// The counts by domain of a topology; those of missing numbers are 0.
    pub fn counts(&self, topology: &Topology) -> Cow<'_, [i64]> {
        match self.by_domain.iter().find(|(key, _)| *key == topology.key) {
            Some((_, counts)) => Cow::Borrowed(counts),
            None => Cow::Owned(self.counted(topology)),
        }
    }

    /// What is on a node.
    pub fn on(&self, slot: Slot) -> i64 {
        self.on_node.get(&slot).copied().unwrap_or(0).into()
    }

    /// The nodes where something is, and how many.
    pub fn nodes(&self) -> impl Iterator<Item = (Slot, i64)> {
        self.on_node.iter().map(|(slot, count)| (*slot, i64::from(*count)))
    }

    /// All together.
    pub fn total(&self) -> i64 {
        self.total
    }

    fn counted(&self, topology: &Topology) -> Vec<i64> {
        let mut counts = Vec::new();
        for (slot, here) in self.nodes() {
            if let Some(domain) = topology.domain(slot) {
                raise(&mut counts, domain, here);
            }
        }
        counts
    }
}

fn raise(counts: &mut Vec<i64>, domain: Domain, by: i64) {
    let at = domain as usize;
    if counts.len() <= at {
        counts.resize(at + 1, 0);
    }
    counts[at] += by;
}

/// A count by domain.
pub fn count(counts: &[i64], domain: Domain) -> i64 {
    counts.get(domain as usize).copied().unwrap_or(0)
}
