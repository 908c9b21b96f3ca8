//! Services of a node: where they are reached, what answers, and the kernel's rules kept equal to
//! that. Only what changed is written; established connections are not touched by a change, for the
//! kernel translates them by their conntrack entries.

mod affinity;
mod rules;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{Ipv4Addr, SocketAddrV4};
use std::sync::Arc;

use ipnet::Ipv4Net;

use crate::conntrack;
use crate::nftables::{Element, ElementChanges, ElementData, Table, TableChange};
use crate::{Error, Result};
use rules::{Class, ElementKey, FrontendKey};

/// A layer 4 protocol.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Protocol {
    /// Protocol 6.
    Tcp,
    /// Protocol 17.
    Udp,
    /// Protocol 132.
    Sctp,
}

impl Protocol {
    /// Its number in the IP header.
    pub fn number(self) -> u8 {
        match self {
            Protocol::Tcp => 6,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

/// Where a service is reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Frontend {
    /// An address that is the cluster's own: what its services do not take is refused.
    ClusterAddress(Ipv4Addr),
    /// Another address; its other ports are none of ours.
    Address(Ipv4Addr),
    /// A port of every address of the node but loopback ones.
    NodePort,
}

/// Whose connections get the node's address as their source, so that answers come back this way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Masquerade {
    /// Nobody's, but a pod's that reaches itself.
    Hairpin,
    /// Those from outside of the pods' range.
    Outsiders,
    /// All.
    Everybody,
}

/// What a new connection meets that no endpoint takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Refusal {
    /// It is told so.
    Reject,
    /// Silence: others may have endpoints.
    Drop,
}

/// One port of one service: where it is reached, and what answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The service's address.
    pub frontend: Frontend,
    /// The service's port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The endpoints that take new connections.
    pub endpoints: Vec<SocketAddrV4>,
    /// The endpoints for connections from outside, when these are others than for pods and the
    /// node itself. Outside connections keep their source then.
    pub for_outsiders: Option<Vec<SocketAddrV4>>,
    /// Whose connections get the node's address as their source.
    pub masquerade: Masquerade,
    /// How long a client stays with its endpoint after its last connection.
    pub affinity_seconds: Option<u32>,
    /// What meets connections that no endpoint takes.
    pub refusal: Refusal,
    /// The only sources that may connect; empty: all may.
    pub sources: Vec<Ipv4Net>,
}

impl ServicePort {
    /// A port that leads everybody to the same endpoints, without further rules.
    pub fn plain(
        frontend: Frontend,
        port: u16,
        protocol: Protocol,
        endpoints: Vec<SocketAddrV4>,
    ) -> ServicePort {
        ServicePort {
            frontend,
            port,
            protocol,
            endpoints,
            for_outsiders: None,
            masquerade: Masquerade::Hairpin,
            affinity_seconds: None,
            refusal: Refusal::Reject,
            sources: Vec::new(),
        }
    }

    /// All that may answer.
    fn all_endpoints(&self) -> impl Iterator<Item = &SocketAddrV4> {
        self.endpoints.iter().chain(self.for_outsiders.iter().flatten())
    }
}

/// Programs services into this network namespace.
#[derive(Debug)]
pub struct Services {
    table: &'static str,
    pod_range: Option<Ipv4Net>,
    /// None: nothing is known of what is in the kernel.
    applied: Option<Applied>,
}

/// What is in the kernel, and why.
#[derive(Debug, Default)]
struct Applied {
    ports: BTreeMap<FrontendKey, Arc<ServicePort>>,
    /// What ports need in maps, and how many of them need it.
    elements: HashMap<ElementKey, (ElementData, usize)>,
    /// How many ports need a chain.
    chains: BTreeMap<Class, usize>,
    structure: Table,
}

/// What was before a change, of what changed.
#[derive(Debug, Default)]
struct Before {
    ports: BTreeMap<FrontendKey, Option<Arc<ServicePort>>>,
    elements: BTreeMap<ElementKey, Option<ElementData>>,
    structure: Table,
}

impl Services {
    /// The services of a cluster whose pods have addresses of `pod_range`.
    pub fn new(pod_range: Option<Ipv4Net>) -> Services {
        Services { table: "kd-services", pod_range, applied: None }
    }

    /// Services in an nftables table of their own.
    pub(crate) fn in_table(table: &'static str) -> Services {
        Services { table, pod_range: None, applied: None }
    }

    /// Makes exactly these services. Duplicates of address, port and protocol: the first counts.
    /// Writes only what changed; all of it the first time and after an error. A rule set that was
    /// tampered with is written again.
    pub fn set(&mut self, ports: impl IntoIterator<Item = Arc<ServicePort>>) -> Result<()> {
        let mut wanted = BTreeMap::new();
        for port in ports {
            wanted.entry(rules::frontend_key(&port)).or_insert(port);
        }
        let operation = format!("program {} service ports", wanted.len());
        // Whatever fails below, the next call must not trust what is known now.
        let known = self.applied.take();
        let is_known = known.is_some();
        let mut applied = known.unwrap_or_default();
        let before = applied.become_equal(wanted, self.pod_range);
        if !is_known || !before.ports.is_empty() {
            self.write(is_known, &applied, &before).map_err(Error::of(operation))?;
        }
        self.applied = Some(applied);
        Ok(())
    }

    fn write(&self, is_known: bool, applied: &Applied, before: &Before) -> io::Result<()> {
        if !is_known || applied.change_since(before).apply(self.table).is_err() {
            self.replace(applied)?;
        }
        self.settle(applied, before)
    }

    /// Writes the whole table; clients stay with their endpoints.
    fn replace(&self, applied: &Applied) -> io::Result<()> {
        // What cannot be read is not worth more than the rules.
        let kept = affinity::read(self.table).unwrap_or_default();
        let kept = kept.into_iter().filter(|entry| applied.has_member(entry));
        let mut elements = applied.all_elements();
        elements.added.insert(rules::AFFINITY.to_owned(), kept.collect());
        TableChange::whole(&applied.structure).with_elements(elements).replace(self.table)
    }

    /// Ends what rules alone do not: clients' ties to endpoints that are gone, UDP flows to them.
    fn settle(&self, applied: &Applied, before: &Before) -> io::Result<()> {
        let sticky = |port: &Arc<ServicePort>| port.affinity_seconds.is_some();
        if before.ports.values().flatten().any(sticky) {
            affinity::forget(self.table, |entry| !applied.has_member(entry))?;
        }
        let touched = before.ports.keys().filter(|key| rules::is_udp(key));
        let flows: HashMap<_, Vec<SocketAddrV4>> = touched
            .map(|key| {
                let endpoints = applied.ports.get(key).map(|port| port.all_endpoints().copied());
                (rules::flow_target(key), endpoints.into_iter().flatten().collect())
            })
            .collect();
        if flows.is_empty() { Ok(()) } else { conntrack::forget_udp(&flows) }
    }
}

impl Applied {
    /// Tells what was before.
    fn become_equal(
        &mut self,
        wanted: BTreeMap<FrontendKey, Arc<ServicePort>>,
        pod_range: Option<Ipv4Net>,
    ) -> Before {
        let structure = std::mem::take(&mut self.structure);
        let mut before = Before { structure, ..Before::default() };
        let old = std::mem::take(&mut self.ports);
        let differs = |one: &Arc<ServicePort>, other: Option<&Arc<ServicePort>>| {
            other.is_none_or(|other| !Arc::ptr_eq(one, other) && one != other)
        };
        for (key, port) in old.iter().filter(|(key, port)| differs(port, wanted.get(*key))) {
            self.count(key, port, false, &mut before);
            before.ports.insert(*key, Some(port.clone()));
        }
        for (key, port) in wanted.iter().filter(|(key, port)| differs(port, old.get(*key))) {
            self.count(key, port, true, &mut before);
            before.ports.entry(*key).or_insert(None);
        }
        self.ports = wanted;
        self.structure = rules::structure(self.chains.keys(), pod_range);
        before
    }

    /// Adds or takes away what one port needs.
    fn count(&mut self, key: &FrontendKey, port: &ServicePort, more: bool, before: &mut Before) {
        let counted = |count: usize| if more { count + 1 } else { count.saturating_sub(1) };
        for class in rules::classes(port) {
            let count = self.chains.entry(class.clone()).or_default();
            *count = counted(*count);
            if *count == 0 {
                self.chains.remove(&class);
            }
        }
        for (element, data) in rules::elements(key, port) {
            let old = || self.elements.get(&element).map(|(data, _)| data.clone());
            before.elements.entry(element.clone()).or_insert_with(old);
            let known = self.elements.entry(element.clone()).or_insert((data.clone(), 0));
            *known = (data, counted(known.1));
            if known.1 == 0 {
                self.elements.remove(&element);
            }
        }
    }

    fn change_since(&self, before: &Before) -> TableChange {
        let mut elements = ElementChanges::default();
        for (key, old) in &before.elements {
            let new = self.elements.get(key).map(|(data, _)| data);
            if old.as_ref() == new {
                continue;
            }
            if let Some(data) = old {
                elements.removed.entry(key.set.to_owned()).or_default().push(element(key, data));
            }
            if let Some(data) = new {
                elements.added.entry(key.set.to_owned()).or_default().push(element(key, data));
            }
        }
        TableChange::of_structure(&before.structure, &self.structure).with_elements(elements)
    }

    fn all_elements(&self) -> ElementChanges {
        let mut elements = ElementChanges::default();
        for (key, (data, _)) in &self.elements {
            elements.added.entry(key.set.to_owned()).or_default().push(element(key, data));
        }
        elements
    }

    /// Whether the endpoint that a client's entry leads to still takes connections.
    fn has_member(&self, entry: &Element) -> bool {
        rules::membership(entry).is_some_and(|key| self.elements.contains_key(&key))
    }
}

fn element(key: &ElementKey, data: &ElementData) -> Element {
    Element { key: key.key.clone(), data: data.clone() }
}
