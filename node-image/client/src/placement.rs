//! Whether a pod may be on a node, as far as the node's labels, name and taints say.

use std::collections::BTreeMap;

use crate::labels::selects_all;
use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};

/// Whether a node is one of those that a pod insists on, by nodeSelector and node affinity.
pub fn accepts(pod: &PodSpec, name: &str, labels: &BTreeMap<String, String>) -> bool {
    let affinity = pod.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
    let required =
        affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
    let selected = pod.node_selector.as_ref().is_none_or(|wanted| selects_all(wanted, labels));
    selected && required.is_none_or(|selector| matches_selector(selector, name, labels))
}

/// Whether a node is selected. Terms are alternatives, a term's requirements all have to hold, and an
/// empty term holds nowhere.
pub fn matches_selector(
    selector: &NodeSelector,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    selector.node_selector_terms.iter().any(|term| matches_term(term, name, labels))
}

/// Whether a node fulfils a term: each of its requirements. An empty term is fulfilled nowhere.
pub fn matches_term(
    term: &NodeSelectorTerm,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    let expressions = term.match_expressions.as_deref().unwrap_or_default();
    let fields = term.match_fields.as_deref().unwrap_or_default();
    let named = BTreeMap::from([("metadata.name".to_owned(), name.to_owned())]);
    let empty = expressions.is_empty() && fields.is_empty();
    !empty
        && expressions.iter().all(|r| holds(r, labels))
        && fields.iter().all(|r| holds(r, &named))
}

fn holds(requirement: &NodeSelectorRequirement, labels: &BTreeMap<String, String>) -> bool {
    let value = labels.get(&requirement.key);
    let values = requirement.values.as_deref().unwrap_or_default();
    let number = || Some((value?.parse::<i64>().ok()?, values.first()?.parse::<i64>().ok()?));
    match requirement.operator.as_str() {
        "In" => value.is_some_and(|value| values.contains(value)),
        "NotIn" => !value.is_some_and(|value| values.contains(value)),
        "Exists" => value.is_some(),
        "DoesNotExist" => value.is_none(),
        "Gt" => number().is_some_and(|(have, bound)| have > bound),
        "Lt" => number().is_some_and(|(have, bound)| have < bound),
        _ => false,
    }
}

/// Whether a toleration covers a taint.
pub fn tolerates(toleration: &Toleration, taint: &Taint) -> bool {
    let effect = toleration.effect.as_deref().unwrap_or_default();
    let key = toleration.key.as_deref().unwrap_or_default();
    let value = toleration.value.as_deref().unwrap_or_default();
    let have = taint.value.as_deref().unwrap_or_default();
    let numbers = || Some((have.parse::<i64>().ok()?, value.parse::<i64>().ok()?));
    let covered = match toleration.operator.as_deref().unwrap_or_default() {
        "" | "Equal" => value == have,
        "Exists" => true,
        "Lt" => numbers().is_some_and(|(have, bound)| have < bound),
        "Gt" => numbers().is_some_and(|(have, bound)| have > bound),
        _ => false,
    };
    (effect.is_empty() || effect == taint.effect) && (key.is_empty() || key == taint.key) && covered
}

/// Whether some toleration covers a taint.
pub fn is_tolerated(tolerations: &[Toleration], taint: &Taint) -> bool {
    tolerations.iter().any(|toleration| tolerates(toleration, taint))
}

/// Whether every taint with one of these effects is tolerated.
pub fn tolerates_all(tolerations: &[Toleration], taints: &[Taint], effects: &[&str]) -> bool {
    let of_concern = taints.iter().filter(|taint| effects.contains(&taint.effect.as_str()));
    of_concern.into_iter().all(|taint| is_tolerated(tolerations, taint))
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    #[test]
    fn nodes_are_chosen_by_labels_and_names() {
        let check = |term: Value, expect: bool| {
            let pod: PodSpec = serde_json::from_value(json!({"containers": [],
                "affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                    {"nodeSelectorTerms": [term]}}}}))
            .unwrap();
            let labels = BTreeMap::from([("size".to_owned(), "3".to_owned())]);
            assert_eq!(accepts(&pod, "n", &labels), expect, "{term}");
        };
        let label = |operator: &str, values: Value| json!({"matchExpressions": [{"key": "size", "operator": operator, "values": values}]});
        let name = |name: &str| json!({"matchFields": [{"key": "metadata.name", "operator": "In", "values": [name]}]});
        check(label("In", json!(["3", "4"])), true);
        check(label("NotIn", json!(["3"])), false);
        check(label("Gt", json!(["2"])), true);
        check(label("Lt", json!(["2"])), false);
        check(label("DoesNotExist", json!(null)), false);
        check(name("n"), true);
        check(name("m"), false);
        check(json!({}), false);
    }

    #[test]
    fn taints() {
        let check = |toleration: Value, expect: bool| {
            let toleration: Toleration = serde_json::from_value(toleration).unwrap();
            let taint: Taint =
                serde_json::from_value(json!({"key": "k", "value": "5", "effect": "NoSchedule"}))
                    .unwrap();
            assert_eq!(
                tolerates_all(std::slice::from_ref(&toleration), &[taint], &["NoSchedule"]),
                expect,
                "{toleration:?}"
            );
        };
        check(json!({"operator": "Exists"}), true);
        check(json!({"key": "k", "operator": "Exists", "effect": "NoExecute"}), false);
        check(json!({"key": "k", "value": "5"}), true);
        check(json!({"key": "k", "value": "6"}), false);
        check(json!({"key": "k", "operator": "Gt", "value": "4"}), true);
    }
}
