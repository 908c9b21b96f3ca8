//! What the scheduler counts, under upstream's names.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kd_client::exposition::{Histogram, family, sample};

use crate::queue::{Arrival, Waiting};

/// Upper bounds of upstream's buckets: seconds of attempts, of whole waits, numbers of attempts and
/// of victims.
const ATTEMPT_SECONDS: [f64; 15] = [
    0.001, 0.002, 0.004, 0.008, 0.016, 0.032, 0.064, 0.128, 0.256, 0.512, 1.024, 2.048, 4.096,
    8.192, 16.384,
];
const WAIT_SECONDS: [f64; 20] = [
    0.01, 0.02, 0.04, 0.08, 0.16, 0.32, 0.64, 1.28, 2.56, 5.12, 10.24, 20.48, 40.96, 81.92, 163.84,
    327.68, 655.36, 1310.72, 2621.44, 5242.88,
];
const ATTEMPTS: [f64; 5] = [1.0, 2.0, 4.0, 8.0, 16.0];
const VICTIMS: [f64; 7] = [1.0, 2.0, 4.0, 8.0, 16.0, 32.0, 64.0];
/// Of so many attempts and more is told as one.
const ATTEMPTS_TOLD_MAX: u32 = 16;

/// How an attempt to place a pod ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Ending {
    /// The pod is bound.
    Scheduled,
    /// No node would have it.
    Unschedulable,
    /// Something failed.
    Error,
}

impl Ending {
    fn name(self) -> &'static str {
        match self {
            Ending::Scheduled => "scheduled",
            Ending::Unschedulable => "unschedulable",
            Ending::Error => "error",
        }
    }
}

/// The counters.
#[derive(Default)]
pub struct Metrics(Mutex<Counts>);

struct Counts {
    waiting: Waiting,
    arrivals: BTreeMap<Arrival, u64>,
    /// By the profile's name and the ending.
    attempts: BTreeMap<(String, Ending), Histogram>,
    algorithm: Histogram,
    /// By how many attempts it took.
    waits: BTreeMap<u32, Histogram>,
    attempts_of_pods: Histogram,
    preemptions: u64,
    victims: Histogram,
}

impl Default for Counts {
    fn default() -> Counts {
        Counts {
            waiting: Waiting::default(),
            arrivals: BTreeMap::new(),
            attempts: BTreeMap::new(),
            algorithm: Histogram::of(&ATTEMPT_SECONDS),
            waits: BTreeMap::new(),
            attempts_of_pods: Histogram::of(&ATTEMPTS),
            preemptions: 0,
            victims: Histogram::of(&VICTIMS),
        }
    }
}

impl Metrics {
    /// What waits now, and what came into the queue since this was told last.
    pub fn queue(&self, waiting: Waiting, arrivals: BTreeMap<Arrival, u64>) {
        let mut counts = self.counts();
        counts.waiting = waiting;
        for (arrival, count) in arrivals {
            *counts.arrivals.entry(arrival).or_insert(0) += count;
        }
    }

    /// A node was looked for, which took so long.
    pub fn looked(&self, took: Duration) {
        self.counts().algorithm.observe(took.as_secs_f64());
    }

    /// An attempt ended after so long.
    pub fn attempted(&self, profile: &str, ending: Ending, took: Duration) {
        let key = (profile.to_owned(), ending);
        let mut counts = self.counts();
        let of = counts.attempts.entry(key).or_insert_with(|| Histogram::of(&ATTEMPT_SECONDS));
        of.observe(took.as_secs_f64());
    }

    /// A pod is bound after so many attempts and so long a wait.
    pub fn bound(&self, attempts: u32, waited: Duration) {
        let mut counts = self.counts();
        counts.attempts_of_pods.observe(attempts.into());
        let told = attempts.min(ATTEMPTS_TOLD_MAX);
        let of = counts.waits.entry(told).or_insert_with(|| Histogram::of(&WAIT_SECONDS));
        of.observe(waited.as_secs_f64());
    }

    /// Pods were looked for that could go for another one.
    pub fn preempting(&self) {
        self.counts().preemptions += 1;
    }

    /// So many pods go for another one.
    pub fn victims(&self, count: usize) {
        self.counts().victims.observe(count as f64);
    }

    /// All of them in Prometheus' text format.
    pub fn exposition(&self) -> String {
        let counts = self.counts();
        let mut text = String::new();
        counts.tell_queue(&mut text);
        counts.tell_attempts(&mut text);
        let name = "scheduler_preemption_attempts_total";
        family(&mut text, name, "counter", "How often room was looked for by preemption.");
        sample(&mut text, name, "", counts.preemptions);
        let name = "scheduler_preemption_victims";
        family(&mut text, name, "histogram", "Pods that went for another one.");
        counts.victims.expose(&mut text, name, "");
        text
    }

    fn counts(&self) -> MutexGuard<'_, Counts> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Counts {
    fn tell_queue(&self, text: &mut String) {
        let name = "scheduler_pending_pods";
        family(text, name, "gauge", "Pods that wait, by where they do.");
        let Waiting { active, backoff, unschedulable, gated } = self.waiting;
        for (queue, count) in [
            ("active", active),
            ("backoff", backoff),
            ("gated", gated),
            ("unschedulable", unschedulable),
        ] {
            sample(text, name, &format!("queue={queue:?}"), count);
        }
        let name = "scheduler_queue_incoming_pods_total";
        family(text, name, "counter", "Pods that came into a queue, by what brought them there.");
        for ((queue, event), count) in &self.arrivals {
            sample(text, name, &format!("event={event:?},queue={queue:?}"), count);
        }
    }

    fn tell_attempts(&self, text: &mut String) {
        let labels = |(profile, ending): &(String, Ending)| {
            format!("profile={profile:?},result={:?}", ending.name())
        };
        let name = "scheduler_schedule_attempts_total";
        family(text, name, "counter", "Attempts to place a pod, by how they ended.");
        for (key, attempts) in &self.attempts {
            sample(text, name, &labels(key), attempts.count());
        }
        let name = "scheduler_scheduling_attempt_duration_seconds";
        family(text, name, "histogram", "Seconds from taking a pod to its being bound or refused.");
        for (key, attempts) in &self.attempts {
            attempts.expose(text, name, &labels(key));
        }
        let name = "scheduler_scheduling_algorithm_duration_seconds";
        family(text, name, "histogram", "Seconds that choosing a node took.");
        self.algorithm.expose(text, name, "");
        let name = "scheduler_pod_scheduling_sli_duration_seconds";
        family(text, name, "histogram", "Seconds from a pod's arrival to its being bound.");
        for (attempts, waits) in &self.waits {
            let more = if *attempts == ATTEMPTS_TOLD_MAX { "+" } else { "" };
            waits.expose(text, name, &format!("attempts=\"{attempts}{more}\""));
        }
        let name = "scheduler_pod_scheduling_attempts";
        family(text, name, "histogram", "Attempts that a pod took to be bound.");
        self.attempts_of_pods.expose(text, name, "");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told() {
        let metrics = Metrics::default();
        let second = Duration::from_secs(1);
        let waiting = Waiting { active: 3, gated: 1, ..Waiting::default() };
        metrics.queue(waiting, [(("active", "UnschedulablePodAdd"), 2)].into());
        metrics.queue(waiting, [(("active", "UnschedulablePodAdd"), 3)].into());
        metrics.looked(second / 1000);
        metrics.attempted("default-scheduler", Ending::Scheduled, second);
        metrics.attempted("default-scheduler", Ending::Unschedulable, second);
        metrics.bound(1, second);
        metrics.bound(20, second);
        metrics.preempting();
        metrics.preempting();
        metrics.victims(3);
        let text = metrics.exposition();
        for expect in [
            "scheduler_pending_pods{queue=\"active\"} 3",
            "scheduler_pending_pods{queue=\"backoff\"} 0",
            "scheduler_pending_pods{queue=\"gated\"} 1",
            "scheduler_queue_incoming_pods_total{event=\"UnschedulablePodAdd\",queue=\"active\"} 5",
            "scheduler_scheduling_algorithm_duration_seconds_bucket{le=\"0.001\"} 1",
            "scheduler_schedule_attempts_total{profile=\"default-scheduler\",result=\"scheduled\"} 1",
            "scheduler_scheduling_attempt_duration_seconds_bucket{profile=\"default-scheduler\",\
             result=\"unschedulable\",le=\"1.024\"} 1",
            "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"1\"} 1",
            "scheduler_pod_scheduling_sli_duration_seconds_count{attempts=\"16+\"} 1",
            "scheduler_pod_scheduling_attempts_bucket{le=\"16\"} 1",
            "scheduler_preemption_attempts_total 2",
            "scheduler_preemption_victims_sum 3",
        ] {
            assert!(text.lines().any(|line| line == expect), "{expect}:\n{text}");
        }
    }
}
