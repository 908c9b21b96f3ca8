//! A store without a log, for tests and for what may be lost.

use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use tokio::sync::watch;

use crate::hub::{HistoryLimits, Hub, apply};
use crate::sqlite::write_copy;
use crate::{Error, Revision, Snapshot, Store, Transaction, Watch};

/// Everything in memory only.
pub struct MemoryStore {
    hub: Arc<Hub>,
    /// Held from reading the state to publishing the next.
    commit: Mutex<()>,
}

impl MemoryStore {
    /// An empty store.
    pub fn new(limits: HistoryLimits) -> MemoryStore {
        let hub = Arc::new(Hub::new(limits, Snapshot::default(), Vec::new(), 0));
        MemoryStore { hub, commit: Mutex::default() }
    }
}

impl Default for MemoryStore {
    fn default() -> MemoryStore {
        MemoryStore::new(HistoryLimits::default())
    }
}

#[async_trait]
impl Store for MemoryStore {
    fn snapshot(&self) -> Snapshot {
        self.hub.snapshot()
    }

    fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Error> {
        self.hub.snapshot_at(revision)
    }

    fn watch(&self, prefix: &str, after: Revision) -> Result<Watch, Error> {
        Watch::new(self.hub.clone(), prefix, after)
    }

    fn last_change(&self, prefix: &str) -> Revision {
        self.hub.last_change(prefix)
    }

    fn revisions(&self) -> watch::Receiver<Revision> {
        self.hub.revisions()
    }

    async fn commit(&self, transaction: Transaction) -> Result<Revision, Error> {
        let _one = self.commit.lock().unwrap_or_else(PoisonError::into_inner);
        let mut snapshot = self.hub.snapshot();
        let events = apply(&mut snapshot, &transaction)?;
        let revision = snapshot.revision;
        self.hub.publish(snapshot, events);
        Ok(revision)
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.hub.compact(revision).map(drop)
    }

    async fn backup(&self, path: &Path) -> Result<(), Error> {
        write_copy(path, &self.hub.snapshot())
    }
}
