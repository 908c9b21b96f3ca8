//! How many requests run at the same time, and how many wait.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kd_api::Status;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// The places for requests that read and for those that write.
pub(crate) struct Limits {
    reads: Lane,
    writes: Lane,
}

struct Lane {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    waiting_max: usize,
    places_max: usize,
}

/// How much of a lane is taken.
pub(crate) struct Load {
    pub(crate) running: usize,
    pub(crate) waiting: usize,
}

impl Lane {
    fn load(&self) -> Load {
        let running = self.places_max - self.places.available_permits().min(self.places_max);
        Load { running, waiting: self.waiting.load(Ordering::Relaxed) }
    }
}

impl Limits {
    pub(crate) fn new(reads_max: usize, writes_max: usize, waiting_max: usize) -> Limits {
        let lane = |places_max| Lane {
            places: Arc::new(Semaphore::new(places_max)),
            waiting: AtomicUsize::new(0),
            waiting_max,
            places_max,
        };
        Limits { reads: lane(reads_max), writes: lane(writes_max) }
    }

    /// The lanes by upstream's names.
    pub(crate) fn lanes(&self) -> [(&'static str, Load); 2] {
        [("mutating", self.writes.load()), ("readOnly", self.reads.load())]
    }

    /// A place, given back when it is dropped; 429 when too many wait already.
    pub(crate) async fn acquire(&self, verb: &str) -> Result<OwnedSemaphorePermit, Status> {
        let lane = if matches!(verb, "get" | "list") { &self.reads } else { &self.writes };
        if let Ok(place) = lane.places.clone().try_acquire_owned() {
            return Ok(place);
        }
        let refused = || Status::too_many_requests("Too many requests, please try again later.", 1);
        let waiting = Waiting::join(&lane.waiting);
        if waiting.position > lane.waiting_max {
            return Err(refused());
        }
        lane.places.clone().acquire_owned().await.map_err(|_| refused())
    }
}

/// Counts a request that waits, until it is served or gives up.
struct Waiting<'a> {
    count: &'a AtomicUsize,
    position: usize,
}

impl<'a> Waiting<'a> {
    fn join(count: &'a AtomicUsize) -> Waiting<'a> {
        let position = count.fetch_add(1, Ordering::Relaxed) + 1;
        Waiting { count, position }
    }
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.count.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn too_many_requests_are_told_when_to_come_back() {
        let limits = Limits::new(1, 1, 0);
        let first = limits.acquire("get").await.unwrap();
        let refused = limits.acquire("list").await.unwrap_err();
        assert_eq!((refused.code, refused.reason.as_str()), (429, "TooManyRequests"));
        assert_eq!(refused.details.unwrap().retry_after_seconds, Some(1));
        assert!(limits.acquire("create").await.is_ok(), "writes have places of their own");
        let running = limits.lanes().map(|(name, load)| (name, load.running));
        assert_eq!(running, [("mutating", 0), ("readOnly", 1)]);
        drop(first);
        assert!(limits.acquire("get").await.is_ok());
    }
}
