//! Objects in the store: their keys, their bytes, and reading them.

mod encoding;
mod key;
mod reader;

use std::sync::Arc;

use bytes::Bytes;
use kd_api::conversion::convert;
use kd_api::custom::stored_api_version;
use kd_api::{Kind, Kinds, Object, Status};
use kd_store::{Entry, Error, Snapshot, Store};
use serde_json::Value;
use tokio::sync::watch;

pub(crate) use encoding::{encode, encode_as, item, metadata, named_item, object, partial};
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

    /// Serves other kinds from now on.
    pub(crate) fn set_kinds(&self, kinds: Kinds) {
        self.kinds.send_replace(kinds);
    }

    /// Whether stored bytes are what the kind shows, but for their resourceVersion.
    pub(crate) fn is_shown_as_stored(&self, kind: &Arc<Kind>, value: &[u8], revision: u64) -> bool {
        match &kind.custom {
            Some(custom) => revision > custom.since && begins_as(kind, value),
            None => !self.is_converted(kind),
        }
    }

    /// Whether objects of this kind are stored in another one's form.
    fn is_converted(&self, kind: &Arc<Kind>) -> bool {
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
        let mut value = match (self.is_shown_as_stored(kind, value, revision), &kind.custom) {
            (true, _) => stored,
            (false, Some(custom)) => custom.read(stored, &kind.api_version()),
            (false, None) => convert(stored, self.kinds().stored_form(kind), kind),
        };
        value.set_resource_version(&revision.to_string());
        Ok(value)
    }

    /// The bytes to store for an object of a kind.
    pub(crate) fn encode(&self, kind: &Arc<Kind>, value: &Value) -> Bytes {
        if let Some(custom) = &kind.custom {
            return encode_as(value, &stored_api_version(kind, custom));
        }
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
        if self.is_shown_as_stored(kind, value, revision) {
            return Ok(object(value, revision));
        }
        Ok(object(&encode(&self.decode_at(kind, value, revision)?), revision))
    }

    /// What a client sees of an object that it wrote, of which `stored` was stored.
    pub(crate) fn show_written(
        &self,
        kind: &Arc<Kind>,
        written: &Value,
        stored: &Bytes,
        revision: u64,
    ) -> Result<Bytes, Status> {
        let webhook = kind.custom.as_ref().and_then(|custom| custom.conversion_webhook.as_ref());
        match webhook {
            Some(_) => Ok(object(&encode(written), revision)),
            None => self.show_at(kind, stored, revision),
        }
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.store.snapshot()
    }
}

/// Whether an object's bytes begin with the kind and the version of `kind`.
fn begins_as(kind: &Kind, value: &[u8]) -> bool {
    let head = format!("{{\"kind\":\"{}\",\"apiVersion\":\"{}\",", kind.kind, kind.api_version());
    value.starts_with(head.as_bytes())
}

/// What a failure of the store is to a client that meant no key in particular.
pub(crate) fn store_failed(error: Error) -> Status {
    tracing::error!(error = %error, source = ?std::error::Error::source(&error), "store");
    match error {
        Error::Closed => Status::unavailable("the server is shutting down"),
        other => Status::internal(other),
    }
}
