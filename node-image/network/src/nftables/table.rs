//! A table as plain data, and how the kernel's becomes equal to it: only what differs is written.

use std::collections::{BTreeMap, BTreeSet};
use std::io;

use super::batch::Batch;
use super::element::{Element, ElementData};
use super::expression::Expression;
use super::message::Attributes;
use super::socket::NetfilterSocket;
use crate::Family;

/// Which table: tables of one name in both families are two.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TableName {
    pub family: Family,
    pub name: &'static str,
}

/// Where a base chain hooks into the packet's way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ChainHook {
    /// `nat` or `filter`.
    pub kind: &'static str,
    /// `NF_INET_*`.
    pub hook: u32,
    /// Smaller runs earlier.
    pub priority: i32,
}

const fn hook(kind: &'static str, hook: u32, priority: i32) -> ChainHook {
    ChainHook { kind, hook, priority }
}

impl ChainHook {
    /// Destination NAT of packets that arrive.
    pub(crate) const PREROUTING_NAT: ChainHook = hook("nat", 0, -100);
    /// Destination NAT of the node's own packets.
    pub(crate) const OUTPUT_NAT: ChainHook = hook("nat", 3, -100);
    /// Source NAT of packets that leave.
    pub(crate) const POSTROUTING_NAT: ChainHook = hook("nat", 4, 100);
    /// Packets that arrive, before their destination is translated.
    pub(crate) const PREROUTING_BEFORE_NAT: ChainHook = hook("filter", 0, -110);
    /// The node's own packets, before their destination is translated.
    pub(crate) const OUTPUT_BEFORE_NAT: ChainHook = hook("filter", 3, -110);
    /// Packets that arrive, before routing: also those that no route leads on.
    pub(crate) const PREROUTING_FILTER: ChainHook = hook("filter", 0, 0);
    /// Packets for the node itself.
    pub(crate) const INPUT_FILTER: ChainHook = hook("filter", 1, 0);
    /// Packets from one interface to another.
    pub(crate) const FORWARD_FILTER: ChainHook = hook("filter", 2, 0);
    /// As `FORWARD_FILTER`, after it: what one lets pass the other may still drop.
    pub(crate) const FORWARD_FILTER_LATE: ChainHook = hook("filter", 2, 10);
    /// The node's own packets.
    pub(crate) const OUTPUT_FILTER: ChainHook = hook("filter", 3, 0);
}

/// A chain. Without a hook it is only jumped to.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Chain {
    pub hook: Option<ChainHook>,
    pub rules: Vec<Vec<Expression>>,
}

/// What a set's elements look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct SetSpec {
    /// Bytes of a key; every part of a concatenation is padded to four.
    pub key_length: u32,
    /// What elements hold.
    pub holds: Holds,
}

/// What the elements of a set hold.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Holds {
    Nothing,
    Verdicts,
    /// Values of a length in bytes.
    Values(u32),
    /// Values that rules put there and that go by themselves, at most `entries_max` of them.
    Passing {
        length: u32,
        entries_max: u32,
    },
}

impl SetSpec {
    pub(super) fn attributes(self, named: Attributes) -> Attributes {
        const MAP: u32 = 0x8;
        const TIMEOUT: u32 = 0x10;
        const BY_RULES: u32 = 0x20;
        const VERDICT_TYPE: u32 = 0xffff_ff00;
        let with = |flags| named.u32(3, flags).u32(4, 0).u32(5, self.key_length);
        match self.holds {
            Holds::Nothing => with(0),
            Holds::Verdicts => with(MAP).u32(6, VERDICT_TYPE),
            Holds::Values(length) => with(MAP).u32(6, 0).u32(7, length),
            Holds::Passing { length, entries_max } => with(MAP | TIMEOUT | BY_RULES)
                .u32(6, 0)
                .u32(7, length)
                .nested(9, Attributes::default().u32(1, entries_max)),
        }
    }
}

/// A table's chains and sets.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    pub chains: BTreeMap<String, Chain>,
    pub sets: BTreeMap<String, SetSpec>,
    pub elements: BTreeMap<String, BTreeMap<Vec<u8>, ElementData>>,
}

impl Table {
    pub(crate) fn chain(&mut self, name: &str, hook: Option<ChainHook>) -> &mut Chain {
        let chain = self.chains.entry(name.to_owned()).or_default();
        chain.hook = hook;
        chain
    }

    pub(crate) fn set(&mut self, name: &str, key_length: u32, holds: Holds) {
        self.sets.insert(name.to_owned(), SetSpec { key_length, holds });
    }

    /// Adds an element. The set must be there.
    pub(crate) fn element(&mut self, set: &str, key: Vec<u8>, data: ElementData) {
        debug_assert!(self.sets.contains_key(set), "no set {set}");
        match self.elements.get_mut(set) {
            Some(elements) => elements.insert(key, data),
            None => self.elements.entry(set.to_owned()).or_default().insert(key, data),
        };
    }
}

/// Elements that go and come, by set.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct ElementChanges {
    pub removed: BTreeMap<String, Vec<Element>>,
    pub added: BTreeMap<String, Vec<Element>>,
}

/// What a table of the kernel must become.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct TableChange {
    new_sets: BTreeMap<String, SetSpec>,
    gone_sets: Vec<String>,
    new_chains: BTreeMap<String, Option<ChainHook>>,
    gone_chains: Vec<String>,
    flushed: Vec<String>,
    rules: BTreeMap<String, Vec<Vec<Expression>>>,
    elements: ElementChanges,
}

impl TableChange {
    /// From nothing to `new`.
    pub(crate) fn whole(new: &Table) -> TableChange {
        TableChange::between(&Table::default(), new)
    }

    /// From `old` to `new`.
    pub(crate) fn between(old: &Table, new: &Table) -> TableChange {
        let mut change = TableChange::of_structure(old, new);
        let (nothing, sets) = (BTreeMap::new(), old.elements.keys().chain(new.elements.keys()));
        for set in sets.collect::<BTreeSet<_>>() {
            let before = old.elements.get(set).unwrap_or(&nothing);
            let after = new.elements.get(set).unwrap_or(&nothing);
            // Elements go with their set.
            if new.sets.get(set) == old.sets.get(set) {
                let removed = missing(before, after);
                if !removed.is_empty() {
                    change.elements.removed.insert(set.clone(), removed);
                }
                let added = missing(after, before);
                if !added.is_empty() {
                    change.elements.added.insert(set.clone(), added);
                }
            } else if new.sets.contains_key(set) {
                change.elements.added.insert(set.clone(), missing(after, &nothing));
            }
        }
        change
    }

    /// As [`TableChange::between`], elements left alone.
    pub(crate) fn of_structure(old: &Table, new: &Table) -> TableChange {
        let mut change = TableChange::default();
        for (name, spec) in &new.sets {
            if old.sets.get(name) != Some(spec) {
                change.new_sets.insert(name.clone(), *spec);
            }
        }
        let kept = |name: &String| old.sets.get(name) == new.sets.get(name);
        change.gone_sets = old.sets.keys().filter(|name| !kept(name)).cloned().collect();
        for (name, chain) in &new.chains {
            match old.chains.get(name) {
                Some(before) if before == chain => continue,
                Some(_) => change.flushed.push(name.clone()),
                None => {
                    change.new_chains.insert(name.clone(), chain.hook);
                }
            }
            change.rules.insert(name.clone(), chain.rules.clone());
        }
        let gone = old.chains.keys().filter(|name| !new.chains.contains_key(*name));
        change.gone_chains = gone.cloned().collect();
        change
    }

    /// With these elements changed, too.
    pub(crate) fn with_elements(mut self, elements: ElementChanges) -> TableChange {
        self.elements = elements;
        self
    }

    /// Makes the kernel's table what the change ends with, whatever is in it now.
    pub(crate) fn replace(&self, socket: &NetfilterSocket, table: TableName) -> io::Result<()> {
        self.batch(Batch::replace(table)).apply(socket)
    }

    /// Writes the difference.
    pub(crate) fn apply(&self, socket: &NetfilterSocket, table: TableName) -> io::Result<()> {
        let batch = self.batch(Batch::change(table));
        if batch.is_empty() { Ok(()) } else { batch.apply(socket) }
    }

    /// How many chains, rules, sets and elements it writes.
    #[cfg(test)]
    pub(crate) fn written(&self) -> usize {
        let elements = self.elements.removed.values().chain(self.elements.added.values());
        self.new_sets.len()
            + self.gone_sets.len()
            + self.new_chains.len()
            + self.gone_chains.len()
            + self.rules.values().map(Vec::len).sum::<usize>()
            + elements.map(Vec::len).sum::<usize>()
    }

    /// In an order in which nothing is used before it is there or goes while it is used.
    fn batch(&self, mut batch: Batch) -> Batch {
        for (set, elements) in &self.elements.removed {
            batch.delete_elements(set, elements);
        }
        for chain in self.flushed.iter().chain(&self.gone_chains) {
            batch.flush_chain(chain);
        }
        for set in &self.gone_sets {
            batch.delete_set(set);
        }
        for (name, spec) in &self.new_sets {
            batch.add_set(name, *spec);
        }
        for (name, hook) in &self.new_chains {
            batch.add_chain(name, *hook);
        }
        for (set, elements) in &self.elements.added {
            batch.add_elements(set, elements);
        }
        for (chain, rules) in &self.rules {
            for rule in rules {
                batch.add_rule(chain, rule);
            }
        }
        for chain in &self.gone_chains {
            batch.delete_chain(chain);
        }
        batch
    }
}

/// The elements of `these` that are not in `those`, or differ there.
fn missing(
    these: &BTreeMap<Vec<u8>, ElementData>,
    those: &BTreeMap<Vec<u8>, ElementData>,
) -> Vec<Element> {
    let missing = these.iter().filter(|(key, data)| those.get(*key) != Some(*data));
    missing.map(|(key, data)| Element { key: key.clone(), data: data.clone() }).collect()
}

#[cfg(test)]
mod tests {
    use super::super::expression::Verdict;
    use super::*;

    fn table(chains: &[(&str, &[Verdict])], elements: &[(u8, &str)]) -> Table {
        let mut table = Table::default();
        table.set("map", 1, Holds::Verdicts);
        for (name, verdicts) in chains {
            let rules = verdicts.iter().map(|v| vec![Expression::Decide(v.clone())]);
            table.chain(name, None).rules = rules.collect();
        }
        for (key, chain) in elements {
            let verdict = ElementData::Verdict(Verdict::Goto((*chain).to_owned()));
            table.element("map", vec![*key], verdict);
        }
        table
    }

    #[test]
    fn only_what_differs_is_written() {
        let old = table(
            &[("a", &[Verdict::Drop]), ("b", &[]), ("c", &[Verdict::Accept])],
            &[(1, "a"), (2, "b"), (3, "b")],
        );
        let new = table(
            &[("a", &[Verdict::Accept]), ("c", &[Verdict::Accept]), ("d", &[])],
            &[(1, "a"), (3, "d"), (4, "a")],
        );
        let change = TableChange::between(&old, &new);
        assert_eq!(change.flushed, ["a"]);
        assert_eq!(change.gone_chains, ["b"]);
        assert_eq!(change.new_chains.keys().collect::<Vec<_>>(), ["d"]);
        assert_eq!(change.rules.keys().collect::<Vec<_>>(), ["a", "d"]);
        let keys = |elements: &BTreeMap<String, Vec<Element>>| -> Vec<u8> {
            elements["map"].iter().map(|element| element.key[0]).collect()
        };
        assert_eq!(keys(&change.elements.removed), [2, 3]);
        assert_eq!(keys(&change.elements.added), [3, 4]);
        assert!(change.new_sets.is_empty() && change.gone_sets.is_empty());
        assert_eq!(TableChange::between(&new, &new), TableChange::default());
    }

    #[test]
    fn elements_go_with_their_set() {
        let old = table(&[("a", &[])], &[(1, "a")]);
        let change = TableChange::between(&old, &Table::default());
        assert_eq!(change.gone_sets, ["map"]);
        assert!(change.elements.removed.is_empty());
    }
}
