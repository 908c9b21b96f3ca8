//! The objects of a list, batch by batch: a long list is never in memory as a whole.

use std::collections::VecDeque;
use std::sync::Arc;

use kd_api::{Kind, Status};
use kd_store::{Entry, Snapshot};

use super::Selection;
use crate::storage::Objects;

/// A batch ends behind about so many stored bytes, be they selected or not.
const BATCH_BYTES: usize = 64 * 1024;

/// What a list is about to tell.
pub(super) enum Entries {
    /// These.
    Chosen(VecDeque<Entry>),
    /// All that are selected of what there is.
    Rest(Rest),
}

/// The part of a snapshot behind a key.
pub(super) struct Rest {
    pub(super) snapshot: Snapshot,
    pub(super) prefix: String,
    pub(super) after: String,
    pub(super) selection: Selection,
}

impl Entries {
    /// The next ones, maybe none; `None` at the end.
    pub(super) fn batch(
        &mut self,
        objects: &Objects,
        kind: &Arc<Kind>,
    ) -> Result<Option<Vec<Entry>>, Status> {
        match self {
            Entries::Chosen(entries) => {
                let mut batch = Vec::new();
                let mut size = 0;
                while size < BATCH_BYTES
                    && let Some(entry) = entries.pop_front()
                {
                    size += entry.value.len();
                    batch.push(entry);
                }
                Ok((!batch.is_empty()).then_some(batch))
            }
            Entries::Rest(rest) => rest.batch(objects, kind),
        }
    }
}

impl Rest {
    fn batch(&mut self, objects: &Objects, kind: &Arc<Kind>) -> Result<Option<Vec<Entry>>, Status> {
        let mut batch = Vec::new();
        let (mut size, mut last) = (0, None);
        for entry in self.snapshot.list_after(&self.prefix, &self.after) {
            if size >= BATCH_BYTES {
                break;
            }
            size += entry.value.len();
            last = Some(entry.key.clone());
            if self.selection.matches(objects, kind, entry)? {
                batch.push(entry.clone());
            }
        }
        let Some(last) = last else { return Ok(None) };
        self.after = last.to_string();
        Ok(Some(batch))
    }
}
