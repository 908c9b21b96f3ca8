//! A store whose writes are timed.

use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use kd_store::{Change, Entry, Error, Expect, Revision, Snapshot, Store, Transaction, Watch};
use tokio::sync::watch;

use super::Metrics;

/// Another store, and where its timings go.
pub(crate) struct TimedStore {
    inner: Arc<dyn Store>,
    metrics: Arc<Metrics>,
}

impl TimedStore {
    pub(crate) fn new(inner: Arc<dyn Store>, metrics: Arc<Metrics>) -> TimedStore {
        TimedStore { inner, metrics }
    }
}

/// What the first write of a transaction does, and to objects of which resource.
fn described(transaction: &Transaction) -> (&'static str, String) {
    let Some(write) = transaction.writes().first() else { return ("get", String::new()) };
    let operation = match (&write.change, write.expect) {
        (Change::Put(_), Expect::Absent) => "create",
        (Change::Put(_), _) => "update",
        (Change::Delete, _) => "delete",
        (Change::Check, _) => "get",
    };
    // `/pods/<namespace>/<name>`
    let resource = write.key.split('/').nth(1).unwrap_or("");
    (operation, resource.to_owned())
}

#[async_trait]
impl Store for TimedStore {
    fn snapshot(&self) -> Snapshot {
        self.inner.snapshot()
    }

    fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Error> {
        self.inner.snapshot_at(revision)
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, Error> {
        self.inner.watch(prefix, after)
    }

    fn last_change(&self, prefix: &str) -> Revision {
        self.inner.last_change(prefix)
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        self.inner.revisions()
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, Error> {
        let (operation, resource) = described(&transaction);
        let started = Instant::now();
        let done = self.inner.commit(transaction).await;
        self.metrics.stored(operation, resource, started.elapsed());
        done
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.inner.compact(revision).await
    }

    async fn backup(&self, path: &Path) -> Result<(), Error> {
        self.inner.backup(path).await
    }

    fn revision(&self) -> Revision {
        self.inner.revision()
    }

    fn get(&self, key: &str) -> Option<Entry> {
        self.inner.get(key)
    }
}
