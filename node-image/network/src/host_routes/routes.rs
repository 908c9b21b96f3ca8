//! Routes to other nodes' pods. They are marked as ours; those that are not wanted any more go.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteProtocol};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::{Error, Family, OtherNode, Result};

/// Marks the routes between nodes as ours (`ip route show proto 107`).
const ROUTE_PROTOCOL: RouteProtocol = RouteProtocol::Other(107);

/// The way to one range of pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct NodeRoute {
    pub pod_range: IpNet,
    pub via: IpAddr,
    /// The interface, when `via` is on none of the node's networks.
    pub device: Option<u32>,
}

/// Nodes as each other's next hops. A range without an address of its family cannot be reached.
pub(super) fn direct(nodes: &[OtherNode]) -> Vec<NodeRoute> {
    let of_node = |node: &OtherNode| {
        let via = |range: &IpNet| {
            let family = Family::of_range(range);
            node.addresses.iter().copied().find(|address| Family::of(address) == family)
        };
        let route =
            |range: &IpNet| Some(NodeRoute { pod_range: *range, via: via(range)?, device: None });
        node.pod_ranges.iter().filter_map(route).collect::<Vec<_>>()
    };
    nodes.iter().flat_map(of_node).collect()
}

/// Makes exactly these routes.
pub(super) async fn set(netlink: &Handle, routes: &[NodeRoute]) -> Result<()> {
    for old in ours(netlink).await? {
        if !routes.iter().any(|wanted| Some(wanted.pod_range) == destination(&old)) {
            let deleted = netlink.route().del(old).execute().await;
            deleted.map_err(Error::netlink("delete a stale route"))?;
        }
    }
    for route in routes {
        let operation = format!("add route {} via {}", route.pod_range, route.via);
        let message = gateway_route(route).map_err(Error::of(operation.clone()))?;
        let added = netlink.route().add(message).replace().execute().await;
        added.map_err(Error::netlink(operation))?;
    }
    Ok(())
}

async fn ours(netlink: &Handle) -> Result<Vec<RouteMessage>> {
    let mut found = Vec::new();
    for all in [
        RouteMessageBuilder::<Ipv4Addr>::new().build(),
        RouteMessageBuilder::<Ipv6Addr>::new().build(),
    ] {
        let listed = netlink.route().get(all).execute().try_collect::<Vec<RouteMessage>>();
        let routes = listed.await.map_err(Error::netlink("list routes"))?;
        found.extend(routes.into_iter().filter(|r| r.header.protocol == ROUTE_PROTOCOL));
    }
    Ok(found)
}

fn gateway_route(route: &NodeRoute) -> std::io::Result<RouteMessage> {
    match (route.pod_range, route.via) {
        (IpNet::V4(net), IpAddr::V4(via)) => {
            let to = RouteMessageBuilder::<Ipv4Addr>::new()
                .destination_prefix(net.network(), net.prefix_len())
                .gateway(via)
                .protocol(ROUTE_PROTOCOL);
            Ok(match route.device {
                Some(device) => to.output_interface(device).onlink().build(),
                None => to.build(),
            })
        }
        (IpNet::V6(net), IpAddr::V6(via)) => {
            let to = RouteMessageBuilder::<Ipv6Addr>::new()
                .destination_prefix(net.network(), net.prefix_len())
                .gateway(via)
                .protocol(ROUTE_PROTOCOL);
            Ok(match route.device {
                Some(device) => to.output_interface(device).onlink().build(),
                None => to.build(),
            })
        }
        _ => Err(std::io::Error::new(
            std::io::ErrorKind::InvalidInput,
            "the range and the gateway are of different address families",
        )),
    }
}

fn destination(route: &RouteMessage) -> Option<IpNet> {
    let address = route.attributes.iter().find_map(|attribute| match attribute {
        RouteAttribute::Destination(RouteAddress::Inet(address)) => Some(IpAddr::V4(*address)),
        RouteAttribute::Destination(RouteAddress::Inet6(address)) => Some(IpAddr::V6(*address)),
        _ => None,
    })?;
    IpNet::new(address, route.header.destination_prefix_length).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn families_do_not_mix() {
        let route = |range: &str, via: &str| NodeRoute {
            pod_range: range.parse().unwrap(),
            via: via.parse().unwrap(),
            device: None,
        };
        assert!(gateway_route(&route("10.244.1.0/24", "fd00::1")).is_err());
        assert!(gateway_route(&route("10.244.1.0/24", "172.18.0.3")).is_ok());
        let both = OtherNode {
            pod_ranges: ["10.244.1.0/24", "fd00:1::/64"].map(|r| r.parse().unwrap()).to_vec(),
            addresses: ["fd00::3", "172.18.0.3"].map(|a| a.parse().unwrap()).to_vec(),
        };
        let expect = [route("10.244.1.0/24", "172.18.0.3"), route("fd00:1::/64", "fd00::3")];
        assert_eq!(direct(std::slice::from_ref(&both)), expect);
        let one = OtherNode { addresses: vec!["172.18.0.3".parse().unwrap()], ..both };
        assert_eq!(direct(&[one]), expect[..1]);
    }
}
