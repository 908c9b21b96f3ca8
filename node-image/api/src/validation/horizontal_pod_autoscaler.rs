//! HorizontalPodAutoscalers, in the form of `autoscaling/v2`.

use serde_json::Value;

use super::check::{Errors, none_negative, problems};
use super::names;
use super::workload::spec_path;
use crate::conversion::autoscaler;
use crate::quantity::Quantity;
use crate::walk::Walk;
use crate::{FieldError, Path};

const STABILIZATION_SECONDS_MAX: i64 = 3600;
const PERIOD_SECONDS_MAX: i64 = 1800;

const NO_VALUE: &str = "must set either a target value or averageValue";
const NO_EXTERNAL: &str = "must set either a target value for metric or a per-pod target";
const BOTH_EXTERNAL: &str = "may not set both a target value for metric and a per-pod target";
const NO_RESOURCE: &str = "must set either a target raw value or a target utilization";
const BOTH_RESOURCE: &str = "may not set both a target raw value and a target utilization";

/// The types of metric, each with the field of its source.
const SOURCES: [(&str, &str); 5] = [
    ("ContainerResource", "containerResource"),
    ("External", "external"),
    ("Object", "object"),
    ("Pods", "pods"),
    ("Resource", "resource"),
];

pub(super) fn create(errors: &mut Errors, object: &Value) {
    let object = &second_version(object);
    let (path, spec) = (spec_path(), &object["spec"]);
    let fewest = spec.integer("minReplicas");
    let most = spec.integer("maxReplicas").unwrap_or(0);
    if let Some(fewest) = fewest.filter(|count| *count < 1) {
        let text = "must be greater than or equal to 1";
        errors.push(FieldError::invalid(path.child("minReplicas"), fewest, text));
    }
    if most < 1 {
        let text = "must be greater than 0";
        errors.push(FieldError::invalid(path.child("maxReplicas"), most, text));
    }
    if fewest.is_some_and(|fewest| most < fewest) {
        let text = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(path.child("maxReplicas"), most, text));
    }
    reference(errors, &spec["scaleTargetRef"], &path.child("scaleTargetRef"));
    for (index, metric) in spec.list("metrics").iter().enumerate() {
        metric_spec(errors, metric, &path.child("metrics").index(index));
    }
    for direction in ["scaleUp", "scaleDown"] {
        let path = path.child("behavior").child(direction);
        scaling_rules(errors, &spec["behavior"][direction], &path);
    }
}

/// The form that the rules are about, whichever the client speaks.
fn second_version(object: &Value) -> Value {
    let mut object = object.clone();
    autoscaler::to_second(&mut object);
    object
}

pub(super) fn status(errors: &mut Errors, new: &Value, _: &Value) {
    let fields = ["currentReplicas", "desiredReplicas"];
    none_negative(errors, &new["status"], &fields, &Path::new("status"));
}

fn reference(errors: &mut Errors, reference: &Value, path: &Path) {
    for field in ["kind", "name"] {
        match reference.text(field) {
            "" => errors.push(FieldError::required(path.child(field), "")),
            text => problems(errors, &path.child(field), text, names::path_segment(text)),
        }
    }
}

fn metric_spec(errors: &mut Errors, metric: &Value, path: &Path) {
    let name = metric.text("type");
    let supported = SOURCES.map(|(name, _)| name);
    if name.is_empty() {
        let text = "must specify a metric source type";
        errors.push(FieldError::required(path.child("type"), text));
    }
    if !supported.contains(&name) {
        errors.push(FieldError::not_supported(path.child("type"), name, &supported));
    }
    let present: Vec<&str> =
        SOURCES.iter().map(|(_, field)| *field).filter(|field| metric.has(field)).collect();
    if let Some(field) = present.first() {
        source(errors, field, &metric[field], &path.child(field));
    }
    let expected = SOURCES.iter().find(|(known, _)| *known == name).map(|(_, field)| *field);
    if let Some(field) = expected.filter(|field| !metric.has(field)) {
        let text = "must populate information for the given metric source";
        errors.push(FieldError::required(path.child(field), text));
    }
    if present.len() != 1 {
        for field in present.into_iter().filter(|field| Some(*field) != expected) {
            let text = "must populate the given metric source only";
            errors.push(FieldError::forbidden(path.child(field), text));
        }
    }
}

fn source(errors: &mut Errors, sort: &str, source: &Value, path: &Path) {
    match sort {
        "object" => reference(errors, &source["describedObject"], &path.child("describedObject")),
        "resource" | "containerResource" => {
            if source.text("name").is_empty() {
                let text = "must specify a resource name";
                errors.push(FieldError::required(path.child("name"), text));
            }
            if sort == "containerResource" && source.text("container").is_empty() {
                let text = "must specify a container";
                errors.push(FieldError::required(path.child("container"), text));
            }
        }
        _ => {}
    }
    if matches!(sort, "object" | "external" | "pods") {
        let path = path.child("metric").child("name");
        match source["metric"].text("name") {
            "" => errors.push(FieldError::required(path, "must specify a metric name")),
            name => problems(errors, &path, name, names::path_segment(name)),
        }
    }
    let (target, path) = (&source["target"], path.child("target"));
    metric_target(errors, target, &path);
    let has = |field: &str| target.has(field);
    let mut missing = |field: &str, text: &str| {
        errors.push(FieldError::required(path.child(field), text));
    };
    match sort {
        "object" if !has("value") && !has("averageValue") => missing("averageValue", NO_VALUE),
        "external" if !has("value") && !has("averageValue") => missing("averageValue", NO_EXTERNAL),
        "external" if has("value") && has("averageValue") => {
            errors.push(FieldError::forbidden(path.child("value"), BOTH_EXTERNAL));
        }
        "pods" if !is_positive(&target["averageValue"]) => {
            missing("averageValue", "must specify a positive target averageValue");
        }
        "resource" | "containerResource" => {
            match (has("averageUtilization"), has("averageValue")) {
                (false, false) => missing("averageUtilization", NO_RESOURCE),
                (true, true) => {
                    errors.push(FieldError::forbidden(path.child("averageValue"), BOTH_RESOURCE));
                }
                _ => {}
            }
        }
        _ => {}
    }
}

fn is_positive(quantity: &Value) -> bool {
    let zero = Quantity::from_json(&"0".into());
    match (Quantity::from_json(quantity), zero) {
        (Ok(quantity), Ok(zero)) => quantity > zero,
        _ => false,
    }
}

fn metric_target(errors: &mut Errors, target: &Value, path: &Path) {
    match target.text("type") {
        "" => {
            let text = "must specify a metric target type";
            errors.push(FieldError::required(path.child("type"), text));
        }
        "Utilization" | "Value" | "AverageValue" => {}
        other => {
            let text = "must be either Utilization, Value, or AverageValue";
            errors.push(FieldError::invalid(path.child("type"), other, text));
        }
    }
    for field in ["value", "averageValue"] {
        if target.has(field) && !is_positive(&target[field]) {
            let value = target[field].clone();
            errors.push(FieldError::invalid(path.child(field), value, "must be positive"));
        }
    }
    if let Some(share) = target.integer("averageUtilization").filter(|share| *share < 1) {
        let path = path.child("averageUtilization");
        errors.push(FieldError::invalid(path, share, "must be greater than 0"));
    }
}

fn scaling_rules(errors: &mut Errors, rules: &Value, path: &Path) {
    if rules.is_null() {
        return;
    }
    if let Some(seconds) = rules.integer("stabilizationWindowSeconds") {
        let path = path.child("stabilizationWindowSeconds");
        if seconds < 0 {
            let text = "must be greater than or equal to zero";
            errors.push(FieldError::invalid(path, seconds, text));
        } else if seconds > STABILIZATION_SECONDS_MAX {
            let text = format!("must be less than or equal to {STABILIZATION_SECONDS_MAX}");
            errors.push(FieldError::invalid(path, seconds, text));
        }
    }
    let policy = rules.text("selectPolicy");
    if rules.has("selectPolicy") && !matches!(policy, "Max" | "Min" | "Disabled") {
        let supported = ["Disabled", "Max", "Min"];
        errors.push(FieldError::not_supported(path.child("selectPolicy"), policy, &supported));
    }
    if rules.has("tolerance") && !is_positive(&rules["tolerance"]) {
        let zero = Quantity::from_json(&rules["tolerance"]).is_ok_and(|amount| amount.is_zero());
        if !zero {
            let (path, value) = (path.child("tolerance"), rules["tolerance"].clone());
            let text = "must be greater than or equal to 0";
            errors.push(FieldError::invalid(path, value, text));
        }
    }
    let path = path.child("policies");
    if rules.list("policies").is_empty() {
        errors.push(FieldError::required(path.clone(), "must specify at least one Policy"));
    }
    for (index, policy) in rules.list("policies").iter().enumerate() {
        scaling_policy(errors, policy, &path.index(index));
    }
}

fn scaling_policy(errors: &mut Errors, policy: &Value, path: &Path) {
    let sort = policy.text("type");
    if !matches!(sort, "Pods" | "Percent") {
        let supported = ["Percent", "Pods"];
        errors.push(FieldError::not_supported(path.child("type"), sort, &supported));
    }
    for field in ["value", "periodSeconds"] {
        let number = policy.integer(field).unwrap_or(0);
        if number <= 0 {
            let text = "must be greater than zero";
            errors.push(FieldError::invalid(path.child(field), number, text));
        } else if field == "periodSeconds" && number > PERIOD_SECONDS_MAX {
            let text = format!("must be less than or equal to {PERIOD_SECONDS_MAX}");
            errors.push(FieldError::invalid(path.child(field), number, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults::apply_defaults;
    use crate::testing::kind;

    #[test]
    fn autoscalers() {
        let check = |change: fn(&mut Value), want: &[&str]| {
            let mut object = json!({"apiVersion": "autoscaling/v2", "spec": {"maxReplicas": 3,
                "scaleTargetRef": {"kind": "Deployment", "name": "web"}}});
            change(&mut object["spec"]);
            apply_defaults(&kind("autoscaling", "v2", "HorizontalPodAutoscaler"), &mut object);
            let mut errors = Errors::new();
            create(&mut errors, &object);
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        check(|_| {}, &[]);
        check(
            |s| s["minReplicas"] = json!(5),
            &["spec.maxReplicas: Invalid value: 3: must be greater than or equal to `minReplicas`"],
        );
        check(
            |s| s["scaleTargetRef"] = json!({}),
            &[
                "spec.scaleTargetRef.kind: Required value",
                "spec.scaleTargetRef.name: Required value",
            ],
        );
        check(
            |s| s["metrics"] = json!([{"type": "Resource", "resource": {"name": "cpu", "target": {"type": "Utilization"}}}]),
            &[
                "spec.metrics[0].resource.target.averageUtilization: Required value: must set either a target raw value or a target utilization",
            ],
        );
        check(
            |s| s["metrics"] = json!([{"type": "Pods"}]),
            &[
                "spec.metrics[0].pods: Required value: must populate information for the given metric source",
            ],
        );
        check(
            |s| s["behavior"] = json!({"scaleDown": {"stabilizationWindowSeconds": 4000, "policies": [{"type": "Pods", "value": 1}]}}),
            &[
                "spec.behavior.scaleDown.stabilizationWindowSeconds: Invalid value: 4000: must be less than or equal to 3600",
                "spec.behavior.scaleDown.policies[0].periodSeconds: Invalid value: 0: must be greater than zero",
            ],
        );
    }
}
