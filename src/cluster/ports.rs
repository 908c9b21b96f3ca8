//! Ports of this machine that lead into a cluster: `[HOST:][HOSTPORT:]PORT[/PROTOCOL][@FILTER...]`, as
//! k3d's `--port`. Ports of nodes are published by their containers, the others by the load balancer's.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{IpAddr, Ipv4Addr};

use kd_contract::{NodeRole, PublishedProtocol};

use super::plan::PlannedNode;
use crate::docker::{HostPort, PublishedPort};
use crate::error::{Error, ExitCode, Result};

/// Ports in one range.
const RANGE_MAX: usize = 256;
const SYNTAX: &str = "[HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER[;NODEFILTER...]]";

/// A port that the user asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PortRequest {
    /// The address it is bound to on this machine.
    pub host: IpAddr,
    /// The port on this machine; any free one otherwise.
    pub host_port: Option<u16>,
    /// The port of the node or the load balancer.
    pub port: u16,
    /// The protocol.
    pub protocol: PublishedProtocol,
    /// Whose port.
    pub filters: Vec<NodeFilter>,
}

/// Whose port is published.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NodeFilter {
    /// The load balancer's.
    LoadBalancer,
    /// Those of every node.
    All,
    /// Those of some nodes of a role; without indices, of all.
    Role(NodeRole, Option<BTreeSet<usize>>),
}

impl NodeFilter {
    /// The nodes that are meant.
    pub fn names(&self, nodes: &[PlannedNode]) -> Vec<String> {
        match self {
            NodeFilter::LoadBalancer => Vec::new(),
            NodeFilter::All => nodes.iter().map(|node| node.name.clone()).collect(),
            NodeFilter::Role(role, indices) => {
                let of_role = nodes.iter().filter(|node| node.role == *role).enumerate();
                let chosen =
                    of_role.filter(|(i, _)| indices.as_ref().is_none_or(|s| s.contains(i)));
                chosen.map(|(_, node)| node.name.clone()).collect()
            }
        }
    }
}

/// What is published where.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Published {
    /// By the name of the node.
    pub nodes: BTreeMap<String, Vec<PublishedPort>>,
    /// By the load balancer.
    pub balancer: Vec<PublishedPort>,
}

/// Reads one `--port`: several ports when it names ranges.
pub fn parse(text: &str) -> Result<Vec<PortRequest>> {
    let wrong = |reason: &str| {
        Error::new(ExitCode::Usage, format!("--port {text:?}: {reason}"))
            .hint(format!("it is written {SYNTAX}, for example 8080:80@loadbalancer"))
    };
    let (mapping, filters) = text.split_once('@').unwrap_or((text, "loadbalancer"));
    let filters: std::result::Result<Vec<NodeFilter>, String> =
        filters.split(';').map(filter).collect();
    let filters = filters.map_err(|reason| wrong(&reason))?;
    let (mapping, protocol) = match mapping.split_once('/') {
        None => (mapping, PublishedProtocol::Tcp),
        Some((mapping, "tcp" | "TCP")) => (mapping, PublishedProtocol::Tcp),
        Some((mapping, "udp" | "UDP")) => (mapping, PublishedProtocol::Udp),
        Some(_) => return Err(wrong("the protocol is neither tcp nor udp")),
    };
    let (outer, inner) = mapping.rsplit_once(':').unwrap_or(("", mapping));
    let (host, host_ports) = match outer.rsplit_once(':') {
        Some((host, ports)) => (host.trim_start_matches('[').trim_end_matches(']'), ports),
        None => ("", outer),
    };
    let host: IpAddr = match host {
        "" => Ipv4Addr::UNSPECIFIED.into(),
        "localhost" => Ipv4Addr::LOCALHOST.into(),
        host => host.parse().map_err(|_| wrong("the host is not an address"))?,
    };
    let ports = range(inner).ok_or_else(|| wrong("the port is not one"))?;
    let host_ports: Vec<Option<u16>> = match host_ports {
        "" => vec![None; ports.len()],
        text => {
            let range = range(text).ok_or_else(|| wrong("the host's port is not one"))?;
            range.into_iter().map(Some).collect()
        }
    };
    if host_ports.len() != ports.len() {
        return Err(wrong("the two ranges have different lengths"));
    }
    let one = |(host_port, port)| PortRequest {
        host,
        host_port,
        port,
        protocol,
        filters: filters.clone(),
    };
    Ok(host_ports.into_iter().zip(ports).map(one).collect())
}

/// Reads several of them.
pub fn parse_all(texts: &[String]) -> Result<Vec<PortRequest>> {
    let parsed: Result<Vec<_>> = texts.iter().map(|text| parse(text)).collect();
    Ok(parsed?.into_iter().flatten().collect())
}

/// `80` or `8000-8010`.
fn range(text: &str) -> Option<Vec<u16>> {
    let (first, last) = text.split_once('-').unwrap_or((text, text));
    let (first, last): (u16, u16) = (first.parse().ok()?, last.parse().ok()?);
    let ports: Vec<u16> = (first..=last).take(RANGE_MAX + 1).collect();
    let is_good = first > 0 && !ports.is_empty() && ports.len() <= RANGE_MAX;
    is_good.then_some(ports)
}

/// Reads one node filter.
pub fn filter(text: &str) -> std::result::Result<NodeFilter, String> {
    let text = text.trim();
    let text = text.strip_suffix(":direct").unwrap_or(text);
    let (group, subset) = text.split_once(':').unwrap_or((text, "*"));
    let role = match group {
        "loadbalancer" => return Ok(NodeFilter::LoadBalancer),
        "all" => return Ok(NodeFilter::All),
        "server" | "servers" => NodeRole::Server,
        "agent" | "agents" => NodeRole::Agent,
        other => return Err(format!("there are no nodes called {other:?}")),
    };
    if subset == "*" {
        return Ok(NodeFilter::Role(role, None));
    }
    let indices = subset.split(',').map(|part| {
        let (first, last) = part.split_once('-').unwrap_or((part, part));
        let first: usize = first.parse().ok()?;
        let last: usize = last.parse().ok()?;
        (last < first + RANGE_MAX).then_some(first..=last)
    });
    let indices: Option<Vec<_>> = indices.collect();
    let indices = indices.ok_or_else(|| format!("{subset:?} does not name nodes by number"))?;
    Ok(NodeFilter::Role(role, Some(indices.into_iter().flatten().collect())))
}

/// Decides which container publishes what. `claim` tells the port of this machine: the one that is
/// asked for, or a free one.
pub fn publish(
    requests: &[PortRequest],
    nodes: &[PlannedNode],
    mut claim: impl FnMut(&PortRequest) -> Result<u16>,
) -> Result<Published> {
    let mut published = Published::default();
    for request in requests {
        let (of_balancer, of_nodes) = chosen(request, nodes)?;
        if of_balancer {
            let port = one(request, &mut claim)?;
            published.balancer.push(port);
        }
        for node in of_nodes {
            let port = one(request, &mut claim)?;
            published.nodes.entry(node).or_default().push(port);
        }
    }
    Ok(published)
}

fn chosen(request: &PortRequest, nodes: &[PlannedNode]) -> Result<(bool, BTreeSet<String>)> {
    let (mut of_balancer, mut of_nodes) = (false, BTreeSet::new());
    for filter in &request.filters {
        if *filter == NodeFilter::LoadBalancer {
            of_balancer = true;
            continue;
        }
        let names = filter.names(nodes);
        if names.is_empty() {
            let message = format!("no node of the cluster is meant by the port {}", request.port);
            return Err(Error::new(ExitCode::Usage, message)
                .hint("filters are loadbalancer, all, server:0, servers:*, agent:0,1, agents:*"));
        }
        of_nodes.extend(names);
    }
    if let Some(port) = request.host_port
        && of_nodes.len() + usize::from(of_balancer) > 1
    {
        let message = format!("port {port} of this machine can lead to one container only");
        return Err(Error::new(ExitCode::Usage, message)
            .hint("name one node, or leave the host's port out to get a free one for each"));
    }
    Ok((of_balancer, of_nodes))
}

fn one(
    request: &PortRequest,
    claim: &mut impl FnMut(&PortRequest) -> Result<u16>,
) -> Result<PublishedPort> {
    let host = HostPort { address: request.host, port: claim(request)? };
    Ok(PublishedPort { port: request.port, protocol: request.protocol, host })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(request: &PortRequest) -> String {
        let host_port = request.host_port.map_or("any".to_owned(), |port| port.to_string());
        let PortRequest { host, port, protocol, filters, .. } = request;
        format!("{host} {host_port} {port}/{protocol} {filters:?}")
    }

    #[test]
    fn what_users_write() {
        let check = |text: &str, expect: &[&str]| {
            let parsed: Vec<String> = parse(text).unwrap().iter().map(shown).collect();
            assert_eq!(parsed, expect, "{text}");
        };
        check("8080:80@loadbalancer", &["0.0.0.0 8080 80/tcp [LoadBalancer]"]);
        check("80", &["0.0.0.0 any 80/tcp [LoadBalancer]"]);
        check(
            "127.0.0.1:53:5353/udp@server:0",
            &["127.0.0.1 53 5353/udp [Role(Server, Some({0}))]"],
        );
        check("[::1]:8080:80@all", &["::1 8080 80/tcp [All]"]);
        check("127.0.0.1::80@agents:*", &["127.0.0.1 any 80/tcp [Role(Agent, None)]"]);
        check(
            "1:2@server:0:direct;agent:0,2-3",
            &["0.0.0.0 1 2/tcp [Role(Server, Some({0})), Role(Agent, Some({0, 2, 3}))]"],
        );
        check(
            "8000-8001:80-81",
            &["0.0.0.0 8000 80/tcp [LoadBalancer]", "0.0.0.0 8001 81/tcp [LoadBalancer]"],
        );
    }

    #[test]
    fn what_users_write_wrongly() {
        for text in [
            "",
            "a",
            "0",
            "80/sctp",
            "70000",
            "80@",
            "80@moon",
            "x:80:80",
            "1-2:80",
            "9-8",
            "1-2000",
            "80@server:x",
            "80@server:0:proxy",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
    }

    fn nodes() -> Vec<PlannedNode> {
        [("s0", NodeRole::Server), ("a0", NodeRole::Agent), ("a1", NodeRole::Agent)]
            .map(|(name, role)| PlannedNode { name: name.to_owned(), role })
            .to_vec()
    }

    #[test]
    fn who_publishes() {
        let check = |text: &str, expect: Option<&str>| {
            let published = publish(&parse(text).unwrap(), &nodes(), |request| {
                Ok(request.host_port.unwrap_or(7))
            });
            let shown = published.ok().map(|published| {
                let mut all: Vec<String> = published
                    .nodes
                    .iter()
                    .flat_map(|(node, ports)| {
                        ports.iter().map(move |p| format!("{node}={}", p.host.port))
                    })
                    .collect();
                all.extend(published.balancer.iter().map(|p| format!("lb={}", p.host.port)));
                all.join(" ")
            });
            assert_eq!(shown.as_deref(), expect, "{text}");
        };
        check("8080:80", Some("lb=8080"));
        check("8080:80@server:0", Some("s0=8080"));
        check("8080:80@agent:1", Some("a1=8080"));
        check("80@agents:*", Some("a0=7 a1=7"));
        check("80@all;loadbalancer", Some("a0=7 a1=7 s0=7 lb=7"));
        check("8080:80@agents:*", None);
        check("80@agent:7", None);
    }
}
