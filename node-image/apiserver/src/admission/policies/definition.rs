//! Whether the expressions of webhooks and policies can be compiled, asked when one is written: what
//! cannot would only be found out by other people's requests.

use kd_api::{FieldError, Kind, Object, Path};
use serde_json::Value;

use super::mutation::Mutations;
use super::validation::Validations;
use super::{Environments, GROUP, Policy};
use crate::admission::expressions::{Conditions, environment};

/// What is wrong with the expressions of a configuration or policy. What `old` had is not judged again.
pub(crate) fn expression_errors(kind: &Kind, new: &Value, old: Option<&Value>) -> Vec<FieldError> {
    let is_new = |field: &str| old.is_none_or(|old| old[field] != new[field]);
    match kind.kind.as_str() {
        _ if kind.group != GROUP => Vec::new(),
        "MutatingWebhookConfiguration" | "ValidatingWebhookConfiguration" if is_new("webhooks") => {
            let environment = environment(false, true);
            let hooks = new.list_at(&["webhooks"]).iter().enumerate();
            let flaws = |(index, hook): (usize, &Value)| {
                Conditions::of(hook, &environment).flaws(&Path::new("webhooks").index(index))
            };
            hooks.flat_map(flaws).collect()
        }
        "ValidatingAdmissionPolicy" if is_new("spec") => {
            policy(new, Validations::of, Validations::flaws)
        }
        "MutatingAdmissionPolicy" if is_new("spec") => policy(new, Mutations::of, Mutations::flaws),
        _ => Vec::new(),
    }
}

fn policy<R>(
    object: &Value,
    rules: fn(&Value, &Environments) -> R,
    flaws: fn(&R, &Path) -> Vec<FieldError>,
) -> Vec<FieldError> {
    let (policy, path) = (Policy::new(object, rules), Path::new("spec"));
    let mut errors = policy.conditions.flaws(&path);
    for (index, variable) in object.list_at(&["spec", "variables"]).iter().enumerate() {
        let text = variable.str_at(&["expression"]).trim();
        if let Some(why) = policy.variables.error(variable.str_at(&["name"]))
            && !text.is_empty()
        {
            let path = path.child("variables").index(index).child("expression");
            errors.push(FieldError::invalid(path, text, why));
        }
    }
    errors.extend(flaws(&policy.rules, &path));
    errors
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[track_caller]
    fn check(kind: &str, object: Value, old: Option<&Value>, want: &[&str]) {
        let kinds = kd_api::Kinds::built_in();
        let kind = kinds.by_kind(GROUP, "v1", kind).unwrap();
        let errors = expression_errors(kind, &object, old);
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        assert_eq!(texts.len(), want.len(), "{texts:?}");
        for (text, want) in texts.iter().zip(want) {
            assert!(text.starts_with(want), "{text}");
        }
    }

    #[test]
    fn conditions_of_webhooks_compile() {
        let hooks = |texts: &[&str]| {
            let condition = |text: &&str| json!({"name": "a", "expression": text});
            let conditions: Vec<Value> = texts.iter().map(condition).collect();
            json!({"webhooks": [{"name": "a.b.c"}, {"matchConditions": conditions}]})
        };
        let bad = hooks(&["object.metadata.name != 'a'", "... [] bad expression", " "]);
        let want = r#"webhooks[1].matchConditions[1].expression: Invalid value: "... [] bad expression": compilation failed: ERROR: <input>:1:2: "#;
        check("ValidatingWebhookConfiguration", bad.clone(), None, &[want]);
        check("MutatingWebhookConfiguration", bad.clone(), None, &[want]);
        check("MutatingWebhookConfiguration", bad.clone(), Some(&bad), &[]);
        let number = hooks(&["1 + 1"]);
        let want = r#"webhooks[1].matchConditions[0].expression: Invalid value: "1 + 1": must evaluate to bool but got int"#;
        check("ValidatingWebhookConfiguration", number, Some(&bad), &[want]);
    }

    #[test]
    fn expressions_of_policies_compile() {
        let policy = json!({"spec": {
            "matchConditions": [{"name": "a", "expression": "nothing"}],
            "variables": [
                {"name": "one", "expression": "1"},
                {"name": "bad", "expression": "1 +"},
                {"name": "two", "expression": "variables.one + 1"},
            ],
            "validations": [
                {"expression": "variables.two > 1", "messageExpression": "authorizer"},
                {"expression": "variables.three > 1"},
            ],
            "auditAnnotations": [{"key": "a", "valueExpression": "1"}],
        }});
        let want = [
            r#"spec.matchConditions[0].expression: Invalid value: "nothing": compilation failed: "#,
            r#"spec.variables[1].expression: Invalid value: "1 +": compilation failed: "#,
            r#"spec.validations[0].messageExpression: Invalid value: "authorizer": compilation failed: "#,
            r#"spec.validations[1].expression: Invalid value: "variables.three > 1": compilation failed: "#,
            r#"spec.auditAnnotations[0].valueExpression: Invalid value: "1": must evaluate to one of [string null_type] but got int"#,
        ];
        check("ValidatingAdmissionPolicy", policy, None, &want);
        let policy = json!({"spec": {"mutations": [
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "Object{}"}},
            {"patchType": "ApplyConfiguration", "applyConfiguration": {"expression": "1"}},
            {"patchType": "JSONPatch", "jsonPatch": {"expression": "["}},
        ]}});
        let want = [
            r#"spec.mutations[1].applyConfiguration.expression: Invalid value: "1": must evaluate to Object but got int"#,
            r#"spec.mutations[2].jsonPatch.expression: Invalid value: "[": compilation failed: "#,
        ];
        check("MutatingAdmissionPolicy", policy, None, &want);
    }
}
