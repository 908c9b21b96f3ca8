//! Why an API server cannot be built.

use kd_api::Status;

use crate::authn::{RequestHeaderError, StaticTokenError};
use crate::token::KeyError;

/// Why an API server cannot be built.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The key that signs tokens.
    #[error("cannot use the key that signs tokens")]
    TokenKey(#[source] KeyError),
    /// The static tokens.
    #[error("cannot use the static tokens")]
    Tokens(#[source] StaticTokenError),
    /// The front proxies' authority.
    #[error("cannot use the front proxies' authority")]
    FrontProxy(#[source] RequestHeaderError),
    /// The audit log's file.
    #[error("cannot write the audit log")]
    Audit(#[source] std::io::Error),
    /// What a cluster begins with cannot be stored.
    #[error("cannot store what a cluster begins with")]
    Bootstrap(#[source] Box<Status>),
}
