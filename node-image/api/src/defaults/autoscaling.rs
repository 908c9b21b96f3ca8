//! Defaults of HorizontalPodAutoscalers.

use serde_json::{Value, json};

use super::{quantities, set_all};
use crate::walk::{Shape, Walk};

/// The share of the requested CPU that is aimed at.
const CPU_UTILIZATION: i64 = 80;

pub(super) fn horizontal_pod_autoscaler(obj: &mut Value) {
    let first_version = obj.text("apiVersion") == "autoscaling/v1";
    let Some(spec) = obj.object_mut("spec") else { return };
    spec.set_default("minReplicas", 1);
    if first_version {
        return;
    }
    if spec.list("metrics").is_empty() {
        spec.put(
            "metrics",
            json!([{"type": "Resource", "resource": {"name": "cpu",
                "target": {"type": "Utilization", "averageUtilization": CPU_UTILIZATION}}}]),
        );
    }
    for metric in spec.each_mut("metrics") {
        for source in ["resource", "containerResource", "pods", "object", "external"] {
            if let Some(target) = metric.reach_mut(&[source, "target"]) {
                quantities::single(target, "value");
                quantities::single(target, "averageValue");
            }
        }
    }
    if let Some(behavior) = spec.existing_mut("behavior") {
        scaling_rules(behavior, "scaleUp", scale_up());
        scaling_rules(behavior, "scaleDown", scale_down());
    }
}

fn scaling_rules(behavior: &mut Value, direction: &str, defaults: Value) {
    if let Some(rules) = behavior.object_mut(direction) {
        set_all(rules, defaults);
    }
}

fn scale_up() -> Value {
    json!({
        "stabilizationWindowSeconds": 0,
        "selectPolicy": "Max",
        "policies": [
            {"type": "Pods", "value": 4, "periodSeconds": 15},
            {"type": "Percent", "value": 100, "periodSeconds": 15}
        ]
    })
}

fn scale_down() -> Value {
    json!({
        "selectPolicy": "Max",
        "policies": [{"type": "Percent", "value": 100, "periodSeconds": 15}]
    })
}
