//! Compares the default roles and bindings with what is stored.

use std::sync::Arc;

use kd_api::Object;
use serde_json::Value;

use super::{
    BindingRow, RBAC_GROUP, SubjectRow, cluster_roles, controllers, namespaces, priority_classes,
    storage_classes,
};
use crate::authz::covers::missing_rules;
use crate::authz::rbac::cluster_rules;
use crate::authz::rule::rules_of;
use crate::request::Reader;

/// The default objects that must be written now: new ones without a `resourceVersion`, changed ones
/// with that of the object they replace. Users opt out with the annotation `autoupdate: "false"`.
pub fn bootstrap_objects(reader: &dyn Reader) -> Vec<Value> {
    default_objects().into_iter().filter_map(|object| reconciled(reader, object)).collect()
}

fn default_objects() -> Vec<Value> {
    let mut objects = Vec::new();
    objects.extend(default_cluster_roles());
    objects.extend(cluster_roles::BINDINGS.iter().map(|row| row.to_value(None)));
    for row in controllers::ROLES {
        let account = &row.name[controllers::PREFIX.len()..];
        let subjects = [SubjectRow::ServiceAccount(account)];
        objects.push(BindingRow::controller(row.name, &subjects));
    }
    for row in namespaces::NAMESPACES {
        objects.extend(row.roles.iter().map(|role| role.to_value(Some(row.namespace))));
        objects.extend(row.bindings.iter().map(|binding| binding.to_value(Some(row.namespace))));
    }
    objects.extend(priority_classes::objects());
    objects.extend(storage_classes::objects());
    objects
}

/// The rules of aggregated roles are written out, as their controller would.
fn default_cluster_roles() -> Vec<Value> {
    let rows = cluster_roles::ROLES.iter().chain(controllers::ROLES);
    let mut roles: Vec<Arc<Value>> = rows.map(|row| Arc::new(row.to_value(None))).collect();
    roles.sort_by(|a, b| a.name().cmp(b.name()));
    let complete = |role: &Arc<Value>| {
        let mut complete = Value::clone(role);
        if role.get("aggregationRule").is_some() {
            complete["rules"] =
                cluster_rules(role, &roles).iter().map(|rule| rule.to_value()).collect();
        }
        complete
    };
    roles.iter().map(complete).collect()
}

impl BindingRow {
    fn controller(name: &str, subjects: &[SubjectRow]) -> Value {
        let mut object = BindingRow { name: "", role: "", subjects: &[] }.to_value(None);
        object["metadata"]["name"] = name.into();
        object["roleRef"]["name"] = name.into();
        object["subjects"] = subjects.iter().map(SubjectRow::to_value).collect();
        object
    }
}

fn reconciled(reader: &dyn Reader, wanted: Value) -> Option<Value> {
    let Some(stored) = stored(reader, &wanted) else { return Some(wanted) };
    if matches!(wanted.kind(), "PriorityClass" | "StorageClass") {
        return None;
    }
    let opted_out = &stored["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"]
        == "false";
    if opted_out {
        return None;
    }
    let mut next = Value::clone(&stored);
    for field in ["labels", "annotations"] {
        add_missing_keys(&mut next["metadata"], &wanted["metadata"], field);
    }
    match wanted.get("roleRef") {
        Some(role) => {
            next["roleRef"] = role.clone();
            add_missing_elements(&mut next["subjects"], &wanted["subjects"]);
        }
        None => reconcile_role(&mut next, &wanted),
    }
    (next != *stored).then_some(next)
}

fn stored(reader: &dyn Reader, wanted: &Value) -> Option<Arc<Value>> {
    let (group, resource) = match wanted.kind() {
        "ClusterRole" => (RBAC_GROUP, "clusterroles"),
        "ClusterRoleBinding" => (RBAC_GROUP, "clusterrolebindings"),
        "Role" => (RBAC_GROUP, "roles"),
        "PriorityClass" => ("scheduling.k8s.io", "priorityclasses"),
        "StorageClass" => ("storage.k8s.io", "storageclasses"),
        _ => (RBAC_GROUP, "rolebindings"),
    };
    reader.get(group, resource, wanted.namespace(), wanted.name())
}

fn reconcile_role(next: &mut Value, wanted: &Value) {
    if let Some(aggregation) = wanted.get("aggregationRule") {
        let selectors = &aggregation["clusterRoleSelectors"];
        if next.get("aggregationRule").is_none_or(Value::is_null) {
            next["aggregationRule"] = aggregation.clone();
        }
        add_missing_elements(&mut next["aggregationRule"]["clusterRoleSelectors"], selectors);
        return;
    }
    let missing = missing_rules(&rules_of(next), &rules_of(wanted));
    if missing.is_empty() {
        return;
    }
    let rules = missing.iter().map(|rule| rule.to_value());
    match next["rules"].as_array_mut() {
        Some(list) => list.extend(rules),
        None => next["rules"] = rules.collect(),
    }
}

fn add_missing_keys(next: &mut Value, wanted: &Value, field: &str) {
    let Some(wanted) = wanted[field].as_object() else { return };
    if !next[field].is_object() {
        next[field] = Value::Object(Default::default());
    }
    for (key, value) in wanted {
        if next[field].get(key).is_none() {
            next[field][key] = value.clone();
        }
    }
}

fn add_missing_elements(next: &mut Value, wanted: &Value) {
    let wanted = wanted.as_array().map(Vec::as_slice).unwrap_or_default();
    if wanted.is_empty() {
        return;
    }
    if !next.is_array() {
        *next = Value::Array(Vec::new());
    }
    if let Some(list) = next.as_array_mut() {
        for element in wanted {
            if !list.contains(element) {
                list.push(element.clone());
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeReader;
    use serde_json::json;

    #[test]
    fn rows_are_unique_and_bindings_name_roles() {
        let objects = default_objects();
        let key = |o: &Value| {
            (
                o["kind"].to_string(),
                o["metadata"]["namespace"].to_string(),
                o["metadata"]["name"].to_string(),
            )
        };
        let mut keys: Vec<_> = objects.iter().map(key).collect();
        let count = keys.len();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), count);
        for binding in objects.iter().filter(|o| o.get("roleRef").is_some()) {
            let role = (
                binding["roleRef"]["kind"].to_string(),
                binding["metadata"]["namespace"].to_string(),
                binding["roleRef"]["name"].to_string(),
            );
            assert!(keys.binary_search(&role).is_ok(), "{role:?}");
        }
    }

    #[test]
    fn what_is_stored_is_left_alone_and_what_is_missing_comes_back() {
        let reader = FakeReader::default();
        for object in bootstrap_objects(&reader) {
            reader.put(object);
        }
        assert_eq!(bootstrap_objects(&reader), Vec::<Value>::new());

        let mut discovery =
            Value::clone(&reader.get(RBAC_GROUP, "clusterroles", "", "system:discovery").unwrap());
        discovery["rules"] = json!([{"nonResourceURLs": ["/mine"], "verbs": ["get"]}]);
        reader.put(discovery.clone());
        let changed = bootstrap_objects(&reader);
        assert_eq!(changed.len(), 1);
        assert_eq!(changed[0]["rules"][0]["nonResourceURLs"][0], "/mine");
        assert_eq!(changed[0]["rules"].as_array().unwrap().len(), 12);

        discovery["metadata"]["annotations"]["rbac.authorization.kubernetes.io/autoupdate"] =
            "false".into();
        reader.put(discovery);
        assert!(bootstrap_objects(&reader).is_empty());
    }
}
