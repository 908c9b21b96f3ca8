//! `metadata.generation`: starts at 1 and counts the changes of what a user asks for.

use serde_json::Value;

use crate::Kind;
use crate::walk::{Shape, Walk};

/// The built-in kinds that count.
const COUNTING: &[(&str, &str)] = &[
    ("", "Pod"),
    ("", "ReplicationController"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy"),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding"),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration"),
    ("apiextensions.k8s.io", "CustomResourceDefinition"),
    ("apps", "DaemonSet"),
    ("apps", "Deployment"),
    ("apps", "ReplicaSet"),
    ("apps", "StatefulSet"),
    ("batch", "CronJob"),
    ("batch", "Job"),
    ("discovery.k8s.io", "EndpointSlice"),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema"),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration"),
    ("networking.k8s.io", "Ingress"),
    ("networking.k8s.io", "IngressClass"),
    ("networking.k8s.io", "NetworkPolicy"),
    ("policy", "PodDisruptionBudget"),
    ("resource.k8s.io", "ResourceSlice"),
    ("scheduling.k8s.io", "PriorityClass"),
];

fn counts(kind: &Kind) -> bool {
    kind.custom.is_some() || COUNTING.contains(&(kind.group.as_str(), kind.kind.as_str()))
}

/// 1 for a new object of a kind that counts, else nothing.
pub(super) fn start(kind: &Kind, obj: &mut Value) {
    if let Some(metadata) = obj.object_mut("metadata") {
        metadata.take_key("generation");
        if counts(kind) {
            metadata.put("generation", 1);
        }
    }
}

/// One more when what is asked for changed.
pub(super) fn count(kind: &Kind, new: &mut Value, old: &Value) {
    if !counts(kind) || !asks_for_more(kind, new, old) {
        return;
    }
    let generation = old["metadata"].integer("generation").unwrap_or(0);
    if let Some(metadata) = new.object_mut("metadata") {
        metadata.put("generation", generation + 1);
    }
}

fn asks_for_more(kind: &Kind, new: &Value, old: &Value) -> bool {
    let annotations_count = kind.group == "apps" && kind.kind == "Deployment";
    if annotations_count && !same(&new["metadata"]["annotations"], &old["metadata"]["annotations"])
    {
        return true;
    }
    let ignores_status = kind.subresource("status").is_some();
    let counted = |key: &str| match key {
        "apiVersion" | "kind" | "metadata" => false,
        "status" => !ignores_status,
        _ => true,
    };
    let keys = |object: &Value| -> Vec<String> {
        object.as_object().into_iter().flatten().map(|(key, _)| key.clone()).collect()
    };
    let all = keys(new).into_iter().chain(keys(old));
    all.filter(|key| counted(key)).any(|key| !same(&new[&key], &old[&key]))
}

/// Equality in which an empty list or map is as good as none.
pub(crate) fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            // What both have is looked at once: twice at each level would be for ever.
            a.iter().all(|(key, value)| same(value, b.get(key).unwrap_or(&Value::Null)))
                && b.iter().all(|(key, value)| a.contains_key(key) || is_empty(value))
        }
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        _ => a == b || (is_empty(a) && is_empty(b)),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn empty_is_none() {
        let check = |a: Value, b: Value, want: bool| assert_eq!(same(&a, &b), want, "{a} {b}");
        check(json!({"a": []}), json!({}), true);
        check(json!({"a": 0}), json!({}), false);
        check(json!({"a": {"b": null}}), json!({"a": {}}), true);
        check(json!([1]), json!([1, 2]), false);
        check(json!({}), json!({"a": {}}), true);
        check(json!({}), json!({"a": {"b": 0}}), false);
    }

    #[test]
    fn deep_values_take_no_longer() {
        let deep = |end: i32| (0..100).fold(json!(end), |inner, _| json!({"properties": inner}));
        assert!(same(&deep(1), &deep(1)));
        assert!(!same(&deep(1), &deep(2)));
    }
}
