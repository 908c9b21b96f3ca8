//! The type check of ValidatingAdmissionPolicies: expressions that use an object as what it is not. The
//! policy works all the same; its status tells.

use std::collections::BTreeSet;

use kd_api::kind::split_api_version;
use kd_api::{Kinds, Object, schema};
use kd_cel::{Environment, Schema, Type};
use serde_json::{Value, json};

use super::super::expressions::{Variables, environment};

/// As many types are checked of the rules of one policy.
const TYPES_MAX: usize = 10;

/// Group, version, kind.
type Gvk = (String, String, String);

/// What `status.typeChecking.expressionWarnings` should say.
pub(crate) fn expression_warnings(policy: &Value, kinds: &Kinds) -> Vec<Value> {
    let spec = &policy["spec"];
    let params = params_type(spec, kinds);
    let types: Vec<(Gvk, Environment)> = types_to_check(spec, kinds)
        .into_iter()
        .filter_map(|gvk| {
            let of = type_of(&gvk, kinds)?;
            let typed =
                environment(false, true).variable("object", of.clone()).variable("oldObject", of);
            let typed = match &params {
                Some(params) => typed.variable("params", params.clone()),
                None => typed,
            };
            Some((gvk, Variables::of(spec, typed).1))
        })
        .collect();
    let mut warnings = Vec::new();
    for (index, validation) in spec.list_at(&["validations"]).iter().enumerate() {
        for field in ["expression", "messageExpression"] {
            let text = validation.str_at(&[field]);
            let issues: Vec<String> = types
                .iter()
                .filter(|_| !text.is_empty())
                .filter_map(|(gvk, environment)| {
                    let error = environment.compile(text).err()?;
                    Some(format!("{}/{}, Kind={}: {error}\n", gvk.0, gvk.1, gvk.2))
                })
                .collect();
            if !issues.is_empty() {
                warnings.push(json!({
                    "fieldRef": format!("spec.validations[{index}].{field}"),
                    "warning": issues.join("\n"),
                }));
            }
        }
    }
    warnings
}

fn params_type(spec: &Value, kinds: &Kinds) -> Option<Type> {
    let kind = spec.get("paramKind").filter(|kind| kind.is_object())?;
    let (group, version) = split_api_version(kind.str_at(&["apiVersion"]));
    type_of(&(group.into(), version.into(), kind.str_at(&["kind"]).into()), kinds)
}

fn type_of((group, version, kind): &Gvk, kinds: &Kinds) -> Option<Type> {
    let schema = schema::expanded(kinds.by_kind(group, version, kind)?)?;
    Some(Schema::new(&schema, true)?.value_type())
}

/// The kinds that the rules name, in order; rules with wildcards name none.
fn types_to_check(spec: &Value, kinds: &Kinds) -> BTreeSet<Gvk> {
    let mut found = BTreeSet::new();
    for rule in spec.list_at(&["matchConstraints", "resourceRules"]) {
        let texts = |field: &str| -> Vec<&str> {
            let mut texts: Vec<&str> =
                rule.list_at(&[field]).iter().filter_map(Value::as_str).collect();
            texts.sort_unstable();
            texts
        };
        let (groups, versions) = (texts("apiGroups"), texts("apiVersions"));
        if groups.iter().chain(&versions).any(|text| text.contains('*')) {
            continue;
        }
        let mut resources = texts("resources");
        resources.retain(|resource| !resource.contains(['*', '/']));
        let mut left = TYPES_MAX;
        for group in groups {
            for version in &versions {
                for resource in &resources {
                    let Some(kind) = kinds.get(group, version, resource) else { continue };
                    found.insert((kind.group.clone(), kind.version.clone(), kind.kind.clone()));
                    left -= 1;
                    if left == 0 {
                        return found;
                    }
                }
            }
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A policy about a resource of `apps/v1`, and the fields that are warned of with a part of the text.
    #[track_caller]
    fn check(resources: &[&str], mut spec: Value, expect: &[(&str, &str)]) {
        spec["matchConstraints"] = json!({"resourceRules": [{"operations": ["*"],
            "apiGroups": ["apps"], "apiVersions": ["v1"], "resources": resources}]});
        let warnings = expression_warnings(&json!({ "spec": spec }), &Kinds::built_in());
        let fields: Vec<&str> = warnings.iter().map(|w| w.str_at(&["fieldRef"])).collect();
        assert_eq!(fields, expect.iter().map(|(field, _)| *field).collect::<Vec<_>>());
        for (warning, (_, part)) in warnings.iter().zip(expect) {
            assert!(warning.str_at(&["warning"]).contains(part), "{warning}");
        }
    }

    fn validation(expression: &str, message: &str) -> Value {
        json!({"validations": [{"expression": expression, "messageExpression": message}]})
    }

    #[test]
    fn types_are_those_of_the_rules() {
        let deployments: &[&str] = &["deployments"];
        check(deployments, validation("object.spec.replicas > 1", ""), &[]);
        let confused = validation("object.spec.replicas > '1'", "'got ' + object.spec.replicas");
        let first = "apps/v1, Kind=Deployment: ERROR: <input>:1:22: found no matching overload for '_>_' applied to '(int, string)'\n | object.spec.replicas > '1'\n | .....................^\n";
        let second = "found no matching overload for '_+_' applied to '(string, int)'";
        check(
            deployments,
            confused.clone(),
            &[
                ("spec.validations[0].expression", first),
                ("spec.validations[0].messageExpression", second),
            ],
        );
        check(&["*"], confused.clone(), &[]);
        check(&["deployments/scale"], confused.clone(), &[]);
        let both: &[&str] = &["statefulsets", "deployments", "daemonsets"];
        let expect = "apps/v1, Kind=DaemonSet: ERROR: <input>:1:12: undefined field 'replicas'";
        check(
            both,
            validation("object.spec.replicas > 1", ""),
            &[("spec.validations[0].expression", expect)],
        );
        let whole = "has(object.metadata.labels) && object.metadata.labels['a'] == oldObject.metadata.name && request.userInfo.username != '' && authorizer.group('').resource('pods').check('get').allowed() && authorizer.requestResource.check('x').allowed()";
        check(deployments, validation(whole, ""), &[]);
    }

    #[test]
    fn variables_and_parameters_have_types() {
        let deployments: &[&str] = &["deployments"];
        let mut spec = validation("variables.replicas == params.data['x']", "");
        spec["variables"] = json!([{"name": "replicas", "expression": "object.spec.replicas"}]);
        spec["paramKind"] = json!({"apiVersion": "v1", "kind": "ConfigMap"});
        let expect = "found no matching overload for '_==_' applied to '(int, string)'";
        check(deployments, spec.clone(), &[("spec.validations[0].expression", expect)]);
        spec["paramKind"]["kind"] = "None".into();
        let expect = "undeclared reference to 'params'";
        check(deployments, spec, &[("spec.validations[0].expression", expect)]);
    }
}
