//! The cluster's DNS, answered on every node: records of Services, EndpointSlices and pods by the
//! Kubernetes DNS specification 1.1
//! (<https://github.com/kubernetes/dns/blob/master/docs/specification.md>); everything else is
//! forwarded to the node's own resolvers.

mod cache;
mod corefile;
mod error;
mod exchange;
mod feed;
mod forwarder;
mod message;
mod resolv_conf;
mod resolver;
mod rules;
mod server;
mod zone;

#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use server::{Config, Listeners, PORT, run};
