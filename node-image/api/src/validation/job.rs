//! Jobs: what a new one must be, and what an update may change.

use serde_json::{Map, Value};

use super::check::{Errors, immutable, label_selector, none_negative, not_negative};
use super::workload::spec_path;
use super::{job_policy, names, pod};
use crate::selector::Selector;
use crate::walk::{Shape, Walk};
use crate::{FieldError, Path};

/// Upstream's bounds on Jobs whose pods have indexes; they keep the status small.
const PARALLELISM_MAX: i64 = 100_000;
const FAILED_INDEXES_MAX: i64 = 100_000;
/// Above so many completions, stricter bounds hold for limits per index.
const COMPLETIONS_MANY: i64 = 100_000;
const PARALLELISM_MAX_OF_MANY: i64 = 10_000;
const FAILED_INDEXES_MAX_OF_MANY: i64 = 10_000;
const MANAGED_BY_MAX: usize = 63;

const RESTART_POLICIES: [&str; 2] = ["OnFailure", "Never"];

/// The labels of a Job's pods and what of the Job they hold.
const GENERATED_LABELS: [(&str, &str); 4] = [
    ("controller-uid", "uid"),
    ("job-name", "name"),
    ("batch.kubernetes.io/controller-uid", "uid"),
    ("batch.kubernetes.io/job-name", "name"),
];

pub(super) fn create(errors: &mut Errors, object: &Value) {
    generated_selector(errors, object);
    whole_spec(errors, &object["spec"]);
    let spec = &object["spec"];
    if let Some(completions) = spec.integer("completions").filter(|count| *count > 0)
        && spec.text("completionMode") == "Indexed"
    {
        let name = object["metadata"].text("name");
        let last = format!("{name}-{}", completions - 1);
        if !names::dns_label(&last).is_empty() {
            let text = format!("will not able to create pod with invalid DNS label: {last}");
            errors.push(FieldError::invalid(Path::new("metadata").child("name"), name, text));
        }
    }
}

/// The labels and the selector that the server made must not have been spoiled by the client's.
fn generated_selector(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    if spec.flag("manualSelector") || !spec.has("selector") {
        return;
    }
    if object["metadata"].text("uid").is_empty() {
        errors.push(FieldError::required(Path::new("metadata").child("uid"), ""));
    }
    let labels = &spec["template"]["metadata"]["labels"];
    let path = spec_path().child("template").child("metadata").child("labels");
    let mut expected = Map::new();
    for (label, field) in GENERATED_LABELS {
        let want = object["metadata"].text(field);
        match labels[label].as_str() {
            None => {
                let text = format!("must be '{want}'");
                errors.push(FieldError::required(path.key(label), text));
            }
            Some(found) if found != want => {
                let text = format!("must be '{want}'");
                errors.push(FieldError::invalid(path.key(label), labels.clone(), text));
            }
            Some(_) => {}
        }
        expected.insert(label.to_owned(), want.into());
    }
    let expected = Value::Object(expected);
    if Selector::from_object(&spec["selector"]).is_ok_and(|s| !s.matches(&expected)) {
        let text = "`selector` not auto-generated";
        let path = spec_path().child("selector");
        errors.push(FieldError::invalid(path, spec["selector"].clone(), text));
    }
}

fn whole_spec(errors: &mut Errors, spec: &Value) {
    job_spec(errors, spec, &spec_path());
    let path = spec_path().child("selector");
    match &spec["selector"] {
        Value::Null => errors.push(FieldError::required(path, "")),
        selector => label_selector(errors, selector, &path),
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if Selector::from_object(&spec["selector"]).is_ok_and(|s| !s.matches(labels)) {
        let path = spec_path().child("template").child("metadata").child("labels");
        let text = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(path, labels.clone(), text));
    }
}

/// The spec of a Job, also of the template in a CronJob.
pub(super) fn job_spec(errors: &mut Errors, spec: &Value, path: &Path) {
    let counts = [
        "parallelism",
        "completions",
        "activeDeadlineSeconds",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
    ];
    none_negative(errors, spec, &counts, path);
    not_negative(errors, spec, "maxFailedIndexes", path);
    if spec.has("maxFailedIndexes") && !spec.has("backoffLimitPerIndex") {
        let text = "when maxFailedIndexes is specified";
        errors.push(FieldError::required(path.child("backoffLimitPerIndex"), text));
    }
    managed_by(errors, spec, &path.child("managedBy"));
    completion_mode(errors, spec, path);
    if spec.has("podFailurePolicy") {
        job_policy::pod_failure(errors, spec, &path.child("podFailurePolicy"));
    }
    if spec.has("successPolicy") {
        job_policy::success(errors, spec, &path.child("successPolicy"));
    }
    replacement(errors, spec, &path.child("podReplacementPolicy"));
    let template = path.child("template");
    pod::template(errors, &spec["template"], &template);
    restart_policy(errors, spec, &template.child("spec").child("restartPolicy"));
}

fn managed_by(errors: &mut Errors, spec: &Value, path: &Path) {
    let Some(name) = spec["managedBy"].as_str() else { return };
    names::domain_prefixed_path(errors, name, path);
    if name.len() > MANAGED_BY_MAX {
        errors.push(FieldError::too_long(path.clone(), MANAGED_BY_MAX));
    }
}

fn completion_mode(errors: &mut Errors, spec: &Value, path: &Path) {
    let mode = spec.text("completionMode");
    match mode {
        "Indexed" => indexed(errors, spec, path),
        "" | "NonIndexed" => {
            for field in ["backoffLimitPerIndex", "maxFailedIndexes"] {
                if let Some(count) = spec.integer(field) {
                    let text = "requires indexed completion mode";
                    errors.push(FieldError::invalid(path.child(field), count, text));
                }
            }
        }
        _ => {
            let (path, supported) = (path.child("completionMode"), ["NonIndexed", "Indexed"]);
            errors.push(FieldError::not_supported(path, mode, &supported));
        }
    }
}

fn indexed(errors: &mut Errors, spec: &Value, path: &Path) {
    let completions = spec.integer("completions");
    if completions.is_none() {
        let text = "when completion mode is Indexed";
        errors.push(FieldError::required(path.child("completions"), text));
    }
    let mut at_most = |field: &str, limit: i64, text: String| {
        if let Some(count) = spec.integer(field).filter(|count| *count > limit) {
            errors.push(FieldError::invalid(path.child(field), count, text));
        }
    };
    at_most(
        "parallelism",
        PARALLELISM_MAX,
        format!("must be less than or equal to {PARALLELISM_MAX} when completion mode is Indexed"),
    );
    if let Some(completions) = completions {
        let text = "must be less than or equal to completions".to_owned();
        at_most("maxFailedIndexes", completions, text);
    }
    at_most(
        "maxFailedIndexes",
        FAILED_INDEXES_MAX,
        format!("must be less than or equal to {FAILED_INDEXES_MAX}"),
    );
    let many = completions.is_some_and(|count| count > COMPLETIONS_MANY);
    if !many || !spec.has("backoffLimitPerIndex") {
        return;
    }
    for (field, limit) in
        [("parallelism", PARALLELISM_MAX_OF_MANY), ("maxFailedIndexes", FAILED_INDEXES_MAX_OF_MANY)]
    {
        let text = format!(
            "must be less than or equal to {limit} when completions are above {COMPLETIONS_MANY} and used with backoff limit per index"
        );
        at_most(field, limit, text);
    }
    if !spec.has("maxFailedIndexes") {
        let text = format!("must be specified when completions is above {COMPLETIONS_MANY}");
        errors.push(FieldError::required(path.child("maxFailedIndexes"), text));
    }
}

fn replacement(errors: &mut Errors, spec: &Value, path: &Path) {
    let Some(policy) = spec["podReplacementPolicy"].as_str() else { return };
    let supported = match spec.has("podFailurePolicy") {
        true => &["Failed"][..],
        false => &["Failed", "TerminatingOrFailed"],
    };
    if !supported.contains(&policy) {
        errors.push(FieldError::not_supported(path.clone(), policy, supported));
    }
}

fn restart_policy(errors: &mut Errors, spec: &Value, path: &Path) {
    match spec["template"]["spec"].text("restartPolicy") {
        "" | "Always" => {
            let text = "valid values: \"OnFailure\", \"Never\"";
            errors.push(FieldError::required(path.clone(), text));
        }
        "OnFailure" if spec.has("podFailurePolicy") => {
            let text = "only \"Never\" is supported when podFailurePolicy is specified";
            errors.push(FieldError::invalid(path.clone(), "OnFailure", text));
        }
        "OnFailure" | "Never" => {}
        other => errors.push(FieldError::not_supported(path.clone(), other, &RESTART_POLICIES)),
    }
}

pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let path = spec_path();
    whole_spec(errors, &new["spec"]);
    let (now, before) = (&new["spec"], &old["spec"]);
    if now.text("completionMode") != "Indexed" {
        immutable(errors, &now["completions"], &before["completions"], &path.child("completions"));
    } else if let Some(count) = now.integer("completions")
        && before.integer("completions") != Some(count)
        && now.integer("parallelism") != Some(count)
    {
        let text = "can only be modified in tandem with spec.parallelism";
        errors.push(FieldError::invalid(path.child("completions"), count, text));
    }
    immutable(errors, &now["selector"], &before["selector"], &path.child("selector"));
    template_update(errors, new, old);
    for field in
        ["completionMode", "podFailurePolicy", "backoffLimitPerIndex", "managedBy", "successPolicy"]
    {
        immutable(errors, &now[field], &before[field], &path.child(field));
    }
}

/// A template stays, but for where its pods run and what they request while there are none.
fn template_update(errors: &mut Errors, new: &Value, old: &Value) {
    let (mut now, mut before) = (new["spec"]["template"].clone(), old["spec"]["template"].clone());
    let status = &old["status"];
    let suspended = status
        .list("conditions")
        .iter()
        .any(|c| c.text("type") == "Suspended" && c.text("status") == "True");
    let stopped = suspended && status.integer("active").unwrap_or(0) == 0;
    if old["spec"].flag("suspend") && (!status.has("startTime") || stopped) {
        for template in [&mut now, &mut before] {
            drop_directives(template, stopped);
        }
    }
    immutable(errors, &now, &before, &spec_path().child("template"));
}

/// Takes away what may differ while a Job is suspended.
fn drop_directives(template: &mut Value, resources: bool) {
    if let Some(metadata) = template.existing_mut("metadata") {
        metadata.take_key("labels");
        metadata.take_key("annotations");
    }
    let Some(spec) = template.existing_mut("spec") else { return };
    for field in ["nodeSelector", "tolerations", "schedulingGates"] {
        spec.take_key(field);
    }
    if let Some(affinity) = spec.existing_mut("affinity") {
        affinity.take_key("nodeAffinity");
    }
    if resources {
        for list in ["containers", "initContainers"] {
            spec.each_mut(list).for_each(|container| drop(container.take_key("resources")));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults::apply_defaults;
    use crate::strategy::prepare_create;
    use crate::testing::kind;

    fn made(change: impl Fn(&mut Value)) -> Value {
        let mut object = json!({"metadata": {"name": "j", "uid": "u"}, "spec": {"template":
            {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "x"}]}}}});
        change(&mut object);
        apply_defaults(&kind("batch", "v1", "Job"), &mut object);
        prepare_create(&kind("batch", "v1", "Job"), &mut object);
        object
    }

    fn texts(errors: &Errors) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn creates() {
        let check = |change: fn(&mut Value), want: &[&str]| {
            let mut errors = Errors::new();
            create(&mut errors, &made(change));
            assert_eq!(texts(&errors), want);
        };
        check(|_| {}, &[]);
        check(
            |o| o["spec"]["template"]["spec"]["restartPolicy"] = json!("Always"),
            &[
                r#"spec.template.spec.restartPolicy: Required value: valid values: "OnFailure", "Never""#,
            ],
        );
        check(
            |o| o["spec"]["selector"] = json!({"matchLabels": {"app": "a"}}),
            &[
                r#"spec.selector: Invalid value: {"matchLabels":{"app":"a","batch.kubernetes.io/controller-uid":"u"}}: `selector` not auto-generated"#,
                r#"spec.template.metadata.labels: Invalid value: {"batch.kubernetes.io/controller-uid":"u","batch.kubernetes.io/job-name":"j","controller-uid":"u","job-name":"j"}: `selector` does not match template `labels`"#,
            ],
        );
        check(|o| o["spec"]["completionMode"] = json!("Indexed"), &[]);
        check(
            |o| o["spec"]["backoffLimitPerIndex"] = json!(1),
            &["spec.backoffLimitPerIndex: Invalid value: 1: requires indexed completion mode"],
        );
        check(
            |o| o["spec"]["managedBy"] = json!("me"),
            &[
                r#"spec.managedBy: Invalid value: "me": must be a domain-prefixed path (such as "acme.io/foo")"#,
            ],
        );
    }

    #[test]
    fn updates() {
        let check = |before: fn(&mut Value), change: fn(&mut Value), want: &[&str]| {
            let old = made(before);
            let mut new = old.clone();
            change(&mut new["spec"]);
            let mut errors = Errors::new();
            update(&mut errors, &new, &old);
            let fields: Vec<String> = errors.iter().map(|e| e.field.to_string()).collect();
            assert_eq!(fields, want);
        };
        let indexed = |o: &mut Value| o["spec"] = json!({"completionMode": "Indexed", "completions": 2, "parallelism": 2, "suspend": true, "template": o["spec"]["template"]});
        check(|_| {}, |s| s["parallelism"] = json!(0), &[]);
        check(|_| {}, |s| s["completions"] = json!(3), &["spec.completions"]);
        check(
            |_| {},
            |s| s["template"]["spec"]["nodeSelector"] = json!({"a": "b"}),
            &["spec.template"],
        );
        check(indexed, |s| s["completions"] = json!(3), &["spec.completions"]);
        check(
            indexed,
            |s| {
                s["completions"] = json!(3);
                s["parallelism"] = json!(3);
            },
            &[],
        );
        check(indexed, |s| s["template"]["spec"]["nodeSelector"] = json!({"a": "b"}), &[]);
    }
}
