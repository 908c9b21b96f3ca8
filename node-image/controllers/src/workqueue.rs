//! What the driver counts, under upstream's names: each controller is a work queue.

use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use kd_client::exposition::{Histogram, family, sample};

/// Upper bounds of upstream's buckets in seconds.
const BOUNDS: [f64; 12] =
    [1e-8, 1e-7, 1e-6, 1e-5, 0.0001, 0.001, 0.01, 0.1, 1.0, 10.0, 100.0, 1000.0];

/// Upstream's names of queues, where they are not what our names end in `-controller` of.
const NAMES: [(&str, &str); 16] = [
    ("clusterrole-aggregation-controller", "ClusterRoleAggregator"),
    ("garbage-collector-controller", "garbage_collector_attempt_to_delete"),
    ("horizontal-pod-autoscaler", "horizontalpodautoscaler"),
    ("node-controller", "node_lifecycle_controller"),
    ("node-ipam-controller", "cidrallocator-node"),
    ("persistentvolume-protection-controller", "pvprotection"),
    ("persistentvolumeclaim-protection-controller", "pvcprotection"),
    ("persistentvolume-controller", "claims"),
    ("replication-controller", "replicationmanager"),
    ("resourcequota-controller", "resourcequota_primary"),
    ("root-ca-certificate-publisher-controller", "root_ca_cert_publisher"),
    ("service-account-controller", "serviceaccount"),
    ("service-cidr-controller", "servicecidrs"),
    ("serviceaccount-token-controller", "serviceaccount_tokens_secret"),
    ("taint-eviction-controller", "noexec_taint_pod"),
    ("ttl-after-finished-controller", "ttl_jobs_to_delete"),
];

/// The counters of all queues.
pub struct WorkQueues {
    queues: Vec<(String, Mutex<Counts>)>,
}

struct Counts {
    depth: u64,
    adds: u64,
    retries: u64,
    waited: Histogram,
    worked: Histogram,
}

/// A family of plain numbers: its name, type, help, and where the number is.
type Number = (&'static str, &'static str, &'static str, fn(&Counts) -> u64);

impl Default for Counts {
    fn default() -> Counts {
        let [waited, worked] = [Histogram::of(&BOUNDS), Histogram::of(&BOUNDS)];
        Counts { depth: 0, adds: 0, retries: 0, waited, worked }
    }
}

impl WorkQueues {
    /// One for each controller, in their order.
    pub(crate) fn of<'a>(controllers: impl Iterator<Item = &'a str>) -> WorkQueues {
        let queue = |name: &str| (queue_name(name), Mutex::default());
        WorkQueues { queues: controllers.map(queue).collect() }
    }

    /// A target came in.
    pub(crate) fn added(&self, place: usize) {
        self.with(place, |counts| {
            counts.adds += 1;
            counts.depth += 1;
        });
    }

    /// A target's turn came after so long.
    pub(crate) fn begun(&self, place: usize, waited: Duration) {
        self.with(place, |counts| {
            counts.depth = counts.depth.saturating_sub(1);
            counts.waited.observe(waited.as_secs_f64());
        });
    }

    /// A target's turn took so long.
    pub(crate) fn ended(&self, place: usize, worked: Duration) {
        self.with(place, |counts| counts.worked.observe(worked.as_secs_f64()));
    }

    /// A target is looked at again after a failure.
    pub(crate) fn retried(&self, place: usize) {
        self.with(place, |counts| counts.retries += 1);
    }

    /// All of them in Prometheus' text format.
    pub fn exposition(&self) -> String {
        let mut text = String::new();
        let all = || self.queues.iter().map(|(name, c)| (format!("name={name:?}"), locked(c)));
        let numbers: [Number; 3] = [
            ("workqueue_adds_total", "counter", "Targets that came in.", |c| c.adds),
            ("workqueue_depth", "gauge", "Targets that wait now.", |c| c.depth),
            ("workqueue_retries_total", "counter", "Targets tried again.", |c| c.retries),
        ];
        for (name, sort, help, number) in numbers {
            family(&mut text, name, sort, help);
            all().for_each(|(labels, c)| sample(&mut text, name, &labels, number(&c)));
        }
        let waited = "workqueue_queue_duration_seconds";
        family(&mut text, waited, "histogram", "Seconds that targets waited for their turn.");
        all().for_each(|(labels, counts)| counts.waited.expose(&mut text, waited, &labels));
        let worked = "workqueue_work_duration_seconds";
        family(&mut text, worked, "histogram", "Seconds that targets' turns took.");
        all().for_each(|(labels, counts)| counts.worked.expose(&mut text, worked, &labels));
        text
    }

    fn with(&self, place: usize, change: impl FnOnce(&mut Counts)) {
        if let Some((_, counts)) = self.queues.get(place) {
            change(&mut locked(counts));
        }
    }
}

fn queue_name(controller: &str) -> String {
    let known = NAMES.iter().find(|(name, _)| *name == controller);
    known.map_or_else(
        || controller.trim_end_matches("-controller").replace('-', "_"),
        |(_, queue)| (*queue).to_owned(),
    )
}

fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn queues_are_called_as_upstream_calls_them() {
        let check = |name: &str, expect: &str| assert_eq!(queue_name(name), expect);
        check("deployment-controller", "deployment");
        check("endpoint-slice-controller", "endpoint_slice");
        check("replication-controller", "replicationmanager");
    }

    #[test]
    fn what_is_counted() {
        let queues = WorkQueues::of(["job-controller"].into_iter());
        queues.added(0);
        queues.added(0);
        queues.begun(0, Duration::from_millis(3));
        queues.ended(0, Duration::from_secs(5000));
        queues.retried(0);
        let text = queues.exposition();
        for expect in [
            "workqueue_adds_total{name=\"job\"} 2",
            "workqueue_depth{name=\"job\"} 1",
            "workqueue_retries_total{name=\"job\"} 1",
            "workqueue_queue_duration_seconds_bucket{name=\"job\",le=\"0.001\"} 0",
            "workqueue_queue_duration_seconds_bucket{name=\"job\",le=\"0.01\"} 1",
            "workqueue_work_duration_seconds_bucket{name=\"job\",le=\"1000\"} 0",
            "workqueue_work_duration_seconds_count{name=\"job\"} 1",
        ] {
            assert!(text.lines().any(|line| line == expect), "{expect}:\n{text}");
        }
    }

    #[test]
    fn every_name_is_of_a_controller() {
        let config = crate::Config::new("10.244.0.0/16".parse().unwrap(), 24, "");
        let all = crate::controllers(&config);
        for (name, _) in NAMES {
            assert!(all.iter().any(|controller| controller.name() == name), "{name}");
        }
    }
}
