//! One Service as far as names go: its addresses and ports, and those of its ready endpoints.

use std::net::IpAddr;

use hickory_proto::rr::Name;
use k8s_openapi::api::core::v1::Service;
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};

/// What names under a Service lead to.
#[derive(Debug, PartialEq)]
pub(super) struct ServiceRecords {
    kind: Kind,
    groups: Vec<Group>,
}

#[derive(Debug, PartialEq)]
enum Kind {
    /// The Service's own addresses answer for it.
    Addresses(Vec<IpAddr>, Vec<Port>),
    /// Its endpoints do.
    Headless,
    /// Another name does.
    External(Name),
}

/// Endpoints with the same ports: those of one slice.
#[derive(Debug, PartialEq)]
struct Group {
    ports: Vec<Port>,
    hosts: Vec<Host>,
}

#[derive(Debug, PartialEq)]
struct Host {
    /// Its host name, or one made of its address.
    name: String,
    /// Whether the name is its own, so that the address leads back to it.
    is_named: bool,
    address: IpAddr,
}

#[derive(Debug, PartialEq)]
struct Port {
    name: String,
    protocol: String,
    number: u16,
}

/// What a name under a Service asks for.
#[derive(Debug, PartialEq)]
pub(super) enum Asked<'a> {
    /// The Service.
    Service,
    /// `_tcp.`: nothing by itself, but the ports of that protocol are under it.
    Protocol(&'a str),
    /// `_http._tcp.`: one port, by its name.
    Port(&'a str, &'a str),
    /// One endpoint, by its host name.
    Host(&'a str),
}

/// Where a name leads: an address, on a port unless the endpoint has none.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Target<'a> {
    /// The endpoint's name under the Service; None for the Service itself.
    pub(super) host: Option<&'a str>,
    pub(super) address: IpAddr,
    pub(super) port: Option<u16>,
}

impl Asked<'_> {
    /// Reads what stands before the Service's name.
    pub(super) fn of<'a>(labels: &[&'a str]) -> Option<Asked<'a>> {
        let plain = |label: &&'a str| label.strip_prefix('_');
        Some(match labels {
            [] => Asked::Service,
            [protocol] if protocol.starts_with('_') => Asked::Protocol(plain(protocol)?),
            [host] => Asked::Host(host),
            [port, protocol] => Asked::Port(plain(port)?, plain(protocol)?),
            _ => return None,
        })
    }

    fn takes(&self, port: &Port) -> bool {
        match self {
            Asked::Service | Asked::Host(_) => true,
            Asked::Protocol(protocol) => port.protocol == *protocol,
            Asked::Port(name, protocol) => port.name == *name && port.protocol == *protocol,
        }
    }
}

impl ServiceRecords {
    /// Reads a Service and its slices; None when there is nothing to find under its name.
    pub(super) fn of(service: &Service, slices: &[EndpointSlice]) -> Option<ServiceRecords> {
        let spec = service.spec.as_ref()?;
        let groups = slices.iter().map(group).filter(|group| !group.hosts.is_empty()).collect();
        if spec.type_.as_deref() == Some("ExternalName") {
            let external = external_name(spec.external_name.as_deref()?)?;
            return Some(ServiceRecords { kind: Kind::External(external), groups: Vec::new() });
        }
        if spec.cluster_ip.as_deref() == Some("None") {
            return Some(ServiceRecords { kind: Kind::Headless, groups });
        }
        let listed = spec.cluster_ips.iter().flatten().chain(&spec.cluster_ip);
        let mut addresses: Vec<IpAddr> = Vec::new();
        for address in listed.filter_map(|text| text.parse().ok()) {
            if !addresses.contains(&address) {
                addresses.push(address);
            }
        }
        let ports =
            spec.ports.iter().flatten().filter_map(|port| {
                Port::of(port.name.as_deref(), port.protocol.as_deref(), port.port)
            });
        let kind = Kind::Addresses(addresses, ports.collect());
        Some(ServiceRecords { kind, groups })
    }

    /// The name that stands for this Service.
    pub(super) fn external(&self) -> Option<&Name> {
        match &self.kind {
            Kind::External(name) => Some(name),
            _ => None,
        }
    }

    /// The Service's own addresses.
    pub(super) fn addresses(&self) -> &[IpAddr] {
        match &self.kind {
            Kind::Addresses(addresses, _) => addresses,
            _ => &[],
        }
    }

    /// The endpoints that have a host name of their own.
    pub(super) fn named_endpoints(&self) -> impl Iterator<Item = (&str, IpAddr)> {
        let hosts = self.groups.iter().flat_map(|group| &group.hosts);
        hosts.filter(|host| host.is_named).map(|host| (host.name.as_str(), host.address))
    }

    /// Where a name leads; nothing: there is no such name.
    pub(super) fn targets(&self, asked: &Asked) -> Vec<Target<'_>> {
        match (&self.kind, asked) {
            (Kind::External(_), _) => Vec::new(),
            (Kind::Addresses(addresses, ports), asked) if !matches!(asked, Asked::Host(_)) => {
                let asked_ports = ports.iter().filter(|port| asked.takes(port));
                let on_port = |port: &Port| {
                    let port = Some(port.number);
                    addresses.iter().map(move |ip| Target { host: None, address: *ip, port })
                };
                asked_ports.flat_map(on_port).collect()
            }
            _ => self.groups.iter().flat_map(|group| group.targets(asked)).collect(),
        }
    }
}

impl Group {
    fn targets(&self, asked: &Asked) -> Vec<Target<'_>> {
        let mut ports: Vec<Option<u16>> =
            self.ports.iter().filter(|port| asked.takes(port)).map(|p| Some(p.number)).collect();
        if self.ports.is_empty() && matches!(asked, Asked::Service | Asked::Host(_)) {
            ports.push(None);
        }
        let asked_hosts = self.hosts.iter().filter(|host| match asked {
            Asked::Host(name) => host.name == *name,
            _ => true,
        });
        let mut targets = Vec::new();
        for host in asked_hosts {
            let (name, address) = (Some(host.name.as_str()), host.address);
            targets.extend(ports.iter().map(|port| Target { host: name, address, port: *port }));
        }
        targets
    }
}

impl Port {
    fn of(name: Option<&str>, protocol: Option<&str>, number: i32) -> Option<Port> {
        Some(Port {
            name: name.unwrap_or_default().to_owned(),
            protocol: protocol.unwrap_or("TCP").to_ascii_lowercase(),
            number: number.try_into().ok()?,
        })
    }
}

/// An address in the place of a name stands for nothing.
fn external_name(text: &str) -> Option<Name> {
    let mut name = Name::from_ascii(text).ok()?;
    name.set_fqdn(true);
    let is_address = text.trim_end_matches('.').parse::<IpAddr>().is_ok();
    (!is_address && !name.is_root()).then_some(name)
}

fn group(slice: &EndpointSlice) -> Group {
    let ports =
        slice.ports.iter().flatten().filter_map(|port| {
            Port::of(port.name.as_deref(), port.protocol.as_deref(), port.port?)
        });
    let ready = slice.endpoints.iter().flatten().filter(|endpoint| is_ready(endpoint));
    Group { ports: ports.collect(), hosts: ready.flat_map(hosts).collect() }
}

/// Whether pods that are not ready count is the Service's choice; its controller then calls their
/// endpoints ready.
fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
}

fn hosts(endpoint: &Endpoint) -> Vec<Host> {
    let own = endpoint.hostname.as_deref().filter(|name| !name.is_empty());
    let addresses = endpoint.addresses.iter().filter_map(|text| text.parse::<IpAddr>().ok());
    let host = |address: IpAddr| {
        let made = || address.to_string().replace(['.', ':'], "-");
        let name = own.map_or_else(made, str::to_ascii_lowercase);
        Host { name, is_named: own.is_some(), address }
    };
    addresses.map(host).collect()
}
