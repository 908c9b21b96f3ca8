//! NodeMetrics and PodMetrics as the metrics server writes them. Pure.

use std::time::Duration;

use kd_api::Object;
use kd_api::quantity::{Format, Quantity};
use serde_json::{Value, json};

use super::readings::{Amount, Use};

/// A NodeMetrics.
pub(super) fn node_metrics(node: &Value, used: &Use) -> Option<Value> {
    let mut object = object("NodeMetrics", node, used);
    object["usage"] = usage(&used.node);
    Some(object)
}

/// A PodMetrics; none when nothing of the pod was running.
pub(super) fn pod_metrics(pod: &Value, used: &Use) -> Option<Value> {
    let namespace = pod.str_at(&["metadata", "namespace"]);
    let measured = used.pods.get(&(namespace.to_owned(), pod.name().to_owned()))?;
    if measured.is_empty() {
        return None;
    }
    let mut object = object("PodMetrics", pod, used);
    object["metadata"]["namespace"] = json!(namespace);
    object["containers"] = measured
        .iter()
        .map(|(name, amount)| json!({"name": name, "usage": usage(amount)}))
        .collect();
    Some(object)
}

fn object(kind: &str, of: &Value, used: &Use) -> Value {
    let time = used.clock.strftime("%Y-%m-%dT%H:%M:%SZ").to_string();
    let mut object = json!({
        "kind": kind,
        "apiVersion": "metrics.k8s.io/v1beta1",
        "metadata": {"name": of.name(), "creationTimestamp": time},
        "timestamp": time,
        "window": duration(used.window),
    });
    if let Some(labels) = of.at(&["metadata", "labels"]) {
        object["metadata"]["labels"] = labels.clone();
    }
    object
}

fn usage(amount: &Amount) -> Value {
    let cpu = format!("{}n", amount.cpu).parse::<Quantity>().map(|cpu| cpu.to_string());
    json!({"cpu": cpu.unwrap_or_default(), "memory": bytes(amount.memory_bytes)})
}

fn bytes(bytes: u64) -> String {
    Quantity::new(i64::try_from(bytes).unwrap_or(i64::MAX), Format::BinarySi).to_string()
}

/// As Go writes durations, to the millisecond.
fn duration(duration: Duration) -> String {
    let milliseconds = duration.as_millis();
    let (minutes, rest) = (milliseconds / 60_000, milliseconds % 60_000);
    let mut seconds = format!("{}.{:03}", rest / 1000, rest % 1000);
    seconds.truncate(seconds.trim_end_matches('0').trim_end_matches('.').len());
    match minutes {
        0 => format!("{seconds}s"),
        _ => format!("{minutes}m{seconds}s"),
    }
}

/// The columns besides the name.
pub(super) fn columns() -> Vec<Value> {
    [("cpu", "quantity"), ("memory", "quantity"), ("window", "duration")]
        .map(|(name, format)| {
            let mut title = name.to_owned();
            title[..1].make_ascii_uppercase();
            json!({"name": title, "type": "string", "format": format, "jsonPath": name})
        })
        .to_vec()
}

/// What stands in a column; of a pod the sum over its containers.
pub(super) fn cell(object: &Value, column: &str) -> Value {
    if column == "window" {
        return object["window"].clone();
    }
    let containers = object.list_at(&["containers"]).iter().map(|c| &c["usage"]);
    let own = object.get("usage").into_iter();
    let quantities = own.chain(containers).filter_map(|usage| usage[column].as_str());
    let text: Vec<&str> = quantities.collect();
    match (text.as_slice(), column) {
        ([only], _) => json!(only),
        (several, "cpu") => {
            let nano = |text: &&str| match text.strip_suffix('n') {
                Some(number) => number.parse::<u64>().unwrap_or(0),
                None => text
                    .parse::<Quantity>()
                    .map_or(0, |cpu| u64::try_from(cpu.milli_value()).unwrap_or(0) * 1_000_000),
            };
            usage(&Amount { cpu: several.iter().map(nano).sum(), memory_bytes: 0 })["cpu"].clone()
        }
        (several, _) => {
            let value = |text: &&str| text.parse::<Quantity>().map_or(0, |memory| memory.value());
            json!(bytes(u64::try_from(several.iter().map(value).sum::<i64>()).unwrap_or(0)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use jiff::Timestamp;
    use std::collections::BTreeMap;

    #[test]
    fn durations() {
        let check = |ms: u64, expect: &str| {
            assert_eq!(duration(Duration::from_millis(ms)), expect);
        };
        check(1002, "1.002s");
        check(15_000, "15s");
        check(10_500, "10.5s");
        check(75_250, "1m15.25s");
    }

    #[test]
    fn forms() {
        let amount = |cpu, memory_bytes| Amount { cpu, memory_bytes };
        let containers = BTreeMap::from([
            ("a".to_owned(), amount(1_500_001, 2048)),
            ("b".to_owned(), amount(2_000_000, 1024)),
        ]);
        let used = Use {
            clock: Timestamp::UNIX_EPOCH,
            window: Duration::from_secs(1),
            node: amount(156_514_083, 3 << 20),
            pods: BTreeMap::from([(("n".to_owned(), "p".to_owned()), containers)]),
        };
        let node = node_metrics(&json!({"metadata": {"name": "x", "labels": {"l": "1"}}}), &used);
        assert_eq!(
            node.unwrap(),
            json!({"kind": "NodeMetrics", "apiVersion": "metrics.k8s.io/v1beta1",
                "metadata": {"name": "x", "creationTimestamp": "1970-01-01T00:00:00Z",
                    "labels": {"l": "1"}},
                "timestamp": "1970-01-01T00:00:00Z", "window": "1s",
                "usage": {"cpu": "156514083n", "memory": "3Mi"}})
        );
        let pod = json!({"metadata": {"name": "p", "namespace": "n"}});
        let pod = pod_metrics(&pod, &used).unwrap();
        assert_eq!(pod["containers"][1]["usage"], json!({"cpu": "2m", "memory": "1Ki"}));
        assert_eq!(cell(&pod, "cpu"), "3500001n");
        assert_eq!(cell(&pod, "memory"), "3Ki");
        let other = json!({"metadata": {"name": "q", "namespace": "n"}});
        assert!(pod_metrics(&other, &used).is_none());
    }
}
