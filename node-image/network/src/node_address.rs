//! The node's own addresses, and the interface that leads out.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage, RouteType};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::{Error, Family, Result, namespace};

/// The interface that the default route leaves by.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Uplink {
    pub index: u32,
    pub mtu: Option<u32>,
    /// Its global addresses, IPv4 first.
    pub addresses: Vec<IpAddr>,
}

/// The global addresses of the interface that the default route leaves by, IPv4 first: what other
/// nodes reach this one at. Empty when there is no default route.
pub async fn node_addresses() -> Result<Vec<IpAddr>> {
    let found = uplink(&namespace::connect()?).await?;
    Ok(found.map(|uplink| uplink.addresses).unwrap_or_default())
}

/// The next hops of the default routes, one of a family: on a Docker network the machine that runs
/// the engine.
pub async fn default_gateways() -> Result<Vec<IpAddr>> {
    let handle = namespace::connect()?;
    let gateway = |attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::V4(address)),
        RouteAttribute::Gateway(RouteAddress::Inet6(address)) => Some(IpAddr::V6(address)),
        _ => None,
    };
    let mut gateways = Vec::new();
    for family in Family::ALL {
        let route = default_route_of(&handle, family).await?;
        gateways.extend(route.and_then(|route| route.attributes.into_iter().find_map(gateway)));
    }
    Ok(gateways)
}

/// The interface that leads out, if there is one.
pub(crate) async fn uplink(handle: &Handle) -> Result<Option<Uplink>> {
    let interface = |attribute| match attribute {
        RouteAttribute::Oif(index) => Some(index),
        _ => None,
    };
    let route = default_route(handle).await?;
    let index = route.and_then(|route| route.attributes.into_iter().find_map(interface));
    let Some(index) = index else { return Ok(None) };
    let link = handle.link().get().match_index(index).execute().try_next().await;
    let link = link.map_err(Error::netlink("look at the node's interface"))?;
    let mtu = link.and_then(|link| {
        link.attributes.into_iter().find_map(|attribute| match attribute {
            LinkAttribute::Mtu(mtu) => Some(mtu),
            _ => None,
        })
    });
    Ok(Some(Uplink { index, mtu, addresses: addresses_of(handle, index).await? }))
}

/// IPv4's, or IPv6's where there is no other.
async fn default_route(handle: &Handle) -> Result<Option<RouteMessage>> {
    match default_route_of(handle, Family::V4).await? {
        Some(route) => Ok(Some(route)),
        None => default_route_of(handle, Family::V6).await,
    }
}

async fn default_route_of(handle: &Handle, family: Family) -> Result<Option<RouteMessage>> {
    let all = match family {
        Family::V4 => RouteMessageBuilder::<Ipv4Addr>::new().build(),
        Family::V6 => RouteMessageBuilder::<Ipv6Addr>::new().build(),
    };
    let routes: Vec<RouteMessage> = handle
        .route()
        .get(all)
        .execute()
        .try_collect()
        .await
        .map_err(Error::netlink("list routes"))?;
    let is_default = |route: &RouteMessage| {
        // A host without IPv6 has a route that refuses.
        route.header.destination_prefix_length == 0 && route.header.kind == RouteType::Unicast
    };
    Ok(routes.into_iter().find(is_default))
}

async fn addresses_of(handle: &Handle, index: u32) -> Result<Vec<IpAddr>> {
    let messages: Vec<AddressMessage> = handle
        .address()
        .get()
        .set_link_index_filter(index)
        .execute()
        .try_collect()
        .await
        .map_err(Error::netlink("list addresses"))?;
    let mut addresses: Vec<IpAddr> = messages
        .into_iter()
        .filter(|m| m.header.scope == AddressScope::Universe)
        .filter_map(|m| {
            m.attributes.into_iter().find_map(|attribute| match attribute {
                AddressAttribute::Address(address) => Some(address),
                _ => None,
            })
        })
        .collect();
    addresses.sort_by_key(IpAddr::is_ipv6);
    Ok(addresses)
}
