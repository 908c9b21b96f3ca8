//! What the rules of all ports are made of, counted, so that the change of one port costs what that
//! port needs and not what all do.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use ipnet::IpNet;

use super::ServicePort;
use super::rules::{self, Class, ElementKey, FrontendKey};
use crate::Family;
use crate::nftables::{Element, ElementChanges, ElementData, Table, TableChange};

/// Ports, and what they need.
#[derive(Debug, Default)]
pub(super) struct Applied {
    ports: HashMap<FrontendKey, Arc<ServicePort>>,
    /// What ports need in maps, and how many of them need it.
    elements: HashMap<ElementKey, (ElementData, usize)>,
    /// How many ports need a chain.
    chains: BTreeMap<Class, usize>,
    structure: Table,
}

/// What was before a change, of what changed.
#[derive(Debug, Default)]
pub(super) struct Before {
    elements: BTreeMap<ElementKey, Option<ElementData>>,
    has_other_chains: bool,
}

impl Applied {
    /// The port's way now.
    pub(super) fn port(&self, key: &FrontendKey) -> Option<&Arc<ServicePort>> {
        self.ports.get(key)
    }

    /// How many ports there are.
    pub(super) fn len(&self) -> usize {
        self.ports.len()
    }

    /// Makes a port another, or takes it away; tells what it was, if it is not the same.
    pub(super) fn put(
        &mut self,
        key: FrontendKey,
        wanted: Option<&Arc<ServicePort>>,
        before: &mut Before,
    ) -> Option<Option<Arc<ServicePort>>> {
        let same = |one: &Arc<ServicePort>, other| Arc::ptr_eq(one, other) || one == other;
        match (self.ports.get(&key), wanted) {
            (None, None) => return None,
            (Some(old), Some(new)) if same(old, new) => return None,
            _ => {}
        }
        let old = match wanted {
            Some(new) => self.ports.insert(key, new.clone()),
            None => self.ports.remove(&key),
        };
        if let Some(old) = &old {
            self.count(&key, old, false, before);
        }
        if let Some(new) = wanted {
            self.count(&key, new, true, before);
        }
        Some(old)
    }

    /// Adds or takes away what one port needs.
    fn count(&mut self, key: &FrontendKey, port: &ServicePort, more: bool, before: &mut Before) {
        let counted = |count: usize| if more { count + 1 } else { count.saturating_sub(1) };
        for class in rules::classes(port) {
            let count = self.chains.entry(class.clone()).or_default();
            before.has_other_chains |= *count == 0;
            *count = counted(*count);
            if *count == 0 {
                before.has_other_chains = true;
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

    /// What makes a table that was as `before` tells as it is to be now.
    pub(super) fn change_since(
        &mut self,
        before: &Before,
        family: Family,
        pod_range: Option<IpNet>,
    ) -> TableChange {
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
        let structure = match before.has_other_chains {
            true => {
                let old = self.structure(family, pod_range);
                TableChange::of_structure(&old, &self.structure)
            }
            false => TableChange::default(),
        };
        structure.with_elements(elements)
    }

    /// What makes an empty table as it is to be now, with these clients' entries.
    pub(super) fn whole(
        &mut self,
        family: Family,
        pod_range: Option<IpNet>,
        clients: Vec<Element>,
    ) -> TableChange {
        self.structure(family, pod_range);
        let mut elements = ElementChanges::default();
        for (key, (data, _)) in &self.elements {
            elements.added.entry(key.set.to_owned()).or_default().push(element(key, data));
        }
        let kept = clients.into_iter().filter(|entry| self.has_member(family, entry));
        elements.added.insert(rules::AFFINITY.to_owned(), kept.collect());
        TableChange::whole(&self.structure).with_elements(elements)
    }

    /// Whether the endpoint that a client's entry leads to still takes connections.
    pub(super) fn has_member(&self, family: Family, entry: &Element) -> bool {
        rules::membership(family, entry).is_some_and(|key| self.elements.contains_key(&key))
    }

    /// Makes the chains anew; tells the old ones.
    fn structure(&mut self, family: Family, pod_range: Option<IpNet>) -> Table {
        let new = rules::structure(family, self.chains.keys(), pod_range);
        std::mem::replace(&mut self.structure, new)
    }
}

fn element(key: &ElementKey, data: &ElementData) -> Element {
    Element { key: key.key.clone(), data: data.clone() }
}

#[cfg(test)]
mod tests {
    use super::super::{Frontend, Protocol};
    use super::*;

    const FAMILY: Family = Family::V4;

    fn port(last: u8, endpoints: &[&str]) -> Arc<ServicePort> {
        let frontend = Frontend::ClusterAddress([10, 96, 0, last].into());
        let endpoints = endpoints.iter().map(|e| e.parse().unwrap()).collect();
        Arc::new(ServicePort::plain(frontend, 80, Protocol::Tcp, endpoints))
    }

    /// How much a change of some ports writes.
    fn written(applied: &mut Applied, ports: &[Arc<ServicePort>]) -> usize {
        let mut before = Before::default();
        for port in ports {
            applied.put(FrontendKey::of(port), Some(port), &mut before);
        }
        applied.change_since(&before, FAMILY, None).written()
    }

    #[test]
    fn a_port_costs_what_it_needs() {
        let mut applied = Applied::default();
        let (one, other) = ("10.244.0.2:80", "10.244.0.3:80");
        written(&mut applied, &[port(1, &[one, other]), port(2, &[one]), port(3, &[one])]);
        assert_eq!(written(&mut applied, &[port(1, &[one, other])]), 0);
        // The address, the way, the endpoint.
        assert_eq!(written(&mut applied, &[port(4, &[one])]), 3);
        // The endpoint of the second slot goes and comes; no pod is left to reach itself there.
        assert_eq!(written(&mut applied, &[port(1, &[one, "10.244.0.2:81"])]), 3);
        // Another way with its chain and rule, two endpoints more, two that may reach themselves.
        assert_eq!(written(&mut applied, &[port(4, &[one, other, "10.244.0.4:80"])]), 8);
    }

    #[test]
    fn what_nobody_needs_goes() {
        let mut applied = Applied::default();
        let (gone, stays) = (port(1, &["10.244.0.2:80"]), port(2, &["10.244.0.2:80"]));
        written(&mut applied, &[gone.clone(), stays.clone()]);
        let mut before = Before::default();
        let old = applied.put(FrontendKey::of(&gone), None, &mut before);
        assert_eq!(old, Some(Some(gone.clone())));
        assert!(!before.has_other_chains, "the other one needs the chain");
        assert_eq!(applied.put(FrontendKey::of(&gone), None, &mut before), None);
        applied.put(FrontendKey::of(&stays), None, &mut before);
        assert!(before.has_other_chains);
        assert!(applied.ports.is_empty() && applied.chains.is_empty());
        assert!(applied.elements.is_empty(), "{:?}", applied.elements);
    }
}
