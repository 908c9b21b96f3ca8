//! Namespaces, nodes, accounts, events, leases, limits, quotas, priorities.

use serde_json::Value;

use super::check::{
    Errors, choice, immutable, not_negative, problems, required, required_choice, required_text,
};
use super::scheduling::TAINT_EFFECTS;
use super::{names, resources};
use crate::quantity::Quantity;
use crate::strategy::same;
use crate::walk::Walk;
use crate::{FieldError, Path};

/// The largest value of a priority class that users may make.
const PRIORITY_MAX: i64 = 1_000_000_000;
const QUOTA_SCOPES: [&str; 7] = [
    "BestEffort",
    "CrossNamespacePodAffinity",
    "NotBestEffort",
    "NotTerminating",
    "PriorityClass",
    "Terminating",
    "VolumeAttributesClass",
];
pub(super) fn namespace(errors: &mut Errors, object: &Value) {
    let path = Path::new("spec").child("finalizers");
    for finalizer in object["spec"].list("finalizers").iter().filter_map(Value::as_str) {
        problems(errors, &path, finalizer, names::qualified_name(finalizer));
        if finalizer != "kubernetes" && !finalizer.contains('/') {
            let text = "name is neither a standard finalizer name nor is it fully qualified";
            errors.push(FieldError::invalid(path.clone(), finalizer, text));
        }
    }
}

pub(super) fn namespace_status(errors: &mut Errors, new: &Value, _: &Value) {
    let path = Path::new("status").child("Phase");
    let terminating = new["metadata"].has("deletionTimestamp");
    let phase = new["status"].text("phase");
    let text = match (terminating, phase) {
        (false, "Active") | (true, "Terminating") => return,
        (false, _) => "may only be 'Active' if `deletionTimestamp` is empty",
        (true, _) => "may only be 'Terminating' if `deletionTimestamp` is not empty",
    };
    errors.push(FieldError::invalid(path, phase, text));
}

pub(super) fn node(errors: &mut Errors, object: &Value) {
    let path = Path::new("spec");
    let spec = &object["spec"];
    taints(errors, spec, &path.child("taints"));
    let ranges: Vec<&str> = spec.list("podCIDRs").iter().filter_map(Value::as_str).collect();
    for (index, range) in ranges.iter().enumerate() {
        problems(errors, &path.child("podCIDRs").index(index), *range, names::cidr(range));
    }
    let status = Path::new("status");
    for field in ["capacity", "allocatable"] {
        for (resource, value) in object["status"].entries(field) {
            let path = status.child(field).key(resource);
            resources::name(errors, resource, &path);
            resources::amount(errors, resource, value, &path);
        }
    }
}

fn taints(errors: &mut Errors, spec: &Value, path: &Path) {
    let mut seen = Vec::new();
    for (index, taint) in spec.list("taints").iter().enumerate() {
        let path = path.index(index);
        let (key, value) = (taint.text("key"), taint.text("value"));
        problems(errors, &path.child("key"), key, names::qualified_name(key));
        problems(errors, &path.child("value"), value, names::label_value(value));
        required_choice(errors, taint, "effect", &path, &TAINT_EFFECTS);
        let pair = (key, taint.text("effect"));
        if seen.contains(&pair) {
            let mut error = FieldError::duplicate(path, taint.clone());
            error.detail = "taints must be unique by key and effect pair".into();
            errors.push(error);
        }
        seen.push(pair);
    }
}

pub(super) fn node_update(errors: &mut Errors, new: &Value, old: &Value) {
    node(errors, new);
    let path = Path::new("spec");
    for field in ["podCIDR", "podCIDRs"] {
        let before = &old["spec"][field];
        if !same(before, &Value::Null) && !same(&new["spec"][field], before) {
            let text = "node updates may not change podCIDR except from \"\" to valid";
            errors.push(FieldError::forbidden(path.child(field), text));
            return;
        }
    }
    let (now, before) = (new["spec"].text("providerID"), old["spec"].text("providerID"));
    if !before.is_empty() && now != before {
        let text = "node updates may not change providerID except from \"\" to valid";
        errors.push(FieldError::forbidden(path.child("providerID"), text));
    }
}

pub(super) fn lease(errors: &mut Errors, object: &Value) {
    let path = Path::new("spec");
    let spec = &object["spec"];
    if let Some(seconds) = spec.integer("leaseDurationSeconds")
        && seconds <= 0
    {
        let text = "must be greater than 0";
        errors.push(FieldError::invalid(path.child("leaseDurationSeconds"), seconds, text));
    }
    not_negative(errors, spec, "leaseTransitions", &path);
    if spec["holderIdentity"].as_str() == Some("") && spec.has("strategy") {
        errors.push(FieldError::invalid(path.child("holderIdentity"), "", "must not be empty"));
    }
}

/// Events of the old shape: their namespace is that of the object.
pub(super) fn event(errors: &mut Errors, object: &Value) {
    let namespace = object["metadata"].text("namespace");
    let subject = if object.has("involvedObject") { "involvedObject" } else { "regarding" };
    let about = object[subject].text("namespace");
    let path = Path::new(subject).child("namespace");
    if about.is_empty() {
        if !matches!(namespace, "default" | "kube-system" | "") {
            errors.push(FieldError::invalid(path, about, "does not match event.namespace"));
        }
    } else if about != namespace {
        errors.push(FieldError::invalid(path, about, "does not match event.namespace"));
    }
    if object.has("eventTime") && object.has("reportingController") && subject == "regarding" {
        new_event(errors, object);
    }
}

fn new_event(errors: &mut Errors, object: &Value) {
    let path = Path::new("");
    required_text(errors, object, "reportingController", &path, names::qualified_name);
    for field in ["reportingInstance", "action", "reason"] {
        required(errors, object, field, &path);
    }
    if object.text("note").len() > 1024 {
        let text = "can have at most 1024 characters";
        errors.push(FieldError::invalid(path.child("note"), "", text));
    }
    required_choice(errors, object, "type", &path, &["Normal", "Warning"]);
}

pub(super) fn limit_range(errors: &mut Errors, object: &Value) {
    let mut seen = Vec::new();
    for (index, limit) in object["spec"].list("limits").iter().enumerate() {
        let path = Path::new("spec").child("limits").index(index);
        let kind = limit.text("type");
        if seen.contains(&kind) {
            errors.push(FieldError::duplicate(path.child("type"), kind));
        }
        seen.push(kind);
        for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            resources::amounts(errors, limit, field, &path);
        }
        if kind == "Pod" {
            for field in ["default", "defaultRequest"] {
                if limit.entries(field).next().is_some() {
                    let text = "may not be specified when `type` is 'Pod'";
                    errors.push(FieldError::forbidden(path.child(field), text));
                }
            }
        }
        if kind == "PersistentVolumeClaim"
            && !limit["max"].has("storage")
            && !limit["min"].has("storage")
        {
            let text =
                "either minimum or maximum storage value is required, but neither was provided";
            errors.push(FieldError::required(path.child("limits"), text));
        }
        ordered(errors, limit, &path);
    }
}

/// Minimum, default request, default and maximum must not cross.
fn ordered(errors: &mut Errors, limit: &Value, path: &Path) {
    for (low, high) in [
        ("min", "max"),
        ("min", "defaultRequest"),
        ("defaultRequest", "max"),
        ("defaultRequest", "default"),
        ("min", "default"),
        ("default", "max"),
    ] {
        for (resource, value) in limit.entries(low) {
            let bound = &limit[high][resource];
            if bound.is_null() {
                continue;
            }
            let (Ok(a), Ok(b)) = (Quantity::from_json(value), Quantity::from_json(bound)) else {
                continue;
            };
            if a > b {
                let words = |field: &str| match field {
                    "defaultRequest" => "default request".to_owned(),
                    other => other.to_owned(),
                };
                let text =
                    format!("{} value {a} is greater than {} value {b}", words(low), words(high));
                let path = path.child(low).key(resource);
                errors.push(FieldError::invalid(path, a.to_string(), text));
            }
        }
    }
}

pub(super) fn resource_quota(errors: &mut Errors, object: &Value) {
    let path = Path::new("spec");
    let spec = &object["spec"];
    for (resource, value) in spec.entries("hard") {
        let path = path.child("hard").key(resource);
        if !resource.starts_with("count/") {
            resources::name(errors, resource, &path);
        }
        resources::amount(errors, resource, value, &path);
    }
    for (index, scope) in spec.list("scopes").iter().filter_map(Value::as_str).enumerate() {
        if !QUOTA_SCOPES.contains(&scope) {
            let path = path.child("scopes").index(index);
            errors.push(FieldError::invalid(path, scope, "unsupported scope"));
        }
    }
    let own = path.child("scopeSelector").child("matchExpressions");
    for (index, expression) in spec["scopeSelector"].list("matchExpressions").iter().enumerate() {
        let path = own.index(index);
        let operators = ["DoesNotExist", "Exists", "In", "NotIn"];
        choice(errors, expression, "operator", &path, &operators);
        let scope = expression.text("scopeName");
        if !QUOTA_SCOPES.contains(&scope) {
            errors.push(FieldError::invalid(path.child("scopeName"), scope, "unsupported scope"));
        }
    }
}

pub(super) fn resource_quota_update(errors: &mut Errors, new: &Value, old: &Value) {
    resource_quota(errors, new);
    let path = Path::new("spec").child("scopes");
    immutable(errors, &new["spec"]["scopes"], &old["spec"]["scopes"], &path);
}

pub(super) fn priority_class(errors: &mut Errors, object: &Value) {
    let name = object["metadata"].text("name");
    if name.starts_with("system-") {
        let known =
            [("system-node-critical", 2_000_001_000), ("system-cluster-critical", 2_000_000_000)];
        if !known.contains(&(name, object.integer("value").unwrap_or(0))) {
            let text = "priority class names with 'system-' prefix are reserved for system use only. error: ".to_owned()
                + &format!("{name} is not a known system priority class");
            errors.push(FieldError::forbidden(Path::new("metadata").child("name"), text));
        }
    } else if let Some(value) = object.integer("value").filter(|value| *value > PRIORITY_MAX) {
        let text = format!("maximum allowed value of a user defined priority is {PRIORITY_MAX}");
        let mut error = FieldError::forbidden(Path::new("value"), text);
        error.bad_value = value.into();
        errors.push(error);
    }
    let policies = ["Never", "PreemptLowerPriority"];
    choice(errors, object, "preemptionPolicy", &Path::new(""), &policies);
}

pub(super) fn priority_class_update(errors: &mut Errors, new: &Value, old: &Value) {
    if new.integer("value").unwrap_or(0) != old.integer("value").unwrap_or(0) {
        let text = "may not be changed in an update.";
        errors.push(FieldError::forbidden(Path::new("value"), text));
    }
    let path = Path::new("preemptionPolicy");
    immutable(errors, &new["preemptionPolicy"], &old["preemptionPolicy"], &path);
}

pub(super) fn runtime_class(errors: &mut Errors, object: &Value) {
    let handler = object.text("handler");
    problems(errors, &Path::new("handler"), handler, names::dns_label(handler));
    resources::amounts(errors, &object["overhead"], "podFixed", &Path::new("overhead"));
}

pub(super) fn runtime_class_update(errors: &mut Errors, new: &Value, old: &Value) {
    immutable(errors, &new["handler"], &old["handler"], &Path::new("handler"));
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: &Errors) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn nodes_keep_their_pod_range() {
        let mut errors = Errors::new();
        let (new, old) = (
            json!({"spec": {"podCIDR": "10.1.0.0/24"}}),
            json!({"spec": {"podCIDR": "10.0.0.0/24"}}),
        );
        node_update(&mut errors, &new, &old);
        assert_eq!(
            texts(&errors),
            [
                r#"spec.podCIDR: Forbidden: node updates may not change podCIDR except from "" to valid"#
            ]
        );
        errors.clear();
        node_update(&mut errors, &old, &json!({"spec": {}}));
        assert_eq!(texts(&errors), [""; 0]);
    }

    #[test]
    fn limits_must_not_cross() {
        let mut errors = Errors::new();
        let limit = json!({"type": "Container", "min": {"cpu": "2"}, "max": {"cpu": "1"}});
        limit_range(&mut errors, &json!({"spec": {"limits": [limit]}}));
        assert_eq!(
            texts(&errors),
            [
                r#"spec.limits[0].min[cpu]: Invalid value: "2": min value 2 is greater than max value 1"#
            ]
        );
    }
}
