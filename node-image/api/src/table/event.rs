//! Events, in either of their two shapes.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;
use crate::walk::Walk;

pub(super) fn event(object: &Value, now: Timestamp) -> Vec<Value> {
    let (first, last) = seen(object, now);
    let subject = either(object, "involvedObject", "regarding");
    let message = match object.text("message") {
        "" => object.text("note"),
        message => message,
    };
    vec![
        last,
        json!(object.text("type")),
        json!(object.text("reason")),
        json!(target(subject)),
        json!(subject.text("fieldPath")),
        json!(source(object)),
        json!(message.trim()),
        first,
        json!(count(object)),
        object["metadata"]["name"].clone(),
    ]
}

/// The field of core events, or the one of events.k8s.io.
fn either<'a>(event: &'a Value, old: &str, new: &str) -> &'a Value {
    if event.has(old) { &event[old] } else { &event[new] }
}

fn seen(event: &Value, now: Timestamp) -> (Value, Value) {
    let first = either(event, "firstTimestamp", "deprecatedFirstTimestamp");
    let first = if first.is_null() { &event["eventTime"] } else { first };
    let last = either(event, "lastTimestamp", "deprecatedLastTimestamp");
    let observed = &event["series"]["lastObservedTime"];
    let last = match (observed.is_null(), last.is_null()) {
        (false, _) => observed,
        (true, false) => last,
        (true, true) => first,
    };
    (since(first, now), since(last, now))
}

fn count(event: &Value) -> i64 {
    let plain = either(event, "count", "deprecatedCount").as_i64().unwrap_or(0);
    match event["series"].integer("count") {
        Some(count) => count,
        None => plain.max(1),
    }
}

fn target(subject: &Value) -> String {
    let kind = subject.text("kind").to_lowercase();
    match subject.text("name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

fn source(event: &Value) -> String {
    let first =
        |texts: [&str; 3]| texts.into_iter().find(|text| !text.is_empty()).unwrap_or("").to_owned();
    let source = either(event, "source", "deprecatedSource");
    let reporter = [
        source.text("component"),
        event.text("reportingComponent"),
        event.text("reportingController"),
    ];
    let host = first([source.text("host"), event.text("reportingInstance"), ""]);
    let component = first(reporter);
    if host.is_empty() { component } else { format!("{component}, {host}") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_shapes() {
        let now: Timestamp = "2026-01-01T00:05:00Z".parse().unwrap();
        let old = json!({
            "metadata": {"name": "a.1"}, "type": "Normal", "reason": "Pulled", "message": "done\n",
            "involvedObject": {"kind": "Pod", "name": "a", "fieldPath": "spec.containers{c}"},
            "source": {"component": "kubelet", "host": "n"},
            "firstTimestamp": "2026-01-01T00:00:00Z", "lastTimestamp": "2026-01-01T00:04:00Z", "count": 3
        });
        let want = json!([
            "60s",
            "Normal",
            "Pulled",
            "pod/a",
            "spec.containers{c}",
            "kubelet, n",
            "done",
            "5m",
            3,
            "a.1"
        ]);
        assert_eq!(Value::Array(event(&old, now)), want);
        let new = json!({
            "metadata": {"name": "a.2"}, "type": "Normal", "reason": "Scheduled", "note": "x",
            "regarding": {"kind": "Pod", "name": "a"}, "reportingController": "default-scheduler",
            "eventTime": "2026-01-01T00:04:58.000000Z"
        });
        let want = json!([
            "2s",
            "Normal",
            "Scheduled",
            "pod/a",
            "",
            "default-scheduler",
            "x",
            "2s",
            1,
            "a.2"
        ]);
        assert_eq!(Value::Array(event(&new, now)), want);
    }
}
