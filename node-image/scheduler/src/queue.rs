//! The pods that wait: ready to be tried, backing off, or refused until something changes that may
//! help them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kd_client::Key;
use tokio::time::Instant;

use crate::pod::PodFacts;

const BACKOFF_MIN: Duration = Duration::from_secs(1);
const BACKOFF_MAX: Duration = Duration::from_secs(10);
/// A refused pod is tried again after this time whatever happens.
const REFUSED_MAX: Duration = Duration::from_secs(300);

/// Where a waiting pod is.
#[derive(Clone, Debug, PartialEq, Eq)]
enum State {
    Active,
    /// An error, or a change that may help: tried at this time, or (`eager`) as soon as nothing
    /// else is there to do.
    BackingOff {
        until: Instant,
        eager: bool,
    },
    /// Refused by these plugins.
    Refused {
        by: Vec<&'static str>,
        until: Instant,
    },
    /// Held back by scheduling gates.
    Gated,
    /// Being tried or bound.
    Taken,
}

struct Entry {
    pod: Arc<PodFacts>,
    state: State,
    attempts: u32,
    last: Option<Instant>,
    order: u64,
}

type Rank = (Reverse<i32>, u64, Key);

/// Waiting pods.
#[derive(Default)]
pub struct Queue {
    entries: HashMap<Key, Entry>,
    active: BTreeSet<Rank>,
    timed: BTreeSet<(Instant, Key)>,
    eager: BTreeSet<Rank>,
    refused: BTreeSet<Key>,
    counter: u64,
    limits: Limits,
}

/// How long failed pods wait.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// After the first failure; it doubles with each.
    pub backoff_min: Duration,
    /// At most.
    pub backoff_max: Duration,
}

impl Default for Limits {
    fn default() -> Limits {
        Limits { backoff_min: BACKOFF_MIN, backoff_max: BACKOFF_MAX }
    }
}

impl Limits {
    fn backoff(&self, attempts: u32) -> Duration {
        let doubled = 1 << attempts.saturating_sub(1).min(16);
        self.backoff_min.saturating_mul(doubled).min(self.backoff_max)
    }
}

impl Queue {
    /// An empty queue.
    pub fn new(limits: Limits) -> Queue {
        Queue { limits, ..Queue::default() }
    }

    /// A pod is new or changed. Only changes of its wishes make it ready again.
    pub fn put(&mut self, pod: Arc<PodFacts>) {
        let key = pod.key.clone();
        let Some(entry) = self.entries.get_mut(&key) else {
            self.counter += 1;
            let state = State::Taken;
            let order = self.counter;
            let entry = Entry { pod, state, attempts: 0, last: None, order };
            self.entries.insert(key.clone(), entry);
            return self.activate(&key);
        };
        let same = entry.pod.uid == pod.uid;
        let changed = !same || entry.pod.wishes != pod.wishes;
        if !same {
            entry.attempts = 0;
        }
        self.leave(&key);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.pod = pod;
        match entry.state {
            State::Taken => {}
            _ if changed => self.activate(&key),
            _ => self.enter(&key),
        }
    }

    /// A pod is not to be placed any more.
    pub fn remove(&mut self, key: &Key) {
        self.leave(key);
        self.entries.remove(key);
    }

    /// The next pod to try, if any is ready.
    pub fn pop(&mut self, now: Instant) -> Option<Arc<PodFacts>> {
        self.expire(now);
        let key = match self.active.first().or_else(|| self.eager.first()) {
            Some((_, _, key)) => key.clone(),
            None => return None,
        };
        self.leave(&key);
        let entry = self.entries.get_mut(&key)?;
        entry.state = State::Taken;
        entry.attempts += 1;
        entry.last = Some(now);
        Some(entry.pod.clone())
    }

    /// A tried pod was refused.
    pub fn refused(&mut self, key: &Key, by: Vec<&'static str>, now: Instant) {
        self.set(key, State::Refused { by, until: now + REFUSED_MAX });
    }

    /// Trying or binding a pod failed.
    pub fn failed(&mut self, key: &Key, now: Instant) {
        let Some(entry) = self.entries.get(key) else { return };
        let until = now + self.limits.backoff(entry.attempts);
        self.set(key, State::BackingOff { until, eager: false });
    }

    /// Something changed: the refused pods that it may help are tried again. `helps` is told a pod
    /// and who refused it.
    pub fn happened(&mut self, helps: impl Fn(&PodFacts, &[&'static str]) -> bool, now: Instant) {
        let refused = self.refused.iter().filter_map(|key| Some((key, self.entries.get(key)?)));
        let helped = refused.filter(|(_, entry)| match &entry.state {
            // Without nodes no plugin refused: anything may help.
            State::Refused { by, .. } => by.is_empty() || helps(&entry.pod, by),
            _ => false,
        });
        let keys: Vec<(Key, Instant)> = helped
            .map(|(key, e)| (key.clone(), e.last.unwrap_or(now) + self.limits.backoff(e.attempts)))
            .collect();
        for (key, until) in keys {
            self.set(&key, State::BackingOff { until, eager: true });
        }
    }

    /// When the next pod becomes ready by itself.
    pub fn next_time(&self) -> Option<Instant> {
        self.timed.first().map(|(at, _)| *at)
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, key)) = self.timed.first().cloned() {
            if at > now {
                return;
            }
            self.timed.remove(&(at, key.clone()));
            self.leave(&key);
            self.activate(&key);
        }
    }

    fn activate(&mut self, key: &Key) {
        let Some(entry) = self.entries.get(key) else { return };
        let gated = !entry.pod.wishes.gates.is_empty();
        self.set(key, if gated { State::Gated } else { State::Active });
    }

    fn set(&mut self, key: &Key, state: State) {
        self.leave(key);
        if let Some(entry) = self.entries.get_mut(key) {
            entry.state = state;
            self.enter(key);
        }
    }

    /// Adds an entry to the index of its state.
    fn enter(&mut self, key: &Key) {
        let Some(entry) = self.entries.get(key) else { return };
        let rank = (Reverse(entry.pod.wishes.priority), entry.order, key.clone());
        match &entry.state {
            State::Active => {
                self.active.insert(rank);
            }
            State::BackingOff { until, eager } => {
                self.timed.insert((*until, key.clone()));
                if *eager {
                    self.eager.insert(rank);
                }
            }
            State::Refused { until, .. } => {
                self.timed.insert((*until, key.clone()));
                self.refused.insert(key.clone());
            }
            State::Gated | State::Taken => {}
        }
    }

    fn leave(&mut self, key: &Key) {
        let Some(entry) = self.entries.get(key) else { return };
        let rank = (Reverse(entry.pod.wishes.priority), entry.order, key.clone());
        match &entry.state {
            State::Active => {
                self.active.remove(&rank);
            }
            State::BackingOff { until, .. } => {
                self.timed.remove(&(*until, key.clone()));
                self.eager.remove(&rank);
            }
            State::Refused { until, .. } => {
                self.timed.remove(&(*until, key.clone()));
                self.refused.remove(key);
            }
            State::Gated | State::Taken => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugin::ClusterEvent;
    use crate::profile::Profile;
    use crate::testing::pod;

    fn waiting(name: &str, priority: i32) -> Arc<PodFacts> {
        Arc::new(pod(name, json!({"spec": {"priority": priority}})))
    }

    fn tell(queue: &mut Queue, event: &ClusterEvent, now: Instant) {
        let profile = Profile::default();
        queue.happened(|pod, by| profile.helped(by, event, pod), now);
    }

    #[test]
    fn priority_then_order() {
        let mut queue = Queue::default();
        for (name, priority) in [("a", 0), ("b", 5), ("c", 0)] {
            queue.put(waiting(name, priority));
        }
        let now = Instant::now();
        let order: Vec<String> =
            std::iter::from_fn(|| queue.pop(now)).map(|p| p.key.name.to_string()).collect();
        assert_eq!(order, ["b", "a", "c"]);
    }

    #[test]
    fn refused_pods_wait_for_what_helps() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.put(waiting("a", 0));
        let key = queue.pop(now).unwrap().key.clone();
        queue.refused(&key, vec!["NodeResourcesFit"], now);
        tell(&mut queue, &ClusterEvent::Storage, now);
        assert!(queue.pop(now).is_none());
        queue.put(waiting("a", 0));
        assert!(queue.pop(now).is_none(), "a status update is no change");
        tell(&mut queue, &ClusterEvent::PodRemoved(waiting("x", 0)), now);
        assert!(queue.pop(now).is_some(), "at once, as nothing else is to do");
        queue.failed(&key, now);
        assert!(queue.pop(now).is_none());
        assert_eq!(queue.next_time(), Some(now + Duration::from_secs(2)));
        assert!(queue.pop(now + Duration::from_secs(2)).is_some());
    }

    #[test]
    fn gates_hold_pods_back() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.put(Arc::new(pod("a", json!({"spec": {"schedulingGates": [{"name": "g"}]}}))));
        assert!(queue.pop(now).is_none());
        queue.put(waiting("a", 0));
        assert!(queue.pop(now).is_some());
    }
}
