//! Which objects a quota with scopes is about.

use serde_json::Value;

use crate::Object;
use crate::pod_resources::{Side, of_container};

/// Whether an object counts for a quota.
pub fn matches(quota: &Value, group: &str, resource: &str, object: &Value) -> bool {
    let scopes = quota.list_at(&["spec", "scopes"]).iter().filter_map(Value::as_str);
    let mut expressions = scopes.map(|scope| (scope, "Exists", &[] as &[Value])).chain(
        quota.list_at(&["spec", "scopeSelector", "matchExpressions"]).iter().map(|term| {
            (term.str_at(&["scopeName"]), term.str_at(&["operator"]), term.list_at(&["values"]))
        }),
    );
    expressions.all(|(scope, operator, values)| match (group, resource) {
        ("", "pods") => pod_matches(object, scope, operator, values),
        ("", "persistentvolumeclaims") if scope == "VolumeAttributesClass" => {
            let class = object.str_at(&["spec", "volumeAttributesClassName"]);
            named(class, operator, values)
        }
        _ => false,
    })
}

fn pod_matches(pod: &Value, scope: &str, operator: &str, values: &[Value]) -> bool {
    let deadline = pod.i64_at(&["spec", "activeDeadlineSeconds"]).is_some();
    match scope {
        "Terminating" => deadline,
        "NotTerminating" => !deadline,
        "BestEffort" => is_best_effort(pod),
        "NotBestEffort" => !is_best_effort(pod),
        "CrossNamespacePodAffinity" => crosses_namespaces(pod),
        "PriorityClass" => named(pod.str_at(&["spec", "priorityClassName"]), operator, values),
        _ => false,
    }
}

fn named(name: &str, operator: &str, values: &[Value]) -> bool {
    let listed = values.iter().any(|value| value.as_str() == Some(name));
    match operator {
        "Exists" => !name.is_empty(),
        "DoesNotExist" => name.is_empty(),
        "In" => listed,
        "NotIn" => !listed,
        _ => false,
    }
}

/// Nothing asked for and nothing limited.
fn is_best_effort(pod: &Value) -> bool {
    let asks = |container: &Value| {
        [Side::Requests, Side::Limits].into_iter().any(|side| {
            let resources = of_container(container, side);
            ["cpu", "memory"].iter().any(|name| resources.get(*name).is_some_and(|q| !q.is_zero()))
        })
    };
    let lists = ["containers", "initContainers"];
    !lists.iter().flat_map(|list| pod.list_at(&["spec", list])).any(asks) && !asks(&pod["spec"])
}

fn crosses_namespaces(pod: &Value) -> bool {
    let crosses = |term: &Value| {
        !term.list_at(&["namespaces"]).is_empty()
            || term.get("namespaceSelector").is_some_and(Value::is_object)
    };
    ["podAffinity", "podAntiAffinity"].iter().any(|kind| {
        let path = |field| ["spec", "affinity", kind, field];
        let required = pod.list_at(&path("requiredDuringSchedulingIgnoredDuringExecution"));
        let preferred = pod.list_at(&path("preferredDuringSchedulingIgnoredDuringExecution"));
        required.iter().any(crosses)
            || preferred.iter().any(|term| crosses(&term["podAffinityTerm"]))
    })
}
