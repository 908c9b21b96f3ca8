//! Services of a node: where they are reached, what answers, and the kernel's rules kept equal to
//! that. Only what changed is written; established connections are not touched by a change, for the
//! kernel translates them by their conntrack entries.

mod affinity;
mod listing;
mod rules;

use std::collections::{BTreeMap, HashMap};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use ipnet::IpNet;

use crate::conntrack;
use crate::nftables::{Element, ElementChanges, ElementData, Table, TableChange, TableName};
use crate::{Error, Family, Result};
pub use listing::{ListedPort, listed_services};
use rules::{Class, ElementKey, FrontendKey};

/// The nftables table of Services.
const TABLE: &str = "kd-services";

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
    ClusterAddress(IpAddr),
    /// Another address; its other ports are none of ours.
    Address(IpAddr),
    /// A port of every address of the node of a family, but loopback ones.
    NodePort(Family),
}

impl Frontend {
    /// The family of what reaches it.
    pub fn family(&self) -> Family {
        match self {
            Frontend::ClusterAddress(address) | Frontend::Address(address) => Family::of(address),
            Frontend::NodePort(family) => *family,
        }
    }
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
    pub endpoints: Vec<SocketAddr>,
    /// The endpoints for connections from outside, when these are others than for pods and the
    /// node itself. Outside connections keep their source then.
    pub for_outsiders: Option<Vec<SocketAddr>>,
    /// Whose connections get the node's address as their source.
    pub masquerade: Masquerade,
    /// How long a client stays with its endpoint after its last connection.
    pub affinity_seconds: Option<u32>,
    /// What meets connections that no endpoint takes.
    pub refusal: Refusal,
    /// The only sources that may connect; empty: all may.
    pub sources: Vec<IpNet>,
}

impl ServicePort {
    /// A port that leads everybody to the same endpoints, without further rules.
    pub fn plain(
        frontend: Frontend,
        port: u16,
        protocol: Protocol,
        endpoints: Vec<SocketAddr>,
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
    fn all_endpoints(&self) -> impl Iterator<Item = &SocketAddr> {
        self.endpoints.iter().chain(self.for_outsiders.iter().flatten())
    }
}

/// Programs services into this network namespace.
#[derive(Debug)]
pub struct Services {
    families: [FamilyServices; 2],
}

/// The services of one family.
#[derive(Debug)]
struct FamilyServices {
    table: TableName,
    pod_range: Option<IpNet>,
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
    /// The services of a cluster whose pods have addresses of `pod_ranges`.
    pub fn new(pod_ranges: &[IpNet]) -> Services {
        Services::in_table(TABLE, pod_ranges)
    }

    /// Services in nftables tables of their own.
    pub(crate) fn in_table(name: &'static str, pod_ranges: &[IpNet]) -> Services {
        let of = |family| FamilyServices {
            table: TableName { family, name },
            pod_range: pod_ranges.iter().copied().find(|range| Family::of_range(range) == family),
            applied: None,
        };
        Services { families: Family::ALL.map(of) }
    }

    /// Makes exactly these services. Duplicates of address, port and protocol: the first counts.
    /// Writes only what changed; all of it the first time and after an error. A rule set that was
    /// tampered with is written again.
    pub fn set(&mut self, ports: impl IntoIterator<Item = Arc<ServicePort>>) -> Result<()> {
        let mut wanted = Family::ALL.map(|_| BTreeMap::new());
        for port in ports {
            let of_family = match port.frontend.family() {
                Family::V4 => &mut wanted[0],
                Family::V6 => &mut wanted[1],
            };
            of_family.entry(FrontendKey::of(&port)).or_insert(port);
        }
        let mut outcome = Ok(());
        for (family, wanted) in self.families.iter_mut().zip(wanted) {
            // One family's failure must not keep the other from being right.
            outcome = outcome.and(family.set(wanted));
        }
        outcome
    }
}

impl FamilyServices {
    fn set(&mut self, wanted: BTreeMap<FrontendKey, Arc<ServicePort>>) -> Result<()> {
        let operation = format!("program {} service ports", wanted.len());
        // A kernel may lack a family that nobody uses.
        let is_needed = !wanted.is_empty() || self.table.family == Family::V4;
        // Whatever fails below, the next call must not trust what is known now.
        let known = self.applied.take();
        let is_known = known.is_some();
        let mut applied = known.unwrap_or_default();
        let before = applied.become_equal(self.table.family, wanted, self.pod_range);
        if !is_known || !before.ports.is_empty() {
            match self.write(is_known, &applied, &before) {
                Err(source) if is_needed => return Err(Error { operation, source }),
                _ => {}
            }
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
        let kept = kept.into_iter().filter(|entry| applied.has_member(self.table.family, entry));
        let mut elements = applied.all_elements();
        elements.added.insert(rules::AFFINITY.to_owned(), kept.collect());
        TableChange::whole(&applied.structure).with_elements(elements).replace(self.table)
    }

    /// Ends what rules alone do not: clients' ties to endpoints that are gone, UDP flows to them.
    fn settle(&self, applied: &Applied, before: &Before) -> io::Result<()> {
        let sticky = |port: &Arc<ServicePort>| port.affinity_seconds.is_some();
        if before.ports.values().flatten().any(sticky) {
            affinity::forget(self.table, |entry| !applied.has_member(self.table.family, entry))?;
        }
        let touched = before.ports.keys().filter(|key| key.protocol == Protocol::Udp);
        let flows: HashMap<_, Vec<SocketAddr>> = touched
            .map(|key| {
                let endpoints = applied.ports.get(key).map(|port| port.all_endpoints().copied());
                (key.flow_target(), endpoints.into_iter().flatten().collect())
            })
            .collect();
        if flows.is_empty() {
            return Ok(());
        }
        conntrack::forget_udp(self.table.family, &flows)
    }
}

impl Applied {
    /// Tells what was before.
    fn become_equal(
        &mut self,
        family: Family,
        wanted: BTreeMap<FrontendKey, Arc<ServicePort>>,
        pod_range: Option<IpNet>,
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
        self.structure = rules::structure(family, self.chains.keys(), pod_range);
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
    fn has_member(&self, family: Family, entry: &Element) -> bool {
        rules::membership(family, entry).is_some_and(|key| self.elements.contains_key(&key))
    }
}

fn element(key: &ElementKey, data: &ElementData) -> Element {
    Element { key: key.key.clone(), data: data.clone() }
}
