//! What kd and a node promise each other: the node's configuration, ports, labels, paths and
//! certificates.

mod config;
mod labels;
mod paths;
pub mod pki;
pub mod registries;
pub mod scheduler;

pub use config::{
    ApiServerFiles, AuthoritySecrets, BalancedPort, Component, Durability, HostAlias,
    LoadBalancerConfig, NetworkBackend, NodeConfig, NodeIdentity, NodeRole, PublishedProtocol,
    ServerSecrets,
};
pub use labels::*;
pub use paths::*;
