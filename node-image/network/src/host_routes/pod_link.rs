//! One pod's link: a veth pair with one end in the pod, where the other end is the only neighbour.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;

use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::neighbour::NeighbourState;
use rtnetlink::packet_route::route::{RouteMessage, RouteScope};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use super::{attribute_of, bandwidth, find_link, missing};
use crate::{Error, PodLink, Result, namespace};

/// The next hop a pod sees. It exists nowhere: a permanent neighbour entry leads to the node's end
/// of the veth.
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Hardware address of the node's end of every veth. Links are point to point, so one serves all.
const NODE_END_ADDRESS: [u8; 6] = [0xee, 0xee, 0xee, 0xee, 0xee, 0xee];
/// Prefix of the alias that an attached veth carries: `kd-pod <uid> <address>[,<address>]`.
const ALIAS_PREFIX: &str = "kd-pod ";

/// Makes a pod's link whole, on both ends.
pub(super) async fn make(netlink: &Handle, pod: &PodLink, mtu: u32) -> Result<()> {
    let index = create_pair(netlink, pod, mtu).await?;
    let inside = namespace::connect_in(&pod.netns).await?;
    configure_pod_end(&inside, &pod.addresses).await?;
    for address in &pod.addresses {
        let route = netlink.route().add(device_route(index, *address)).replace();
        route.execute().await.map_err(Error::netlink(format!("add route to {address}")))?;
        add_neighbour(netlink, index, *address, pod_end_address(&pod.addresses)).await?;
    }
    if let Some(bits) = pod.bandwidth.ingress {
        bandwidth::limit(netlink, index, bits).await?;
    }
    if let Some(bits) = pod.bandwidth.egress {
        let link = find_link(&inside, "eth0").await?.ok_or_else(|| missing("find eth0"))?;
        bandwidth::limit(&inside, link.header.index, bits).await?;
    }
    Ok(())
}

/// Takes a pod's link away, if it is there.
pub(super) async fn remove(netlink: &Handle, pod: &str) -> Result<()> {
    let name = link_name(pod);
    let Some(link) = find_link(netlink, &name).await? else { return Ok(()) };
    match netlink.link().del(link.header.index).execute().await {
        Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENODEV => Ok(()),
        other => other.map_err(Error::netlink(format!("delete veth {name}"))),
    }
}

/// The pod that a link is of.
pub(super) fn attached_pod(link: &LinkMessage) -> Option<(String, Vec<IpAddr>)> {
    let alias = attribute_of(link, |attribute| match attribute {
        LinkAttribute::IfAlias(alias) => Some(alias),
        _ => None,
    })?;
    let (pod, addresses) = alias.strip_prefix(ALIAS_PREFIX)?.split_once(' ')?;
    let addresses: std::result::Result<_, _> = addresses.split(',').map(str::parse).collect();
    Some((pod.to_owned(), addresses.ok()?))
}

/// Makes the pair with one end in the pod's namespace from the start. The peer must not be
/// created up: the kernel refuses that across namespaces.
async fn create_pair(netlink: &Handle, pod: &PodLink, mtu: u32) -> Result<u32> {
    let name = link_name(&pod.uid);
    let operation = format!("create veth {name}");
    let file = std::fs::File::open(&pod.netns)
        .map_err(Error::of(format!("open network namespace {}", pod.netns.display())))?;
    let peer = LinkMessageBuilder::<LinkUnspec>::new()
        .name("eth0")
        .setns_by_fd(file.as_raw_fd())
        .mtu(mtu)
        .address(pod_end_address(&pod.addresses).to_vec())
        .build();
    let message = LinkVeth::new(&name, "eth0")
        .address(NODE_END_ADDRESS.to_vec())
        .mtu(mtu)
        .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
        .up()
        .build();
    netlink.link().add(message).execute().await.map_err(Error::netlink(&operation))?;
    let index = find_link(netlink, &name).await?.ok_or_else(|| missing(&operation))?.header.index;
    let alias = alias(&pod.uid, &pod.addresses);
    let aliased = LinkMessageBuilder::<LinkUnspec>::new().index(index).alias(alias).build();
    netlink.link().set(aliased).execute().await.map_err(Error::netlink(operation))?;
    Ok(index)
}

/// Host-side link names are at most 15 bytes: `kd` and 13 hexadecimal digits of the uid's hash.
fn link_name(pod: &str) -> String {
    // FNV-1a: stable over releases, which a restarted kubelet relies on.
    let hash = pod.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("kd{:013x}", hash >> 12)
}

fn alias(pod: &str, addresses: &[IpAddr]) -> String {
    let addresses: Vec<String> = addresses.iter().map(ToString::to_string).collect();
    format!("{ALIAS_PREFIX}{pod} {}", addresses.join(","))
}

/// Inside the pod: loopback and eth0 up, the addresses, the permanent neighbours, the default routes.
async fn configure_pod_end(inside: &Handle, addresses: &[IpAddr]) -> Result<()> {
    let link = find_link(inside, "eth0").await?.ok_or_else(|| missing("find eth0 in the pod"))?;
    let index = link.header.index;
    for up in [1, index] {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(up).up().build();
        let set = inside.link().set(message).execute().await;
        set.map_err(Error::netlink("bring the pod's links up"))?;
    }
    for address in addresses {
        let mut request = inside.address().add(index, *address, host_prefix(*address));
        if address.is_ipv6() {
            // Nobody else is on the link: the address is usable at once.
            request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
        }
        request.execute().await.map_err(Error::netlink(format!("add address {address}")))?;
        let gateway: IpAddr = match address {
            IpAddr::V4(_) => GATEWAY_V4.into(),
            IpAddr::V6(_) => GATEWAY_V6.into(),
        };
        add_neighbour(inside, index, gateway, NODE_END_ADDRESS).await?;
        let route = inside.route().add(default_route(index, gateway)).execute().await;
        route.map_err(Error::netlink("add the default route"))?;
    }
    Ok(())
}

/// Both ends know each other from the start: no ARP, no wait for it, no need of a node address.
pub(super) async fn add_neighbour(
    netlink: &Handle,
    index: u32,
    address: IpAddr,
    hardware: [u8; 6],
) -> Result<()> {
    let request = netlink
        .neighbours()
        .add(index, address)
        .link_layer_address(&hardware)
        .state(NeighbourState::Permanent)
        .replace();
    request.execute().await.map_err(Error::netlink(format!("add neighbour {address}")))
}

/// Hardware address of a pod's eth0, from its first IP address: locally administered, and the same
/// whenever the address is.
fn pod_end_address(addresses: &[IpAddr]) -> [u8; 6] {
    let first = addresses.first().copied().unwrap_or(Ipv4Addr::UNSPECIFIED.into());
    let [a, b, c, d] = last_four(first);
    [0x0a, 0x58, a, b, c, d]
}

/// The bytes in which addresses of one range differ.
pub(super) fn last_four(address: IpAddr) -> [u8; 4] {
    match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    }
}

/// The length of a prefix that holds one address.
pub(super) fn host_prefix(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

fn device_route(index: u32, address: IpAddr) -> RouteMessage {
    match address {
        IpAddr::V4(address) => RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(address, 32)
            .output_interface(index)
            .scope(RouteScope::Link)
            .build(),
        IpAddr::V6(address) => RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(address, 128)
            .output_interface(index)
            .build(),
    }
}

fn default_route(index: u32, gateway: IpAddr) -> RouteMessage {
    match gateway {
        IpAddr::V4(gateway) => RouteMessageBuilder::<Ipv4Addr>::new()
            .gateway(gateway)
            .output_interface(index)
            .onlink()
            .build(),
        IpAddr::V6(gateway) => RouteMessageBuilder::<Ipv6Addr>::new()
            .gateway(gateway)
            .output_interface(index)
            .onlink()
            .build(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn link_names_fit_the_kernel() {
        let name = link_name("7f7a0f2e-6d1a-4c8e-9a3e-0b7d5c1e2f3a");
        assert!(name.len() <= 15 && name.starts_with("kd"), "{name}");
        assert_ne!(name, link_name("7f7a0f2e-6d1a-4c8e-9a3e-0b7d5c1e2f3b"));
    }

    #[test]
    fn an_alias_names_the_pod() {
        let check = |text: &str, expect: Option<(&str, &[&str])>| {
            let message = LinkMessageBuilder::<LinkUnspec>::new().alias(text.to_owned()).build();
            let expect = expect.map(|(pod, addresses)| {
                (pod.to_owned(), addresses.iter().map(|a| a.parse().unwrap()).collect::<Vec<_>>())
            });
            assert_eq!(attached_pod(&message), expect);
            if let Some((pod, addresses)) = expect {
                assert_eq!(alias(&pod, &addresses), text);
            }
        };
        check("kd-pod u-1 10.244.0.5", Some(("u-1", &["10.244.0.5"])));
        check("kd-pod u-1 10.244.0.5,fd00::5", Some(("u-1", &["10.244.0.5", "fd00::5"])));
        check("kd-pod u-1 x", None);
        check("something else", None);
    }
}
