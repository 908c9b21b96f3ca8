//! What every store can do.

use std::path::Path;
use std::sync::Arc;

use async_trait::async_trait;
use bytes::Bytes;
use tokio::sync::watch;

use crate::{Entry, Error, Expect, Revision, Snapshot, Transaction, Watch};

/// Revisioned keys. Reads come from memory and see every commit that was acknowledged before.
#[async_trait]
pub trait Store: Send + Sync + 'static {
    /// Everything, now.
    fn snapshot(&self) -> Snapshot;

    /// Everything as it was at a revision.
    fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Error>;

    /// Every change after a revision of the keys that begin with `prefix`: first those that
    /// happened already, then each as it happens.
    fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, Error>;

    /// A revision that grows with each change of a key that begins with `prefix`: what a cache
    /// derived from those keys compares.
    fn last_change(&self, prefix: &str) -> Revision;

    /// The current revision, and each later one as it comes.
    fn revisions(&self) -> watch::Receiver<Revision>;

    /// Does all writes of a transaction, or none; returns their revision. A transaction that
    /// changes nothing returns the current one.
    async fn commit(&self, transaction: Transaction) -> Result<Revision, Error>;

    /// Forgets the history up to a revision, which can still be read itself.
    async fn compact(&self, revision: Revision) -> Result<(), Error>;

    /// Writes a copy of a consistent state to a new file while others read and write.
    async fn backup(&self, path: &Path) -> Result<(), Error>;

    /// The revision of the last commit.
    fn revision(&self) -> Revision {
        self.snapshot().revision()
    }

    /// What a key holds.
    fn get(&self, key: &str) -> Option<Entry> {
        self.snapshot().get(key).cloned()
    }

    /// Stores a value under a key that must be absent.
    async fn create(&self, key: Arc<str>, value: Bytes) -> Result<Revision, Error> {
        self.commit(Transaction::new().create(key, value)).await
    }

    /// Replaces the value that `expected` wrote.
    async fn update(
        &self,
        key: Arc<str>,
        value: Bytes,
        expected: Revision,
    ) -> Result<Revision, Error> {
        self.commit(Transaction::new().put(key, value, Expect::Revision(expected))).await
    }

    /// Deletes the value that `expected` wrote.
    async fn delete(&self, key: Arc<str>, expected: Revision) -> Result<Revision, Error> {
        self.commit(Transaction::new().delete(key, Expect::Revision(expected))).await
    }
}
