//! HorizontalPodAutoscalers of `autoscaling/v1` and `v2`. The first version knows one metric, the use
//! of the CPU; annotations carry the rest, in a form of its own.

use serde_json::{Map, Value, json};

use crate::walk::{Shape, Walk};

const METRICS: &str = "autoscaling.alpha.kubernetes.io/metrics";
const CURRENT_METRICS: &str = "autoscaling.alpha.kubernetes.io/current-metrics";
const BEHAVIOR: &str = "autoscaling.alpha.kubernetes.io/behavior";
const CONDITIONS: &str = "autoscaling.alpha.kubernetes.io/conditions";

/// How a source writes its parts in the first version: (field there, path in the second). `@` stands
/// for `target` of a wanted metric and `current` of a measured one; `*` at the front of a name for
/// those words as its beginning.
type Fields = &'static [(&'static str, &'static [&'static str])];

const SOURCES: &[(&str, Fields)] = &[
    (
        "containerResource",
        &[
            ("name", &["name"]),
            ("container", &["container"]),
            ("*AverageUtilization", &["@", "averageUtilization"]),
            ("*AverageValue", &["@", "averageValue"]),
        ],
    ),
    (
        "external",
        &[
            ("metricName", &["metric", "name"]),
            ("metricSelector", &["metric", "selector"]),
            ("*Value", &["@", "value"]),
            ("*AverageValue", &["@", "averageValue"]),
        ],
    ),
    (
        "object",
        &[
            ("target", &["describedObject"]),
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("*Value", &["@", "value"]),
            ("averageValue", &["@", "averageValue"]),
        ],
    ),
    (
        "pods",
        &[
            ("metricName", &["metric", "name"]),
            ("selector", &["metric", "selector"]),
            ("*AverageValue", &["@", "averageValue"]),
        ],
    ),
    (
        "resource",
        &[
            ("name", &["name"]),
            ("*AverageUtilization", &["@", "averageUtilization"]),
            ("*AverageValue", &["@", "averageValue"]),
        ],
    ),
];

/// What is wanted or what is measured.
#[derive(Clone, Copy)]
enum Side {
    Target,
    Current,
}

impl Side {
    fn word(self) -> &'static str {
        match self {
            Side::Target => "target",
            Side::Current => "current",
        }
    }

    fn field(self, name: &str) -> String {
        name.replacen('*', self.word(), 1)
    }

    fn path<'a>(self, path: &[&'a str]) -> Vec<&'a str> {
        path.iter().map(|part| if *part == "@" { self.word() } else { *part }).collect()
    }
}

/// `v2` to `v1`.
pub(super) fn to_first(object: &mut Value) {
    drop_annotations(object);
    let spec = object["spec"].clone();
    let status = object["status"].clone();
    let (cpu, others): (Vec<&Value>, Vec<&Value>) =
        spec.list("metrics").iter().partition(|metric| cpu_use(metric, Side::Target).is_some());
    let current = status.list("currentMetrics");
    for (annotation, list) in [
        (METRICS, first_metrics(others, Side::Target)),
        (CURRENT_METRICS, first_metrics(current.iter().collect(), Side::Current)),
        (BEHAVIOR, spec["behavior"].clone()),
        (CONDITIONS, status["conditions"].clone()),
    ] {
        let empty = list.is_null() || list.as_array().is_some_and(Vec::is_empty);
        if !empty && let Some(annotations) = annotations(object) {
            annotations.put(annotation, list.to_string());
        }
    }
    if let Some(spec) = object.existing_mut("spec") {
        spec.take_key("metrics");
        spec.take_key("behavior");
        if let Some(share) = cpu.first().and_then(|metric| cpu_use(metric, Side::Target)) {
            spec.put("targetCPUUtilizationPercentage", share);
        }
    }
    if let Some(status) = object.existing_mut("status") {
        let share = current.iter().find_map(|metric| cpu_use(metric, Side::Current));
        status.take_key("currentMetrics");
        status.take_key("conditions");
        if let Some(share) = share {
            status.put("currentCPUUtilizationPercentage", share);
        }
    }
}

/// `v1` to `v2`; what is in the second version already stays as it is.
pub(crate) fn to_second(object: &mut Value) {
    let annotation = |name: &str| -> Value {
        let text = object["metadata"]["annotations"].text(name);
        serde_json::from_str(text).unwrap_or(Value::Null)
    };
    let [metrics, current, behavior, conditions] =
        [METRICS, CURRENT_METRICS, BEHAVIOR, CONDITIONS].map(annotation);
    drop_annotations(object);
    if let Some(spec) = object.existing_mut("spec") {
        let share = spec.take_key("targetCPUUtilizationPercentage");
        let mut all = second_metrics(&metrics, Side::Target);
        if let Some(share) = share.filter(|share| !share.is_null()) {
            let target = json!({"type": "Utilization", "averageUtilization": share});
            let resource = json!({"name": "cpu", "target": target});
            all.push(json!({"type": "Resource", "resource": resource}));
        }
        if !all.is_empty() {
            spec.put("metrics", all);
        }
        if behavior.is_object() {
            spec.put("behavior", behavior);
        }
    }
    let Some(status) = object.existing_mut("status") else { return };
    let share = status.take_key("currentCPUUtilizationPercentage");
    let mut measured = second_metrics(&current, Side::Current);
    if let Some(share) = share.filter(|share| measured.is_empty() && !share.is_null()) {
        let resource = json!({"name": "cpu", "current": {"averageUtilization": share}});
        measured.push(json!({"type": "Resource", "resource": resource}));
    }
    if !measured.is_empty() {
        status.put("currentMetrics", measured);
    }
    if conditions.is_array() {
        status.put("conditions", conditions);
    }
}

fn annotations(object: &mut Value) -> Option<&mut Value> {
    object.object_mut("metadata")?.object_mut("annotations")
}

fn drop_annotations(object: &mut Value) {
    let Some(metadata) = object.existing_mut("metadata") else { return };
    let Some(annotations) = metadata.existing_mut("annotations") else { return };
    for name in [METRICS, CURRENT_METRICS, BEHAVIOR, CONDITIONS] {
        annotations.take_key(name);
    }
    if annotations.as_object().is_some_and(Map::is_empty) {
        metadata.take_key("annotations");
    }
}

/// The share of the CPU, when that is what a metric of the second version is about.
fn cpu_use(metric: &Value, side: Side) -> Option<i64> {
    let resource = &metric["resource"];
    let is_cpu = metric.text("type") == "Resource" && resource.text("name") == "cpu";
    resource[side.word()].integer("averageUtilization").filter(|_| is_cpu)
}

fn first_metrics(metrics: Vec<&Value>, side: Side) -> Value {
    metrics
        .into_iter()
        .map(|metric| converted(metric, |source, fields| to_fields(source, fields, side)))
        .collect()
}

fn second_metrics(metrics: &Value, side: Side) -> Vec<Value> {
    let list = metrics.as_array().into_iter().flatten();
    list.map(|metric| {
        converted(metric, |source, fields| {
            let mut source = from_fields(source, fields, side);
            if let Side::Target = side
                && let Some(target) = source.object_mut("target")
            {
                let sort = target_type(target);
                target.put("type", sort);
            }
            source
        })
    })
    .collect()
}

fn target_type(target: &Value) -> &'static str {
    if target.has("averageUtilization") {
        "Utilization"
    } else if target.has("averageValue") {
        "AverageValue"
    } else {
        "Value"
    }
}

fn converted(metric: &Value, source: impl Fn(&Value, Fields) -> Value) -> Value {
    let mut new = json!({"type": metric["type"]});
    for (name, fields) in SOURCES {
        if metric.has(name) {
            new.put(name, source(&metric[name], fields));
        }
    }
    new
}

fn to_fields(source: &Value, fields: Fields, side: Side) -> Value {
    let mut new = json!({});
    for (field, path) in fields {
        let found = side.path(path).iter().fold(source, |value, part| &value[*part]);
        if !found.is_null() {
            new.put(&side.field(field), found.clone());
        }
    }
    new
}

fn from_fields(source: &Value, fields: Fields, side: Side) -> Value {
    let mut new = json!({});
    for (field, path) in fields {
        let value = &source[side.field(field)];
        if value.is_null() {
            continue;
        }
        match side.path(path).as_slice() {
            [one] => new.put(one, value.clone()),
            [outer, inner] => {
                if let Some(owner) = new.object_mut(outer) {
                    owner.put(inner, value.clone());
                }
            }
            _ => {}
        }
    }
    new
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::conversion::convert;
    use crate::testing::kind;

    fn both() -> (crate::Kind, crate::Kind) {
        let version = |version: &str| kind("autoscaling", version, "HorizontalPodAutoscaler");
        (version("v1"), version("v2"))
    }

    #[test]
    fn the_use_of_the_cpu() {
        let (v1, v2) = both();
        let first = json!({"apiVersion": "autoscaling/v1", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a"},
            "spec": {"maxReplicas": 3, "minReplicas": 1, "targetCPUUtilizationPercentage": 50},
            "status": {"currentCPUUtilizationPercentage": 20, "currentReplicas": 1}});
        let second = convert(first.clone(), &v1, &v2);
        assert_eq!(
            second["spec"]["metrics"],
            json!([{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": 50}}}])
        );
        let back = convert(second, &v2, &v1);
        assert_eq!(back["spec"], first["spec"]);
        assert_eq!(back["status"], first["status"]);
    }

    #[test]
    fn everything_else_survives_in_annotations() {
        let (v1, v2) = both();
        let second = json!({"apiVersion": "autoscaling/v2", "kind": "HorizontalPodAutoscaler",
            "metadata": {"name": "a", "annotations": {"own": "x"}},
            "spec": {"maxReplicas": 3, "minReplicas": 1,
                "metrics": [
                    {"type": "Pods", "pods": {"metric": {"name": "hits"},
                        "target": {"type": "AverageValue", "averageValue": "5"}}},
                    {"type": "Object", "object": {"describedObject": {"kind": "Service", "name": "s"},
                        "metric": {"name": "hits"}, "target": {"type": "Value", "value": "10"}}}],
                "behavior": {"scaleDown": {"selectPolicy": "Max", "stabilizationWindowSeconds": 5,
                    "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]}}},
            "status": {"desiredReplicas": 1, "conditions": [{"type": "AbleToScale", "status": "True"}],
                "currentMetrics": [{"type": "Pods", "pods": {"metric": {"name": "hits"},
                    "current": {"averageValue": "3"}}}]}});
        let first = convert(second.clone(), &v2, &v1);
        assert_eq!(
            first["metadata"]["annotations"][METRICS],
            r#"[{"pods":{"metricName":"hits","targetAverageValue":"5"},"type":"Pods"},{"object":{"metricName":"hits","target":{"kind":"Service","name":"s"},"targetValue":"10"},"type":"Object"}]"#
        );
        assert!(!first["spec"].has("metrics") && !first["spec"].has("behavior"));
        let mut back = convert(first, &v1, &v2);
        back["spec"]["behavior"].as_object_mut().unwrap().remove("scaleUp");
        assert_eq!(back, second);
    }
}
