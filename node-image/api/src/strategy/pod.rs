//! Pods: the first status, the quality-of-service class, and what the subresources may write.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use crate::quantity::Quantity;
use crate::walk::{Shape, Walk};

pub(super) fn prepare_create(obj: &mut Value) {
    let class = qos_class(obj);
    let gated = !obj["spec"].list("schedulingGates").is_empty();
    let mut status = json!({"phase": "Pending", "qosClass": class});
    if gated {
        status["conditions"] = json!([{
            "type": "PodScheduled",
            "status": "False",
            "reason": "SchedulingGated",
            "message": "Scheduling is blocked due to non-empty scheduling gates",
        }]);
    }
    obj.put("status", status);
    spread_by_label_keys(obj);
}

/// `matchLabelKeys` become part of the selectors, with the values that this pod has.
fn spread_by_label_keys(obj: &mut Value) {
    let labels = obj["metadata"]["labels"].clone();
    let Some(spec) = obj.existing_mut("spec") else { return };
    for constraint in spec.each_mut("topologySpreadConstraints") {
        let keys = constraint.list("matchLabelKeys").to_vec();
        select_own_values(constraint, &keys, "In", &labels);
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        let Some(affinity) = spec.reach_mut(&["affinity", kind]) else { continue };
        for term in affinity.each_mut("requiredDuringSchedulingIgnoredDuringExecution") {
            select_by_keys_of(term, &labels);
        }
        for weighted in affinity.each_mut("preferredDuringSchedulingIgnoredDuringExecution") {
            if let Some(term) = weighted.existing_mut("podAffinityTerm") {
                select_by_keys_of(term, &labels);
            }
        }
    }
}

fn select_by_keys_of(term: &mut Value, labels: &Value) {
    for (field, operator) in [("matchLabelKeys", "In"), ("mismatchLabelKeys", "NotIn")] {
        let keys = term.list(field).to_vec();
        select_own_values(term, &keys, operator, labels);
    }
}

fn select_own_values(owner: &mut Value, keys: &[Value], operator: &str, labels: &Value) {
    let Some(selector) = owner.existing_mut("labelSelector") else { return };
    for key in keys.iter().filter_map(Value::as_str) {
        let Some(value) = labels[key].as_str() else { continue };
        let expression = json!({"key": key, "operator": operator, "values": [value]});
        let mut expressions = selector.list("matchExpressions").to_vec();
        if !expressions.contains(&expression) {
            expressions.push(expression);
            selector.put("matchExpressions", expressions);
        }
    }
}

/// `Guaranteed`, `Burstable` or `BestEffort`, by the requests and limits of CPU and memory.
pub fn qos_class(pod: &Value) -> &'static str {
    let spec = &pod["spec"];
    let own = &spec["resources"];
    let owners: Vec<&Value> = match own["requests"].is_null() && own["limits"].is_null() {
        false => vec![own],
        true => {
            let lists = ["containers", "initContainers"];
            lists.iter().flat_map(|list| spec.list(list)).map(|c| &c["resources"]).collect()
        }
    };
    let mut requests = BTreeMap::new();
    let mut limits = BTreeMap::new();
    let mut all_limited = true;
    for resources in owners {
        sum_into(&mut requests, &resources["requests"]);
        all_limited &= sum_into(&mut limits, &resources["limits"]) == 2;
    }
    if requests.is_empty() && limits.is_empty() {
        return "BestEffort";
    }
    let guaranteed = all_limited
        && requests.len() == limits.len()
        && requests.iter().all(|(name, amount)| limits.get(name) == Some(amount));
    if guaranteed { "Guaranteed" } else { "Burstable" }
}

/// Adds CPU and memory; says how many of the two there were.
fn sum_into(sums: &mut BTreeMap<String, Quantity>, amounts: &Value) -> usize {
    let mut found = 0;
    for name in ["cpu", "memory"] {
        match Quantity::from_json(&amounts[name]) {
            Ok(amount) if amount.signum() > 0 => {
                sums.entry(name.to_owned()).or_default().add(&amount);
                found += 1;
            }
            _ => {}
        }
    }
    found
}

/// Through `ephemeralcontainers` only those change.
pub(super) fn keep_all_but_ephemeral_containers(new: &mut Value, old: &Value) {
    let containers = new["spec"]["ephemeralContainers"].clone();
    restore(new, old);
    if let Some(spec) = new.object_mut("spec") {
        match containers {
            Value::Null => drop(spec.take_key("ephemeralContainers")),
            containers => spec.put("ephemeralContainers", containers),
        }
    }
}

/// Through `resize` only resources and resize policies of containers change.
pub(super) fn keep_all_but_resources(new: &mut Value, old: &Value) {
    let wanted = new["spec"].clone();
    restore(new, old);
    merge_resize(new, &wanted);
}

/// Copies the resources and resize policies of `wanted`, a pod spec, into the containers of `pod`
/// with the same names.
pub fn merge_resize(pod: &mut Value, wanted: &Value) {
    let Some(spec) = pod.existing_mut("spec") else { return };
    if wanted.has("resources") {
        spec.put("resources", wanted["resources"].clone());
    }
    for list in ["containers", "initContainers"] {
        for container in spec.each_mut(list) {
            let name = container.text("name").to_owned();
            let Some(source) = wanted.list(list).iter().find(|c| c.text("name") == name) else {
                continue;
            };
            for field in ["resources", "resizePolicy"] {
                if source.has(field) {
                    container.put(field, source[field].clone());
                }
            }
        }
    }
}

/// Takes everything from `old` but the version that the client saw.
fn restore(new: &mut Value, old: &Value) {
    let version = new["metadata"].get("resourceVersion").cloned();
    let managed = new["metadata"].get("managedFields").cloned();
    *new = old.clone();
    if let Some(metadata) = new.object_mut("metadata") {
        for (field, value) in [("resourceVersion", version), ("managedFields", managed)] {
            if let Some(value) = value {
                metadata.put(field, value);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn quality_of_service() {
        let check = |resources: &[Value], want: &str| {
            let containers: Vec<Value> =
                resources.iter().map(|r| json!({ "resources": r })).collect();
            assert_eq!(
                qos_class(&json!({"spec": {"containers": containers}})),
                want,
                "{resources:?}"
            );
        };
        let full = json!({"limits": {"cpu": "1", "memory": "1Gi"}, "requests": {"cpu": "1000m", "memory": "1Gi"}});
        check(&[json!({})], "BestEffort");
        check(&[json!({"requests": {"cpu": "0"}})], "BestEffort");
        check(&[json!({"requests": {"cpu": "1"}})], "Burstable");
        check(std::slice::from_ref(&full), "Guaranteed");
        check(&[full.clone(), json!({})], "Burstable");
        check(&[json!({"limits": {"cpu": "1"}, "requests": {"cpu": "1"}})], "Burstable");
        check(&[json!({"requests": {"ephemeral-storage": "1Gi"}})], "BestEffort");
    }

    #[test]
    fn gated_pods_say_so() {
        let mut pod = json!({"spec": {"schedulingGates": [{"name": "x"}]}});
        prepare_create(&mut pod);
        assert_eq!(pod["status"]["conditions"][0]["reason"], "SchedulingGated");
    }

    #[test]
    fn subresources_write_their_part_only() {
        let old = json!({"metadata": {"name": "a"}, "spec": {"containers": [{"name": "c", "image": "1"}]}});
        let mut new = json!({"metadata": {"name": "a"}, "spec": {"nodeName": "n",
            "containers": [{"name": "c", "image": "2", "resources": {"limits": {"cpu": "1"}}}],
            "ephemeralContainers": [{"name": "e"}]}});
        let mut resized = new.clone();
        keep_all_but_ephemeral_containers(&mut new, &old);
        assert_eq!(
            new["spec"],
            json!({"containers": [{"name": "c", "image": "1"}], "ephemeralContainers": [{"name": "e"}]})
        );
        keep_all_but_resources(&mut resized, &old);
        assert_eq!(
            resized["spec"],
            json!({"containers": [{"name": "c", "image": "1", "resources": {"limits": {"cpu": "1"}}}]})
        );
    }
}
