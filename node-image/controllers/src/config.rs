//! What controllers are told about the cluster.

use std::net::IpAddr;

use ipnet::IpNet;
use jiff::SignedDuration;

/// Plain data; the defaults are upstream's.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// Pod address range of the cluster.
    pub cluster_cidr: IpNet,
    /// Prefix length of one node's pod range.
    pub node_cidr_prefix: u8,
    /// The cluster's CA certificate, PEM, for `kube-root-ca.crt`.
    pub root_ca: String,
    /// How long a node may be silent before it is unknown.
    pub node_grace: SignedDuration,
    /// Terminated pods kept before the oldest are removed.
    pub terminated_pods_max: usize,
    /// Address of the DNS Service, where the nodes answer DNS; None: no such Service is made.
    pub cluster_dns: Option<IpAddr>,
}

impl Config {
    /// Upstream's defaults for a cluster.
    pub fn new(cluster_cidr: IpNet, node_cidr_prefix: u8, root_ca: &str) -> Config {
        Config {
            cluster_cidr,
            node_cidr_prefix,
            root_ca: root_ca.to_owned(),
            node_grace: SignedDuration::from_secs(50),
            terminated_pods_max: 12500,
            cluster_dns: None,
        }
    }
}
