//! ValidatingAdmissionPolicies, MutatingAdmissionPolicies and their bindings. Whether expressions can
//! be compiled is not looked at here.

use std::collections::HashSet;

use serde_json::Value;

use super::admission_rules::{choice_of, match_conditions, match_resources};
use super::check::{Errors, label_selector, problems};
use super::names;
use super::workload::spec_path;
use crate::strategy::same;
use crate::walk::Walk;
use crate::{FieldError, Path};

const AUDIT_ANNOTATIONS_MAX: usize = 20;
const AUDIT_EXPRESSION_BYTES_MAX: usize = 5 * 1024;
const REASONS: [&str; 3] = ["Forbidden", "Invalid", "RequestEntityTooLarge"];
const MUTATED_OPERATIONS: [&str; 4] = ["*", "CONNECT", "CREATE", "UPDATE"];
const ACTIONS: [&str; 3] = ["Audit", "Deny", "Warn"];
const RESERVED_WORDS: [&str; 21] = [
    "as",
    "break",
    "const",
    "continue",
    "else",
    "false",
    "for",
    "function",
    "if",
    "import",
    "in",
    "let",
    "loop",
    "namespace",
    "null",
    "package",
    "return",
    "true",
    "var",
    "void",
    "while",
];

pub(super) fn validating(errors: &mut Errors, object: &Value) {
    validating_policy(errors, object, true);
}

pub(super) fn validating_update(errors: &mut Errors, new: &Value, old: &Value) {
    validating_policy(errors, new, conditions_changed(new, old));
}

pub(super) fn mutating(errors: &mut Errors, object: &Value) {
    mutating_policy(errors, object, true);
}

pub(super) fn mutating_update(errors: &mut Errors, new: &Value, old: &Value) {
    mutating_policy(errors, new, conditions_changed(new, old));
}

fn conditions_changed(new: &Value, old: &Value) -> bool {
    let fields = ["paramKind", "matchConditions"];
    fields.iter().any(|field| !same(&new["spec"][field], &old["spec"][field]))
}

/// What both sorts of policy have.
fn policy(errors: &mut Errors, spec: &Value, conditions: bool) {
    let path = spec_path();
    match spec["failurePolicy"].as_str() {
        None => errors.push(FieldError::required(path.child("failurePolicy"), "")),
        Some(_) => choice_of(errors, spec, "failurePolicy", &path, &["Fail", "Ignore"]),
    }
    if spec.has("paramKind") {
        param_kind(errors, &spec["paramKind"], &path.child("paramKind"));
    }
    let (constraints, own) = (&spec["matchConstraints"], path.child("matchConstraints"));
    if constraints.is_null() {
        errors.push(FieldError::required(own, ""));
    } else {
        match_resources(errors, constraints, &own);
        if constraints.list("resourceRules").is_empty() {
            errors.push(FieldError::required(own.child("resourceRules"), ""));
        }
    }
    if conditions {
        match_conditions(errors, spec, &path);
    }
    for (index, variable) in spec.list("variables").iter().enumerate() {
        let path = path.child("variables").index(index);
        let name = variable.text("name");
        if name.trim().is_empty() {
            errors.push(FieldError::required(path.child("name"), "name is not specified"));
        } else if !is_identifier(name) {
            let text = "must be a valid CEL identifier";
            errors.push(FieldError::invalid(path.child("name"), name, text));
        }
        expression(errors, variable, "expression", &path);
    }
}

fn is_identifier(name: &str) -> bool {
    names::c_identifier(name).is_empty() && !RESERVED_WORDS.contains(&name)
}

fn expression(errors: &mut Errors, owner: &Value, field: &str, path: &Path) {
    if owner.text(field).trim().is_empty() {
        let text = format!("{field} is not specified");
        errors.push(FieldError::required(path.child(field), text));
    }
}

fn param_kind(errors: &mut Errors, kind: &Value, path: &Path) {
    let version = kind.text("apiVersion");
    let own = path.child("apiVersion");
    let mut invalid = |value: &str, text: String| {
        errors.push(FieldError::invalid(own.clone(), value, text));
    };
    match version.split('/').collect::<Vec<_>>().as_slice() {
        [""] => errors.push(FieldError::required(own, "")),
        [_, _, _, ..] => invalid(version, format!("unexpected GroupVersion string: {version}")),
        parts => {
            let (group, number) = match parts {
                [group, number] => (*group, *number),
                _ => ("", version),
            };
            let wrong = names::dns_subdomain(group);
            if !group.is_empty() && !wrong.is_empty() {
                invalid(group, wrong.join(","));
            }
            let wrong = names::dns_1035_label(number);
            if number.is_empty() {
                invalid(version, "version must be specified".into());
            } else if !wrong.is_empty() {
                invalid(number, wrong.join(","));
            }
        }
    }
    let name = kind.text("kind");
    let wrong = names::dns_1035_label(&name.to_lowercase());
    if name.is_empty() {
        errors.push(FieldError::required(path.child("kind"), ""));
    } else if !wrong.is_empty() {
        let text = format!("may have mixed case, but should otherwise match: {}", wrong.join(","));
        errors.push(FieldError::invalid(path.child("kind"), name, text));
    }
}

fn validating_policy(errors: &mut Errors, object: &Value, conditions: bool) {
    let (path, spec) = (spec_path(), &object["spec"]);
    policy(errors, spec, conditions);
    let (validations, annotations) = (spec.list("validations"), spec.list("auditAnnotations"));
    if validations.is_empty() && annotations.is_empty() {
        let text = "validations or auditAnnotations must contain at least one item";
        for field in ["validations", "auditAnnotations"] {
            errors.push(FieldError::required(path.child(field), text));
        }
        return;
    }
    for (index, rule) in validations.iter().enumerate() {
        validation(errors, rule, &path.child("validations").index(index));
    }
    let path = path.child("auditAnnotations");
    if annotations.len() > AUDIT_ANNOTATIONS_MAX {
        let text = format!("must not have more than {AUDIT_ANNOTATIONS_MAX} auditAnnotations");
        let value = spec["auditAnnotations"].clone();
        errors.push(FieldError::invalid(path.clone(), value, text));
    }
    let mut seen = HashSet::new();
    for (index, annotation) in annotations.iter().enumerate() {
        let path = path.index(index);
        audit_annotation(errors, object["metadata"].text("name"), annotation, &path);
        let key = annotation.text("key");
        if !seen.insert(key) {
            errors.push(FieldError::duplicate(path.child("key"), key));
        }
    }
}

fn validation(errors: &mut Errors, rule: &Value, path: &Path) {
    expression(errors, rule, "expression", path);
    for field in ["messageExpression", "message"] {
        let text = rule.text(field);
        if !text.is_empty() && text.trim().is_empty() {
            let why = "must be non-empty if specified";
            errors.push(FieldError::invalid(path.child(field), text, why));
        } else if field == "message" && text.trim().contains(['\n', '\r']) {
            errors.push(FieldError::invalid(
                path.child(field),
                text,
                "must not contain line breaks",
            ));
        }
    }
    choice_of(errors, rule, "reason", path, &REASONS);
}

fn audit_annotation(errors: &mut Errors, policy: &str, annotation: &Value, path: &Path) {
    let key = annotation.text("key");
    if policy.is_empty() {
        let text = "requires metadata.name be non-empty";
        errors.push(FieldError::invalid(path.child("key"), key, text));
    } else {
        let name = format!("{policy}/{key}");
        let wrong = names::qualified_name(&name);
        problems(errors, &path.child("key"), name, wrong);
    }
    expression(errors, annotation, "valueExpression", path);
    if annotation.text("valueExpression").trim().len() > AUDIT_EXPRESSION_BYTES_MAX {
        let text = format!("must not exceed {AUDIT_EXPRESSION_BYTES_MAX} bytes in length");
        errors.push(FieldError::required(path.child("valueExpression"), text));
    }
}

fn mutating_policy(errors: &mut Errors, object: &Value, conditions: bool) {
    let (path, spec) = (spec_path(), &object["spec"]);
    policy(errors, spec, conditions);
    mutated_operations(errors, &spec["matchConstraints"], &path.child("matchConstraints"));
    let mutations = spec.list("mutations");
    if mutations.is_empty() {
        let text = "mutations must contain at least one item";
        errors.push(FieldError::required(path.child("mutations"), text));
    }
    for (index, rule) in mutations.iter().enumerate() {
        mutation(errors, rule, &path.child("mutations").index(index));
    }
    match spec.text("reinvocationPolicy") {
        "" => errors.push(FieldError::required(path.child("reinvocationPolicy"), "")),
        _ => choice_of(errors, spec, "reinvocationPolicy", &path, &["IfNeeded", "Never"]),
    }
}

/// What is deleted cannot be changed.
fn mutated_operations(errors: &mut Errors, resources: &Value, path: &Path) {
    let path = path.child("resourceRules").child("operations");
    let rules = resources.list("resourceRules").iter();
    for operation in rules.flat_map(|r| r.list("operations")).filter_map(Value::as_str) {
        if !MUTATED_OPERATIONS.contains(&operation) {
            let supported = &MUTATED_OPERATIONS;
            errors.push(FieldError::not_supported(path.clone(), operation, supported));
        }
    }
}

fn mutation(errors: &mut Errors, rule: &Value, path: &Path) {
    let sort = rule.text("patchType");
    let (own, other) = match sort {
        "JSONPatch" => ("jsonPatch", "applyConfiguration"),
        "ApplyConfiguration" => ("applyConfiguration", "jsonPatch"),
        "" => {
            errors.push(FieldError::required(path.child("patchType"), ""));
            return;
        }
        _ => {
            let supported = ["ApplyConfiguration", "JSONPatch"];
            errors.push(FieldError::not_supported(path.child("patchType"), sort, &supported));
            return;
        }
    };
    if rule[own].is_null() {
        let text = format!("must be specified when patchType is {sort}");
        errors.push(FieldError::required(path.child(own), text));
    } else if rule[own].text("expression").trim().is_empty() {
        errors.push(FieldError::required(path.child(own).child("expression"), ""));
    }
    if rule.has(other) {
        let text = format!("must not be specified when patchType is {sort}");
        errors.push(FieldError::invalid(path.child(other), format!("{{{other}}}"), text));
    }
}

/// What both sorts of binding have.
fn binding(errors: &mut Errors, spec: &Value) {
    let path = spec_path();
    match spec.text("policyName") {
        "" => errors.push(FieldError::required(path.child("policyName"), "")),
        name => problems(errors, &path.child("policyName"), name, names::dns_subdomain(name)),
    }
    if spec.has("paramRef") {
        param_reference(errors, &spec["paramRef"], &path.child("paramRef"));
    }
    if spec.has("matchResources") {
        match_resources(errors, &spec["matchResources"], &path.child("matchResources"));
    }
}

fn param_reference(errors: &mut Errors, reference: &Value, path: &Path) {
    let (name, selects) = (reference.text("name"), reference.has("selector"));
    let both = "name and selector are mutually exclusive";
    if !name.is_empty() {
        problems(errors, &path.child("name"), name, names::path_segment(name));
        if selects {
            errors.push(FieldError::forbidden(path.child("name"), both));
        }
    }
    if selects {
        label_selector(errors, &reference["selector"], &path.child("selector"));
        if !name.is_empty() {
            errors.push(FieldError::forbidden(path.child("selector"), both));
        }
    }
    if name.is_empty() && !selects {
        let text = "one of name or selector must be specified";
        errors.push(FieldError::required(path.clone(), text));
    }
    let field = "parameterNotFoundAction";
    match reference.text(field) {
        "" => errors.push(FieldError::required(path.child(field), "")),
        _ => choice_of(errors, reference, field, path, &["Deny", "Allow"]),
    }
}

pub(super) fn validating_binding(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path().child("validationActions"), &object["spec"]);
    binding(errors, spec);
    let mut seen = HashSet::new();
    for (index, action) in
        spec.list("validationActions").iter().filter_map(Value::as_str).enumerate()
    {
        if !ACTIONS.contains(&action) {
            errors.push(FieldError::not_supported(path.index(index), action, &ACTIONS));
        }
        if !seen.insert(action) {
            errors.push(FieldError::duplicate(path.index(index), action));
        }
    }
    if seen.contains("Deny") && seen.contains("Warn") {
        let text = "must not contain both Deny and Warn (repeating the same validation failure information in the API response and headers serves no purpose)";
        let value = spec["validationActions"].clone();
        errors.push(FieldError::invalid(path.clone(), value, text));
    }
    if seen.is_empty() {
        errors.push(FieldError::required(path, "at least one validation action is required"));
    }
}

pub(super) fn mutating_binding(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    binding(errors, spec);
    mutated_operations(errors, &spec["matchResources"], &spec_path().child("matchResources"));
}

/// What a policy's status says of its expressions.
pub(super) fn status(errors: &mut Errors, new: &Value, _: &Value) {
    let warnings = &new["status"]["typeChecking"];
    let path = Path::new("status").child("typeChecking").child("expressionWarnings");
    for (index, warning) in warnings.list("expressionWarnings").iter().enumerate() {
        for field in ["warning", "fieldRef"] {
            if warning.text(field).trim().is_empty() {
                errors.push(FieldError::required(path.index(index).child(field), ""));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults::apply_defaults;
    use crate::testing::kind;

    fn check(name: &str, spec: Value, rule: fn(&mut Errors, &Value), want: &[&str]) {
        let mut object = json!({"metadata": {"name": "p"}, "spec": spec});
        apply_defaults(&kind("admissionregistration.k8s.io", "v1", name), &mut object);
        let mut errors = Errors::new();
        rule(&mut errors, &object);
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        assert_eq!(texts, want, "{object}");
    }

    fn constraints(operation: &str) -> Value {
        json!({"resourceRules": [{"apiGroups": ["apps"], "apiVersions": ["v1"],
            "resources": ["deployments"], "operations": [operation]}]})
    }

    #[test]
    fn validating_policies() {
        let policy = |spec: Value, want: &[&str]| {
            check("ValidatingAdmissionPolicy", spec, validating, want);
        };
        policy(
            json!({"matchConstraints": constraints("CREATE"), "validations": [{"expression": "true", "reason": "Invalid"}]}),
            &[],
        );
        policy(
            json!({"validations": [{"expression": " ", "message": "a\nb", "reason": "Because"}],
                "paramKind": {"apiVersion": "a/b/c", "kind": "Config Map"}, "variables": [{"name": "in", "expression": "1"}]}),
            &[
                r#"spec.paramKind.apiVersion: Invalid value: "a/b/c": unexpected GroupVersion string: a/b/c"#,
                r#"spec.paramKind.kind: Invalid value: "Config Map": may have mixed case, but should otherwise match: a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')"#,
                "spec.matchConstraints: Required value",
                r#"spec.variables[0].name: Invalid value: "in": must be a valid CEL identifier"#,
                "spec.validations[0].expression: Required value: expression is not specified",
                r#"spec.validations[0].message: Invalid value: "a\nb": must not contain line breaks"#,
                r#"spec.validations[0].reason: Unsupported value: "Because": supported values: "Forbidden", "Invalid", "RequestEntityTooLarge""#,
            ],
        );
    }

    #[test]
    fn mutating_policies() {
        let policy = |spec: Value, want: &[&str]| {
            check("MutatingAdmissionPolicy", spec, mutating, want);
        };
        policy(
            json!({"matchConstraints": constraints("CREATE"), "reinvocationPolicy": "Never",
                "mutations": [{"patchType": "JSONPatch", "jsonPatch": {"expression": "[]"}}]}),
            &[],
        );
        policy(
            json!({"matchConstraints": constraints("DELETE"), "mutations": [{"patchType": "JSONPatch", "applyConfiguration": {}}]}),
            &[
                r#"spec.matchConstraints.resourceRules.operations: Unsupported value: "DELETE": supported values: "*", "CONNECT", "CREATE", "UPDATE""#,
                "spec.mutations[0].jsonPatch: Required value: must be specified when patchType is JSONPatch",
                r#"spec.mutations[0].applyConfiguration: Invalid value: "{applyConfiguration}": must not be specified when patchType is JSONPatch"#,
                "spec.reinvocationPolicy: Required value",
            ],
        );
    }

    #[test]
    fn bindings() {
        let binding = |spec: Value, want: &[&str]| {
            check("ValidatingAdmissionPolicyBinding", spec, validating_binding, want);
        };
        binding(json!({"policyName": "p", "validationActions": ["Deny"]}), &[]);
        binding(
            json!({"policyName": "p", "paramRef": {"name": "x", "selector": {}}}),
            &[
                "spec.paramRef.name: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.selector: Forbidden: name and selector are mutually exclusive",
                "spec.paramRef.parameterNotFoundAction: Required value",
                "spec.validationActions: Required value: at least one validation action is required",
            ],
        );
    }
}
