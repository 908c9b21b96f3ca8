//! The default store: state in memory, its log in SQLite, one thread that writes. A commit is
//! visible and acknowledged only after the log has it.

mod log;
mod writer;

use std::fs::{File, TryLockError};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::thread::JoinHandle;

use async_trait::async_trait;
use tokio::sync::{mpsc, oneshot, watch};

use crate::hub::{HistoryLimits, Hub};
use crate::{Error, Revision, Seal, Snapshot, Store, Transaction, Watch};
use log::Log;
pub(crate) use log::write_copy;
use writer::{Job, run};

/// What an acknowledged commit survives.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Durability {
    /// The death of the process, at any line. A power loss may take the last moments, never
    /// consistency.
    #[default]
    Process,
    /// A power loss: every group of commits is synced.
    Full,
}

/// Commits that wait for the writer at most; more callers wait for a place.
const JOBS_MAX: usize = 1024;

/// A store whose log is one SQLite file (and its `-wal` and `-shm`).
pub struct SqliteStore {
    hub: Arc<Hub>,
    path: PathBuf,
    /// `None` once dropped.
    jobs: Option<mpsc::Sender<Job>>,
    writer: Option<JoinHandle<()>>,
    /// Keeps other processes out.
    _lock: File,
}

impl SqliteStore {
    /// Opens or makes the log at `path` and reads it.
    pub fn open(
        path: &Path,
        durability: Durability,
        limits: HistoryLimits,
    ) -> Result<SqliteStore, Error> {
        SqliteStore::open_sealed(path, durability, limits, None)
    }

    /// The same of a log whose values are sealed. Those that are to be sealed anew are, at once.
    pub fn open_sealed(
        path: &Path,
        durability: Durability,
        limits: HistoryLimits,
        seal: Option<Arc<dyn Seal>>,
    ) -> Result<SqliteStore, Error> {
        let lock = lock(path)?;
        let (log, contents) = Log::open(path, durability, seal)?;
        let hub = Hub::new(limits, contents.snapshot, contents.history, contents.compacted);
        let hub = Arc::new(hub);
        let (jobs, queue) = mpsc::channel(JOBS_MAX);
        let shared = hub.clone();
        let writer = std::thread::Builder::new()
            .name("store-writer".into())
            .spawn(move || run(log, &shared, queue))
            .map_err(|e| Error::Io { operation: "start the writer", source: Arc::new(e) })?;
        let path = path.to_owned();
        Ok(SqliteStore { hub, path, jobs: Some(jobs), writer: Some(writer), _lock: lock })
    }

    async fn ask<T>(
        &self,
        job: impl FnOnce(oneshot::Sender<Result<T, Error>>) -> Job,
    ) -> Result<T, Error> {
        let (sender, answer) = oneshot::channel();
        let jobs = self.jobs.as_ref().ok_or(Error::Closed)?;
        jobs.send(job(sender)).await.map_err(|_| Error::Closed)?;
        answer.await.map_err(|_| Error::Closed)?
    }
}

#[async_trait]
impl Store for SqliteStore {
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
        self.ask(|answer| Job::Commit { transaction, answer }).await
    }

    async fn compact(&self, revision: Revision) -> Result<(), Error> {
        self.ask(|answer| Job::Compact { revision, answer }).await
    }

    async fn backup(&self, path: &Path) -> Result<(), Error> {
        let (from, to) = (self.path.clone(), path.to_owned());
        let copy = tokio::task::spawn_blocking(move || log::copy(&from, &to));
        copy.await.map_err(|_| Error::Closed)?
    }
}

impl Drop for SqliteStore {
    /// Waits until what was accepted is in the log.
    fn drop(&mut self) {
        self.jobs = None;
        if let Some(writer) = self.writer.take()
            && writer.join().is_err()
        {
            tracing::error!("the store's writer had panicked");
        }
    }
}

fn lock(path: &Path) -> Result<File, Error> {
    let name = path.with_extension("lock");
    let failed = |e| Error::Io { operation: "lock the log", source: Arc::new(e) };
    let file = File::create(&name).map_err(failed)?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::InUse(path.to_owned())),
        Err(TryLockError::Error(e)) => Err(failed(e)),
    }
}
