//! The changes under a prefix, in order, each once.

use std::collections::VecDeque;
use std::sync::Arc;

use tokio::sync::mpsc;

use crate::hub::Hub;
use crate::record::end_of;
use crate::{Error, Event, Revision};

/// Every change under a prefix after a revision. A reader that is slow is served from the history,
/// and fails with [`Error::Compacted`] once the history is gone.
pub struct Watch {
    hub: Arc<Hub>,
    prefix: Arc<str>,
    /// The row of the last change that was delivered. A queue may close in the middle of a commit.
    position: u64,
    backlog: VecDeque<Arc<Event>>,
    queue: mpsc::Receiver<Arc<Event>>,
}

impl Watch {
    pub(crate) fn new(hub: Arc<Hub>, prefix: &str, after: Revision) -> Result<Watch, Error> {
        let prefix: Arc<str> = prefix.into();
        let position = end_of(after);
        let (backlog, queue) = hub.subscribe(&prefix, position)?;
        Ok(Watch { hub, prefix, position, backlog, queue })
    }

    /// The next change. May be dropped at any await without losing one.
    pub async fn next(&mut self) -> Result<Arc<Event>, Error> {
        loop {
            if let Some(event) = self.take_backlog() {
                return Ok(event);
            }
            match self.queue.recv().await {
                Some(event) => {
                    self.position = event.row;
                    return Ok(event);
                }
                None => self.catch_up()?,
            }
        }
    }

    /// The next change, if one is there.
    pub fn try_next(&mut self) -> Result<Option<Arc<Event>>, Error> {
        loop {
            if let Some(event) = self.take_backlog() {
                return Ok(Some(event));
            }
            match self.queue.try_recv() {
                Ok(event) => {
                    self.position = event.row;
                    return Ok(Some(event));
                }
                Err(mpsc::error::TryRecvError::Empty) => return Ok(None),
                Err(mpsc::error::TryRecvError::Disconnected) => self.catch_up()?,
            }
        }
    }

    /// A revision up to which every change was delivered; `None` while some wait.
    pub fn progress(&mut self) -> Option<Revision> {
        // Changes are queued before their revision becomes the current one.
        let revision = self.hub.revision();
        let settled = self.backlog.is_empty() && self.queue.is_empty() && !self.queue.is_closed();
        settled.then_some(revision)
    }

    fn take_backlog(&mut self) -> Option<Arc<Event>> {
        let event = self.backlog.pop_front()?;
        self.position = event.row;
        Some(event)
    }

    /// Subscribes again: this watch was so slow that its queue was closed.
    fn catch_up(&mut self) -> Result<(), Error> {
        let (backlog, queue) = self.hub.subscribe(&self.prefix, self.position)?;
        self.backlog = backlog;
        self.queue = queue;
        Ok(())
    }
}
