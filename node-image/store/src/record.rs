//! What is stored under a key, and what changed.

use std::sync::Arc;

use bytes::Bytes;

/// Counts commits. The first is 1; 0 is the empty store.
pub type Revision = u64;

/// A key's value at some revision. A clone is a reference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Entry {
    /// The key.
    pub key: Arc<str>,
    /// The value.
    pub value: Bytes,
    /// The revision of the commit that wrote it.
    pub revision: Revision,
    /// Which row of the log holds it.
    pub(crate) row: u64,
}

/// One change of one key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Event {
    /// The key.
    pub key: Arc<str>,
    /// The revision of the commit that changed it.
    pub revision: Revision,
    /// The new entry; `None` when the key was deleted.
    pub current: Option<Entry>,
    /// The entry before; `None` when the key was created.
    pub previous: Option<Entry>,
    /// Which row of the log holds the change.
    pub(crate) row: u64,
}

impl Event {
    /// The bytes of history that nothing but this event keeps alive.
    pub(crate) fn weight(&self) -> usize {
        self.previous.as_ref().map_or(0, |entry| entry.value.len())
    }
}

/// The log's row of one change: rows are ordered as changes are.
pub(crate) fn row(revision: Revision, index: usize) -> u64 {
    (revision << ROW_BITS) | index as u64
}

/// The revision of a row.
pub(crate) fn revision_of(row: u64) -> Revision {
    row >> ROW_BITS
}

/// The last row that a revision could have: the position of who has seen all of it.
pub(crate) fn end_of(revision: Revision) -> u64 {
    row(revision, CHANGES_MAX - 1)
}

const ROW_BITS: u32 = 16;

/// One more than the changes that one commit can hold.
pub(crate) const CHANGES_MAX: usize = 1 << ROW_BITS;
