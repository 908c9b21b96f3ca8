//! Where pods may run: node selectors, affinity, tolerations, spreading, gates.

use serde_json::Value;

use super::check::{Errors, choice, label_selector, problems, required_choice};
use super::names;
use crate::walk::Walk;
use crate::{FieldError, Path};

const REQUIRED: &str = "requiredDuringSchedulingIgnoredDuringExecution";
const PREFERRED: &str = "preferredDuringSchedulingIgnoredDuringExecution";
pub(super) const TAINT_EFFECTS: [&str; 3] = ["NoSchedule", "PreferNoSchedule", "NoExecute"];
const WEIGHT_TEXT: &str = "must be in the range 1-100";

pub(super) fn affinity(errors: &mut Errors, affinity: &Value, path: &Path) {
    if affinity.has("nodeAffinity") {
        node_affinity(errors, &affinity["nodeAffinity"], &path.child("nodeAffinity"));
    }
    for kind in ["podAffinity", "podAntiAffinity"] {
        pod_affinity(errors, &affinity[kind], &path.child(kind));
    }
}

fn node_affinity(errors: &mut Errors, affinity: &Value, path: &Path) {
    if affinity.has(REQUIRED) {
        node_selector(errors, &affinity[REQUIRED], &path.child(REQUIRED));
    }
    for (index, preferred) in affinity.list(PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        weight(errors, preferred, &path);
        node_term(errors, &preferred["preference"], &path.child("preference"));
    }
}

fn weight(errors: &mut Errors, preferred: &Value, path: &Path) {
    let weight = preferred.integer("weight").unwrap_or(0);
    if !(1..=100).contains(&weight) {
        errors.push(FieldError::invalid(path.child("weight"), weight, WEIGHT_TEXT));
    }
}

/// A NodeSelector: at least one term.
pub(super) fn node_selector(errors: &mut Errors, selector: &Value, path: &Path) {
    let path = path.child("nodeSelectorTerms");
    let terms = selector.list("nodeSelectorTerms");
    if terms.is_empty() {
        let text = "must have at least one node selector term";
        errors.push(FieldError::required(path, text));
        return;
    }
    for (index, term) in terms.iter().enumerate() {
        node_term(errors, term, &path.index(index));
    }
}

fn node_term(errors: &mut Errors, term: &Value, path: &Path) {
    for (index, expression) in term.list("matchExpressions").iter().enumerate() {
        let path = path.child("matchExpressions").index(index);
        node_requirement(errors, expression, &path);
        let key = expression.text("key");
        problems(errors, &path.child("key"), key, names::qualified_name(key));
    }
    for (index, expression) in term.list("matchFields").iter().enumerate() {
        node_field(errors, expression, &path.child("matchFields").index(index));
    }
}

fn node_requirement(errors: &mut Errors, expression: &Value, path: &Path) {
    let count = expression.list("values").len();
    let values = path.child("values");
    match expression.text("operator") {
        "In" | "NotIn" if count == 0 => {
            let text = "must be specified when `operator` is 'In' or 'NotIn'";
            errors.push(FieldError::required(values, text));
        }
        "Exists" | "DoesNotExist" if count > 0 => {
            let text = "may not be specified when `operator` is 'Exists' or 'DoesNotExist'";
            errors.push(FieldError::forbidden(values, text));
        }
        "Gt" | "Lt" if count != 1 => {
            let text = "must be specified single value when `operator` is 'Lt' or 'Gt'";
            errors.push(FieldError::required(values, text));
        }
        "In" | "NotIn" | "Exists" | "DoesNotExist" | "Gt" | "Lt" => {}
        other => {
            let text = "not a valid selector operator";
            errors.push(FieldError::invalid(path.child("operator"), other, text));
        }
    }
}

fn node_field(errors: &mut Errors, expression: &Value, path: &Path) {
    match expression.text("operator") {
        "In" | "NotIn" if expression.list("values").len() != 1 => {
            let text =
                "must be only one value when `operator` is 'In' or 'NotIn' for node field selector";
            errors.push(FieldError::required(path.child("values"), text));
        }
        "In" | "NotIn" => {}
        other => {
            let text = "not a valid selector operator";
            errors.push(FieldError::invalid(path.child("operator"), other, text));
        }
    }
    if expression.text("key") != "metadata.name" {
        let text = "not a valid field selector key";
        errors.push(FieldError::invalid(path.child("key"), expression.text("key"), text));
        return;
    }
    for (index, value) in expression.list("values").iter().enumerate() {
        let value = value.as_str().unwrap_or("");
        problems(errors, &path.child("values").index(index), value, names::dns_subdomain(value));
    }
}

fn pod_affinity(errors: &mut Errors, affinity: &Value, path: &Path) {
    for (index, term) in affinity.list(REQUIRED).iter().enumerate() {
        pod_term(errors, term, &path.child(REQUIRED).index(index));
    }
    for (index, preferred) in affinity.list(PREFERRED).iter().enumerate() {
        let path = path.child(PREFERRED).index(index);
        weight(errors, preferred, &path);
        pod_term(errors, &preferred["podAffinityTerm"], &path.child("podAffinityTerm"));
    }
}

fn pod_term(errors: &mut Errors, term: &Value, path: &Path) {
    for field in ["labelSelector", "namespaceSelector"] {
        label_selector(errors, &term[field], &path.child(field));
    }
    for namespace in term.list("namespaces").iter().filter_map(Value::as_str) {
        problems(errors, &path.child("namespace"), namespace, names::dns_label(namespace));
    }
    match term.text("topologyKey") {
        "" => {
            let text = "can not be empty";
            errors.push(FieldError::required(path.child("topologyKey"), text));
        }
        key => problems(errors, &path.child("topologyKey"), key, names::qualified_name(key)),
    }
}

pub(super) fn tolerations(errors: &mut Errors, owner: &Value, path: &Path) {
    for (index, toleration) in owner.list("tolerations").iter().enumerate() {
        let path = path.child("tolerations").index(index);
        let (key, operator) = (toleration.text("key"), toleration.text("operator"));
        if !key.is_empty() {
            problems(errors, &path.child("key"), key, names::qualified_name(key));
        }
        if key.is_empty() && operator != "Exists" {
            let text = "operator must be Exists when `key` is empty, which means \"match all values and all keys\"";
            errors.push(FieldError::invalid(path.child("operator"), operator, text));
        }
        if toleration.has("tolerationSeconds") && toleration.text("effect") != "NoExecute" {
            let text = "effect must be 'NoExecute' when `tolerationSeconds` is set";
            errors.push(FieldError::invalid(path.child("effect"), toleration.text("effect"), text));
        }
        toleration_value(errors, toleration, &path);
        if !toleration.text("effect").is_empty() {
            choice(errors, toleration, "effect", &path, &TAINT_EFFECTS);
        }
    }
}

fn toleration_value(errors: &mut Errors, toleration: &Value, path: &Path) {
    let path = path.child("operator");
    let value = toleration.text("value");
    match toleration.text("operator") {
        "" | "Equal" => problems(errors, &path, value, names::label_value(value)),
        "Exists" if !value.is_empty() => {
            let text = "value must be empty when `operator` is 'Exists'";
            errors.push(FieldError::invalid(path, toleration.clone(), text));
        }
        "Exists" => {}
        "Lt" | "Gt" => {
            if value.parse::<i64>().is_err() {
                let text = "value must be a valid integer when `operator` is 'Lt' or 'Gt'";
                errors.push(FieldError::invalid(path, value, text));
            }
        }
        other => errors.push(FieldError::not_supported(path, other, &["Equal", "Exists"])),
    }
}

pub(super) fn topology_spread(errors: &mut Errors, spec: &Value, path: &Path) {
    let path = path.child("topologySpreadConstraints");
    let mut seen = Vec::new();
    for (index, constraint) in spec.list("topologySpreadConstraints").iter().enumerate() {
        let path = path.index(index);
        let skew = constraint.integer("maxSkew").unwrap_or(0);
        if skew <= 0 {
            let text = "must be greater than zero";
            errors.push(FieldError::invalid(path.child("maxSkew"), skew, text));
        }
        let key = constraint.text("topologyKey");
        if key.is_empty() {
            errors.push(FieldError::required(path.child("topologyKey"), "can not be empty"));
        } else {
            problems(errors, &path.child("topologyKey"), key, names::qualified_name(key));
        }
        let when = constraint.text("whenUnsatisfiable");
        required_choice(
            errors,
            constraint,
            "whenUnsatisfiable",
            &path,
            &["DoNotSchedule", "ScheduleAnyway"],
        );
        if seen.contains(&(key, when)) {
            let pair = format!("{{{key}, {when}}}");
            errors
                .push(FieldError::duplicate(path.child("{topologyKey, whenUnsatisfiable}"), pair));
        }
        seen.push((key, when));
        spread_details(errors, constraint, &path);
    }
}

fn spread_details(errors: &mut Errors, constraint: &Value, path: &Path) {
    if let Some(domains) = constraint.integer("minDomains") {
        let path = path.child("minDomains");
        if domains <= 0 {
            errors.push(FieldError::invalid(path, domains, "must be greater than zero"));
        } else if constraint.text("whenUnsatisfiable") != "DoNotSchedule" {
            let text = format!(
                "can only use minDomains if whenUnsatisfiable=DoNotSchedule, not {}",
                constraint.text("whenUnsatisfiable")
            );
            errors.push(FieldError::invalid(path, domains, text));
        }
    }
    for field in ["nodeAffinityPolicy", "nodeTaintsPolicy"] {
        choice(errors, constraint, field, path, &["Honor", "Ignore"]);
    }
    label_selector(errors, &constraint["labelSelector"], &path.child("labelSelector"));
}

pub(super) fn gates(errors: &mut Errors, spec: &Value, path: &Path) {
    for (index, gate) in spec.list("readinessGates").iter().enumerate() {
        let path = path.child("readinessGates").index(index).child("conditionType");
        let name = gate.text("conditionType");
        problems(errors, &path, name, names::qualified_name(name));
    }
    let mut seen = Vec::new();
    for (index, gate) in spec.list("schedulingGates").iter().enumerate() {
        let path = path.child("schedulingGates").index(index);
        let name = gate.text("name");
        problems(errors, &path.child("name"), name, names::qualified_name(name));
        if seen.contains(&name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        seen.push(name);
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: &Errors) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn tolerations_of_pods() {
        let check = |toleration: Value, want: &[&str]| {
            let mut errors = Errors::new();
            tolerations(&mut errors, &json!({"tolerations": [toleration]}), &Path::new("spec"));
            assert_eq!(texts(&errors), want);
        };
        check(json!({"operator": "Exists"}), &[]);
        check(json!({"key": "a", "value": "b"}), &[]);
        check(
            json!({"value": "b"}),
            &[
                r#"spec.tolerations[0].operator: Invalid value: "": operator must be Exists when `key` is empty, which means "match all values and all keys""#,
            ],
        );
        check(
            json!({"key": "a", "operator": "Exists", "effect": "NoSchedule", "tolerationSeconds": 1}),
            &[
                r#"spec.tolerations[0].effect: Invalid value: "NoSchedule": effect must be 'NoExecute' when `tolerationSeconds` is set"#,
            ],
        );
        check(
            json!({"key": "a", "effect": "Now"}),
            &[
                r#"spec.tolerations[0].effect: Unsupported value: "Now": supported values: "NoSchedule", "PreferNoSchedule", "NoExecute""#,
            ],
        );
    }

    #[test]
    fn affinities() {
        let check = |value: Value, want: &[&str]| {
            let mut errors = Errors::new();
            affinity(&mut errors, &value, &Path::new("a"));
            assert_eq!(texts(&errors), want);
        };
        check(
            json!({"nodeAffinity": {REQUIRED: {"nodeSelectorTerms": []}}}),
            &[
                "a.nodeAffinity.requiredDuringSchedulingIgnoredDuringExecution.nodeSelectorTerms: Required value: must have at least one node selector term",
            ],
        );
        check(
            json!({"podAffinity": {REQUIRED: [{"labelSelector": {}}]}}),
            &[
                "a.podAffinity.requiredDuringSchedulingIgnoredDuringExecution[0].topologyKey: Required value: can not be empty",
            ],
        );
    }
}
