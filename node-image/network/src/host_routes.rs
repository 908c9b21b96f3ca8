//! The default pod network: a point-to-point veth for every pod and a host route to it. Between nodes
//! there are plain routes, or a VXLAN overlay. No bridge.

mod bandwidth;
mod overlay;
mod pod_link;
mod routes;

use std::net::IpAddr;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use futures::TryStreamExt;
use ipnet::IpNet;
use rtnetlink::Handle;
use rtnetlink::packet_route::link::{LinkAttribute, LinkMessage};

use crate::nftables::masquerade;
use crate::node_address::{Uplink, uplink};
use crate::{Error, OtherNode, PodLink, PodNetwork, Result, ServicePort, Services, namespace};
use overlay::Overlay;

/// The nftables table of the node's ports that lead to pods.
const HOST_PORTS_TABLE: &str = "kd-host-ports";
/// The links' size of packets when there is no way out that would tell.
const MTU_DEFAULT: u32 = 1500;

/// How packets get to the pods of other nodes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Backend {
    /// Nodes are each other's next hops: they share a network.
    #[default]
    HostRoutes,
    /// In VXLAN datagrams from node to node.
    Vxlan,
}

/// Pods on veths, nodes on routes.
pub struct HostRoutes {
    netlink: Handle,
    /// Of pods' links.
    mtu: u32,
    overlay: Option<Overlay>,
    host_ports: Mutex<Services>,
}

impl HostRoutes {
    /// Opens the netlink socket and turns forwarding on. Needs CAP_NET_ADMIN in this namespace.
    pub async fn open(backend: Backend) -> Result<HostRoutes> {
        for sysctl in ["/proc/sys/net/ipv4/ip_forward", "/proc/sys/net/ipv6/conf/all/forwarding"] {
            // A kernel without IPv6 has no such file.
            if Path::new(sysctl).exists() {
                std::fs::write(sysctl, "1").map_err(Error::of(format!("write {sysctl}")))?;
            }
        }
        let netlink = namespace::connect()?;
        let uplink = uplink(&netlink).await?;
        let mtu = uplink.as_ref().and_then(|uplink| uplink.mtu).unwrap_or(MTU_DEFAULT);
        let overlay = match backend {
            Backend::HostRoutes => None,
            Backend::Vxlan => Some(Overlay::open(&netlink, &needed(uplink)?, mtu).await?),
        };
        let mtu = overlay.as_ref().map_or(mtu, |overlay| overlay.mtu);
        let host_ports = Mutex::new(Services::in_table(HOST_PORTS_TABLE, &[]));
        Ok(HostRoutes { netlink, mtu, overlay, host_ports })
    }
}

fn needed(uplink: Option<Uplink>) -> Result<Uplink> {
    uplink.ok_or_else(|| Error {
        operation: "find the interface that leads to other nodes".into(),
        source: std::io::Error::from(std::io::ErrorKind::NotFound),
    })
}

#[async_trait]
impl PodNetwork for HostRoutes {
    async fn attach(&self, pod: &PodLink) -> Result<Vec<IpAddr>> {
        self.detach(&pod.uid).await?;
        let made = pod_link::make(&self.netlink, pod, self.mtu).await;
        if made.is_err() {
            // The first error is the one to tell; a leftover link goes with the namespace.
            let _ = self.detach(&pod.uid).await;
        }
        made.map(|()| pod.addresses.clone())
    }

    async fn detach(&self, pod: &str) -> Result<()> {
        pod_link::remove(&self.netlink, pod).await
    }

    async fn attached(&self) -> Result<Vec<(String, Vec<IpAddr>)>> {
        let all = self.netlink.link().get().execute();
        let links: Vec<LinkMessage> =
            all.try_collect().await.map_err(Error::netlink("list links"))?;
        Ok(links.iter().filter_map(pod_link::attached_pod).collect())
    }

    async fn set_nodes(&self, own: &[IpNet], others: &[OtherNode]) -> Result<()> {
        match &self.overlay {
            Some(overlay) => overlay.set_nodes(&self.netlink, own, others).await,
            None => routes::set(&self.netlink, &routes::direct(others)).await,
        }
    }

    async fn set_masquerade(&self, pods: &[IpNet], others: &[IpNet]) -> Result<()> {
        pods.iter().try_for_each(|range| masquerade(*range, others))
    }

    async fn set_host_ports(&self, ports: Vec<ServicePort>) -> Result<()> {
        let ports = ports.into_iter().map(Arc::new);
        self.host_ports.lock().unwrap_or_else(PoisonError::into_inner).set(ports)
    }
}

fn missing(operation: impl Into<String>) -> Error {
    let source = std::io::Error::from(std::io::ErrorKind::NotFound);
    Error { operation: operation.into(), source }
}

async fn find_link(netlink: &Handle, name: &str) -> Result<Option<LinkMessage>> {
    let request = netlink.link().get().match_name(name.to_owned());
    match request.execute().try_next().await {
        Ok(link) => Ok(link),
        Err(rtnetlink::Error::NetlinkError(e)) if e.raw_code() == -libc::ENODEV => Ok(None),
        Err(error) => Err(Error::netlink(format!("find link {name}"))(error)),
    }
}

/// An attribute of a link.
fn attribute_of<'a, T>(
    link: &'a LinkMessage,
    wanted: impl Fn(&'a LinkAttribute) -> Option<T>,
) -> Option<T> {
    link.attributes.iter().find_map(wanted)
}
