//! Why a network operation failed.

use std::io;

/// The result of every network call.
pub type Result<T> = std::result::Result<T, Error>;

/// A network operation that the system refused, with its object in `operation`.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {source}")]
pub struct Error {
    /// What was being done ("add route 10.244.1.0/24 via 172.18.0.3").
    pub operation: String,
    /// The system's answer.
    #[source]
    pub source: io::Error,
}

impl Error {
    /// Names the operation of a failed system call.
    pub(crate) fn of(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let operation = operation.into();
        move |source| Error { operation, source }
    }

    /// Names the operation of a failed netlink request.
    pub(crate) fn netlink(operation: impl Into<String>) -> impl FnOnce(rtnetlink::Error) -> Error {
        let operation = operation.into();
        move |error| Error { operation, source: into_io(error) }
    }
}

fn into_io(error: rtnetlink::Error) -> io::Error {
    match error {
        rtnetlink::Error::NetlinkError(message) => message.to_io(),
        other => io::Error::other(other),
    }
}
