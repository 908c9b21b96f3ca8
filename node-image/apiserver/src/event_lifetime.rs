//! Events go after an hour. One timer waits for the oldest; nothing polls.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use jiff::{SignedDuration, Timestamp};
use kd_api::Object;
use kd_store::{Error, Watch};
use serde_json::Value;
use tokio::time::sleep;

use crate::config::Clock;
use crate::storage::{Objects, resource_prefix};

/// An event's version and when it goes.
struct Lease {
    until: Timestamp,
    key: Arc<str>,
    revision: u64,
}

/// Deletes events that nobody wrote for `lifetime`; for ever.
pub(crate) async fn run(objects: Objects, clock: Clock, lifetime: Duration) {
    let lifetime = SignedDuration::try_from(lifetime).unwrap_or(SignedDuration::from_hours(1));
    let mut expiry = Expiry { objects, clock, lifetime, leases: VecDeque::new() };
    loop {
        let Some(mut watch) = expiry.begin() else { return };
        if let Err(Error::Closed) = expiry.follow(&mut watch).await {
            return;
        }
    }
}

struct Expiry {
    objects: Objects,
    clock: Clock,
    lifetime: SignedDuration,
    /// Ordered by time, because all last equally long.
    leases: VecDeque<Lease>,
}

impl Expiry {
    /// Takes up the events that are there.
    fn begin(&mut self) -> Option<Watch> {
        let prefix = resource_prefix("", "events");
        let snapshot = self.objects.snapshot();
        let mut leases: Vec<Lease> = snapshot
            .list(&prefix)
            .map(|entry| {
                let event: Value = serde_json::from_slice(&entry.value).unwrap_or_default();
                let written = last_written(&event).unwrap_or_else(|| (self.clock)());
                let until = written.checked_add(self.lifetime).unwrap_or(written);
                Lease { until, key: entry.key.clone(), revision: entry.revision }
            })
            .collect();
        leases.sort_by_key(|lease| lease.until);
        self.leases = leases.into();
        self.objects.store.watch(&prefix, snapshot.revision()).ok()
    }

    async fn follow(&mut self, watch: &mut Watch) -> Result<(), Error> {
        loop {
            self.expire().await;
            let wait = self.leases.front().map(|lease| {
                let left = lease.until.duration_since((self.clock)());
                Duration::try_from(left).unwrap_or(Duration::ZERO)
            });
            let due = async {
                match wait {
                    Some(wait) => sleep(wait).await,
                    None => std::future::pending().await,
                }
            };
            tokio::select! {
                event = watch.next() => {
                    if let Some(entry) = &event?.current {
                        let now = (self.clock)();
                        let until = now.checked_add(self.lifetime).unwrap_or(now);
                        let (key, revision) = (entry.key.clone(), entry.revision);
                        self.leases.push_back(Lease { until, key, revision });
                    }
                }
                () = due => {}
            }
        }
    }

    async fn expire(&mut self) {
        let now = (self.clock)();
        while self.leases.front().is_some_and(|lease| lease.until <= now) {
            let Some(lease) = self.leases.pop_front() else { break };
            // A newer version has its own lease.
            match self.objects.store.delete(lease.key, lease.revision).await {
                Ok(_) | Err(Error::Conflict { .. }) => {}
                Err(error) => tracing::warn!(%error, "an event stays"),
            }
        }
    }
}

fn last_written(event: &Value) -> Option<Timestamp> {
    [&["series", "lastObservedTime"][..], &["lastTimestamp"], &["eventTime"]]
        .into_iter()
        .find_map(|path| event.str_at(path).parse().ok())
        .or_else(|| event.creation_timestamp())
}
