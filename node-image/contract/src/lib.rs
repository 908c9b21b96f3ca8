//! What kd and a node promise each other: the node's configuration, ports, labels, paths and
//! certificates.

mod config;
mod labels;
mod paths;
pub mod pki;

pub use config::{
    AuthoritySecrets, BalancedPort, Durability, HostAlias, LoadBalancerConfig, NodeConfig,
    NodeIdentity, NodeRole, PublishedProtocol, ServerSecrets,
};
pub use labels::*;
pub use paths::*;
