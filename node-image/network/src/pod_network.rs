//! What the kubelet asks of a pod network.

use std::net::IpAddr;
use std::path::Path;

use async_trait::async_trait;
use ipnet::IpNet;

use crate::{Result, ServicePort};

/// The way to another node's pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeRoute {
    /// The other node's pod range.
    pub pod_cidr: IpNet,
    /// The other node's address.
    pub via: IpAddr,
}

/// Connects pods' network namespaces with the node, and nodes with each other. Calls are
/// idempotent.
#[async_trait]
pub trait PodNetwork: Send + Sync + 'static {
    /// Gives the namespace at `netns` the interface `eth0` with `address` and a default route.
    /// `pod` is the pod's uid.
    async fn attach(&self, netns: &Path, pod: &str, address: IpAddr) -> Result<()>;
    /// Takes the pod's interface away; succeeds when it is gone already.
    async fn detach(&self, pod: &str) -> Result<()>;
    /// The pods attached now, by uid, with their addresses: also after a restart of this process.
    async fn attached(&self) -> Result<Vec<(String, IpAddr)>>;
    /// Makes exactly these routes to other nodes' pods; older ones of ours are removed.
    async fn set_node_routes(&self, routes: &[NodeRoute]) -> Result<()>;
    /// Gives what leaves `cluster_cidr` the node's own address.
    async fn set_masquerade(&self, cluster_cidr: IpNet) -> Result<()>;
    /// Makes exactly these ports of the node's addresses lead to pods.
    async fn set_host_ports(&self, ports: Vec<ServicePort>) -> Result<()>;
}
