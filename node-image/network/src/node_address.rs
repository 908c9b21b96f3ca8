//! The node's own addresses.

use std::net::IpAddr;

use futures::TryStreamExt;
use rtnetlink::packet_route::address::{AddressAttribute, AddressMessage, AddressScope};
use rtnetlink::packet_route::route::{RouteAddress, RouteAttribute, RouteMessage};
use rtnetlink::{Handle, RouteMessageBuilder};

use crate::{Error, Result, namespace};

/// The global addresses of the interface that the default route leaves by, IPv4 first: what other
/// nodes reach this one at. Empty when there is no default route.
pub async fn node_addresses() -> Result<Vec<IpAddr>> {
    let handle = namespace::connect()?;
    match default_interface(&handle).await? {
        Some(index) => addresses_of(&handle, index).await,
        None => Ok(Vec::new()),
    }
}

/// The next hop of the default route: on a Docker network the machine that runs the engine.
pub async fn default_gateway() -> Result<Option<IpAddr>> {
    let handle = namespace::connect()?;
    let gateway = |attribute| match attribute {
        RouteAttribute::Gateway(RouteAddress::Inet(address)) => Some(IpAddr::V4(address)),
        _ => None,
    };
    let route = default_route(&handle).await?;
    Ok(route.and_then(|route| route.attributes.into_iter().find_map(gateway)))
}

async fn default_interface(handle: &Handle) -> Result<Option<u32>> {
    let interface = |attribute| match attribute {
        RouteAttribute::Oif(index) => Some(index),
        _ => None,
    };
    let route = default_route(handle).await?;
    Ok(route.and_then(|route| route.attributes.into_iter().find_map(interface)))
}

async fn default_route(handle: &Handle) -> Result<Option<RouteMessage>> {
    let all = RouteMessageBuilder::<std::net::Ipv4Addr>::new().build();
    let routes: Vec<_> = handle
        .route()
        .get(all)
        .execute()
        .try_collect()
        .await
        .map_err(Error::netlink("list routes"))?;
    Ok(routes.into_iter().find(|r| r.header.destination_prefix_length == 0))
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
