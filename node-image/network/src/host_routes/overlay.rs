//! The VXLAN overlay (RFC 7348), addressed as Flannel's is: one device on every node, whose hardware
//! address follows from the node's address and whose own address is that of the node's pod range.
//! Nothing is learned and nothing is asked: all entries are written from what the API says of nodes.

use std::collections::BTreeMap;
use std::net::IpAddr;

use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::AddressFamily;
use rtnetlink::packet_route::address::AddressHeaderFlags;
use rtnetlink::packet_route::link::LinkAttribute;
use rtnetlink::packet_route::neighbour::{
    NeighbourAddress, NeighbourAttribute, NeighbourFlags, NeighbourMessage, NeighbourState,
};
use rtnetlink::{Handle, LinkVxlan};

use super::pod_link::{add_neighbour, host_prefix, last_four};
use super::routes::{self, NodeRoute};
use super::{attribute_of, find_link, missing};
use crate::node_address::Uplink;
use crate::{Error, Family, OtherNode, Result};

const DEVICE: &str = "kd-vxlan";
const NETWORK_ID: u32 = 1;
/// Flannel's and Linux' own; IANA's 4789 is for others.
const PORT: u16 = 8472;
/// What the outer headers take: IP, UDP, VXLAN, Ethernet.
const HEADERS_V4: u32 = 20 + 8 + 8 + 14;
const HEADERS_V6: u32 = 40 + 8 + 8 + 14;

type Hardware = [u8; 6];

/// The node's device.
pub(super) struct Overlay {
    index: u32,
    /// The family that nodes reach each other by.
    family: Family,
    /// The size of packets that fit into one datagram.
    pub mtu: u32,
}

/// What the kernel must know of other nodes.
#[derive(Debug, Default, PartialEq)]
struct Entries {
    /// Where a hardware address is.
    forwards: BTreeMap<Hardware, IpAddr>,
    /// Which hardware address a next hop has.
    neighbours: BTreeMap<IpAddr, Hardware>,
    routes: Vec<NodeRoute>,
}

impl Overlay {
    /// Finds the device, or makes it anew when it is another address's.
    pub(super) async fn open(netlink: &Handle, uplink: &Uplink, mtu: u32) -> Result<Overlay> {
        let operation = "make the VXLAN device";
        let local = *uplink.addresses.first().ok_or_else(|| missing(operation))?;
        let family = Family::of(&local);
        let headers = if family == Family::V4 { HEADERS_V4 } else { HEADERS_V6 };
        let mtu = mtu.saturating_sub(headers);
        let hardware = hardware_of(local);
        if let Some(link) = find_link(netlink, DEVICE).await? {
            let found = attribute_of(&link, |attribute| match attribute {
                LinkAttribute::Address(address) => Some(address.as_slice()),
                _ => None,
            });
            let index = link.header.index;
            if found == Some(&hardware[..]) {
                return Ok(Overlay { index, family, mtu });
            }
            let deleted = netlink.link().del(index).execute().await;
            deleted.map_err(Error::netlink("delete an old VXLAN device"))?;
        }
        let device = LinkVxlan::new(DEVICE, NETWORK_ID).dev(uplink.index).port(PORT);
        let device = match local {
            IpAddr::V4(local) => device.local(local),
            IpAddr::V6(local) => device.local6(local),
        };
        let device = device.learning(false).address(hardware.to_vec()).mtu(mtu).up().build();
        netlink.link().add(device).execute().await.map_err(Error::netlink(operation))?;
        let made = find_link(netlink, DEVICE).await?.ok_or_else(|| missing(operation))?;
        Ok(Overlay { index: made.header.index, family, mtu })
    }

    /// Makes the ways to these nodes' pods.
    pub(super) async fn set_nodes(
        &self,
        netlink: &Handle,
        own: &[IpNet],
        others: &[OtherNode],
    ) -> Result<()> {
        for range in own {
            let address = range.network();
            let mut request =
                netlink.address().add(self.index, address, host_prefix(address)).replace();
            if address.is_ipv6() {
                request.message_mut().header.flags |= AddressHeaderFlags::Nodad;
            }
            let added = request.execute().await;
            added.map_err(Error::netlink(format!("add {address} to {DEVICE}")))?;
        }
        let entries = entries(self.index, self.family, others);
        self.remove_stale(netlink, &entries).await?;
        for (hardware, node) in &entries.forwards {
            let request = netlink
                .neighbours()
                .add_bridge(self.index, hardware)
                .destination(*node)
                .state(NeighbourState::Permanent)
                .flags(NeighbourFlags::Own)
                .replace();
            request.execute().await.map_err(Error::netlink(format!("forward to {node}")))?;
        }
        for (hop, hardware) in &entries.neighbours {
            add_neighbour(netlink, self.index, *hop, *hardware).await?;
        }
        routes::set(netlink, &entries.routes).await
    }

    /// Entries of nodes that are gone.
    async fn remove_stale(&self, netlink: &Handle, entries: &Entries) -> Result<()> {
        let neighbours = netlink.neighbours().get().execute().try_collect::<Vec<_>>();
        let forwards =
            netlink.neighbours().get().set_address_family(AddressFamily::Bridge).execute();
        let forwards = forwards.try_collect::<Vec<_>>();
        let failed = || Error::netlink("list the overlay's neighbours");
        let mut known = neighbours.await.map_err(failed())?;
        known.extend(forwards.await.map_err(failed())?);
        for entry in known.into_iter().filter(|entry| entry.header.ifindex == self.index) {
            if is_permanent(&entry) && is_stale(&entry, entries) {
                let deleted = netlink.neighbours().del(entry).execute().await;
                deleted.map_err(Error::netlink("delete a stale neighbour"))?;
            }
        }
        Ok(())
    }
}

fn is_permanent(entry: &NeighbourMessage) -> bool {
    matches!(entry.header.state, NeighbourState::Permanent)
}

fn is_stale(entry: &NeighbourMessage, entries: &Entries) -> bool {
    let hardware = entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::LinkLayerAddress(address) => Hardware::try_from(&address[..]).ok(),
        _ => None,
    });
    let address = entry.attributes.iter().find_map(|attribute| match attribute {
        NeighbourAttribute::Destination(NeighbourAddress::Inet(address)) => {
            Some(IpAddr::V4(*address))
        }
        NeighbourAttribute::Destination(NeighbourAddress::Inet6(address)) => {
            Some(IpAddr::V6(*address))
        }
        _ => None,
    });
    let (Some(hardware), Some(address)) = (hardware, address) else { return false };
    match entry.header.family {
        AddressFamily::Bridge => entries.forwards.get(&hardware) != Some(&address),
        _ => entries.neighbours.get(&address) != Some(&hardware),
    }
}

fn entries(device: u32, family: Family, others: &[OtherNode]) -> Entries {
    let mut entries = Entries::default();
    for node in others {
        let address = node.addresses.iter().find(|address| Family::of(address) == family);
        let Some(address) = address else { continue };
        let hardware = hardware_of(*address);
        entries.forwards.insert(hardware, *address);
        for range in &node.pod_ranges {
            let via = range.network();
            entries.neighbours.insert(via, hardware);
            entries.routes.push(NodeRoute { pod_range: *range, via, device: Some(device) });
        }
    }
    entries
}

/// Every node can tell it from the address: nothing has to be exchanged.
fn hardware_of(address: IpAddr) -> Hardware {
    let [a, b, c, d] = last_four(address);
    [0x0e, 0x58, a, b, c, d]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_kernel_must_know() {
        let other = OtherNode {
            pod_ranges: ["10.244.1.0/24", "fd00:1::/64"].map(|r| r.parse().unwrap()).to_vec(),
            addresses: ["172.18.0.3", "fd00::3"].map(|a| a.parse().unwrap()).to_vec(),
        };
        let found = entries(7, Family::V4, &[other, OtherNode::default()]);
        let hardware = [0x0e, 0x58, 172, 18, 0, 3];
        let address = |text: &str| -> IpAddr { text.parse().unwrap() };
        assert_eq!(found.forwards, BTreeMap::from([(hardware, address("172.18.0.3"))]));
        let hops = [address("10.244.1.0"), address("fd00:1::")];
        assert_eq!(found.neighbours, hops.map(|hop| (hop, hardware)).into());
        let via: Vec<IpAddr> = found.routes.iter().map(|route| route.via).collect();
        assert_eq!(via, hops);
        assert!(found.routes.iter().all(|route| route.device == Some(7)));
    }
}
