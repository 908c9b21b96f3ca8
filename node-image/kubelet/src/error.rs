//! Why an operation of the kubelet failed.

use std::io;

/// The result of the kubelet's own operations.
pub type Result<T> = std::result::Result<T, Error>;

/// Why an operation of the kubelet failed. Messages are fit for events and container states.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The system refused.
    #[error("{operation}: {source}")]
    System {
        /// What was being done, with its object.
        operation: String,
        /// The system's answer.
        #[source]
        source: io::Error,
    },
    /// The runtime refused.
    #[error(transparent)]
    Runtime(#[from] kd_runtime::Error),
    /// The network refused.
    #[error(transparent)]
    Network(#[from] kd_network::Error),
    /// The pod asks for something that is not there or not possible, as a whole sentence.
    #[error("{0}")]
    Pod(String),
    /// No such pod or container on this node.
    #[error("{0}")]
    NotFound(String),
    /// The request does not fit the object's state.
    #[error("{0}")]
    BadRequest(String),
}

impl Error {
    /// Names the operation of a failed system call.
    pub(crate) fn system(operation: impl Into<String>) -> impl FnOnce(io::Error) -> Error {
        let operation = operation.into();
        move |source| Error::System { operation, source }
    }
}

/// The server's own sentence when it answered, without the client's decoration.
pub(crate) fn api_message(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => status.message.clone(),
        other => other.to_string(),
    }
}

/// The HTTP status code the server answered with, if it did.
pub(crate) fn api_code(error: &kube::Error) -> Option<u16> {
    match error {
        kube::Error::Api(status) => Some(status.code),
        _ => None,
    }
}
