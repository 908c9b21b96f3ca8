//! How long each phase of a start took, for `--timings`.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use crate::duration;

/// Phases with their durations, in the order in which they ended.
#[derive(Debug)]
pub struct Timings {
    began: Instant,
    phases: Mutex<Vec<(String, Duration)>>,
}

impl Timings {
    /// Begins to count.
    pub fn begin() -> Timings {
        Timings { began: Instant::now(), phases: Mutex::new(Vec::new()) }
    }

    /// The time since the beginning.
    pub fn total(&self) -> Duration {
        self.began.elapsed()
    }

    /// Runs a phase and notes how long it took.
    pub async fn measure<T>(&self, name: &str, phase: impl Future<Output = T>) -> T {
        let began = Instant::now();
        let result = phase.await;
        self.note(name, began.elapsed());
        result
    }

    /// Notes a phase that was measured elsewhere.
    pub fn note(&self, name: &str, took: Duration) {
        let mut phases = self.phases.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        phases.push((name.to_owned(), took));
    }

    /// One line a phase. Phases overlap, so they do not add up to the total.
    pub fn report(&self) -> String {
        let phases = self.phases.lock().unwrap_or_else(|poisoned| poisoned.into_inner());
        let total = ("total".to_owned(), self.total());
        let lines = phases.iter().chain(std::iter::once(&total));
        let width = phases.iter().map(|(name, _)| name.chars().count()).max().unwrap_or(5).max(5);
        let line = |(name, took): &(String, Duration)| {
            format!("  {name:width$}  {:>8}", duration::format(*took))
        };
        lines.map(line).collect::<Vec<_>>().join("\n")
    }
}
