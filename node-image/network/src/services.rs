//! Service rules in the "classes" form: two maps hold all services, chains exist only per distinct
//! fan-out, and the whole table is replaced in one batch. The cost of a packet does not grow with
//! the number of services.

use std::collections::BTreeSet;
use std::net::{Ipv4Addr, SocketAddrV4};

use crate::nftables::{Batch, ChainHook, Element, ElementData, Expression, MapSpec, Verdict};
use crate::{Error, Result};

const SOURCE_OFFSET: u32 = 12;
const DESTINATION_OFFSET: u32 = 16;
const DESTINATION_PORT_OFFSET: u32 = 2;
const TCP: u8 = 6;

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
    fn number(self) -> u8 {
        match self {
            Protocol::Tcp => TCP,
            Protocol::Udp => 17,
            Protocol::Sctp => 132,
        }
    }
}

/// One port of one service: where it is reached, and what answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ServicePort {
    /// The service's address.
    pub address: Ipv4Addr,
    /// The service's port.
    pub port: u16,
    /// Its protocol.
    pub protocol: Protocol,
    /// The endpoints that take new connections; empty: connections are refused.
    pub endpoints: Vec<SocketAddrV4>,
}

/// Programs services into this network namespace. Established connections are not touched by a
/// change: the kernel translates them by their conntrack entries.
#[derive(Debug)]
pub struct Services {
    table: &'static str,
    /// Nothing is known of what an earlier process has left.
    applied: Option<Vec<ServicePort>>,
}

impl Default for Services {
    fn default() -> Services {
        Services::in_table("kd-services")
    }
}

impl Services {
    /// Services in an nftables table of their own.
    pub(crate) fn in_table(table: &'static str) -> Services {
        Services { table, applied: None }
    }

    /// Makes exactly these services. Duplicates of address, port and protocol: the first counts.
    /// Does nothing when nothing changed.
    pub fn set(&mut self, mut services: Vec<ServicePort>) -> Result<()> {
        services.sort_by_key(key);
        services.dedup_by_key(|service| key(service));
        if self.applied.as_ref() == Some(&services) {
            return Ok(());
        }
        let operation = format!("program {} service ports", services.len());
        rules(self.table, &services).apply().map_err(Error::of(operation))?;
        self.applied = Some(services);
        Ok(())
    }
}

/// The order of services, and their key in the maps: address, protocol and port, each padded to a
/// register.
fn key(service: &ServicePort) -> [u8; 12] {
    let mut key = [0; 12];
    key[..4].copy_from_slice(&service.address.octets());
    key[4] = service.protocol.number();
    key[8..10].copy_from_slice(&service.port.to_be_bytes());
    key
}

/// The table: `services` leads from a service to the chain of its fan-out, which picks a slot and
/// finds the endpoint in `endpoints` by service and slot.
fn rules(table: &'static str, services: &[ServicePort]) -> Batch {
    let mut batch = Batch::replace(table);
    batch.map("services", MapSpec { key_length: 12, data_length: None, verdicts: true });
    batch.map("endpoints", MapSpec { key_length: 16, data_length: Some(8), verdicts: false });
    batch.map("no-endpoints", MapSpec { key_length: 12, data_length: None, verdicts: false });
    batch.map("hairpin", MapSpec { key_length: 8, data_length: None, verdicts: false });
    let fan_outs: BTreeSet<usize> =
        services.iter().map(|s| s.endpoints.len()).filter(|n| *n > 0).collect();
    for fan_out in &fan_outs {
        fan_out_chain(&mut batch, *fan_out);
    }
    for (name, hook) in
        [("prerouting", ChainHook::PREROUTING_NAT), ("output", ChainHook::OUTPUT_NAT)]
    {
        batch.chain(name, Some(hook));
        let mut rule = load_service_key();
        rule.push(Expression::LookupVerdict { set: "services".into(), key: 0 });
        batch.rule(name, &rule);
    }
    refuse_chains(&mut batch);
    hairpin_chain(&mut batch);
    batch.elements("services", &service_elements(services));
    batch.elements("endpoints", &endpoint_elements(services));
    batch.elements("no-endpoints", &refused_elements(services));
    batch.elements("hairpin", &hairpin_elements(services));
    batch
}

fn fan_out_chain_name(fan_out: usize) -> String {
    format!("fan-out-{fan_out}")
}

/// Registers 0 to 2 hold the service's key.
fn load_service_key() -> Vec<Expression> {
    vec![
        Expression::NetworkHeader { offset: DESTINATION_OFFSET, length: 4, into: 0 },
        Expression::Layer4Protocol { into: 1 },
        Expression::TransportHeader { offset: DESTINATION_PORT_OFFSET, length: 2, into: 2 },
    ]
}

fn fan_out_chain(batch: &mut Batch, fan_out: usize) {
    let name = fan_out_chain_name(fan_out);
    batch.chain(&name, None);
    let mut rule = load_service_key();
    rule.extend([
        Expression::Random { modulus: fan_out as u32, into: 3 },
        Expression::Lookup { set: "endpoints".into(), key: 0, into: Some(4) },
        Expression::DestinationNat { address: 4, port: 5 },
    ]);
    batch.rule(&name, &rule);
}

/// Connections to a service without endpoints are refused, not dropped.
fn refuse_chains(batch: &mut Batch) {
    for (name, hook) in
        [("refuse", ChainHook::PREROUTING_FILTER), ("refuse-output", ChainHook::OUTPUT_FILTER)]
    {
        batch.chain(name, Some(hook));
        let is_tcp = [
            Expression::Layer4Protocol { into: 0 },
            Expression::Compare { register: 0, equal: true, value: vec![TCP] },
        ];
        let mut refused = load_service_key();
        refused.push(Expression::Lookup { set: "no-endpoints".into(), key: 0, into: None });
        let mut reset = Vec::from(is_tcp);
        reset.extend(refused.iter().cloned());
        reset.push(Expression::RejectTcpReset);
        batch.rule(name, &reset);
        refused.push(Expression::RejectPortUnreachable);
        batch.rule(name, &refused);
    }
}

/// A pod that reaches itself through a service must see another source address, or its answer
/// would not come back this way.
fn hairpin_chain(batch: &mut Batch) {
    batch.chain("hairpin", Some(ChainHook::POSTROUTING_NAT));
    batch.rule(
        "hairpin",
        &[
            Expression::NetworkHeader { offset: SOURCE_OFFSET, length: 4, into: 0 },
            Expression::NetworkHeader { offset: DESTINATION_OFFSET, length: 4, into: 1 },
            Expression::Lookup { set: "hairpin".into(), key: 0, into: None },
            Expression::Masquerade,
        ],
    );
}

fn service_elements(services: &[ServicePort]) -> Vec<Element> {
    let served = services.iter().filter(|s| !s.endpoints.is_empty());
    served
        .map(|service| Element {
            key: key(service).to_vec(),
            data: ElementData::Verdict(Verdict::Goto(fan_out_chain_name(service.endpoints.len()))),
        })
        .collect()
}

fn endpoint_elements(services: &[ServicePort]) -> Vec<Element> {
    let mut elements = Vec::new();
    for service in services {
        for (slot, endpoint) in service.endpoints.iter().enumerate() {
            let mut slot_key = key(service).to_vec();
            // numgen writes its register in the machine's own byte order.
            slot_key.extend_from_slice(&(slot as u32).to_ne_bytes());
            let mut target = endpoint.ip().octets().to_vec();
            target.extend_from_slice(&endpoint.port().to_be_bytes());
            target.extend_from_slice(&[0, 0]);
            elements.push(Element { key: slot_key, data: ElementData::Value(target) });
        }
    }
    elements
}

fn refused_elements(services: &[ServicePort]) -> Vec<Element> {
    let refused = services.iter().filter(|s| s.endpoints.is_empty());
    refused.map(|s| Element { key: key(s).to_vec(), data: ElementData::None }).collect()
}

fn hairpin_elements(services: &[ServicePort]) -> Vec<Element> {
    let addresses: BTreeSet<Ipv4Addr> =
        services.iter().flat_map(|s| s.endpoints.iter().map(|e| *e.ip())).collect();
    addresses
        .into_iter()
        .map(|address| Element { key: address.octets().repeat(2), data: ElementData::None })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(address: &str, endpoints: &[&str]) -> ServicePort {
        ServicePort {
            address: address.parse().unwrap(),
            port: 80,
            protocol: Protocol::Tcp,
            endpoints: endpoints.iter().map(|e| e.parse().unwrap()).collect(),
        }
    }

    #[test]
    fn an_endpoint_is_found_by_service_and_slot() {
        let services = [service("10.96.0.9", &["10.244.0.2:8080", "10.244.1.2:8081"])];
        let elements = endpoint_elements(&services);
        assert_eq!(elements.len(), 2);
        assert_eq!(elements[1].key[..12], [10, 96, 0, 9, 6, 0, 0, 0, 0, 80, 0, 0]);
        assert_eq!(elements[1].key[12..], 1u32.to_ne_bytes());
        let target = vec![10, 244, 1, 2, 0x1f, 0x91, 0, 0];
        assert_eq!(elements[1].data, ElementData::Value(target));
    }

    #[test]
    fn services_without_endpoints_are_refused() {
        let services = [service("10.96.0.9", &[]), service("10.96.0.8", &["10.244.0.2:80"])];
        assert_eq!(refused_elements(&services).len(), 1);
        assert_eq!(service_elements(&services).len(), 1);
    }

    #[test]
    fn a_pod_behind_two_services_needs_one_hairpin_entry() {
        let services =
            [service("10.96.0.9", &["10.244.0.2:80"]), service("10.96.0.8", &["10.244.0.2:80"])];
        assert_eq!(hairpin_elements(&services).len(), 1);
    }
}
