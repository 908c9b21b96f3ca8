//! What controllers are told about the cluster.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::SignedDuration;

/// Plain data; the defaults are upstream's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Pod address ranges of the cluster, one of a family, each with the prefix length of a node's
    /// part of it.
    pub cluster_cidrs: Vec<(IpNet, u8)>,
    /// The cluster's CA certificate, PEM, for `kube-root-ca.crt`.
    pub root_ca: String,
    /// How long a node may be silent before it is unknown.
    pub node_grace: SignedDuration,
    /// Terminated pods kept before the oldest are removed.
    pub terminated_pods_max: usize,
    /// Address of the DNS Service, where the nodes answer DNS; None: no such Service is made.
    pub cluster_dns: Option<IpAddr>,
    /// Nodes that are only objects.
    pub simulated_nodes: SimulatedNodes,
}

/// Nodes that are only objects.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SimulatedNodes {
    /// How many.
    pub count: usize,
    /// What their names begin with; a dash and a number follow.
    pub prefix: String,
    /// The kubelet version that they tell.
    pub version: String,
}

impl Config {
    /// Upstream's defaults for a cluster.
    pub fn new(cluster_cidr: IpNet, node_cidr_prefix: u8, root_ca: &str) -> Config {
        Config {
            cluster_cidrs: vec![(cluster_cidr, node_cidr_prefix)],
            root_ca: root_ca.to_owned(),
            node_grace: SignedDuration::from_secs(50),
            terminated_pods_max: 12500,
            cluster_dns: None,
            simulated_nodes: SimulatedNodes::default(),
        }
    }
}
