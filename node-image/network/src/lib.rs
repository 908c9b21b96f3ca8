//! Netlink, nftables and address pools: how pods get on the network. Knows no Kubernetes.

mod address_pool;
mod cni;
mod conntrack;
mod error;
mod family;
mod host_routes;
mod namespace;
mod nftables;
mod node_address;
mod pod_network;
mod policies;
mod services;

pub use address_pool::AddressPool;
pub use cni::{CniNetwork, CniPaths};
pub use error::{Error, Result};
pub use family::Family;
pub use host_routes::{Backend, HostRoutes};
pub use node_address::{default_gateways, node_addresses};
pub use pod_network::{Bandwidth, HostPort, OtherNode, PodLink, PodNetwork};
pub use policies::{Allow, Direction, Peer, Policies, PolicyRules, PortMatch};
pub use services::{
    Frontend, ListedPort, Masquerade, Protocol, Refusal, ServicePort, Services, listed_services,
};
