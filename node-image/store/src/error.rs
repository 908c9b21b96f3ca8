//! Why the store says no.

use std::path::PathBuf;
use std::sync::Arc;

use crate::{Entry, Revision};

/// Why an operation of the store failed.
#[derive(Clone, Debug, thiserror::Error)]
pub enum Error {
    /// A key was not as the transaction expects; nothing was written.
    #[error("key {key:?} is not as expected")]
    Conflict {
        /// The first key that differs.
        key: Arc<str>,
        /// What it holds.
        found: Option<Entry>,
    },
    /// The history before this revision is gone.
    #[error("revision {requested} has been compacted, the oldest is {oldest}")]
    Compacted {
        /// The revision asked for.
        requested: Revision,
        /// The oldest one that can still be read, and watched from.
        oldest: Revision,
    },
    /// The revision is not there yet.
    #[error("revision {requested} is in the future, the newest is {newest}")]
    Future {
        /// The revision asked for.
        requested: Revision,
        /// The newest one.
        newest: Revision,
    },
    /// More changes than one commit can hold, or two of the same key.
    #[error("transaction refused: {0}")]
    Transaction(&'static str),
    /// The store is shut down.
    #[error("the store is closed")]
    Closed,
    /// Another process has the log open.
    #[error("{0:?} is in use by another process")]
    InUse(PathBuf),
    /// The log was written by a newer program.
    #[error("{path:?} has format {format}, this program reads up to {supported}")]
    Format {
        /// The log.
        path: PathBuf,
        /// Its format.
        format: i64,
        /// The newest this program knows.
        supported: i64,
    },
    /// A value cannot be encrypted or decrypted.
    #[error("cannot {operation} the value of {key}: {reason}")]
    Sealed {
        /// What was tried.
        operation: &'static str,
        /// Whose value it is.
        key: String,
        /// Why it failed.
        reason: String,
    },
    /// A thread or a file could not be had.
    #[error("cannot {operation}")]
    Io {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: Arc<std::io::Error>,
    },
    /// The log failed; nothing of the commit is visible.
    #[error("cannot {operation} the log")]
    Log {
        /// What was tried.
        operation: &'static str,
        /// Why it failed.
        #[source]
        source: Arc<rusqlite::Error>,
    },
}
