//! What kubelets said last and before: two readings of counters make a rate.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use kd_api::Object;
use serde_json::Value;
use tokio::time::Instant;

/// What was read this recently is read again for nobody.
const FRESH_MAX: Duration = Duration::from_secs(5);
/// An older reading says nothing about the use of now.
const WINDOW_MAX: Duration = Duration::from_secs(120);

/// Namespace and name of a pod.
type PodKey = (String, String);

/// CPU and memory of one thing.
#[derive(Clone, Debug, Default, PartialEq)]
pub(super) struct Amount {
    /// CPU: nanoseconds used so far in a reading, billionths of a core in a use.
    pub cpu: u64,
    /// Working set, bytes.
    pub memory_bytes: u64,
}

#[derive(Clone, Debug, Default, PartialEq)]
struct Counted {
    amount: Amount,
    started: Option<Timestamp>,
}

/// One answer of a kubelet.
#[derive(Clone, Debug)]
pub(super) struct Reading {
    at: Instant,
    clock: Timestamp,
    node: Amount,
    pods: BTreeMap<PodKey, BTreeMap<String, Counted>>,
}

/// What a node and its containers use, over some time.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Use {
    /// The end of the time.
    pub clock: Timestamp,
    /// Its length.
    pub window: Duration,
    /// The node.
    pub node: Amount,
    /// Containers by name, of each pod.
    pub pods: BTreeMap<PodKey, BTreeMap<String, Amount>>,
}

/// The readings of one node.
#[derive(Debug, Default)]
pub(super) struct NodeReadings {
    older: Option<Reading>,
    newer: Option<Reading>,
}

/// The readings of all nodes.
#[derive(Debug, Default)]
pub(crate) struct Readings(Mutex<HashMap<String, Arc<tokio::sync::Mutex<NodeReadings>>>>);

impl Readings {
    /// Those of a node; whoever holds the lock asks its kubelet.
    pub(super) fn of(&self, node: &str) -> Arc<tokio::sync::Mutex<NodeReadings>> {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.entry(node.to_owned()).or_default().clone()
    }

    /// Forgets nodes that are not there any more.
    pub(super) fn keep(&self, nodes: &[String]) {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.retain(|name, _| nodes.contains(name));
    }
}

impl NodeReadings {
    /// The use, when the newest reading is new enough.
    pub(super) fn current(&self, now: Instant) -> Option<Use> {
        let newer = self.newer.as_ref().filter(|r| now.duration_since(r.at) <= FRESH_MAX)?;
        newer.since(self.older.as_ref()?)
    }

    /// Takes in a new reading.
    pub(super) fn add(&mut self, reading: Reading) {
        let recent = |known: &Reading| reading.at.duration_since(known.at) <= WINDOW_MAX;
        self.older = self.newer.take().filter(recent);
        self.newer = Some(reading);
    }
}

impl Reading {
    /// Reads a kubelet's `/stats/summary`.
    pub(super) fn of(summary: &Value, at: Instant, clock: Timestamp) -> Reading {
        let amount = |object: &Value| Amount {
            cpu: object["cpu"]["usageCoreNanoSeconds"].as_u64().unwrap_or(0),
            memory_bytes: object["memory"]["workingSetBytes"].as_u64().unwrap_or(0),
        };
        let mut pods = BTreeMap::new();
        for pod in summary.list_at(&["pods"]) {
            let text = |field: &str| pod.str_at(&["podRef", field]).to_owned();
            let containers = pod.list_at(&["containers"]).iter().map(|container| {
                let started = container.str_at(&["startTime"]).parse().ok();
                (
                    container.str_at(&["name"]).to_owned(),
                    Counted { amount: amount(container), started },
                )
            });
            pods.insert((text("namespace"), text("name")), containers.collect());
        }
        Reading { at, clock, node: amount(&summary["node"]), pods }
    }

    /// The use between an older reading and this one.
    fn since(&self, older: &Reading) -> Option<Use> {
        let window = self.at.checked_duration_since(older.at).filter(|window| !window.is_zero())?;
        let rate = |now: &Amount, before: u64, window: Duration| Amount {
            cpu: u64::try_from(
                u128::from(now.cpu.saturating_sub(before)) * 1_000_000_000
                    / window.as_nanos().max(1),
            )
            .unwrap_or(u64::MAX),
            memory_bytes: now.memory_bytes,
        };
        let mut pods = BTreeMap::new();
        for (key, containers) in &self.pods {
            let known = older.pods.get(key);
            let mut used = BTreeMap::new();
            for (name, now) in containers {
                let before = known.and_then(|known| known.get(name));
                let same = before.filter(|before| before.started == now.started);
                let amount = match (same, now.started) {
                    (Some(before), _) => rate(&now.amount, before.amount.cpu, window),
                    // It began meanwhile, at zero.
                    (None, Some(started)) => {
                        let age = self.clock.duration_since(started).unsigned_abs();
                        rate(&now.amount, 0, age.max(Duration::from_secs(1)))
                    }
                    (None, None) => continue,
                };
                used.insert(name.clone(), amount);
            }
            pods.insert(key.clone(), used);
        }
        let node = rate(&self.node, older.node.cpu, window);
        Some(Use { clock: self.clock, window, node, pods })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn summary(cpu_ns: u64, started: &str) -> Value {
        let used = json!({"usageCoreNanoSeconds": cpu_ns});
        json!({"node": {"cpu": used, "memory": {"workingSetBytes": 7}},
            "pods": [{"podRef": {"name": "p", "namespace": "n"}, "containers": [
                {"name": "c", "startTime": started, "cpu": used, "memory": {"workingSetBytes": 5}}]}]})
    }

    #[test]
    fn rates() {
        let begin = Instant::now();
        let clock = |seconds: u64| Timestamp::from_second(1000 + seconds as i64).unwrap();
        let at = |seconds: u64, cpu_ns: u64, started: &str| {
            Reading::of(
                &summary(cpu_ns, started),
                begin + Duration::from_secs(seconds),
                clock(seconds),
            )
        };
        let key = ("n".to_owned(), "p".to_owned());
        let (old, new) = ("1970-01-01T00:00:00Z", "1970-01-01T00:16:52Z");
        let check = |second: u64, started: &str, expect: Option<(u64, u64)>| {
            let mut readings = NodeReadings::default();
            readings.add(at(10, 1_000_000_000, old));
            readings.add(at(second, 3_000_000_000, started));
            let used = readings.current(begin + Duration::from_secs(second));
            let found = used.map(|used| (used.node.cpu, used.pods[&key]["c"].cpu));
            assert_eq!(found, expect, "{second} {started}");
        };
        check(14, old, Some((500_000_000, 500_000_000)));
        check(14, new, Some((500_000_000, 1_500_000_000)));
        check(10, old, None);
        check(200, old, None);
    }

    #[test]
    fn readings_grow_old() {
        let begin = Instant::now();
        let mut readings = NodeReadings::default();
        for second in [0, 1] {
            let at = begin + Duration::from_secs(second);
            readings.add(Reading::of(&summary(0, ""), at, Timestamp::UNIX_EPOCH));
        }
        let current = |second| readings.current(begin + Duration::from_secs(second));
        assert!(current(6).is_some());
        assert!(current(7).is_none());
    }
}
