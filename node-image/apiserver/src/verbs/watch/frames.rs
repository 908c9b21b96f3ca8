//! The lines of a watch: what a change of the store is to this client.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use kd_api::decode::Encoding;
use kd_api::{Kind, Object, Status, protobuf, table};
use kd_store::{Entry, Event};
use serde_json::{Value, json};

use crate::config::Clock;
use crate::negotiate::{Form, Wanted};
use crate::storage::Objects;
use crate::verbs::VerbRequest;
use crate::verbs::list::Selection;

const INITIAL_END: &str = "k8s.io/initial-events-end";

/// Writes the lines of one watch.
pub(super) struct Frames {
    objects: Objects,
    kind: Arc<Kind>,
    selection: Selection,
    wanted: Wanted,
    clock: Clock,
    /// How many changes were sent.
    sent: Arc<AtomicU64>,
    /// Columns are told once.
    columns_told: bool,
    /// The key of the last initial object.
    pub(super) last: Arc<str>,
}

impl Frames {
    pub(super) fn new(request: &VerbRequest, selection: Selection, wanted: Wanted) -> Frames {
        Frames {
            objects: request.objects().clone(),
            kind: request.kind.clone(),
            selection,
            wanted,
            clock: request.server().clock.clone(),
            sent: request.server().metrics.watch_events(&request.kind),
            columns_told: false,
            last: "".into(),
        }
    }

    pub(super) fn kind(&self) -> &Arc<Kind> {
        &self.kind
    }

    /// An object that was there when the watch began.
    pub(super) fn added(&mut self, chunk: &mut Vec<u8>, entry: &Entry) -> Result<(), Status> {
        match self.selection.matches(&self.objects, &self.kind, entry)? {
            true => self.line(chunk, "ADDED", entry, entry.revision),
            false => Ok(()),
        }
    }

    /// A change: an object that begins or ceases to be selected is added or deleted for this client.
    pub(super) fn change(&mut self, chunk: &mut Vec<u8>, event: &Event) -> Result<(), Status> {
        let selected = |entry: &Option<Entry>| match entry {
            Some(entry) => self.selection.matches(&self.objects, &self.kind, entry),
            None => Ok(false),
        };
        let (before, now) = (selected(&event.previous)?, selected(&event.current)?);
        let (name, entry) = match (before, now) {
            (false, false) => return Ok(()),
            (false, true) => ("ADDED", &event.current),
            (true, true) => ("MODIFIED", &event.current),
            (true, false) => ("DELETED", &event.previous),
        };
        match entry {
            Some(entry) => self.line(chunk, name, entry, event.revision),
            None => Ok(()),
        }
    }

    /// How far the watch is; the first one may mark the end of the initial objects.
    pub(super) fn bookmark(&mut self, chunk: &mut Vec<u8>, revision: u64, initial_end: bool) {
        let mut object = json!({
            "kind": self.kind.kind,
            "apiVersion": self.kind.api_version(),
            "metadata": {"resourceVersion": revision.to_string()},
        });
        if initial_end {
            object.set_annotation(INITIAL_END, "true");
        }
        let object = match self.wanted.form {
            Form::Object => object,
            Form::Metadata => table::partial_object(&object),
            Form::Table(include) => {
                let now = (self.clock)();
                let columns = !std::mem::replace(&mut self.columns_told, true);
                table::table(&self.kind, [], &object["metadata"], include, columns, now)
            }
        };
        self.push(chunk, "BOOKMARK", &object);
    }

    pub(super) fn error(&self, chunk: &mut Vec<u8>, status: &Status) {
        self.push(chunk, "ERROR", &serde_json::to_value(status).unwrap_or_default());
    }

    fn line(
        &mut self,
        chunk: &mut Vec<u8>,
        name: &str,
        entry: &Entry,
        revision: u64,
    ) -> Result<(), Status> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        if self.wanted == Wanted::JSON {
            push(chunk, name, &self.objects.show_at(&self.kind, &entry.value, revision)?);
            return Ok(());
        }
        let object = self.objects.decode_at(&self.kind, &entry.value, revision)?;
        match self.wanted.form {
            Form::Object => self.push(chunk, name, &object),
            _ => {
                let transformed = self.transformed(&object);
                self.push(chunk, name, &transformed);
            }
        }
        Ok(())
    }

    /// One frame of the stream.
    fn push(&self, chunk: &mut Vec<u8>, name: &str, object: &Value) {
        match self.wanted.encoding {
            Encoding::Protobuf => {
                let object = protobuf::encode(object).unwrap_or_default();
                chunk.extend_from_slice(&protobuf::encode_watch_event(name, &object));
            }
            _ => push(chunk, name, object.to_string().as_bytes()),
        }
    }

    fn transformed(&mut self, object: &Value) -> Value {
        match self.wanted.form {
            Form::Object => object.clone(),
            Form::Metadata => table::partial_object(object),
            Form::Table(include) => {
                let columns = !std::mem::replace(&mut self.columns_told, true);
                let now = (self.clock)();
                table::table(&self.kind, [object], &Value::Null, include, columns, now)
            }
        }
    }
}

fn push(chunk: &mut Vec<u8>, name: &str, object: &[u8]) {
    chunk.extend_from_slice(b"{\"type\":\"");
    chunk.extend_from_slice(name.as_bytes());
    chunk.extend_from_slice(b"\",\"object\":");
    chunk.extend_from_slice(object);
    chunk.extend_from_slice(b"}\n");
}
