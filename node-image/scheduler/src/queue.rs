//! The pods that wait: ready to be tried, backing off, or refused until something changes that may
//! help them.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BTreeSet, HashMap};
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
    /// When it was ready for the first time.
    since: Option<Instant>,
    order: u64,
}

/// How many pods wait where.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Waiting {
    /// Ready to be tried.
    pub active: usize,
    /// Backing off.
    pub backoff: usize,
    /// Refused.
    pub unschedulable: usize,
    /// Held back by gates.
    pub gated: usize,
}

/// Where pods came to wait, and what brought them there, in upstream's words.
pub type Arrival = (&'static str, &'static str);

/// A pod's attempts so far.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Attempt {
    /// How many.
    pub count: u32,
    /// When the last one began.
    pub begun: Instant,
    /// When the pod was ready for the first time.
    pub since: Instant,
}

const FAILURE: &str = "ScheduleAttemptFailure";

type Rank = (Reverse<i32>, u64, Key);

/// Waiting pods.
#[derive(Default)]
pub struct Queue {
    entries: HashMap<Key, Entry>,
    active: BTreeSet<Rank>,
    timed: BTreeSet<(Instant, Key)>,
    eager: BTreeSet<Rank>,
    refused: BTreeSet<Key>,
    gated: BTreeSet<Key>,
    arrivals: BTreeMap<Arrival, u64>,
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
    pub fn put(&mut self, pod: Arc<PodFacts>, now: Instant) {
        let key = pod.key.clone();
        let Some(entry) = self.entries.get_mut(&key) else {
            self.counter += 1;
            let state = State::Taken;
            let order = self.counter;
            let entry = Entry { pod, state, attempts: 0, last: None, since: None, order };
            self.entries.insert(key.clone(), entry);
            return self.activate(&key, "UnschedulablePodAdd", now);
        };
        let same = entry.pod.uid == pod.uid;
        let changed = !same || entry.pod.wishes != pod.wishes;
        if !same {
            (entry.attempts, entry.since) = (0, None);
        }
        self.leave(&key);
        let Some(entry) = self.entries.get_mut(&key) else { return };
        entry.pod = pod;
        match entry.state {
            State::Taken => {}
            _ if changed => self.activate(&key, "UnschedulablePodUpdate", now),
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
        self.set(key, State::Refused { by, until: now + REFUSED_MAX }, FAILURE);
    }

    /// Trying or binding a pod failed.
    pub fn failed(&mut self, key: &Key, now: Instant) {
        let Some(entry) = self.entries.get(key) else { return };
        let until = now + self.limits.backoff(entry.attempts);
        self.set(key, State::BackingOff { until, eager: false }, FAILURE);
    }

    /// Something changed: the refused pods that it may help are tried again. `helps` is told a pod
    /// and who refused it; `event` is what the change is called.
    pub fn happened(
        &mut self,
        helps: impl Fn(&PodFacts, &[&'static str]) -> bool,
        event: &'static str,
        now: Instant,
    ) {
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
            self.set(&key, State::BackingOff { until, eager: true }, event);
        }
    }

    /// When the next pod becomes ready by itself.
    pub fn next_time(&self) -> Option<Instant> {
        self.timed.first().map(|(at, _)| *at)
    }

    /// How many pods wait where.
    pub fn waiting(&self) -> Waiting {
        Waiting {
            active: self.active.len(),
            backoff: self.timed.len() - self.refused.len(),
            unschedulable: self.refused.len(),
            gated: self.gated.len(),
        }
    }

    /// Arrivals since this was asked last.
    pub fn take_arrivals(&mut self) -> BTreeMap<Arrival, u64> {
        std::mem::take(&mut self.arrivals)
    }

    /// The attempts of a pod that was tried.
    pub fn attempt(&self, key: &Key) -> Option<Attempt> {
        let entry = self.entries.get(key)?;
        Some(Attempt { count: entry.attempts, begun: entry.last?, since: entry.since? })
    }

    fn expire(&mut self, now: Instant) {
        while let Some((at, key)) = self.timed.first().cloned() {
            if at > now {
                return;
            }
            self.timed.remove(&(at, key.clone()));
            let event = match self.refused.contains(&key) {
                true => "UnschedulableTimeout",
                false => "BackoffComplete",
            };
            self.leave(&key);
            self.activate(&key, event, now);
        }
    }

    fn activate(&mut self, key: &Key, event: &'static str, now: Instant) {
        let Some(entry) = self.entries.get_mut(key) else { return };
        if !entry.pod.wishes.gates.is_empty() {
            return self.set(key, State::Gated, event);
        }
        entry.since.get_or_insert(now);
        self.set(key, State::Active, event);
    }

    fn set(&mut self, key: &Key, state: State, event: &'static str) {
        self.leave(key);
        let Some(entry) = self.entries.get_mut(key) else { return };
        let queue = match &state {
            State::Active => Some("active"),
            State::BackingOff { .. } => Some("backoff"),
            State::Refused { .. } => Some("unschedulable"),
            State::Gated => Some("gated"),
            State::Taken => None,
        };
        entry.state = state;
        self.enter(key);
        if let Some(queue) = queue {
            *self.arrivals.entry((queue, event)).or_insert(0) += 1;
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
            State::Gated => {
                self.gated.insert(key.clone());
            }
            State::Taken => {}
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
            State::Gated => {
                self.gated.remove(key);
            }
            State::Taken => {}
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
        queue.happened(|pod, by| profile.helped(by, event, pod), event.name(), now);
    }

    #[test]
    fn priority_then_order() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        for (name, priority) in [("a", 0), ("b", 5), ("c", 0)] {
            queue.put(waiting(name, priority), now);
        }
        let order: Vec<String> =
            std::iter::from_fn(|| queue.pop(now)).map(|p| p.key.name.to_string()).collect();
        assert_eq!(order, ["b", "a", "c"]);
    }

    #[test]
    fn refused_pods_wait_for_what_helps() {
        let mut queue = Queue::default();
        let now = Instant::now();
        queue.put(waiting("a", 0), now);
        let key = queue.pop(now).unwrap().key.clone();
        queue.refused(&key, vec!["NodeResourcesFit"], now);
        tell(&mut queue, &ClusterEvent::Storage, now);
        assert!(queue.pop(now).is_none());
        queue.put(waiting("a", 0), now);
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
        queue.put(Arc::new(pod("a", json!({"spec": {"schedulingGates": [{"name": "g"}]}}))), now);
        assert!(queue.pop(now).is_none());
        queue.put(waiting("a", 0), now);
        assert!(queue.pop(now).is_some());
    }

    #[test]
    fn what_is_counted() {
        let (mut queue, now) = (Queue::default(), Instant::now());
        let later = now + Duration::from_secs(5);
        let check = |queue: &Queue, counts: [usize; 4]| {
            let Waiting { active, backoff, unschedulable, gated } = queue.waiting();
            assert_eq!([active, backoff, unschedulable, gated], counts);
        };
        queue.put(Arc::new(pod("g", json!({"spec": {"schedulingGates": [{"name": "g"}]}}))), now);
        ["a", "b", "c"].iter().for_each(|name| queue.put(waiting(name, 0), now));
        check(&queue, [3, 0, 0, 1]);
        let keys: Vec<Key> = (0..3).filter_map(|_| Some(queue.pop(now)?.key.clone())).collect();
        queue.refused(&keys[0], vec!["NodePorts"], now);
        queue.failed(&keys[1], now);
        check(&queue, [0, 1, 1, 1]);
        tell(&mut queue, &ClusterEvent::Storage, now);
        queue.put(waiting("g", 0), now);
        let first = queue.pop(later).unwrap().key.clone();
        check(&queue, [1, 0, 1, 0]);
        let known = queue.attempt(&first);
        assert_eq!(known, Some(Attempt { count: 1, begun: later, since: now }));
        assert_eq!(queue.attempt(&keys[1]).map(|attempt| attempt.begun), Some(now));
        let arrivals: Vec<(Arrival, u64)> = queue.take_arrivals().into_iter().collect();
        let expect = [
            (("active", "BackoffComplete"), 1),
            (("active", "UnschedulablePodAdd"), 3),
            (("active", "UnschedulablePodUpdate"), 1),
            (("backoff", "ScheduleAttemptFailure"), 1),
            (("gated", "UnschedulablePodAdd"), 1),
            (("unschedulable", "ScheduleAttemptFailure"), 1),
        ];
        assert_eq!(arrivals, expect);
        assert!(queue.take_arrivals().is_empty());
    }
}
