//! ClusterRoles with an aggregation rule hold the rules of the ClusterRoles it selects.

use std::sync::Arc;

use jiff::Timestamp;
use k8s_openapi::api::rbac::v1::{ClusterRole, PolicyRule};
use kd_client::{Change, Interest, Object, PatchKind, View, label_selector, resources, selects};
use serde_json::json;

use crate::{Controller, Plan, Step, Target};

pub(super) struct ClusterRoleAggregation;

impl Controller for ClusterRoleAggregation {
    fn name(&self) -> &'static str {
        "clusterrole-aggregation-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![Interest::full(&resources::CLUSTER_ROLES)]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        // Any role may be, or may have been, part of any aggregate.
        let roles = view.objects(&resources::CLUSTER_ROLES, None);
        let aggregates = roles.filter(|role| aggregate(role).is_some());
        aggregates.map(|role| Target::of(&change.resource, role)).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, _: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::CLUSTER_ROLES, &target.key) else {
            return Plan::nothing();
        };
        let Some(role) = aggregate(object) else { return Plan::nothing() };
        let rules = aggregated_rules(view, object, &role);
        if role.rules.as_deref().unwrap_or_default() == rules {
            return Plan::nothing();
        }
        let patch = json!({
            "metadata": {"resourceVersion": object.metadata.resource_version},
            "rules": rules,
        });
        let key = target.key.clone();
        Plan::one(Step::patch(&resources::CLUSTER_ROLES, key, "", PatchKind::Merge, patch))
    }
}

fn aggregate(object: &Arc<Object>) -> Option<ClusterRole> {
    object.decode::<ClusterRole>().filter(|role| role.aggregation_rule.is_some())
}

/// The rules of the selected roles in order of name, each once.
fn aggregated_rules(view: &View, object: &Object, role: &ClusterRole) -> Vec<PolicyRule> {
    let rule = role.aggregation_rule.as_ref();
    let selectors = rule.and_then(|rule| rule.cluster_role_selectors.as_ref());
    let mut rules: Vec<PolicyRule> = Vec::new();
    for selector in selectors.into_iter().flatten() {
        let Ok(selector) = label_selector(Some(selector)) else { continue };
        let others = view.objects(&resources::CLUSTER_ROLES, None);
        let selected = others.filter(|o| {
            o.metadata.name != object.metadata.name && selects(&selector, &o.metadata.labels)
        });
        for rule in selected.filter_map(|o| o.decode::<ClusterRole>()?.rules).flatten() {
            if !rules.contains(&rule) {
                rules.push(rule);
            }
        }
    }
    rules
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::*;
    use crate::testing::{body, lines, object, plan, view};

    fn part(name: &str, verb: &str) -> Value {
        let rules = json!([{"verbs": [verb], "resources": ["pods"], "apiGroups": [""]}]);
        object(
            "ClusterRole",
            "",
            name,
            json!({"metadata": {"labels": {"to": "view"}}, "rules": rules}),
        )
    }

    #[test]
    fn rules_are_gathered_once() {
        let whole = object(
            "ClusterRole",
            "",
            "view",
            json!({"aggregationRule": {"clusterRoleSelectors": [{"matchLabels": {"to": "view"}}]}}),
        );
        let all = [whole, part("a", "get"), part("b", "list"), part("c", "get")];
        let reconcile = |objects: &[Value]| {
            let key = ("", "view");
            plan(&ClusterRoleAggregation, &view(objects), &resources::CLUSTER_ROLES, key, 0)
        };
        let first = reconcile(&all);
        assert_eq!(lines(&first), ["patch clusterroles view"]);
        let rules = body(&first, 0)["rules"].clone();
        assert_eq!(rules.as_array().map(Vec::len), Some(2));
        let mut done = all.clone();
        done[0]["rules"] = rules;
        assert!(reconcile(&done).is_empty());
    }
}
