//! Durations in upstream's buckets.

use std::fmt::Write;
use std::time::Duration;

/// Upper bounds in seconds.
const BUCKETS: [f64; 24] = [
    0.005,
    0.025,
    0.05,
    0.1,
    0.2,
    0.4,
    0.6,
    0.8,
    1.0,
    1.25,
    1.5,
    2.0,
    3.0,
    4.0,
    5.0,
    6.0,
    8.0,
    10.0,
    15.0,
    20.0,
    30.0,
    45.0,
    60.0,
    f64::INFINITY,
];

/// How many durations are how long.
#[derive(Default)]
pub(super) struct Histogram {
    counts: [u64; BUCKETS.len()],
    seconds: f64,
}

impl Histogram {
    pub(super) fn observe(&mut self, duration: Duration) {
        let seconds = duration.as_secs_f64();
        let bucket = BUCKETS.partition_point(|bound| *bound < seconds);
        self.counts[bucket.min(BUCKETS.len() - 1)] += 1;
        self.seconds += seconds;
    }

    pub(super) fn is_empty(&self) -> bool {
        self.counts.iter().all(|count| *count == 0)
    }

    /// Appends the buckets, the sum and the count of one series.
    pub(super) fn expose(&self, text: &mut String, name: &str, labels: &str) {
        let mut total = 0;
        for (bound, count) in BUCKETS.iter().zip(self.counts) {
            total += count;
            let bound = if bound.is_finite() { bound.to_string() } else { "+Inf".into() };
            // Writing to a String cannot fail.
            let _ = writeln!(text, "{name}_bucket{{{labels},le=\"{bound}\"}} {total}");
        }
        let _ = writeln!(text, "{name}_sum{{{labels}}} {}", self.seconds);
        let _ = writeln!(text, "{name}_count{{{labels}}} {total}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn buckets_hold_what_is_shorter_too() {
        let mut histogram = Histogram::default();
        for millis in [1, 5, 30, 70_000] {
            histogram.observe(Duration::from_millis(millis));
        }
        let mut text = String::new();
        histogram.expose(&mut text, "x", "a=\"b\"");
        let expect = |line: &str| assert!(text.lines().any(|found| found == line), "{text}");
        expect("x_bucket{a=\"b\",le=\"0.005\"} 2");
        expect("x_bucket{a=\"b\",le=\"0.05\"} 3");
        expect("x_bucket{a=\"b\",le=\"60\"} 3");
        expect("x_bucket{a=\"b\",le=\"+Inf\"} 4");
        expect("x_count{a=\"b\"} 4");
    }
}
