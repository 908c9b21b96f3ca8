//! FlowSchemas and PriorityLevelConfigurations.

use std::collections::HashSet;

use serde_json::Value;

use super::check::{Errors, problems, within};
use super::names;
use super::workload::spec_path;
use crate::flow_control::mandatory_spec;
use crate::strategy::same;
use crate::walk::{Shape, Walk};
use crate::{FieldError, Path};

const PRECEDENCE_MAX: i64 = 10_000;
const QUEUES_MAX: i64 = 10_000_000;
/// Bits of the hash that deals requests to queues.
const HASH_BITS_MAX: i64 = 60;
const VERBS: [&str; 9] =
    ["create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch"];

/// Subject kinds, each with its field.
const SUBJECTS: [(&str, &str); 3] =
    [("Group", "group"), ("ServiceAccount", "serviceAccount"), ("User", "user")];

pub(super) fn flow_schema(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    let name = object["metadata"].text("name");
    let precedence = spec.integer("matchingPrecedence").unwrap_or(0);
    let text = match precedence {
        ..=0 => Some("must be a positive value".to_owned()),
        1 if name != "exempt" => {
            Some("only the schema named 'exempt' may have matchingPrecedence 1".to_owned())
        }
        1..=PRECEDENCE_MAX => None,
        _ => Some(format!("must not be greater than {PRECEDENCE_MAX}")),
    };
    if let Some(text) = text {
        errors.push(FieldError::invalid(path.child("matchingPrecedence"), precedence, text));
    }
    let method = &spec["distinguisherMethod"];
    if !method.is_null() && !matches!(method.text("type"), "ByNamespace" | "ByUser") {
        let path = path.child("distinguisherMethod").child("type");
        let supported = ["ByNamespace", "ByUser"];
        errors.push(FieldError::not_supported(path, method.clone(), &supported));
    }
    let own = path.child("priorityLevelConfiguration").child("name");
    match spec["priorityLevelConfiguration"].text("name") {
        "" => errors.push(FieldError::required(own, "must reference a priority level")),
        name => problems(errors, &own, name, names::dns_subdomain(name)),
    }
    for (index, rule) in spec.list("rules").iter().enumerate() {
        rule_with_subjects(errors, rule, &path.child("rules").index(index));
    }
    stays(errors, "FlowSchema", object);
}

/// The objects that keep a cluster alive keep their spec.
fn stays(errors: &mut Errors, kind: &str, object: &Value) {
    let name = object["metadata"].text("name");
    let Some(mut fixed) = mandatory_spec(kind, name) else { return };
    let mut spec = object["spec"].clone();
    // How much of the server the exempt requests are counted with may be tuned.
    fixed.take_key("exempt");
    spec.take_key("exempt");
    if !same(&spec, &fixed) {
        let text = format!("spec of '{name}' must equal the fixed value");
        errors.push(FieldError::invalid(spec_path(), object["spec"].clone(), text));
    }
}

fn rule_with_subjects(errors: &mut Errors, rule: &Value, path: &Path) {
    let subjects = rule.list("subjects");
    if subjects.is_empty() {
        let text = "subjects must contain at least one value";
        errors.push(FieldError::required(path.child("subjects"), text));
    }
    for (index, entry) in subjects.iter().enumerate() {
        subject(errors, entry, &path.child("subjects").index(index));
    }
    if rule.list("resourceRules").is_empty() && rule.list("nonResourceRules").is_empty() {
        let text = "at least one of resourceRules and nonResourceRules has to be non-empty";
        errors.push(FieldError::required(path.clone(), text));
    }
    for (index, entry) in rule.list("resourceRules").iter().enumerate() {
        resource_rule(errors, entry, &path.child("resourceRules").index(index));
    }
    for (index, entry) in rule.list("nonResourceRules").iter().enumerate() {
        path_rule(errors, entry, &path.child("nonResourceRules").index(index));
    }
}

fn subject(errors: &mut Errors, subject: &Value, path: &Path) {
    let kind = subject.text("kind");
    let Some((_, own)) = SUBJECTS.iter().find(|(name, _)| *name == kind) else {
        let supported = SUBJECTS.map(|(name, _)| name);
        errors.push(FieldError::not_supported(path.child("kind"), kind, &supported));
        return;
    };
    for (name, field) in SUBJECTS {
        if field != *own && subject.has(field) {
            let text = format!("{field} is forbidden when subject kind is not '{name}'");
            errors.push(FieldError::forbidden(path.child(field), text));
        }
    }
    let (who, path) = (&subject[*own], path.child(own));
    if who.is_null() {
        let text = format!("{own} is required when subject kind is '{kind}'");
        errors.push(FieldError::required(path, text));
        return;
    }
    let name = who.text("name");
    if name.is_empty() {
        errors.push(FieldError::required(path.child("name"), ""));
    }
    if kind != "ServiceAccount" {
        return;
    }
    if !matches!(name, "" | "*") {
        problems(errors, &path.child("name"), name, names::dns_subdomain(name));
    }
    match who.text("namespace") {
        "" => {
            let text = "must specify namespace for service account";
            errors.push(FieldError::required(path.child("namespace"), text));
        }
        name => problems(errors, &path.child("namespace"), name, names::dns_label(name)),
    }
}

fn texts<'a>(owner: &'a Value, field: &str) -> Vec<&'a str> {
    owner.list(field).iter().filter_map(Value::as_str).collect()
}

/// A list that must not be empty, in which `*` stands alone. Whether its entries are to be looked at.
fn wildcard_list(
    errors: &mut Errors,
    owner: &Value,
    field: &str,
    path: &Path,
    (missing, others): (&str, &str),
) -> bool {
    let (list, path) = (texts(owner, field), path.child(field));
    if list.is_empty() {
        errors.push(FieldError::required(path, missing));
        return false;
    }
    if list.len() > 1 && list.contains(&"*") {
        let text = format!("if '*' is present, must not specify other {others}");
        errors.push(FieldError::invalid(path, owner[field].clone(), text));
    }
    !list.contains(&"*")
}

fn verbs(errors: &mut Errors, rule: &Value, path: &Path) {
    let words = ("verbs must contain at least one value", "verbs");
    let listed = wildcard_list(errors, rule, "verbs", path, words);
    if listed && !texts(rule, "verbs").iter().all(|verb| VERBS.contains(verb)) {
        let value = rule["verbs"].clone();
        errors.push(FieldError::not_supported(path.child("verbs"), value, &VERBS));
    }
}

fn resource_rule(errors: &mut Errors, rule: &Value, path: &Path) {
    verbs(errors, rule, path);
    let words = ("resource rules must supply at least one api group", "api groups");
    wildcard_list(errors, rule, "apiGroups", path, words);
    let words = ("resource rules must supply at least one resource", "resources");
    wildcard_list(errors, rule, "resources", path, words);
    let namespaces = texts(rule, "namespaces");
    if namespaces.is_empty() && rule.flag("clusterScope") {
        return;
    }
    let missing = "resource rules that are not cluster scoped must supply at least one namespace";
    if wildcard_list(errors, rule, "namespaces", path, (missing, "namespaces")) {
        for (index, name) in namespaces.into_iter().enumerate() {
            for problem in names::dns_label(name) {
                let text =
                    format!("each member of this list must be '*' or a DNS-1123 label; {problem}");
                let path = path.child("namespaces").index(index);
                errors.push(FieldError::invalid(path, name, text));
            }
        }
    }
}

fn path_rule(errors: &mut Errors, rule: &Value, path: &Path) {
    verbs(errors, rule, path);
    let words = ("nonResourceURLs must contain at least one value", "non-resource URLs");
    if wildcard_list(errors, rule, "nonResourceURLs", path, words) {
        for (index, url) in texts(rule, "nonResourceURLs").into_iter().enumerate() {
            let wildcards = url.matches('*').count();
            let text = match url {
                "/" => continue,
                "" => "must not be empty",
                _ if !url.starts_with('/') => "must start with slash",
                _ if url.contains(' ') => "must not contain white-space",
                _ if url.contains("//") => "must not contain double slash",
                _ if wildcards > 1 || (wildcards == 1 && !url.ends_with("/*")) => {
                    "wildcard can only do suffix matching"
                }
                _ => continue,
            };
            let path = path.child("nonResourceURLs").index(index);
            errors.push(FieldError::invalid(path, url, text));
        }
    }
}

pub(super) fn priority_level(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    let (name, sort) = (object["metadata"].text("name"), spec.text("type"));
    if (name == "exempt") != (sort == "Exempt") {
        let text = "type must be 'Exempt' if and only if name is 'exempt'";
        errors.push(FieldError::invalid(path.child("type"), sort, text));
    }
    let (limited, exempt) = (&spec["limited"], &spec["exempt"]);
    match sort {
        "Exempt" => {
            if !limited.is_null() {
                let text = "must be nil if the type is not Limited";
                errors.push(FieldError::forbidden(path.child("limited"), text));
            }
            shares(errors, exempt, &path.child("exempt"));
        }
        "Limited" => {
            if !exempt.is_null() {
                let text = "must be nil if the type is Limited";
                errors.push(FieldError::forbidden(path.child("exempt"), text));
            }
            if limited.is_null() {
                let text = "must not be empty when type is Limited";
                errors.push(FieldError::required(path.child("limited"), text));
            } else {
                limited_level(errors, limited, &path.child("limited"));
            }
        }
        _ => {
            let supported = ["Exempt", "Limited"];
            errors.push(FieldError::not_supported(path.child("type"), sort, &supported));
        }
    }
    stays(errors, "PriorityLevelConfiguration", object);
}

fn shares(errors: &mut Errors, level: &Value, path: &Path) {
    if let Some(shares) = level.integer("nominalConcurrencyShares").filter(|n| *n < 0) {
        let text = "must be a non-negative integer";
        errors.push(FieldError::invalid(path.child("nominalConcurrencyShares"), shares, text));
    }
    within(errors, level, "lendablePercent", path, (0, 100));
}

fn limited_level(errors: &mut Errors, limited: &Value, path: &Path) {
    shares(errors, limited, path);
    if let Some(percent) = limited.integer("borrowingLimitPercent").filter(|n| *n < 0) {
        let text = "if specified, must be a non-negative integer";
        errors.push(FieldError::invalid(path.child("borrowingLimitPercent"), percent, text));
    }
    let (response, path) = (&limited["limitResponse"], path.child("limitResponse"));
    match (response.text("type"), response.has("queuing")) {
        ("Reject", true) => {
            let text = "must be nil if limited.limitResponse.type is not Limited";
            errors.push(FieldError::forbidden(path.child("queuing"), text));
        }
        ("Reject", false) => {}
        ("Queue", false) => {
            let text = "must not be empty if limited.limitResponse.type is Limited";
            errors.push(FieldError::required(path.child("queuing"), text));
        }
        ("Queue", true) => queuing(errors, &response["queuing"], &path.child("queuing")),
        (other, _) => {
            let supported = ["Queue", "Reject"];
            errors.push(FieldError::not_supported(path.child("type"), other, &supported));
        }
    }
}

fn queuing(errors: &mut Errors, queuing: &Value, path: &Path) {
    let number = |field: &str| queuing.integer(field).unwrap_or(0);
    let (length, queues, hand) = (number("queueLengthLimit"), number("queues"), number("handSize"));
    let mut invalid = |field: &str, value: i64, text: String| {
        errors.push(FieldError::invalid(path.child(field), value, text));
    };
    let positive = || "must be positive".to_owned();
    if length <= 0 {
        invalid("queueLengthLimit", length, positive());
    }
    if queues <= 0 {
        invalid("queues", queues, positive());
    } else if queues > QUEUES_MAX {
        invalid("queues", queues, format!("must not be greater than {QUEUES_MAX}"));
    }
    if hand <= 0 {
        invalid("handSize", hand, positive());
    } else if hand > queues {
        invalid("handSize", hand, format!("should not be greater than queues ({queues})"));
    } else if entropy_bits(queues, hand) > HASH_BITS_MAX {
        let text = format!(
            "required entropy bits of deckSize {queues} and handSize {hand} should not be greater than {HASH_BITS_MAX}"
        );
        invalid("handSize", hand, text);
    }
}

/// How many bits tell apart all hands of that size out of a deck. More cards in a hand than bits are
/// allowed need not be counted.
fn entropy_bits(deck: i64, hand: i64) -> i64 {
    let cards = (0..hand.min(HASH_BITS_MAX + 2)).map(|dealt| ((deck - dealt).max(1) as f64).log2());
    cards.sum::<f64>().ceil() as i64
}

/// Conditions, of which each has a type of its own.
pub(super) fn status(errors: &mut Errors, new: &Value, _: &Value) {
    let path = Path::new("status").child("conditions");
    let mut seen = HashSet::new();
    for (index, condition) in new["status"].list("conditions").iter().enumerate() {
        let path = path.index(index).child("type");
        let name = condition.text("type");
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.clone(), name));
        }
        if name.is_empty() {
            errors.push(FieldError::required(path, "must not be empty"));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::testing::check;

    #[test]
    fn schemas() {
        let rule = json!({"subjects": [{"kind": "User", "group": {"name": "g"}}],
            "resourceRules": [{"verbs": ["get", "eat"], "apiGroups": [""], "resources": ["pods"]}]});
        check(
            flow_schema,
            json!({"metadata": {"name": "a"}, "spec": {"matchingPrecedence": 1, "rules": [rule],
                "priorityLevelConfiguration": {}}}),
            &[
                "spec.matchingPrecedence: Invalid value: 1: only the schema named 'exempt' may have matchingPrecedence 1",
                "spec.priorityLevelConfiguration.name: Required value: must reference a priority level",
                "spec.rules[0].subjects[0].group: Forbidden: group is forbidden when subject kind is not 'Group'",
                "spec.rules[0].subjects[0].user: Required value: user is required when subject kind is 'User'",
                r#"spec.rules[0].resourceRules[0].verbs: Unsupported value: ["get","eat"]: supported values: "create", "delete", "deletecollection", "get", "list", "patch", "proxy", "update", "watch""#,
                "spec.rules[0].resourceRules[0].namespaces: Required value: resource rules that are not cluster scoped must supply at least one namespace",
            ],
        );
    }

    #[test]
    fn levels() {
        let level = |queuing: Value| {
            json!({"metadata": {"name": "a"}, "spec": {"type": "Limited",
            "limited": {"limitResponse": {"type": "Queue", "queuing": queuing}}}})
        };
        check(
            priority_level,
            level(json!({"queues": 128, "handSize": 6, "queueLengthLimit": 50})),
            &[],
        );
        check(
            priority_level,
            level(json!({"queues": 128, "handSize": 10, "queueLengthLimit": 0})),
            &[
                "spec.limited.limitResponse.queuing.queueLengthLimit: Invalid value: 0: must be positive",
                "spec.limited.limitResponse.queuing.handSize: Invalid value: 10: required entropy bits of deckSize 128 and handSize 10 should not be greater than 60",
            ],
        );
        check(
            priority_level,
            json!({"metadata": {"name": "catch-all"}, "spec": {"type": "Limited", "limited": {"limitResponse": {"type": "Reject"}}}}),
            &[
                r#"spec: Invalid value: {"limited":{"limitResponse":{"type":"Reject"}},"type":"Limited"}: spec of 'catch-all' must equal the fixed value"#,
            ],
        );
    }
}
