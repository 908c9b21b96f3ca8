//! What the kernel has of services now, read back from the maps: for people who look for a fault.

use std::collections::BTreeMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use super::rules::{ENDPOINTS, OUTSIDERS_FIRST_SLOT, REFUSED, REJECT, SERVICES, SOURCES};
use crate::nftables::{ElementData, KeptSocket, NetfilterSocket, TableName, Verdict, elements};
use crate::{Error, Family, Result};

/// A port as the kernel knows it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ListedPort {
    /// The service's address; None: all addresses of the node.
    pub address: Option<IpAddr>,
    /// Whether it is reached by IPv6.
    pub is_ipv6: bool,
    /// `TCP`, `UDP`, `SCTP`.
    pub protocol: &'static str,
    /// The service's port.
    pub port: u16,
    /// How an endpoint is chosen: the name of a chain.
    pub way: String,
    /// What takes new connections.
    pub endpoints: Vec<SocketAddr>,
    /// What takes those from outside, when that is others.
    pub for_outsiders: Vec<SocketAddr>,
    /// `reject` or `drop`, for connections that no endpoint takes.
    pub refusal: Option<&'static str>,
    /// The chain that names the only sources.
    pub sources: Option<String>,
}

/// All ports, those of IPv4 first.
pub fn listed_services() -> Result<Vec<ListedPort>> {
    let read = |socket: &NetfilterSocket| {
        let tables = Family::ALL.map(|family| TableName { family, name: super::TABLE });
        let read: io::Result<Vec<_>> =
            tables.into_iter().map(|table| of_family(socket, table)).collect();
        Ok(read?.concat())
    };
    KeptSocket::default().with(read).map_err(Error::of("read the rules of services"))
}

fn of_family(socket: &NetfilterSocket, table: TableName) -> io::Result<Vec<ListedPort>> {
    let length = table.family.address_length() as usize + 8;
    let mut ports: BTreeMap<Vec<u8>, ListedPort> = BTreeMap::new();
    for element in elements(socket, table, SERVICES)? {
        entry(&mut ports, table.family, &element.key).way = chain(element.data);
    }
    for element in elements(socket, table, REFUSED)? {
        let is_reject =
            matches!(&element.data, ElementData::Verdict(Verdict::Goto(to)) if to == REJECT);
        let refusal = if is_reject { "reject" } else { "drop" };
        entry(&mut ports, table.family, &element.key).refusal = Some(refusal);
    }
    for element in elements(socket, table, SOURCES)? {
        entry(&mut ports, table.family, &element.key).sources = Some(chain(element.data));
    }
    let mut slots = elements(socket, table, ENDPOINTS)?;
    slots.sort();
    for element in slots {
        let ElementData::Value(target) = &element.data else { continue };
        let (Some((key, slot)), Some(target)) =
            (element.key.split_at_checked(length), endpoint(target))
        else {
            continue;
        };
        let slot = slot.first_chunk().map_or(0, |bytes| u32::from_ne_bytes(*bytes));
        let port = entry(&mut ports, table.family, key);
        match slot < OUTSIDERS_FIRST_SLOT {
            true => port.endpoints.push(target),
            false => port.for_outsiders.push(target),
        }
    }
    Ok(ports.into_values().collect())
}

fn entry<'a>(
    ports: &'a mut BTreeMap<Vec<u8>, ListedPort>,
    family: Family,
    key: &[u8],
) -> &'a mut ListedPort {
    ports.entry(key.to_vec()).or_insert_with(|| {
        let (address, rest) = key.split_at(key.len().min(family.address_length() as usize));
        let protocol = match rest.first() {
            Some(6) => "TCP",
            Some(17) => "UDP",
            _ => "SCTP",
        };
        let number = rest.get(4..6).map_or(0, |bytes| u16::from_be_bytes([bytes[0], bytes[1]]));
        ListedPort {
            address: address_of(address).filter(|address| !address.is_unspecified()),
            is_ipv6: family == Family::V6,
            protocol,
            port: number,
            ..ListedPort::default()
        }
    })
}

fn chain(data: ElementData) -> String {
    match data {
        ElementData::Verdict(Verdict::Goto(chain) | Verdict::Jump(chain)) => chain,
        _ => String::new(),
    }
}

fn address_of(bytes: &[u8]) -> Option<IpAddr> {
    match bytes.len() {
        4 => <[u8; 4]>::try_from(bytes).ok().map(IpAddr::from),
        16 => <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from),
        _ => None,
    }
}

/// An address and a port, padded.
fn endpoint(target: &[u8]) -> Option<SocketAddr> {
    let (address, port) = target.split_at_checked(target.len().checked_sub(4)?)?;
    Some(SocketAddr::new(address_of(address)?, u16::from_be_bytes([port[0], port[1]])))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_read() {
        let mut ports = BTreeMap::new();
        let key = [10, 96, 0, 9, 6, 0, 0, 0, 0, 80, 0, 0];
        let port = entry(&mut ports, Family::V4, &key);
        assert_eq!(port.address.unwrap().to_string(), "10.96.0.9");
        assert_eq!((port.protocol, port.port), ("TCP", 80));
        let node_port = [0, 0, 0, 0, 17, 0, 0, 0, 0x75, 0x30, 0, 0];
        let port = entry(&mut ports, Family::V4, &node_port);
        assert_eq!((port.address, port.protocol, port.port), (None, "UDP", 30000));
        let target = endpoint(&[10, 244, 0, 2, 0x1f, 0x90, 0, 0]).unwrap();
        assert_eq!(target.to_string(), "10.244.0.2:8080");
        assert_eq!(endpoint(&[1, 2]), None);
    }
}
