//! Webhook configurations, and where webhooks of any kind are called.

use std::collections::HashSet;

use serde_json::Value;

use super::admission_rules::{choice_of, match_conditions, rule_with_operations};
use super::check::{Errors, label_selector, problems};
use super::names;
use crate::walk::Walk;
use crate::{FieldError, Path};

const REVIEW_VERSIONS: [&str; 2] = ["v1", "v1beta1"];
const NO_SIDE_EFFECTS: [&str; 2] = ["None", "NoneOnDryRun"];
const SIDE_EFFECTS: [&str; 4] = ["None", "NoneOnDryRun", "Some", "Unknown"];
const TIMEOUT_SECONDS_MAX: i64 = 30;

/// What may be wrong with a webhook because it was so before the rule existed.
struct Strictness {
    unique_names: bool,
    no_side_effects: bool,
    known_review_version: bool,
    /// Whether the match conditions, which cost the most, are looked at.
    conditions: bool,
}

pub(super) fn create(errors: &mut Errors, object: &Value) {
    let strict = Strictness {
        unique_names: true,
        no_side_effects: true,
        known_review_version: true,
        conditions: true,
    };
    configuration(errors, object, &strict);
}

pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let hooks = old.list("webhooks");
    let names: HashSet<&str> = hooks.iter().map(|hook| hook.text("name")).collect();
    let conditions = |object: &Value| -> Vec<Value> {
        object.list("webhooks").iter().map(|hook| hook["matchConditions"].clone()).collect()
    };
    let strict = Strictness {
        unique_names: names.len() == hooks.len(),
        no_side_effects: hooks.iter().all(|h| NO_SIDE_EFFECTS.contains(&h.text("sideEffects"))),
        known_review_version: hooks.iter().all(|hook| {
            let versions = hook.list("admissionReviewVersions");
            versions.is_empty() || versions.iter().any(is_review_version)
        }),
        conditions: conditions(new) != conditions(old),
    };
    configuration(errors, new, &strict);
}

fn is_review_version(version: &Value) -> bool {
    version.as_str().is_some_and(|version| REVIEW_VERSIONS.contains(&version))
}

fn configuration(errors: &mut Errors, object: &Value, strict: &Strictness) {
    let mut seen = HashSet::new();
    for (index, hook) in object.list("webhooks").iter().enumerate() {
        let path = Path::new("webhooks").index(index);
        webhook(errors, hook, &path, strict);
        review_versions(errors, hook, &path.child("admissionReviewVersions"), strict);
        let name = hook.text("name");
        if strict.unique_names && !name.is_empty() && !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
    }
}

fn webhook(errors: &mut Errors, hook: &Value, path: &Path, strict: &Strictness) {
    fully_qualified_name(errors, hook.text("name"), &path.child("name"));
    for (index, rule) in hook.list("rules").iter().enumerate() {
        rule_with_operations(errors, rule, &path.child("rules").index(index));
    }
    choice_of(errors, hook, "failurePolicy", path, &["Fail", "Ignore"]);
    choice_of(errors, hook, "matchPolicy", path, &["Equivalent", "Exact"]);
    let allowed = if strict.no_side_effects { &NO_SIDE_EFFECTS[..] } else { &SIDE_EFFECTS };
    if hook.has("sideEffects") {
        choice_of(errors, hook, "sideEffects", path, allowed);
    } else {
        let text = format!("must specify one of {}", allowed.join(", "));
        errors.push(FieldError::required(path.child("sideEffects"), text));
    }
    if let Some(seconds) = hook.integer("timeoutSeconds")
        && !(1..=TIMEOUT_SECONDS_MAX).contains(&seconds)
    {
        let text = "the timeout value must be between 1 and 30 seconds";
        errors.push(FieldError::invalid(path.child("timeoutSeconds"), seconds, text));
    }
    for field in ["namespaceSelector", "objectSelector"] {
        label_selector(errors, &hook[field], &path.child(field));
    }
    choice_of(errors, hook, "reinvocationPolicy", path, &["IfNeeded", "Never"]);
    client_config(errors, &hook["clientConfig"], &path.child("clientConfig"));
    if strict.conditions {
        match_conditions(errors, hook, path);
    }
}

fn fully_qualified_name(errors: &mut Errors, name: &str, path: &Path) {
    if name.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
        return;
    }
    let wrong = names::dns_subdomain(name);
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(path.clone(), name, wrong.join(",")));
    } else if name.split('.').count() < 3 {
        let text = "should be a domain with at least three segments separated by dots";
        errors.push(FieldError::invalid(path.clone(), name, text));
    }
}

fn review_versions(errors: &mut Errors, hook: &Value, path: &Path, strict: &Strictness) {
    let versions = hook.list("admissionReviewVersions");
    let known = REVIEW_VERSIONS.join(", ");
    if versions.is_empty() {
        let text = format!("must specify one of {known}");
        errors.push(FieldError::required(path.clone(), text));
        return;
    }
    let mut seen = HashSet::new();
    for (index, version) in versions.iter().filter_map(Value::as_str).enumerate() {
        if !seen.insert(version) {
            errors.push(FieldError::invalid(path.index(index), version, "duplicate version"));
            continue;
        }
        problems(errors, &path.index(index), version, names::dns_1035_label(version));
    }
    if strict.known_review_version && !versions.iter().any(is_review_version) {
        let text = format!("must include at least one of {known}");
        let value = hook["admissionReviewVersions"].clone();
        errors.push(FieldError::invalid(path.clone(), value, text));
    }
}

/// Where a webhook is called: by URL or by Service.
pub(super) fn client_config(errors: &mut Errors, config: &Value, path: &Path) {
    match (config["url"].as_str(), config.has("service")) {
        (Some(url), false) => webhook_url(errors, url, &path.child("url")),
        (None, true) => service(errors, &config["service"], &path.child("service")),
        _ => {
            let text = "exactly one of url or service is required";
            errors.push(FieldError::required(path.clone(), text));
        }
    }
}

/// `https://host[/path]` and nothing else.
fn webhook_url(errors: &mut Errors, url: &str, path: &Path) {
    const FORM: &str = "; desired format: https://host[/path]";
    let (scheme, rest) = url.split_once("://").unwrap_or(("", url));
    let mut invalid = |value: &str, text: String| {
        errors.push(FieldError::invalid(path.clone(), value, text));
    };
    if scheme != "https" {
        invalid(scheme, format!("'https' is the only allowed URL scheme{FORM}"));
    }
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let authority = if scheme.is_empty() { "" } else { rest.split('/').next().unwrap_or("") };
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", authority),
    };
    if host.is_empty() {
        invalid(host, format!("host must be specified{FORM}"));
    }
    for (part, what) in [
        (user, "user information is"),
        (fragment, "fragments are"),
        (query, "query parameters are"),
    ] {
        if !part.is_empty() {
            invalid(part, format!("{what} not permitted in the URL"));
        }
    }
}

fn service(errors: &mut Errors, service: &Value, path: &Path) {
    for field in ["name", "namespace"] {
        if service.text(field).is_empty() {
            let text = format!("service {field} is required");
            errors.push(FieldError::required(path.child(field), text));
        }
    }
    let port = service.integer("port").unwrap_or(0);
    port_number(errors, port, &path.child("port"));
    let url_path = service.text("path");
    let path = path.child("path");
    if matches!(url_path, "" | "/") {
        return;
    }
    if url_path == "//" {
        errors.push(FieldError::invalid(path, url_path, "segment[0] may not be empty"));
        return;
    }
    if !url_path.starts_with('/') {
        errors.push(FieldError::invalid(path.clone(), url_path, "must start with a '/'"));
    }
    let steps = url_path.strip_prefix('/').unwrap_or(url_path);
    let steps = steps.strip_suffix('/').unwrap_or(steps);
    for (index, step) in steps.split('/').enumerate() {
        if step.is_empty() {
            let text = format!("segment[{index}] may not be empty");
            errors.push(FieldError::invalid(path.clone(), url_path, text));
            continue;
        }
        for problem in names::dns_subdomain(step) {
            let text = format!("segment[{index}]: {problem}");
            errors.push(FieldError::invalid(path.clone(), url_path, text));
        }
    }
}

/// The port of a Service that is called.
pub(super) fn port_number(errors: &mut Errors, port: i64, path: &Path) {
    let wrong = names::port_number(port);
    if !wrong.is_empty() {
        let text = format!("port is not valid: {}", wrong.join(", "));
        errors.push(FieldError::invalid(path.clone(), port, text));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults::apply_defaults;
    use crate::testing::kind;

    #[test]
    fn configurations() {
        let check = |change: fn(&mut Value), want: &[&str]| {
            let mut object = json!({"webhooks": [{"name": "a.example.com", "sideEffects": "None",
                "admissionReviewVersions": ["v1"],
                "clientConfig": {"service": {"name": "s", "namespace": "n", "path": "/mutate"}},
                "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "resources": ["pods", "pods/*"],
                    "operations": ["CREATE"]}]}]});
            change(&mut object["webhooks"][0]);
            let name = "ValidatingWebhookConfiguration";
            apply_defaults(&kind("admissionregistration.k8s.io", "v1", name), &mut object);
            let mut errors = Errors::new();
            create(&mut errors, &object);
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        check(|_| {}, &[]);
        check(
            |h| h["name"] = json!("short"),
            &[
                r#"webhooks[0].name: Invalid value: "short": should be a domain with at least three segments separated by dots"#,
            ],
        );
        check(
            |h| h["sideEffects"] = json!("Some"),
            &[
                r#"webhooks[0].sideEffects: Unsupported value: "Some": supported values: "None", "NoneOnDryRun""#,
            ],
        );
        check(
            |h| h["rules"][0]["operations"] = json!(["create", "*"]),
            &[
                r#"webhooks[0].rules[0].operations: Invalid value: ["create","*"]: if '*' is present, must not specify other operations"#,
                r#"webhooks[0].rules[0].operations[0]: Unsupported value: "create": supported values: "*", "CONNECT", "CREATE", "DELETE", "UPDATE""#,
            ],
        );
        check(
            |h| h["clientConfig"] = json!({"url": "http://me@host/x?y"}),
            &[
                r#"webhooks[0].clientConfig.url: Invalid value: "http": 'https' is the only allowed URL scheme; desired format: https://host[/path]"#,
                r#"webhooks[0].clientConfig.url: Invalid value: "me": user information is not permitted in the URL"#,
                r#"webhooks[0].clientConfig.url: Invalid value: "y": query parameters are not permitted in the URL"#,
            ],
        );
        check(
            |h| h["admissionReviewVersions"] = json!(["v2"]),
            &[
                r#"webhooks[0].admissionReviewVersions: Invalid value: ["v2"]: must include at least one of v1, v1beta1"#,
            ],
        );
    }

    #[test]
    fn what_was_allowed_stays_allowed() {
        let hook = json!({"name": "a.b.c", "sideEffects": "Some", "admissionReviewVersions": ["v9"],
            "clientConfig": {"url": "https://a"}});
        let old = json!({"webhooks": [hook, hook]});
        let mut errors = Errors::new();
        update(&mut errors, &old, &old);
        assert_eq!(errors, []);
    }
}
