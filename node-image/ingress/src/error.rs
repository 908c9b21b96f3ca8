//! Why the proxy cannot start.

/// The result of starting.
pub type Result<T> = std::result::Result<T, Error>;

/// What failed.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The certificate for names that have none.
    #[error("the default certificate cannot be used: {0}")]
    Certificate(String),
}
