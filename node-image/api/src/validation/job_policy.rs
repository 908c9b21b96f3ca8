//! What the failures and successes of a Job's pods mean for it.

use std::collections::HashSet;

use serde_json::Value;

use super::check::{Errors, not_negative, problems};
use super::{index_list, names};
use crate::walk::Walk;
use crate::{FieldError, Path};

const RULES_MAX: usize = 20;
const EXIT_CODES_MAX: usize = 255;
const CONDITIONS_MAX: usize = 20;
const INDEX_LIST_BYTES_MAX: usize = 64 * 1024;

const ACTIONS: [&str; 4] = ["Count", "FailIndex", "FailJob", "Ignore"];
const OPERATORS: [&str; 2] = ["In", "NotIn"];
const CONDITION_STATUSES: [&str; 3] = ["False", "True", "Unknown"];

/// A text that must be one of `supported`; the detail of a missing one lists them.
fn one_of(errors: &mut Errors, owner: &Value, field: &str, path: &Path, supported: &[&str]) {
    let text = owner.text(field);
    if text.is_empty() {
        let quoted: Vec<String> = supported.iter().map(|s| format!("{s:?}")).collect();
        let detail = format!("valid values: [{}]", quoted.join(" "));
        errors.push(FieldError::required(path.child(field), detail));
    } else if !supported.contains(&text) {
        errors.push(FieldError::not_supported(path.child(field), text, supported));
    }
}

pub(super) fn pod_failure(errors: &mut Errors, spec: &Value, path: &Path) {
    let rules = spec["podFailurePolicy"].list("rules");
    let path = path.child("rules");
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(path.clone(), rules.len(), RULES_MAX));
    }
    let pod = &spec["template"]["spec"];
    let containers = pod.list("containers").iter().chain(pod.list("initContainers"));
    let containers: HashSet<&str> = containers.map(|c| c.text("name")).collect();
    for (index, rule) in rules.iter().enumerate() {
        let path = path.index(index);
        if rule.text("action") == "FailIndex" && !spec.has("backoffLimitPerIndex") {
            let text = "requires the backoffLimitPerIndex to be set";
            errors.push(FieldError::invalid(path.child("action"), "FailIndex", text));
        }
        one_of(errors, rule, "action", &path, &ACTIONS);
        let (codes, conditions) = (&rule["onExitCodes"], rule.list("onPodConditions"));
        if !codes.is_null() {
            exit_codes(errors, codes, &path.child("onExitCodes"), &containers);
        }
        pod_conditions(errors, conditions, &path.child("onPodConditions"));
        if codes.is_null() == conditions.is_empty() {
            let text = match codes.is_null() {
                true => "specifying one of OnExitCodes and OnPodConditions is required",
                false => "specifying both OnExitCodes and OnPodConditions is not supported",
            };
            errors.push(FieldError::invalid_unshown(path, text));
        }
    }
}

fn exit_codes(errors: &mut Errors, codes: &Value, path: &Path, containers: &HashSet<&str>) {
    one_of(errors, codes, "operator", path, &OPERATORS);
    if let Some(name) = codes["containerName"].as_str().filter(|name| !containers.contains(name)) {
        let text = "must be one of the container or initContainer names in the pod template";
        errors.push(FieldError::invalid(path.child("containerName"), name, text));
    }
    let values: Vec<i64> = codes.list("values").iter().filter_map(Value::as_i64).collect();
    let path = path.child("values");
    if values.is_empty() {
        let text = "at least one value is required";
        errors.push(FieldError::invalid(path, codes["values"].clone(), text));
        return;
    }
    if values.len() > EXIT_CODES_MAX {
        errors.push(FieldError::too_many(path.clone(), values.len(), EXIT_CODES_MAX));
    }
    let mut seen = HashSet::new();
    for (index, value) in values.iter().enumerate() {
        if codes.text("operator") == "In" && *value == 0 {
            let text = "must not be 0 for the In operator";
            errors.push(FieldError::invalid(path.index(index), *value, text));
        }
        if !seen.insert(value) {
            errors.push(FieldError::duplicate(path.index(index), *value));
        }
    }
    if !values.is_sorted() {
        errors.push(FieldError::invalid(path, codes["values"].clone(), "must be ordered"));
    }
}

fn pod_conditions(errors: &mut Errors, conditions: &[Value], path: &Path) {
    if conditions.len() > CONDITIONS_MAX {
        errors.push(FieldError::too_many(path.clone(), conditions.len(), CONDITIONS_MAX));
    }
    for (index, pattern) in conditions.iter().enumerate() {
        let path = path.index(index);
        let name = pattern.text("type");
        problems(errors, &path.child("type"), name, names::qualified_name(name));
        one_of(errors, pattern, "status", &path, &CONDITION_STATUSES);
    }
}

pub(super) fn success(errors: &mut Errors, spec: &Value, path: &Path) {
    let policy = &spec["successPolicy"];
    if spec.text("completionMode") != "Indexed" {
        let text = "requires indexed completion mode";
        errors.push(FieldError::invalid(path.clone(), policy.clone(), text));
        return;
    }
    let rules = policy.list("rules");
    let path = path.child("rules");
    if rules.is_empty() {
        let text = "at least one rules must be specified when the successPolicy is specified";
        errors.push(FieldError::required(path.clone(), text));
    }
    if rules.len() > RULES_MAX {
        errors.push(FieldError::too_many(path.clone(), rules.len(), RULES_MAX));
    }
    let completions = spec.integer("completions").unwrap_or(0);
    for (index, rule) in rules.iter().enumerate() {
        success_rule(errors, rule, completions, &path.index(index));
    }
}

fn success_rule(errors: &mut Errors, rule: &Value, completions: i64, path: &Path) {
    let indexes = rule["succeededIndexes"].as_str();
    let count = rule.integer("succeededCount");
    if indexes.is_none() && count.is_none() {
        let text = "at least one of succeededCount or succeededIndexes must be specified";
        errors.push(FieldError::required(path.clone(), text));
    }
    let mut total = 0;
    if let Some(list) = indexes {
        let path = path.child("succeededIndexes");
        if list.len() > INDEX_LIST_BYTES_MAX {
            errors.push(FieldError::too_long(path.clone(), INDEX_LIST_BYTES_MAX));
        }
        match index_list::count(list, completions) {
            Ok(count) => total = count,
            Err(problem) => {
                let text = format!("error parsing succeededIndexes: {problem}");
                errors.push(FieldError::invalid(path, list, text));
            }
        }
    }
    let Some(count) = count else { return };
    not_negative(errors, rule, "succeededCount", path);
    let path = path.child("succeededCount");
    if count > completions {
        let text = format!(
            "must be less than or equal to {completions} (the number of specified completions)"
        );
        errors.push(FieldError::invalid(path.clone(), count, text));
    }
    if indexes.is_some() && count > total {
        let text = format!(
            "must be less than or equal to {total} (the number of indexes in the specified succeededIndexes field)"
        );
        errors.push(FieldError::invalid(path, count, text));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn check(rule: fn(&mut Errors, &Value, &Path), spec: Value, want: &[&str]) {
        let mut errors = Errors::new();
        rule(&mut errors, &spec, &Path::new("p"));
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        assert_eq!(texts, want, "{spec}");
    }

    #[test]
    fn failures() {
        let failure = |rule: Value, want: &[&str]| {
            let spec = json!({"podFailurePolicy": {"rules": [rule]},
                "template": {"spec": {"containers": [{"name": "c"}]}}});
            check(pod_failure, spec, want);
        };
        failure(
            json!({"action": "FailJob", "onExitCodes": {"containerName": "c", "operator": "In", "values": [1, 2]}}),
            &[],
        );
        failure(
            json!({"action": "Ignore", "onPodConditions": [{"type": "DisruptionTarget", "status": "True"}]}),
            &[],
        );
        failure(
            json!({"action": "Ignore"}),
            &[
                "p.rules[0]: Invalid value: specifying one of OnExitCodes and OnPodConditions is required",
            ],
        );
        failure(
            json!({"onExitCodes": {"operator": "In", "values": [2, 0, 2]}}),
            &[
                r#"p.rules[0].action: Required value: valid values: ["Count" "FailIndex" "FailJob" "Ignore"]"#,
                "p.rules[0].onExitCodes.values[1]: Invalid value: 0: must not be 0 for the In operator",
                "p.rules[0].onExitCodes.values[2]: Duplicate value: 2",
                "p.rules[0].onExitCodes.values: Invalid value: [2,0,2]: must be ordered",
            ],
        );
    }

    #[test]
    fn successes() {
        let policy = |rule: Value, want: &[&str]| {
            let spec = json!({"completionMode": "Indexed", "completions": 5, "successPolicy": {"rules": [rule]}});
            check(success, spec, want);
        };
        policy(json!({"succeededIndexes": "0,2-4", "succeededCount": 2}), &[]);
        policy(
            json!({"succeededIndexes": "0-1", "succeededCount": 3}),
            &[
                "p.rules[0].succeededCount: Invalid value: 3: must be less than or equal to 2 (the number of indexes in the specified succeededIndexes field)",
            ],
        );
        policy(
            json!({"succeededIndexes": "7"}),
            &[
                r#"p.rules[0].succeededIndexes: Invalid value: "7": error parsing succeededIndexes: too large index: "7""#,
            ],
        );
    }
}
