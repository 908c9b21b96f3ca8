//! The state in memory that every store shares with its readers and watchers: the newest snapshot,
//! the bounded history before it, and who waits for what comes.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{mpsc, watch};

use crate::record::{end_of, revision_of, row};
use crate::{Change, Entry, Error, Event, Revision, Snapshot, Transaction};

/// How much history is kept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HistoryLimits {
    /// Changes.
    pub events_max: usize,
    /// Bytes of values that only the history still holds.
    pub bytes_max: usize,
}

impl Default for HistoryLimits {
    fn default() -> HistoryLimits {
        HistoryLimits { events_max: 10_000, bytes_max: 24 << 20 }
    }
}

/// A watcher that is this many changes behind is served from the history.
const WATCH_QUEUE_MAX: usize = 256;

/// The shared state.
pub(crate) struct Hub {
    limits: HistoryLimits,
    revision: watch::Sender<Revision>,
    state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    pub(crate) snapshot: Snapshot,
    history: VecDeque<Arc<Event>>,
    history_bytes: usize,
    /// The oldest revision that can be read.
    compacted: Revision,
    watchers: Vec<Watcher>,
    /// Per prefix that was asked for, the last revision that changed it.
    changes: HashMap<Arc<str>, Revision>,
}

struct Watcher {
    prefix: Arc<str>,
    queue: mpsc::Sender<Arc<Event>>,
}

/// The events a watcher starts with, and where the next ones come.
pub(crate) type Subscription = (VecDeque<Arc<Event>>, mpsc::Receiver<Arc<Event>>);

impl Hub {
    /// A hub with what a log held: `compacted` is the revision of the oldest readable state, the
    /// history leads from there to the snapshot.
    pub(crate) fn new(
        limits: HistoryLimits,
        snapshot: Snapshot,
        history: Vec<Event>,
        compacted: Revision,
    ) -> Hub {
        let revision = watch::Sender::new(snapshot.revision);
        let history_bytes = history.iter().map(Event::weight).sum();
        let history = history.into_iter().map(Arc::new).collect();
        let state = State { snapshot, history, history_bytes, compacted, ..State::default() };
        Hub { limits, revision, state: Mutex::new(state) }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn snapshot(&self) -> Snapshot {
        self.state().snapshot.clone()
    }

    pub(crate) fn revision(&self) -> Revision {
        self.state().snapshot.revision
    }

    pub(crate) fn revisions(&self) -> watch::Receiver<Revision> {
        self.revision.subscribe()
    }

    pub(crate) fn snapshot_at(&self, revision: Revision) -> Result<Snapshot, Error> {
        let (mut snapshot, undone) = {
            let state = self.state();
            state.check(revision)?;
            let later = state.history.iter().rev().take_while(|event| event.revision > revision);
            (state.snapshot.clone(), later.cloned().collect::<Vec<_>>())
        };
        for event in &undone {
            snapshot.undo(event);
        }
        snapshot.revision = revision;
        Ok(snapshot)
    }

    pub(crate) fn last_change(&self, prefix: &str) -> Revision {
        let mut state = self.state();
        if let Some(&revision) = state.changes.get(prefix) {
            return revision;
        }
        let revision = state.snapshot.revision;
        state.changes.insert(prefix.into(), revision);
        revision
    }

    /// Every change behind a row of the log.
    pub(crate) fn subscribe(&self, prefix: &Arc<str>, after: u64) -> Result<Subscription, Error> {
        let (queue, receiver) = mpsc::channel(WATCH_QUEUE_MAX);
        let mut state = self.state();
        let revision = revision_of(after);
        state.check(revision)?;
        if after != end_of(revision) && revision == state.compacted {
            return Err(Error::Compacted { requested: revision, oldest: state.compacted });
        }
        let later = state.history.iter().rev().take_while(|event| event.row > after);
        let mut backlog: VecDeque<_> =
            later.filter(|event| event.key.starts_with(&**prefix)).cloned().collect();
        backlog.make_contiguous().reverse();
        state.watchers.push(Watcher { prefix: prefix.clone(), queue });
        Ok((backlog, receiver))
    }

    /// Makes commits visible, all of each at once, and tells the watchers. Returns the events that
    /// fell out of the history.
    pub(crate) fn publish(&self, snapshot: Snapshot, events: Vec<Event>) -> Vec<Arc<Event>> {
        let mut state = self.state();
        for event in events {
            state.record(Arc::new(event));
        }
        self.revision.send_replace(snapshot.revision);
        state.snapshot = snapshot;
        state.trim(self.limits)
    }

    /// Forgets history up to a revision; returns the events that fell out.
    pub(crate) fn compact(&self, revision: Revision) -> Result<Vec<Arc<Event>>, Error> {
        let mut state = self.state();
        let newest = state.snapshot.revision;
        if revision > newest {
            return Err(Error::Future { requested: revision, newest });
        }
        let mut forgotten = Vec::new();
        while state.history.front().is_some_and(|event| event.revision <= revision) {
            forgotten.extend(state.forget_first());
        }
        state.compacted = state.compacted.max(revision);
        Ok(forgotten)
    }

    /// The oldest revision that can be read.
    pub(crate) fn compacted(&self) -> Revision {
        self.state().compacted
    }
}

impl State {
    fn check(&self, revision: Revision) -> Result<(), Error> {
        let (oldest, newest) = (self.compacted, self.snapshot.revision);
        if revision < oldest {
            return Err(Error::Compacted { requested: revision, oldest });
        }
        if revision > newest {
            return Err(Error::Future { requested: revision, newest });
        }
        Ok(())
    }

    fn record(&mut self, event: Arc<Event>) {
        // A watcher whose queue is full loses its place here and takes it again from the history.
        self.watchers.retain(|watcher| match event.key.starts_with(&*watcher.prefix) {
            true => watcher.queue.try_send(event.clone()).is_ok(),
            false => !watcher.queue.is_closed(),
        });
        for (prefix, revision) in &mut self.changes {
            if event.key.starts_with(&**prefix) {
                *revision = event.revision;
            }
        }
        self.history_bytes += event.weight();
        self.history.push_back(event);
    }

    /// Forgets whole commits until the limits are met.
    fn trim(&mut self, limits: HistoryLimits) -> Vec<Arc<Event>> {
        let mut forgotten = Vec::new();
        while self.history.len() > limits.events_max || self.history_bytes > limits.bytes_max {
            let Some(first) = self.forget_first() else { break };
            self.compacted = first.revision;
            forgotten.push(first);
        }
        let compacted = self.compacted;
        while self.history.front().is_some_and(|event| event.revision <= compacted) {
            forgotten.extend(self.forget_first());
        }
        forgotten
    }

    fn forget_first(&mut self) -> Option<Arc<Event>> {
        let first = self.history.pop_front()?;
        self.history_bytes -= first.weight();
        Some(first)
    }
}

/// Applies a transaction to a snapshot; returns what changed. The snapshot is as before on an error.
pub(crate) fn apply(
    snapshot: &mut Snapshot,
    transaction: &Transaction,
) -> Result<Vec<Event>, Error> {
    transaction.validate()?;
    for write in &transaction.writes {
        let found = snapshot.get(&write.key);
        if !write.expect.met_by(found) {
            return Err(Error::Conflict { key: write.key.clone(), found: found.cloned() });
        }
    }
    let revision = snapshot.revision + 1;
    let mut events = Vec::with_capacity(transaction.writes.len());
    for write in &transaction.writes {
        let previous = snapshot.get(&write.key).cloned();
        let row = row(revision, events.len());
        let key = previous.as_ref().map_or(&write.key, |entry| &entry.key).clone();
        let current = match &write.change {
            Change::Check => continue,
            Change::Delete if previous.is_none() => continue,
            Change::Delete => None,
            Change::Put(value) => {
                Some(Entry { key: key.clone(), value: value.clone(), revision, row })
            }
        };
        events.push(Event { key, revision, current, previous, row });
    }
    for event in &events {
        snapshot.apply(event);
    }
    Ok(events)
}
