//! What the kubelet asks of a pod network.

use std::net::IpAddr;
use std::path::PathBuf;

use async_trait::async_trait;
use ipnet::IpNet;
use tokio::sync::watch;

use crate::{Protocol, Result, ServicePort};

/// Another node, as far as its pods are concerned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct OtherNode {
    /// Its pod ranges.
    pub pod_ranges: Vec<IpNet>,
    /// Its own addresses, the first one first.
    pub addresses: Vec<IpAddr>,
}

/// A pod that is to be on the network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodLink {
    /// Its network namespace.
    pub netns: PathBuf,
    /// Its uid.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The container that stands for it.
    pub sandbox: String,
    /// Its addresses; none on a network that gives them itself.
    pub addresses: Vec<IpAddr>,
    /// Ports of the node that lead to it.
    pub host_ports: Vec<HostPort>,
    /// How much it may send and receive.
    pub bandwidth: Bandwidth,
}

/// A port of the node that leads to a pod.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The node's address; None: all of them.
    pub address: Option<IpAddr>,
    /// The node's port.
    pub port: u16,
    /// The pod's port.
    pub pod_port: u16,
    /// The protocol.
    pub protocol: Protocol,
}

/// Limits in bits per second.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bandwidth {
    /// Of what comes to the pod.
    pub ingress: Option<u64>,
    /// Of what the pod sends.
    pub egress: Option<u64>,
}

/// Connects pods' network namespaces with the node, and nodes with each other. Calls are
/// idempotent.
#[async_trait]
pub trait PodNetwork: Send + Sync + 'static {
    /// For a network that gives pods their addresses itself: whether it can yet.
    fn own_addresses(&self) -> Option<watch::Receiver<bool>> {
        None
    }
    /// Gives a pod's namespace the interface `eth0` with its addresses and the way out; tells the
    /// addresses.
    async fn attach(&self, pod: &PodLink) -> Result<Vec<IpAddr>>;
    /// Takes a pod's interface away, by the pod's uid; succeeds when it is gone already.
    async fn detach(&self, pod: &str) -> Result<()>;
    /// The pods attached now, by uid, with their addresses: also after a restart of this process.
    async fn attached(&self) -> Result<Vec<(String, Vec<IpAddr>)>>;
    /// Makes exactly the ways to these nodes' pods; older ones of ours are removed. `own` are the
    /// pod ranges of this node.
    async fn set_nodes(&self, own: &[IpNet], others: &[OtherNode]) -> Result<()>;
    /// Gives what leaves `pods` the node's own address, but for what goes to `others`.
    async fn set_masquerade(&self, pods: &[IpNet], others: &[IpNet]) -> Result<()>;
    /// Makes exactly these ports of the node's addresses lead to pods.
    async fn set_host_ports(&self, ports: Vec<ServicePort>) -> Result<()>;
}
