//! The pods that wait: ready to be tried, backing off, or refused until something changes that may
//! help them.

use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Duration;

use kd_client::Key;
use tokio::time::Instant;

use crate::plugin::{ClusterEvent, Plugin};
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
    counter: u64,
}

impl Queue {
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
        let until = now + backoff(entry.attempts);
        self.set(key, State::BackingOff { until, eager: false });
    }

    /// Something changed: the refused pods that it may help are tried again.
    pub fn happened(&mut self, event: &ClusterEvent, plugins: &[Box<dyn Plugin>], now: Instant) {
        let helped = |by: &[&'static str], pod: &PodFacts| {
            let refusing = plugins.iter().filter(|p| by.contains(&p.name()));
            // Without nodes no plugin refused: any node helps.
            by.is_empty() || refusing.into_iter().any(|p| p.helped_by(event, pod))
        };
        let keys: Vec<(Key, Instant)> = self
            .entries
            .iter()
            .filter(|(_, e)| matches!(&e.state, State::Refused { by, .. } if helped(by, &e.pod)))
            .map(|(key, e)| (key.clone(), e.last.unwrap_or(now) + backoff(e.attempts)))
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
            }
            State::Gated | State::Taken => {}
        }
    }
}

fn backoff(attempts: u32) -> Duration {
    BACKOFF_MIN.saturating_mul(1 << attempts.saturating_sub(1).min(8)).min(BACKOFF_MAX)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::plugins::plugins;
    use crate::testing::pod;

    fn waiting(name: &str, priority: i32) -> Arc<PodFacts> {
        Arc::new(pod(name, json!({"spec": {"priority": priority}})))
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
        queue.happened(&ClusterEvent::Storage, &plugins(), now);
        assert!(queue.pop(now).is_none());
        queue.put(waiting("a", 0));
        assert!(queue.pop(now).is_none(), "a status update is no change");
        queue.happened(&ClusterEvent::PodRemoved(waiting("x", 0)), &plugins(), now);
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
