//! What can go wrong between a component and the API server.

use kube::core::Status;

/// The result of a request.
pub type Result<T> = std::result::Result<T, Error>;

/// Why a request failed; `operation` is the verb and the path.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The API server said no.
    #[error("{operation}: {}", status.message)]
    Api {
        /// What was asked.
        operation: String,
        /// The answer.
        status: Box<Status>,
    },
    /// The API server could not be reached, or the connection broke.
    #[error("{operation}: cannot reach the API server")]
    Transport {
        /// What was asked.
        operation: String,
        /// Why.
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
    /// The answer, or the object to send, is not what it should be.
    #[error("{operation}: cannot read the answer")]
    Decode {
        /// What was asked.
        operation: String,
        /// Why.
        #[source]
        source: serde_json::Error,
    },
}

impl Error {
    /// The HTTP status code, if the API server answered.
    pub fn code(&self) -> Option<u16> {
        match self {
            Error::Api { status, .. } => Some(status.code),
            _ => None,
        }
    }

    /// The Status reason (`AlreadyExists`), or "".
    pub fn reason(&self) -> &str {
        match self {
            Error::Api { status, .. } => &status.reason,
            _ => "",
        }
    }

    /// The API server's sentence, or what is known of the failure.
    pub fn message(&self) -> String {
        match self {
            Error::Api { status, .. } => status.message.clone(),
            other => other.to_string(),
        }
    }

    /// Whether the object is not there.
    pub fn is_not_found(&self) -> bool {
        self.code() == Some(404)
    }

    /// Whether a precondition (resourceVersion, uid) failed.
    pub fn is_conflict(&self) -> bool {
        self.reason() == "Conflict"
    }

    /// Whether the name is taken.
    pub fn is_already_exists(&self) -> bool {
        self.reason() == "AlreadyExists"
    }

    /// Whether the resourceVersion or continue token is too old.
    pub fn is_expired(&self) -> bool {
        self.code() == Some(410)
    }

    /// Whether the namespace refuses new objects because it is being deleted.
    pub fn is_namespace_terminating(&self) -> bool {
        match self {
            Error::Api { status, .. } => status
                .details
                .as_ref()
                .is_some_and(|d| d.causes.iter().any(|c| c.reason == "NamespaceTerminating")),
            _ => false,
        }
    }
}
