//! Netlink, nftables and address pools: how pods get on the network. Knows no Kubernetes.

mod address_pool;
mod conntrack;
mod error;
mod host_routes;
mod namespace;
mod nftables;
mod node_address;
mod pod_network;
mod policies;
mod services;

pub use address_pool::AddressPool;
pub use error::{Error, Result};
pub use host_routes::HostRoutes;
pub use node_address::{default_gateway, node_addresses};
pub use pod_network::{NodeRoute, PodNetwork};
pub use policies::{Allow, Direction, Peer, Policies, PolicyRules, PortMatch};
pub use services::{Frontend, Masquerade, Protocol, Refusal, ServicePort, Services};
