//! What the server counts, under upstream's names.

mod histogram;
mod request;
mod store;
mod text;

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kd_api::Kind;

use histogram::Histogram;
pub(crate) use request::{LongRunning, RequestLabels};
pub(crate) use store::TimedStore;
pub(crate) use text::exposition;

/// Paths are chosen by clients: no more than this many series.
const SERIES_MAX: usize = 4096;

/// All counters of a server.
#[derive(Default)]
pub(crate) struct Metrics {
    requests: Mutex<BTreeMap<RequestLabels, Series>>,
    /// By group, version and resource.
    watch_events: Mutex<BTreeMap<[String; 3], Arc<AtomicU64>>>,
    /// By operation and resource.
    storage: Mutex<BTreeMap<(&'static str, String), Histogram>>,
    /// What other components of this process count.
    others: Mutex<Vec<Exposition>>,
}

/// A component's counters in Prometheus' text format.
type Exposition = Arc<dyn Fn() -> String + Send + Sync>;

/// What is counted of like requests.
#[derive(Default)]
struct Series {
    by_code: BTreeMap<u16, u64>,
    durations: Histogram,
    running: u64,
}

impl Metrics {
    /// Another component's counters are shown as well.
    pub(crate) fn add(&self, exposition: Exposition) {
        locked(&self.others).push(exposition);
    }

    /// A request was answered.
    pub(crate) fn answered(&self, labels: RequestLabels, code: u16, duration: Duration) {
        self.with_series(labels, |series| {
            *series.by_code.entry(code).or_default() += 1;
            series.durations.observe(duration);
        });
    }

    /// Counts the changes that are sent of a kind.
    pub(crate) fn watch_events(&self, kind: &Kind) -> Arc<AtomicU64> {
        let labels = [&kind.group, &kind.version, &kind.plural].map(String::clone);
        locked(&self.watch_events).entry(labels).or_default().clone()
    }

    fn stored(&self, operation: &'static str, resource: String, duration: Duration) {
        let mut storage = locked(&self.storage);
        storage.entry((operation, resource)).or_default().observe(duration);
    }

    fn with_series(&self, labels: RequestLabels, change: impl FnOnce(&mut Series)) {
        let mut requests = locked(&self.requests);
        if let Some(series) = requests.get_mut(&labels) {
            return change(series);
        }
        if requests.len() < SERIES_MAX {
            change(requests.entry(labels).or_default());
        }
    }
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

fn read(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}
