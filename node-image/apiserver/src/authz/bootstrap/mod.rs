//! The roles, bindings, priority classes and the storage class that every cluster is born with, as rows, and how they
//! are reconciled with what is stored: missing rules and subjects come back unless `autoupdate` says
//! otherwise.

mod cluster_roles;
mod controllers;
mod namespaces;
mod priority_classes;
mod reconcile;
mod storage_classes;

pub use reconcile::bootstrap_objects;

use serde_json::{Map, Value, json};

use super::rule::{PolicyRule, rules_of};

const RBAC_VERSION: &str = "rbac.authorization.k8s.io/v1";
const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// A role: its name, the roles that aggregate it, its rules.
struct RoleRow {
    name: &'static str,
    /// `admin`, `edit` or `view`; "" for none.
    aggregated_to: &'static str,
    /// The label suffix by which it collects rules itself; "" for none.
    collects: &'static str,
    rules: &'static [RuleRow],
}

/// One rule; lists are words separated by spaces, `core` is the group "".
enum RuleRow {
    /// Verbs, groups, resources.
    Resources(&'static str, &'static str, &'static str),
    /// Verbs, groups, resources, object names.
    Named(&'static str, &'static str, &'static str, &'static str),
    /// Verbs, paths.
    Paths(&'static str, &'static str),
}

/// A binding to the role of the same name, unless `role` says otherwise.
struct BindingRow {
    name: &'static str,
    role: &'static str,
    subjects: &'static [SubjectRow],
}

/// Who is bound.
enum SubjectRow {
    User(&'static str),
    Group(&'static str),
    /// A ServiceAccount of kube-system.
    ServiceAccount(&'static str),
}

/// The static rules of nodes: those of the ClusterRole `system:node`.
pub(super) fn node_rules() -> Vec<PolicyRule> {
    let rows = cluster_roles::ROLES.iter().filter(|row| row.name == "system:node");
    rows.flat_map(|row| rules_of(&row.to_value(None))).collect()
}

const fn role(name: &'static str, rules: &'static [RuleRow]) -> RoleRow {
    RoleRow { name, aggregated_to: "", collects: "", rules }
}

const READ: &str = "get list watch";
const WRITE: &str = "create delete deletecollection patch update";
const READ_WRITE: &str = "create delete deletecollection get list patch update watch";
/// Every component records events.
const EVENTS: RuleRow = RuleRow::Resources("create patch update", "core events.k8s.io", "events");

impl RuleRow {
    fn to_value(&self) -> Value {
        match self {
            Self::Resources(verbs, groups, resources) => {
                json!({"apiGroups": group_names(groups), "resources": words(resources), "verbs": words(verbs)})
            }
            Self::Named(verbs, groups, resources, names) => json!({
                "apiGroups": group_names(groups), "resources": words(resources),
                "resourceNames": words(names), "verbs": words(verbs),
            }),
            Self::Paths(verbs, paths) => {
                json!({"nonResourceURLs": words(paths), "verbs": words(verbs)})
            }
        }
    }
}

impl RoleRow {
    /// A ClusterRole, or a Role when a namespace is given.
    fn to_value(&self, namespace: Option<&str>) -> Value {
        let mut metadata = metadata(self.name, namespace);
        if !self.aggregated_to.is_empty() {
            metadata["labels"][aggregation_label(self.aggregated_to)] = "true".into();
        }
        let rules: Vec<Value> = self.rules.iter().map(RuleRow::to_value).collect();
        let mut object = json!({
            "apiVersion": RBAC_VERSION,
            "kind": if namespace.is_some() { "Role" } else { "ClusterRole" },
            "metadata": metadata,
            "rules": rules,
        });
        if !self.collects.is_empty() {
            let label = aggregation_label(self.collects);
            object["aggregationRule"] =
                json!({"clusterRoleSelectors": [{"matchLabels": {label: "true"}}]});
        }
        object
    }
}

impl BindingRow {
    /// A ClusterRoleBinding, or a RoleBinding to a Role when a namespace is given.
    fn to_value(&self, namespace: Option<&str>) -> Value {
        let (kind, role_kind) = match namespace {
            Some(_) => ("RoleBinding", "Role"),
            None => ("ClusterRoleBinding", "ClusterRole"),
        };
        let role = if self.role.is_empty() { self.name } else { self.role };
        let subjects: Vec<Value> = self.subjects.iter().map(SubjectRow::to_value).collect();
        json!({
            "apiVersion": RBAC_VERSION,
            "kind": kind,
            "metadata": metadata(self.name, namespace),
            "roleRef": {"apiGroup": RBAC_GROUP, "kind": role_kind, "name": role},
            "subjects": subjects,
        })
    }
}

impl SubjectRow {
    fn to_value(&self) -> Value {
        match self {
            Self::User(name) => json!({"apiGroup": RBAC_GROUP, "kind": "User", "name": name}),
            Self::Group(name) => json!({"apiGroup": RBAC_GROUP, "kind": "Group", "name": name}),
            Self::ServiceAccount(name) => {
                json!({"kind": "ServiceAccount", "name": name, "namespace": "kube-system"})
            }
        }
    }
}

fn metadata(name: &str, namespace: Option<&str>) -> Value {
    let mut metadata = Map::new();
    metadata.insert("name".into(), name.into());
    if let Some(namespace) = namespace {
        metadata.insert("namespace".into(), namespace.into());
    }
    metadata.insert("labels".into(), json!({"kubernetes.io/bootstrapping": "rbac-defaults"}));
    metadata.insert(
        "annotations".into(),
        json!({"rbac.authorization.kubernetes.io/autoupdate": "true"}),
    );
    Value::Object(metadata)
}

fn aggregation_label(to: &str) -> String {
    format!("rbac.authorization.k8s.io/aggregate-to-{to}")
}

fn words(list: &str) -> Vec<&str> {
    list.split_whitespace().collect()
}

fn group_names(list: &str) -> Vec<&str> {
    list.split_whitespace().map(|group| if group == "core" { "" } else { group }).collect()
}
