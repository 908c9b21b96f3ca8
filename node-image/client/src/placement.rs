//! Whether a pod may be on a node, as far as the node's labels, name and taints say.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{
    NodeSelector, NodeSelectorRequirement, NodeSelectorTerm, PodSpec, Taint, Toleration,
};

use crate::labels::selects_all;

/// Whether a node is one of those that a pod insists on, by nodeSelector and node affinity. Who asks
/// for many nodes reads a [`NodeDemand`] once.
pub fn accepts(pod: &PodSpec, name: &str, labels: &BTreeMap<String, String>) -> bool {
    NodeDemand::of(pod).accepts(name, labels)
}

/// Whether a node is selected. Who asks for many nodes reads [`NodeTerms`] once.
pub fn matches_selector(
    selector: &NodeSelector,
    name: &str,
    labels: &BTreeMap<String, String>,
) -> bool {
    NodeTerms::of(selector).accept(name, labels)
}

/// The nodes that a pod insists on, read once and asked often.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeDemand {
    labels: BTreeMap<String, String>,
    terms: Option<NodeTerms>,
}

impl NodeDemand {
    /// Reads a pod's nodeSelector and its required node affinity.
    pub fn of(pod: &PodSpec) -> NodeDemand {
        let affinity = pod.affinity.as_ref().and_then(|a| a.node_affinity.as_ref());
        let required =
            affinity.and_then(|a| a.required_during_scheduling_ignored_during_execution.as_ref());
        NodeDemand {
            labels: pod.node_selector.clone().unwrap_or_default(),
            terms: required.map(NodeTerms::of),
        }
    }

    /// Whether every node will do.
    pub fn is_empty(&self) -> bool {
        self.labels.is_empty() && self.terms.is_none()
    }

    /// Whether a node is one of them.
    pub fn accepts(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        selects_all(&self.labels, labels)
            && self.terms.as_ref().is_none_or(|terms| terms.accept(name, labels))
    }

    /// The only nodes in question, when its affinity names them.
    pub fn names(&self) -> Option<Vec<&str>> {
        self.terms.as_ref()?.names()
    }
}

/// A node selector, read once: its terms are alternatives.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeTerms(Vec<NodeTerm>);

impl NodeTerms {
    /// Reads a selector.
    pub fn of(selector: &NodeSelector) -> NodeTerms {
        NodeTerms(selector.node_selector_terms.iter().map(NodeTerm::of).collect())
    }

    /// Whether a node fulfils one of the terms.
    pub fn accept(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        self.0.iter().any(|term| term.accepts(name, labels))
    }

    /// The nodes that the terms name, when every one does.
    fn names(&self) -> Option<Vec<&str>> {
        let mut names = Vec::new();
        for term in &self.0 {
            names.extend(term.names()?);
        }
        (!self.0.is_empty()).then_some(names)
    }
}

/// A term of a node selector, read once: all of its requirements have to hold, and one without any
/// holds nowhere.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct NodeTerm {
    of_labels: Vec<(String, Test)>,
    of_name: Vec<Test>,
}

impl NodeTerm {
    /// Reads a term.
    pub fn of(term: &NodeSelectorTerm) -> NodeTerm {
        let label = |r: &NodeSelectorRequirement| (r.key.clone(), Test::of(r));
        let field = |r: &NodeSelectorRequirement| match r.key.as_str() {
            "metadata.name" => Test::of(r),
            // Nodes are selected by no other field.
            _ => Test::Never,
        };
        NodeTerm {
            of_labels: term.match_expressions.iter().flatten().map(label).collect(),
            of_name: term.match_fields.iter().flatten().map(field).collect(),
        }
    }

    /// Whether a node fulfils it.
    pub fn accepts(&self, name: &str, labels: &BTreeMap<String, String>) -> bool {
        let empty = self.of_labels.is_empty() && self.of_name.is_empty();
        !empty
            && self.of_name.iter().all(|test| test.holds(Some(name)))
            && self
                .of_labels
                .iter()
                .all(|(key, test)| test.holds(labels.get(key).map(String::as_str)))
    }

    /// The nodes that it names, if it does.
    fn names(&self) -> Option<Vec<&str>> {
        let mut named = self.of_name.iter().filter_map(|test| match test {
            Test::In(names) => Some(names),
            _ => None,
        });
        let first = named.next()?;
        let others: Vec<_> = named.collect();
        let all = first.iter().filter(|name| others.iter().all(|names| names.contains(name)));
        Some(all.map(String::as_str).collect())
    }
}

/// What a requirement asks of a value, which may be absent.
#[derive(Clone, Debug, PartialEq)]
enum Test {
    In(Vec<String>),
    NotIn(Vec<String>),
    Exists,
    DoesNotExist,
    Greater(i64),
    Less(i64),
    Never,
}

impl Test {
    fn of(requirement: &NodeSelectorRequirement) -> Test {
        let values = || requirement.values.clone().unwrap_or_default();
        let bound = || requirement.values.as_deref()?.first()?.parse().ok();
        match requirement.operator.as_str() {
            "In" => Test::In(values()),
            "NotIn" => Test::NotIn(values()),
            "Exists" => Test::Exists,
            "DoesNotExist" => Test::DoesNotExist,
            "Gt" => bound().map_or(Test::Never, Test::Greater),
            "Lt" => bound().map_or(Test::Never, Test::Less),
            _ => Test::Never,
        }
    }

    fn holds(&self, value: Option<&str>) -> bool {
        let among = |values: &[String]| value.is_some_and(|v| values.iter().any(|w| w == v));
        let number = || value.and_then(|value| value.parse::<i64>().ok());
        match self {
            Test::In(values) => among(values),
            Test::NotIn(values) => !among(values),
            Test::Exists => value.is_some(),
            Test::DoesNotExist => value.is_none(),
            Test::Greater(bound) => number().is_some_and(|have| have > *bound),
            Test::Less(bound) => number().is_some_and(|have| have < *bound),
            Test::Never => false,
        }
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
        check(label("Gt", json!(["many"])), false);
        check(label("Near", json!(["3"])), false);
        check(json!({"matchFields": [{"key": "metadata.uid", "operator": "Exists"}]}), false);
        check(json!({}), false);
    }

    #[test]
    fn named_nodes() {
        let check = |terms: Value, expect: Option<&[&str]>| {
            let selector = serde_json::from_value(json!({"nodeSelectorTerms": terms})).unwrap();
            assert_eq!(NodeTerms::of(&selector).names().as_deref(), expect, "{terms}");
        };
        let name = |operator: &str, names: &[&str]| json!({"key": "metadata.name", "operator": operator, "values": names});
        let label = json!({"matchExpressions": [{"key": "a", "operator": "Exists"}]});
        let term = |fields: &[Value]| json!({"matchFields": fields});
        check(json!([]), None);
        check(json!([label]), None);
        check(json!([term(&[name("In", &["n"])])]), Some(&["n"]));
        check(json!([term(&[name("In", &["n"])]), term(&[name("In", &["m"])])]), Some(&["n", "m"]));
        check(json!([term(&[name("In", &["n"])]), label]), None);
        check(json!([term(&[name("In", &["n", "m"]), name("In", &["m"])])]), Some(&["m"]));
        check(json!([term(&[name("NotIn", &["n"])])]), None);
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
