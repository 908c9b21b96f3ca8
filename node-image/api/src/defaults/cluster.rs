//! Defaults of namespaces, nodes, secrets, limits, quotas, priorities and runtime classes.

use serde_json::{Value, json};

use super::{quantities, set_all};
use crate::walk::{Shape, Walk};

pub(super) fn namespace(obj: &mut Value) {
    let name = obj["metadata"].text("name").to_owned();
    if !name.is_empty()
        && let Some(labels) = obj.object_mut("metadata").and_then(|m| m.object_mut("labels"))
    {
        labels.put("kubernetes.io/metadata.name", name);
    }
    if let Some(status) = obj.object_mut("status") {
        status.set_default_text("phase", "Active");
    }
}

pub(super) fn node(obj: &mut Value) {
    let Some(status) = obj.existing_mut("status") else { return };
    quantities::resource_list(status, "capacity");
    let capacity = status["capacity"].clone();
    if !capacity.is_null() {
        status.set_default("allocatable", capacity);
    }
    quantities::resource_list(status, "allocatable");
}

pub(super) fn secret(obj: &mut Value) {
    obj.set_default_text("type", "Opaque");
}

pub(super) fn limit_range(obj: &mut Value) {
    let Some(spec) = obj.existing_mut("spec") else { return };
    for limit in spec.each_mut("limits") {
        for field in ["max", "min", "default", "defaultRequest", "maxLimitRequestRatio"] {
            quantities::resource_list(limit, field);
        }
        if limit.text("type") == "Container" {
            container_limit(limit);
        }
    }
}

/// A default limit follows the maximum, a default request the default limit, then the minimum.
fn container_limit(limit: &mut Value) {
    for (field, source) in
        [("default", "max"), ("defaultRequest", "default"), ("defaultRequest", "min")]
    {
        let values = limit[source].clone();
        if values.as_object().is_some_and(|values| !values.is_empty())
            && let Some(target) = limit.object_mut(field)
        {
            set_all(target, values);
        }
    }
}

pub(super) fn resource_quota(obj: &mut Value) {
    for (part, fields) in [("spec", &["hard"][..]), ("status", &["hard", "used"])] {
        if let Some(owner) = obj.existing_mut(part) {
            fields.iter().for_each(|field| quantities::resource_list(owner, field));
        }
    }
}

pub(super) fn runtime_class(obj: &mut Value) {
    if let Some(overhead) = obj.existing_mut("overhead") {
        quantities::resource_list(overhead, "podFixed");
    }
}

pub(super) fn priority_class(obj: &mut Value) {
    obj.set_default("preemptionPolicy", "PreemptLowerPriority");
}

pub(super) fn flow_schema(obj: &mut Value) {
    if let Some(spec) = obj.object_mut("spec")
        && spec.integer("matchingPrecedence").unwrap_or(0) == 0
    {
        spec.put("matchingPrecedence", 1000);
    }
}

pub(super) fn priority_level(obj: &mut Value) {
    let Some(spec) = obj.existing_mut("spec") else { return };
    if let Some(exempt) = spec.existing_mut("exempt") {
        set_all(exempt, json!({"nominalConcurrencyShares": 0, "lendablePercent": 0}));
    }
    if let Some(limited) = spec.existing_mut("limited") {
        set_all(limited, json!({"nominalConcurrencyShares": 30, "lendablePercent": 0}));
        if let Some(queuing) = limited.reach_mut(&["limitResponse", "queuing"]) {
            for (field, default) in [("queues", 64), ("handSize", 8), ("queueLengthLimit", 50)] {
                if queuing.integer(field).unwrap_or(0) == 0 {
                    queuing.put(field, default);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn namespaces_carry_their_name_as_a_label() {
        let mut obj = json!({"metadata": {"name": "a"}});
        namespace(&mut obj);
        assert_eq!(obj["metadata"]["labels"], json!({"kubernetes.io/metadata.name": "a"}));
        assert_eq!(obj["status"]["phase"], "Active");
    }

    #[test]
    fn limits_of_containers() {
        let mut obj = json!({"spec": {"limits": [
            {"type": "Container", "max": {"cpu": "2"}, "min": {"memory": "1Mi"}},
            {"type": "Pod", "max": {"cpu": "2"}}]}});
        limit_range(&mut obj);
        let limits = &obj["spec"]["limits"];
        assert_eq!(limits[0]["default"], json!({"cpu": "2"}));
        assert_eq!(limits[0]["defaultRequest"], json!({"cpu": "2", "memory": "1Mi"}));
        assert!(!limits[1].has("default"));
    }
}
