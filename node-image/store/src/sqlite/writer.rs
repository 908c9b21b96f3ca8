//! The thread that commits: it takes what waits, writes it in one go, publishes, then answers.

use std::sync::Arc;

use tokio::sync::{mpsc, oneshot};

use super::log::Log;
use crate::hub::{Hub, apply};
use crate::{Error, Event, Revision, Transaction};

type Answer<T> = oneshot::Sender<Result<T, Error>>;

/// What the writer is asked for.
pub(super) enum Job {
    Commit { transaction: Transaction, answer: Answer<Revision> },
    Compact { revision: Revision, answer: Answer<()> },
}

/// Commits that share one write of the log at most.
const GROUP_MAX: usize = 512;

/// Serves jobs until nobody can send any more.
pub(super) fn run(mut log: Log, hub: &Hub, mut jobs: mpsc::Receiver<Job>) {
    let mut writer = Writer { log: &mut log, hub, forgotten: Vec::new() };
    while let Some(first) = jobs.blocking_recv() {
        let mut group = Vec::new();
        let mut next = Some(first);
        while let Some(job) = next {
            match job {
                Job::Commit { transaction, answer } => group.push((transaction, answer)),
                Job::Compact { revision, answer } => {
                    writer.commit(std::mem::take(&mut group));
                    // Nobody may wait for the answer any more.
                    let _ = answer.send(writer.compact(revision));
                }
            }
            next = if group.len() < GROUP_MAX { jobs.try_recv().ok() } else { None };
        }
        writer.commit(group);
    }
}

struct Writer<'a> {
    log: &'a mut Log,
    hub: &'a Hub,
    /// What fell out of the history and is still in the log; it leaves with the next write.
    forgotten: Vec<Arc<Event>>,
}

impl Writer<'_> {
    fn commit(&mut self, group: Vec<(Transaction, Answer<Revision>)>) {
        let mut snapshot = self.hub.snapshot();
        let mut events = Vec::new();
        let mut answers = Vec::new();
        for (transaction, answer) in group {
            let result = apply(&mut snapshot, &transaction).map(|changes| events.extend(changes));
            answers.push((answer, result.map(|()| snapshot.revision)));
        }
        if !events.is_empty() {
            match self.log.write(&events, &self.forgotten, self.hub.compacted()) {
                Ok(()) => self.forgotten = self.hub.publish(snapshot, events),
                Err(error) => {
                    tracing::error!(%error, "commits refused");
                    answers.iter_mut().for_each(|(_, result)| *result = Err(error.clone()));
                }
            }
        }
        // Also a refusal is told only now: it may rest on a commit of the same group.
        for (answer, result) in answers {
            // Nobody may wait for the answer any more.
            let _ = answer.send(result);
        }
    }

    fn compact(&mut self, revision: Revision) -> Result<(), Error> {
        self.forgotten.extend(self.hub.compact(revision)?);
        self.log.write(&[], &self.forgotten, self.hub.compacted())?;
        self.forgotten.clear();
        self.log.mark_compacted(self.hub.compacted())
    }
}
