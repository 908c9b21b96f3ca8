//! Roles and their bindings.

use serde_json::Value;

use super::check::{Errors, problems};
use super::names;
use crate::strategy::same;
use crate::walk::Walk;
use crate::{FieldError, Path};

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

pub(super) fn role(errors: &mut Errors, object: &Value) {
    rules(errors, object, true);
}

pub(super) fn cluster_role(errors: &mut Errors, object: &Value) {
    rules(errors, object, false);
    if object.has("aggregationRule") {
        let path = Path::new("aggregationRule").child("clusterRoleSelectors");
        let selectors = object["aggregationRule"].list("clusterRoleSelectors");
        if selectors.is_empty() {
            let text = "at least one clusterRoleSelector required if aggregationRule is non-nil";
            errors.push(FieldError::required(path.clone(), text));
        }
        for (index, selector) in selectors.iter().enumerate() {
            super::check::label_selector(errors, selector, &path.index(index));
        }
    }
}

fn rules(errors: &mut Errors, object: &Value, namespaced: bool) {
    for (index, rule) in object.list("rules").iter().enumerate() {
        let path = Path::new("rules").index(index);
        if rule.list("verbs").is_empty() {
            let text = "verbs must contain at least one value";
            errors.push(FieldError::required(path.child("verbs"), text));
        }
        if !rule.list("nonResourceURLs").is_empty() {
            let own = path.child("nonResourceURLs");
            let value = rule["nonResourceURLs"].clone();
            let lists = ["apiGroups", "resources", "resourceNames"];
            if namespaced {
                let text = "namespaced rules cannot apply to non-resource URLs";
                errors.push(FieldError::invalid(own, value, text));
            } else if lists.iter().any(|list| !rule.list(list).is_empty()) {
                let text = "rules cannot apply to both regular resources and non-resource URLs";
                errors.push(FieldError::invalid(own, value, text));
            }
            continue;
        }
        for (field, text) in [
            ("apiGroups", "resource rules must supply at least one api group"),
            ("resources", "resource rules must supply at least one resource"),
        ] {
            if rule.list(field).is_empty() {
                errors.push(FieldError::required(path.child(field), text));
            }
        }
    }
}

pub(super) fn role_binding(errors: &mut Errors, object: &Value) {
    binding(errors, object, &["Role", "ClusterRole"], false);
}

pub(super) fn cluster_role_binding(errors: &mut Errors, object: &Value) {
    binding(errors, object, &["ClusterRole"], true);
}

fn binding(errors: &mut Errors, object: &Value, kinds: &[&str], cluster: bool) {
    let (role, path) = (&object["roleRef"], Path::new("roleRef"));
    if role.text("apiGroup") != RBAC_GROUP {
        let group = role.text("apiGroup");
        errors.push(FieldError::not_supported(path.child("apiGroup"), group, &[RBAC_GROUP]));
    }
    if !kinds.contains(&role.text("kind")) {
        errors.push(FieldError::not_supported(path.child("kind"), role.text("kind"), kinds));
    }
    match role.text("name") {
        "" => errors.push(FieldError::required(path.child("name"), "")),
        name => problems(errors, &path.child("name"), name, names::path_segment(name)),
    }
    for (index, subject) in object.list("subjects").iter().enumerate() {
        self::subject(errors, subject, &Path::new("subjects").index(index), cluster);
    }
}

fn subject(errors: &mut Errors, subject: &Value, path: &Path, cluster: bool) {
    let (name, group) = (subject.text("name"), subject.text("apiGroup"));
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    match subject.text("kind") {
        "ServiceAccount" => {
            if !name.is_empty() {
                problems(errors, &path.child("name"), name, names::dns_subdomain(name));
            }
            if !group.is_empty() {
                errors.push(FieldError::not_supported(path.child("apiGroup"), group, &[""]));
            }
            if subject.text("namespace").is_empty() && cluster {
                errors.push(FieldError::required(path.child("namespace"), ""));
            }
        }
        "User" | "Group" => {
            if group != RBAC_GROUP {
                errors.push(FieldError::not_supported(
                    path.child("apiGroup"),
                    group,
                    &[RBAC_GROUP],
                ));
            }
        }
        kind => {
            let supported = ["ServiceAccount", "User", "Group"];
            errors.push(FieldError::not_supported(path.child("kind"), kind, &supported));
        }
    }
}

/// The role of a binding stays; delete and make it anew to change it.
fn same_role(errors: &mut Errors, new: &Value, old: &Value) {
    if !same(&new["roleRef"], &old["roleRef"]) {
        let value = new["roleRef"].clone();
        errors.push(FieldError::invalid(Path::new("roleRef"), value, "cannot change roleRef"));
    }
}

pub(super) fn role_binding_update(errors: &mut Errors, new: &Value, old: &Value) {
    role_binding(errors, new);
    same_role(errors, new, old);
}

pub(super) fn cluster_role_binding_update(errors: &mut Errors, new: &Value, old: &Value) {
    cluster_role_binding(errors, new);
    same_role(errors, new, old);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn bindings_keep_their_role() {
        let object =
            |name: &str| json!({"roleRef": {"apiGroup": RBAC_GROUP, "kind": "Role", "name": name}});
        let mut errors = Errors::new();
        role_binding_update(&mut errors, &object("a"), &object("b"));
        let want = r#"roleRef: Invalid value: {"apiGroup":"rbac.authorization.k8s.io","kind":"Role","name":"a"}: cannot change roleRef"#;
        assert_eq!(errors.iter().map(FieldError::to_string).collect::<Vec<_>>(), [want]);
    }

    #[test]
    fn rules_say_what_and_how() {
        let mut errors = Errors::new();
        role(
            &mut errors,
            &json!({"rules": [{"apiGroups": [""], "resources": ["pods"]}, {"verbs": ["get"], "nonResourceURLs": ["/x"]}]}),
        );
        assert_eq!(
            errors.iter().map(FieldError::to_string).collect::<Vec<_>>(),
            [
                "rules[0].verbs: Required value: verbs must contain at least one value",
                r#"rules[1].nonResourceURLs: Invalid value: ["/x"]: namespaced rules cannot apply to non-resource URLs"#
            ]
        );
    }
}
