//! The counters of Priority and Fairness, under upstream's names.

use std::fmt::Write;

use super::Fairness;
use super::level::{Counts, Refused};

const PREFIX: &str = "apiserver_flowcontrol_";

type Column = (&'static str, &'static str, &'static str, fn(&Counts) -> u64);

/// Name, sort, help, value.
const COLUMNS: [Column; 4] = [
    ("dispatched_requests_total", "counter", "Requests that got a seat.", |c| c.dispatched),
    ("current_inqueue_requests", "gauge", "Requests that wait.", |c| c.waiting as u64),
    ("current_executing_requests", "gauge", "Requests that run.", |c| c.running as u64),
    ("current_executing_seats", "gauge", "Seats of requests that run.", |c| c.seats as u64),
];

const LIMITS: [(&str, &str); 3] = [
    ("nominal_limit_seats", "Seats that a level has of its own."),
    ("current_limit_seats", "Seats that a level has with those it borrows."),
    ("request_concurrency_in_use", "Seats that are taken."),
];

/// Adds them to the page.
pub(crate) fn expose(text: &mut String, fairness: &Fairness) {
    let (counts, limits) = fairness.counted();
    let labels =
        |schema: &str, level: &str| format!("flow_schema={schema:?},priority_level={level:?}");
    // Writing to a String cannot fail.
    for (name, sort, help, value) in COLUMNS {
        let _ = writeln!(text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} {sort}");
        for ([schema, level], counts) in &counts {
            let labels = labels(schema, level);
            let _ = writeln!(text, "{PREFIX}{name}{{{labels}}} {}", value(counts));
        }
    }
    let name = "rejected_requests_total";
    let help = "Requests that were told to come back later.";
    let _ = writeln!(text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} counter");
    for ([schema, level], counts) in &counts {
        for (place, count) in counts.refused.iter().enumerate().filter(|(_, count)| **count > 0) {
            let (labels, reason) = (labels(schema, level), Refused::name(place));
            let _ = writeln!(text, "{PREFIX}{name}{{{labels},reason={reason:?}}} {count}");
        }
    }
    for (place, (name, help)) in LIMITS.iter().enumerate() {
        let _ = writeln!(text, "# HELP {PREFIX}{name} {help}\n# TYPE {PREFIX}{name} gauge");
        for (level, seats) in &limits {
            let _ = writeln!(text, "{PREFIX}{name}{{priority_level={level:?}}} {}", seats[place]);
        }
    }
}
