//! Several writes that happen together or not at all.

use std::collections::HashSet;
use std::sync::Arc;

use bytes::Bytes;

use crate::record::CHANGES_MAX;
use crate::{Entry, Error, Revision};

/// What a key must hold for a write to happen.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Anything or nothing.
    Any,
    /// Nothing.
    Absent,
    /// The value that this revision wrote.
    Revision(Revision),
}

/// What is done to a key.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// Nothing: only the expectation is checked.
    Check,
    /// The value is stored.
    Put(Bytes),
    /// The key is deleted; without effect when it is absent.
    Delete,
}

/// One part of a transaction.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Write {
    /// The key.
    pub key: Arc<str>,
    /// What it must hold.
    pub expect: Expect,
    /// What is done to it.
    pub change: Change,
}

/// Writes that happen together, at one revision, or not at all. Each key occurs at most once.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Transaction {
    pub(crate) writes: Vec<Write>,
}

impl Transaction {
    /// One without writes.
    pub fn new() -> Transaction {
        Transaction::default()
    }

    /// Adds a key that must not be there yet.
    pub fn create(self, key: impl Into<Arc<str>>, value: impl Into<Bytes>) -> Transaction {
        self.with(key, Expect::Absent, Change::Put(value.into()))
    }

    /// Adds a new value of a key that must be as `expect` says.
    pub fn put(
        self,
        key: impl Into<Arc<str>>,
        value: impl Into<Bytes>,
        expect: Expect,
    ) -> Transaction {
        self.with(key, expect, Change::Put(value.into()))
    }

    /// Adds the deletion of a key.
    pub fn delete(self, key: impl Into<Arc<str>>, expect: Expect) -> Transaction {
        self.with(key, expect, Change::Delete)
    }

    /// Adds a condition on a key that is not changed.
    pub fn check(self, key: impl Into<Arc<str>>, expect: Expect) -> Transaction {
        self.with(key, expect, Change::Check)
    }

    /// Adds another transaction's writes.
    pub fn and(mut self, other: Transaction) -> Transaction {
        self.writes.extend(other.writes);
        self
    }

    /// The writes, in order.
    pub fn writes(&self) -> &[Write] {
        &self.writes
    }

    fn with(mut self, key: impl Into<Arc<str>>, expect: Expect, change: Change) -> Transaction {
        self.writes.push(Write { key: key.into(), expect, change });
        self
    }

    pub(crate) fn validate(&self) -> Result<(), Error> {
        if self.writes.len() >= CHANGES_MAX {
            return Err(Error::Transaction("too many writes"));
        }
        let mut keys = HashSet::new();
        match self.writes.iter().all(|write| keys.insert(&write.key)) {
            true => Ok(()),
            false => Err(Error::Transaction("a key occurs twice")),
        }
    }
}

impl Expect {
    /// Whether a key that holds this is as expected.
    pub(crate) fn met_by(self, found: Option<&Entry>) -> bool {
        match self {
            Expect::Any => true,
            Expect::Absent => found.is_none(),
            Expect::Revision(revision) => found.is_some_and(|entry| entry.revision == revision),
        }
    }
}
