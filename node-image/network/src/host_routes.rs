//! The default pod network: a point-to-point veth for every pod, a /32 (or /128) host route to it,
//! and plain routes between nodes. No bridge, no encapsulation.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::os::fd::AsRawFd;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::packet_route::link::{InfoData, InfoVeth, LinkAttribute, LinkMessage};
use rtnetlink::packet_route::neighbour::NeighbourState;
use rtnetlink::packet_route::route::{
    RouteAddress, RouteAttribute, RouteMessage, RouteProtocol, RouteScope,
};
use rtnetlink::{Handle, LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

use crate::nftables::masquerade;
use crate::{Error, NodeRoute, PodNetwork, Result, ServicePort, Services, namespace};

/// The next hop a pod sees. It exists nowhere: a permanent neighbour entry leads to the node's end
/// of the veth.
const GATEWAY_V4: Ipv4Addr = Ipv4Addr::new(169, 254, 1, 1);
const GATEWAY_V6: Ipv6Addr = Ipv6Addr::new(0xfe80, 0, 0, 0, 0, 0, 0, 1);
/// Hardware address of the node's end of every veth. Links are point to point, so one serves all.
const NODE_END_ADDRESS: [u8; 6] = [0xee, 0xee, 0xee, 0xee, 0xee, 0xee];
/// Marks the routes between nodes as ours (`ip route show proto 107`).
const ROUTE_PROTOCOL: RouteProtocol = RouteProtocol::Other(107);
/// Prefix of the alias that an attached veth carries: `kd-pod <uid> <address>`.
const ALIAS_PREFIX: &str = "kd-pod ";

/// The nftables table of the node's ports that lead to pods.
const HOST_PORTS_TABLE: &str = "kd-host-ports";

/// Pods on veths, nodes on routes.
pub struct HostRoutes {
    netlink: Handle,
    host_ports: Mutex<Services>,
}

impl HostRoutes {
    /// Opens the netlink socket and turns forwarding on. Needs CAP_NET_ADMIN in this namespace.
    pub fn open() -> Result<HostRoutes> {
        for sysctl in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
            // A kernel without IPv6 has no such file.
            if Path::new(sysctl).exists() {
                std::fs::write(sysctl, "1").map_err(Error::of(format!("write {sysctl}")))?;
            }
        }
        let host_ports = Mutex::new(Services::in_table(HOST_PORTS_TABLE));
        Ok(HostRoutes { netlink: namespace::connect()?, host_ports })
    }

    async fn link_named(&self, name: &str) -> Result<Option<u32>> {
        find_link(&self.netlink, name).await
    }

    /// Makes the pair with one end in the pod's namespace from the start. The peer must not be
    /// created up: the kernel refuses that across namespaces.
    async fn create_pair(
        &self,
        name: &str,
        netns: &Path,
        pod: &str,
        address: IpAddr,
    ) -> Result<u32> {
        let operation = format!("create veth {name}");
        let file = std::fs::File::open(netns)
            .map_err(Error::of(format!("open network namespace {}", netns.display())))?;
        let peer = LinkMessageBuilder::<LinkUnspec>::new()
            .name("eth0")
            .setns_by_fd(file.as_raw_fd())
            .address(pod_end_address(address).to_vec())
            .build();
        let message = LinkVeth::new(name, "eth0")
            .address(NODE_END_ADDRESS.to_vec())
            .set_info_data(InfoData::Veth(InfoVeth::Peer(peer)))
            .up()
            .build();
        self.netlink.link().add(message).execute().await.map_err(Error::netlink(&operation))?;
        let index = self.link_named(name).await?.ok_or_else(|| Error {
            operation: operation.clone(),
            source: std::io::Error::from(std::io::ErrorKind::NotFound),
        })?;
        let alias = alias(pod, address);
        let aliased = LinkMessageBuilder::<LinkUnspec>::new().index(index).alias(alias).build();
        self.netlink.link().set(aliased).execute().await.map_err(Error::netlink(operation))?;
        Ok(index)
    }

    async fn add_pod_route(&self, index: u32, address: IpAddr) -> Result<()> {
        let route = device_route(index, address);
        let request = self.netlink.route().add(route).replace();
        request.execute().await.map_err(Error::netlink(format!("add route to {address}")))?;
        add_neighbour(&self.netlink, index, address, pod_end_address(address)).await
    }

    async fn our_routes(&self) -> Result<Vec<RouteMessage>> {
        let mut found = Vec::new();
        for all in [
            RouteMessageBuilder::<Ipv4Addr>::new().build(),
            RouteMessageBuilder::<Ipv6Addr>::new().build(),
        ] {
            let routes: Vec<RouteMessage> = self
                .netlink
                .route()
                .get(all)
                .execute()
                .try_collect()
                .await
                .map_err(Error::netlink("list routes"))?;
            found.extend(routes.into_iter().filter(|r| r.header.protocol == ROUTE_PROTOCOL));
        }
        Ok(found)
    }
}

#[async_trait]
impl PodNetwork for HostRoutes {
    async fn attach(&self, netns: &Path, pod: &str, address: IpAddr) -> Result<()> {
        let name = link_name(pod);
        self.detach(pod).await?;
        let index = self.create_pair(&name, netns, pod, address).await?;
        let inside = namespace::connect_in(netns).await?;
        let made = configure_pod_end(&inside, address).await;
        let routed = match made {
            Ok(()) => self.add_pod_route(index, address).await,
            Err(error) => Err(error),
        };
        if routed.is_err() {
            // The first error is the one to tell; a leftover link goes with the namespace.
            let _ = self.detach(pod).await;
        }
        routed
    }

    async fn detach(&self, pod: &str) -> Result<()> {
        let name = link_name(pod);
        let Some(index) = self.link_named(&name).await? else { return Ok(()) };
        match self.netlink.link().del(index).execute().await {
            Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENODEV => Ok(()),
            other => other.map_err(Error::netlink(format!("delete veth {name}"))),
        }
    }

    async fn attached(&self) -> Result<Vec<(String, IpAddr)>> {
        let links: Vec<LinkMessage> = self
            .netlink
            .link()
            .get()
            .execute()
            .try_collect()
            .await
            .map_err(Error::netlink("list links"))?;
        Ok(links.iter().filter_map(attached_pod).collect())
    }

    async fn set_node_routes(&self, routes: &[NodeRoute]) -> Result<()> {
        for old in self.our_routes().await? {
            if !routes.iter().any(|wanted| Some(wanted.pod_cidr) == destination(&old)) {
                let deleted = self.netlink.route().del(old).execute().await;
                deleted.map_err(Error::netlink("delete a stale route"))?;
            }
        }
        for route in routes {
            let operation = format!("add route {} via {}", route.pod_cidr, route.via);
            let message = gateway_route(route).map_err(Error::of(operation.clone()))?;
            let added = self.netlink.route().add(message).replace().execute().await;
            added.map_err(Error::netlink(operation))?;
        }
        Ok(())
    }

    async fn set_masquerade(&self, cluster_cidr: IpNet) -> Result<()> {
        masquerade(cluster_cidr)
    }

    async fn set_host_ports(&self, ports: Vec<ServicePort>) -> Result<()> {
        let ports = ports.into_iter().map(Arc::new);
        self.host_ports.lock().unwrap_or_else(PoisonError::into_inner).set(ports)
    }
}

/// Host-side link names are at most 15 bytes: `kd` and 13 hexadecimal digits of the uid's hash.
fn link_name(pod: &str) -> String {
    // FNV-1a: stable over releases, which a restarted kubelet relies on.
    let hash = pod.bytes().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    format!("kd{:013x}", hash >> 12)
}

fn alias(pod: &str, address: IpAddr) -> String {
    format!("{ALIAS_PREFIX}{pod} {address}")
}

fn attached_pod(link: &LinkMessage) -> Option<(String, IpAddr)> {
    let alias = link.attributes.iter().find_map(|attribute| match attribute {
        LinkAttribute::IfAlias(alias) => Some(alias),
        _ => None,
    })?;
    let (pod, address) = alias.strip_prefix(ALIAS_PREFIX)?.split_once(' ')?;
    Some((pod.to_owned(), address.parse().ok()?))
}

async fn find_link(netlink: &Handle, name: &str) -> Result<Option<u32>> {
    let request = netlink.link().get().match_name(name.to_owned());
    match request.execute().try_next().await {
        Ok(link) => Ok(link.map(|l| l.header.index)),
        Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENODEV => Ok(None),
        Err(error) => Err(Error::netlink(format!("find link {name}"))(error)),
    }
}

/// Inside the pod: loopback and eth0 up, the address, the permanent neighbour, the default route.
async fn configure_pod_end(inside: &Handle, address: IpAddr) -> Result<()> {
    let missing = || Error {
        operation: "find eth0 in the pod".into(),
        source: std::io::Error::from(std::io::ErrorKind::NotFound),
    };
    let index = find_link(inside, "eth0").await?.ok_or_else(missing)?;
    for up in [1, index] {
        let message = LinkMessageBuilder::<LinkUnspec>::new().index(up).up().build();
        let set = inside.link().set(message).execute().await;
        set.map_err(Error::netlink("bring the pod's links up"))?;
    }
    let prefix = host_prefix(address);
    let added = inside.address().add(index, address, prefix).execute().await;
    added.map_err(Error::netlink(format!("add address {address}")))?;
    let gateway: IpAddr = match address {
        IpAddr::V4(_) => GATEWAY_V4.into(),
        IpAddr::V6(_) => GATEWAY_V6.into(),
    };
    add_neighbour(inside, index, gateway, NODE_END_ADDRESS).await?;
    let route = inside.route().add(default_route(index, gateway)).execute().await;
    route.map_err(Error::netlink("add the default route"))
}

/// Both ends know each other from the start: no ARP, no wait for it, no need of a node address.
async fn add_neighbour(
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

/// Hardware address of a pod's eth0, from its IP address: locally administered, and the same
/// whenever the address is.
fn pod_end_address(address: IpAddr) -> [u8; 6] {
    let last_four = match address {
        IpAddr::V4(address) => address.octets(),
        IpAddr::V6(address) => {
            let [.., a, b, c, d] = address.octets();
            [a, b, c, d]
        }
    };
    let [a, b, c, d] = last_four;
    [0x0a, 0x58, a, b, c, d]
}

fn host_prefix(address: IpAddr) -> u8 {
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

fn gateway_route(route: &NodeRoute) -> std::io::Result<RouteMessage> {
    match (route.pod_cidr, route.via) {
        (IpNet::V4(net), IpAddr::V4(via)) => Ok(RouteMessageBuilder::<Ipv4Addr>::new()
            .destination_prefix(net.network(), net.prefix_len())
            .gateway(via)
            .protocol(ROUTE_PROTOCOL)
            .build()),
        (IpNet::V6(net), IpAddr::V6(via)) => Ok(RouteMessageBuilder::<Ipv6Addr>::new()
            .destination_prefix(net.network(), net.prefix_len())
            .gateway(via)
            .protocol(ROUTE_PROTOCOL)
            .build()),
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
    fn link_names_fit_the_kernel() {
        let name = link_name("7f7a0f2e-6d1a-4c8e-9a3e-0b7d5c1e2f3a");
        assert!(name.len() <= 15 && name.starts_with("kd"), "{name}");
        assert_ne!(name, link_name("7f7a0f2e-6d1a-4c8e-9a3e-0b7d5c1e2f3b"));
    }

    #[test]
    fn an_alias_names_the_pod() {
        let address = "10.244.0.5".parse().unwrap();
        let message = LinkMessageBuilder::<LinkUnspec>::new().alias(alias("u-1", address)).build();
        assert_eq!(attached_pod(&message), Some(("u-1".to_owned(), address)));
        let foreign = LinkMessageBuilder::<LinkUnspec>::new().alias("something else").build();
        assert_eq!(attached_pod(&foreign), None);
    }

    #[test]
    fn families_do_not_mix() {
        let mixed = NodeRoute {
            pod_cidr: "10.244.1.0/24".parse().unwrap(),
            via: "fd00::1".parse().unwrap(),
        };
        assert!(gateway_route(&mixed).is_err());
    }
}
