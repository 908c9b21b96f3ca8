//! What webhooks and admission policies have in common: rules that say which requests they see, and
//! the conditions that narrow them.

use std::collections::HashSet;

use serde_json::Value;

use super::check::{Errors, label_selector, problems};
use super::names;
use crate::walk::Walk;
use crate::{FieldError, Path};

const OPERATIONS: [&str; 5] = ["*", "CONNECT", "CREATE", "DELETE", "UPDATE"];
const SCOPES: [&str; 3] = ["*", "Cluster", "Namespaced"];
const CONDITIONS_MAX: usize = 64;

/// A text that must be one of `supported` when it is there; "" is not.
pub(super) fn choice_of(
    errors: &mut Errors,
    owner: &Value,
    field: &str,
    path: &Path,
    supported: &[&str],
) {
    if let Some(text) = owner[field].as_str().filter(|text| !supported.contains(text)) {
        errors.push(FieldError::not_supported(path.child(field), text, supported));
    }
}

fn texts<'a>(owner: &'a Value, field: &str) -> Vec<&'a str> {
    owner.list(field).iter().filter_map(Value::as_str).collect()
}

/// Operations, groups, versions, resources and a scope.
pub(super) fn rule_with_operations(errors: &mut Errors, rule: &Value, path: &Path) {
    for (field, what) in
        [("operations", "operations"), ("apiGroups", "API groups"), ("apiVersions", "API versions")]
    {
        let (list, own) = (texts(rule, field), path.child(field));
        if list.is_empty() {
            errors.push(FieldError::required(own.clone(), ""));
        }
        if list.len() > 1 && list.contains(&"*") {
            let text = format!("if '*' is present, must not specify other {what}");
            errors.push(FieldError::invalid(own.clone(), rule[field].clone(), text));
        }
        for (index, entry) in list.into_iter().enumerate() {
            if field == "operations" && !OPERATIONS.contains(&entry) {
                errors.push(FieldError::not_supported(own.index(index), entry, &OPERATIONS));
            } else if field == "apiVersions" && entry.is_empty() {
                errors.push(FieldError::required(own.index(index), ""));
            }
        }
    }
    resources(errors, rule, &path.child("resources"));
    choice_of(errors, rule, "scope", path, &SCOPES);
}

/// Names such as `pods`, `pods/status`, `pods/*`, `*/scale`, `*`, none of which covers another.
fn resources(errors: &mut Errors, rule: &Value, path: &Path) {
    let all = texts(rule, "resources");
    if all.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
    }
    let (mut whole_resources, mut whole_subresources) = (HashSet::new(), HashSet::new());
    for (index, name) in all.iter().enumerate() {
        if name.is_empty() {
            errors.push(FieldError::required(path.index(index), ""));
            continue;
        }
        let Some((resource, sub)) = name.split_once('/') else { continue };
        for (covered, cover) in [
            (whole_resources.contains(resource), format!("{resource}/*")),
            (whole_subresources.contains(sub), format!("*/{sub}")),
        ] {
            if covered {
                let text = format!("if '{cover}' is present, must not specify {name}");
                errors.push(FieldError::invalid(path.index(index), *name, text));
            }
        }
        if sub == "*" {
            whole_resources.insert(resource);
        }
        if resource == "*" {
            whole_subresources.insert(sub);
        }
    }
    let mut covers = |cover: &str, what: &str| {
        let text = format!("if '{cover}' is present, must not specify other resources{what}");
        errors.push(FieldError::invalid(path.clone(), rule["resources"].clone(), text));
    };
    if all.len() > 1 && all.contains(&"*/*") {
        covers("*/*", "");
    }
    // Upstream looks at the last of the names without a subresource only.
    let plain = all.iter().rfind(|name| !name.contains('/') && !name.is_empty());
    if all.contains(&"*") && plain.is_some_and(|name| *name != "*") {
        covers("*", " without subresources");
    }
}

/// The `matchConstraints` of a policy, or the `matchResources` of a binding.
pub(super) fn match_resources(errors: &mut Errors, resources: &Value, path: &Path) {
    match resources["matchPolicy"].as_str() {
        None => errors.push(FieldError::required(path.child("matchPolicy"), "")),
        Some(_) => choice_of(errors, resources, "matchPolicy", path, &["Equivalent", "Exact"]),
    }
    for field in ["namespaceSelector", "objectSelector"] {
        match &resources[field] {
            Value::Null => errors.push(FieldError::required(path.child(field), "")),
            selector => label_selector(errors, selector, &path.child(field)),
        }
    }
    for field in ["resourceRules", "excludeResourceRules"] {
        for (index, rule) in resources.list(field).iter().enumerate() {
            named_rule(errors, rule, &path.child(field).index(index));
        }
    }
}

fn named_rule(errors: &mut Errors, rule: &Value, path: &Path) {
    let mut seen = HashSet::new();
    for (index, name) in texts(rule, "resourceNames").into_iter().enumerate() {
        let path = path.child("resourceNames").index(index);
        problems(errors, &path, name, names::path_segment(name));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path, name));
        }
    }
    rule_with_operations(errors, rule, path);
}

/// The `matchConditions` of a webhook or a policy; their expressions are compiled elsewhere.
pub(super) fn match_conditions(errors: &mut Errors, owner: &Value, path: &Path) {
    let (conditions, path) = (owner.list("matchConditions"), path.child("matchConditions"));
    if conditions.len() > CONDITIONS_MAX {
        errors.push(FieldError::too_many(path.clone(), conditions.len(), CONDITIONS_MAX));
    }
    let mut seen = HashSet::new();
    for (index, condition) in conditions.iter().enumerate() {
        let path = path.index(index);
        if condition.text("expression").trim().is_empty() {
            errors.push(FieldError::required(path.child("expression"), ""));
        }
        match condition.text("name") {
            "" => errors.push(FieldError::required(path.child("name"), "")),
            name => {
                problems(errors, &path.child("name"), name, names::qualified_name(name));
                if !seen.insert(name) {
                    errors.push(FieldError::duplicate(path.child("name"), name));
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn resources_do_not_cover_each_other() {
        let check = |names: Value, want: &[&str]| {
            let mut errors = Errors::new();
            let rule = json!({"resources": names});
            resources(&mut errors, &rule, &Path::new("r"));
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want, "{rule}");
        };
        check(json!(["pods", "pods/status", "*/scale"]), &[]);
        check(json!([]), &["r: Required value"]);
        check(
            json!(["pods/*", "pods/log"]),
            &[
                r#"r[1]: Invalid value: "pods/log": if 'pods/*' is present, must not specify pods/log"#,
            ],
        );
        check(
            json!(["*", "pods"]),
            &[
                r#"r: Invalid value: ["*","pods"]: if '*' is present, must not specify other resources without subresources"#,
            ],
        );
        check(
            json!(["*/*", "pods"]),
            &[
                r#"r: Invalid value: ["*/*","pods"]: if '*/*' is present, must not specify other resources"#,
            ],
        );
    }
}
