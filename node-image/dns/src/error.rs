//! Why the DNS server cannot start.

use std::io;
use std::net::SocketAddr;

/// The result of starting.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// An address cannot be listened on.
    #[error("listen for DNS over {protocol} on {address}")]
    Listen {
        /// `UDP` or `TCP`.
        protocol: &'static str,
        /// Where.
        address: SocketAddr,
        /// The system's answer.
        source: io::Error,
    },
    /// The cluster's domain is not a DNS name.
    #[error("the cluster domain {0:?} is not a DNS name")]
    Domain(String),
}
