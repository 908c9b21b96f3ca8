//! Objects in the store: their keys, their bytes, and reading them.

mod encoding;
mod key;
mod reader;

use std::sync::Arc;

use bytes::Bytes;
use kd_api::conversion::convert;
use kd_api::{Kind, Kinds, Object, Status};
use kd_store::{Entry, Error, Snapshot, Store};
use serde_json::Value;
use tokio::sync::watch;

pub(crate) use encoding::{encode, item, metadata, object, partial};
pub(crate) use key::{key_of, prefix_of, resource_prefix};
pub use reader::StoreReader;

/// The stored objects and the kinds that say how they are stored.
#[derive(Clone)]
pub(crate) struct Objects {
    pub(crate) store: Arc<dyn Store>,
    kinds: Arc<watch::Sender<Kinds>>,
}

impl Objects {
    pub(crate) fn new(store: Arc<dyn Store>, kinds: Kinds) -> Objects {
        Objects { store, kinds: Arc::new(watch::Sender::new(kinds)) }
    }

    /// The kinds that are served now.
    pub(crate) fn kinds(&self) -> Kinds {
        self.kinds.borrow().clone()
    }

    /// Tells when other kinds are served.
    pub(crate) fn subscribe(&self) -> watch::Receiver<Kinds> {
        self.kinds.subscribe()
    }

    /// Whether objects of this kind are stored in another one's form.
    pub(crate) fn is_converted(&self, kind: &Arc<Kind>) -> bool {
        let kinds = self.kinds();
        let stored = kinds.stored_form(kind);
        (&stored.group, &stored.version) != (&kind.group, &kind.version)
    }

    /// A stored object as the kind shows it, with its resourceVersion.
    pub(crate) fn decode(&self, kind: &Arc<Kind>, entry: &Entry) -> Result<Value, Status> {
        self.decode_at(kind, &entry.value, entry.revision)
    }

    /// Likewise, with another resourceVersion than its own.
    pub(crate) fn decode_at(
        &self,
        kind: &Arc<Kind>,
        value: &Bytes,
        revision: u64,
    ) -> Result<Value, Status> {
        let stored: Value = serde_json::from_slice(value).map_err(Status::internal)?;
        let mut value = match self.is_converted(kind) {
            true => convert(stored, self.kinds().stored_form(kind), kind),
            false => stored,
        };
        value.set_resource_version(&revision.to_string());
        Ok(value)
    }

    /// The bytes to store for an object of a kind.
    pub(crate) fn encode(&self, kind: &Arc<Kind>, value: &Value) -> Bytes {
        match self.is_converted(kind) {
            true => {
                let kinds = self.kinds();
                encode(&convert(value.clone(), kind, kinds.stored_form(kind)))
            }
            false => encode(value),
        }
    }

    /// The bytes of a stored object as the kind shows it.
    pub(crate) fn show(&self, kind: &Arc<Kind>, entry: &Entry) -> Result<Bytes, Status> {
        self.show_at(kind, &entry.value, entry.revision)
    }

    /// Likewise, with another resourceVersion.
    pub(crate) fn show_at(
        &self,
        kind: &Arc<Kind>,
        value: &Bytes,
        revision: u64,
    ) -> Result<Bytes, Status> {
        if !self.is_converted(kind) {
            return Ok(object(value, revision));
        }
        Ok(object(&encode(&self.decode_at(kind, value, revision)?), revision))
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }
}

/// What a failure of the store is to a client that meant no key in particular.
pub(crate) fn store_failed(error: Error) -> Status {
    tracing::error!(error = %error, source = ?std::error::Error::source(&error), "store");
    match error {
        Error::Closed => Status::unavailable("the server is shutting down"),
        other => Status::internal(other),
    }
}
