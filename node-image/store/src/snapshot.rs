//! All keys as they were at one revision.

use std::ops::Bound;
use std::sync::Arc;

use imbl::OrdMap;

use crate::{Entry, Event, Revision};

/// All keys at one revision. A clone is a reference; a snapshot never changes.
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    pub(crate) entries: OrdMap<Arc<str>, Entry>,
    pub(crate) revision: Revision,
}

impl Snapshot {
    /// The revision.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// What a key holds.
    pub fn get(&self, key: &str) -> Option<&Entry> {
        self.entries.get(key)
    }

    /// The entries whose key begins with `prefix`, in order of keys.
    pub fn list<'a>(&'a self, prefix: &'a str) -> impl Iterator<Item = &'a Entry> {
        self.range(prefix, Bound::Included(prefix))
    }

    /// Likewise, only those behind the key `after`.
    pub fn list_after<'a>(
        &'a self,
        prefix: &'a str,
        after: &'a str,
    ) -> impl Iterator<Item = &'a Entry> {
        let start = if after < prefix { Bound::Included(prefix) } else { Bound::Excluded(after) };
        self.range(prefix, start)
    }

    /// How many keys there are.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is no key.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    fn range<'a>(
        &'a self,
        prefix: &'a str,
        start: Bound<&'a str>,
    ) -> impl Iterator<Item = &'a Entry> {
        let entries = self.entries.range::<_, str>((start, Bound::Unbounded));
        entries.map(|(_, entry)| entry).take_while(move |entry| entry.key.starts_with(prefix))
    }

    /// Does what the event says.
    pub(crate) fn apply(&mut self, event: &Event) {
        match &event.current {
            Some(entry) => drop(self.entries.insert(event.key.clone(), entry.clone())),
            None => drop(self.entries.remove(&event.key)),
        }
        self.revision = event.revision;
    }

    /// Undoes what the event did.
    pub(crate) fn undo(&mut self, event: &Event) {
        match &event.previous {
            Some(entry) => drop(self.entries.insert(event.key.clone(), entry.clone())),
            None => drop(self.entries.remove(&event.key)),
        }
    }
}
