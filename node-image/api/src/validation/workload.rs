//! The kinds that make pods.

use serde_json::{Value, json};

use super::check::{
    Errors, choice, immutable, label_selector, not_negative, number_or_percent, percent, problems,
    required_choice,
};
use super::{names, pod};
use crate::selector::Selector;
use crate::strategy::same;
use crate::walk::{Shape, Walk};
use crate::{FieldError, Path};

fn spec_path() -> Path {
    Path::new("spec")
}

pub(super) fn pod_template(errors: &mut Errors, object: &Value) {
    pod::template(errors, &object["template"], &Path::new("template"));
}

/// How a template is checked.
type TemplateRule = fn(&mut Errors, &Value, &Path);

/// A selector that must be there, not be empty, and match the template it selects.
fn selector_and_template(
    errors: &mut Errors,
    spec: &Value,
    empty_text: &str,
    template: TemplateRule,
) {
    let path = spec_path();
    if !spec.has("selector") {
        errors.push(FieldError::required(path.child("selector"), ""));
    } else {
        let selector = &spec["selector"];
        label_selector(errors, selector, &path.child("selector"));
        let entries =
            selector.entries("matchLabels").count() + selector.list("matchExpressions").len();
        if entries == 0 {
            let value = selector.clone();
            errors.push(FieldError::invalid(path.child("selector"), value, empty_text));
        }
    }
    match Selector::from_object(&spec["selector"]) {
        Ok(selector) => matching_template(errors, spec, &selector, template),
        Err(_) => {
            let value = spec["selector"].clone();
            errors.push(FieldError::invalid(
                path.child("selector"),
                value,
                "invalid label selector",
            ));
        }
    }
}

fn matching_template(
    errors: &mut Errors,
    spec: &Value,
    selector: &Selector,
    template: TemplateRule,
) {
    let path = spec_path().child("template");
    if !spec.has("template") {
        errors.push(FieldError::required(path, ""));
        return;
    }
    let labels = &spec["template"]["metadata"]["labels"];
    if !selector.is_everything() && !selector.is_nothing() && !selector.matches(labels) {
        let text = "`selector` does not match template `labels`";
        let shown = if labels.is_null() { json!({}) } else { labels.clone() };
        errors.push(FieldError::invalid(path.child("metadata").child("labels"), shown, text));
    }
    template(errors, &spec["template"], &path);
}

/// Pods of long-running workloads always restart and have no deadline.
fn always_restarting(errors: &mut Errors, spec: &Value) {
    let path = spec_path().child("template").child("spec");
    let pod = &spec["template"]["spec"];
    let policy = pod.text("restartPolicy");
    if !policy.is_empty() && policy != "Always" {
        errors.push(FieldError::not_supported(path.child("restartPolicy"), policy, &["Always"]));
    }
    if pod.has("activeDeadlineSeconds") {
        let text = "activeDeadlineSeconds in ReplicaSet is not Supported";
        errors.push(FieldError::forbidden(path.child("activeDeadlineSeconds"), text));
    }
}

pub(super) fn replication_controller(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    not_negative(errors, spec, "minReadySeconds", &path);
    if spec.entries("selector").next().is_none() {
        errors.push(FieldError::required(path.child("selector"), ""));
    }
    not_negative(errors, spec, "replicas", &path);
    matching_template(errors, spec, &Selector::from_map(&spec["selector"]), pod::template);
    if spec.has("template") {
        always_restarting(errors, spec);
    }
}

pub(super) fn replica_set(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    not_negative(errors, spec, "replicas", &path);
    not_negative(errors, spec, "minReadySeconds", &path);
    selector_and_template(errors, spec, "empty selector is invalid for deployment", pod::template);
    always_restarting(errors, spec);
}

pub(super) fn replica_set_update(errors: &mut Errors, new: &Value, old: &Value) {
    replica_set(errors, new);
    same_selector(errors, new, old);
}

fn same_selector(errors: &mut Errors, new: &Value, old: &Value) {
    let path = spec_path().child("selector");
    immutable(errors, &new["spec"]["selector"], &old["spec"]["selector"], &path);
}

pub(super) fn deployment(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    not_negative(errors, spec, "replicas", &path);
    selector_and_template(errors, spec, "empty selector is invalid for deployment", pod::template);
    always_restarting(errors, spec);
    deployment_strategy(errors, &spec["strategy"], &path.child("strategy"));
    not_negative(errors, spec, "minReadySeconds", &path);
    not_negative(errors, spec, "revisionHistoryLimit", &path);
    not_negative(errors, spec, "progressDeadlineSeconds", &path);
    if let Some(deadline) = spec.integer("progressDeadlineSeconds")
        && deadline <= spec.integer("minReadySeconds").unwrap_or(0)
    {
        let text = "must be greater than minReadySeconds";
        errors.push(FieldError::invalid(path.child("progressDeadlineSeconds"), deadline, text));
    }
}

fn deployment_strategy(errors: &mut Errors, strategy: &Value, path: &Path) {
    let rolling = &strategy["rollingUpdate"];
    match strategy.text("type") {
        "Recreate" if !rolling.is_null() => {
            let text = "may not be specified when strategy `type` is 'Recreate'";
            errors.push(FieldError::forbidden(path.child("rollingUpdate"), text));
        }
        "Recreate" => {}
        "RollingUpdate" if rolling.is_null() => {
            let text = "this should be defaulted and never be nil";
            errors.push(FieldError::required(path.child("rollingUpdate"), text));
        }
        "RollingUpdate" => rolling_update(errors, rolling, &path.child("rollingUpdate")),
        other => {
            let path = path.child("type");
            errors.push(FieldError::not_supported(path, other, &["Recreate", "RollingUpdate"]));
        }
    }
}

fn rolling_update(errors: &mut Errors, rolling: &Value, path: &Path) {
    let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
    number_or_percent(errors, unavailable, &path.child("maxUnavailable"));
    number_or_percent(errors, surge, &path.child("maxSurge"));
    let zero = |value: &Value| value.as_i64() == Some(0) || percent(value) == Some(0);
    if zero(unavailable) && zero(surge) {
        let text = "may not be 0 when `maxSurge` is 0";
        let value = unavailable.clone();
        errors.push(FieldError::invalid(path.child("maxUnavailable"), value, text));
    }
    if percent(unavailable).is_some_and(|share| share > 100) {
        let value = unavailable.clone();
        let text = "must not be greater than 100%";
        errors.push(FieldError::invalid(path.child("maxUnavailable"), value, text));
    }
}

pub(super) fn deployment_update(errors: &mut Errors, new: &Value, old: &Value) {
    deployment(errors, new);
    same_selector(errors, new, old);
}

pub(super) fn daemon_set(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    selector_and_template(errors, spec, "empty selector is invalid for daemonset", pod::template);
    always_restarting(errors, spec);
    not_negative(errors, spec, "minReadySeconds", &path);
    let strategy = &spec["updateStrategy"];
    let own = path.child("updateStrategy");
    match strategy.text("type") {
        "OnDelete" => {}
        "RollingUpdate" if !strategy.has("rollingUpdate") => {
            errors.push(FieldError::required(own.child("rollingUpdate"), ""));
        }
        "RollingUpdate" => {
            let rolling = &strategy["rollingUpdate"];
            for field in ["maxUnavailable", "maxSurge"] {
                number_or_percent(
                    errors,
                    &rolling[field],
                    &own.child("rollingUpdate").child(field),
                );
            }
        }
        other => {
            let path = own.child("type");
            errors.push(FieldError::not_supported(path, other, &["RollingUpdate", "OnDelete"]));
        }
    }
    not_negative(errors, spec, "revisionHistoryLimit", &path);
}

pub(super) fn daemon_set_update(errors: &mut Errors, new: &Value, old: &Value) {
    daemon_set(errors, new);
    same_selector(errors, new, old);
}

pub(super) fn stateful_set(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    required_choice(errors, spec, "podManagementPolicy", &path, &["OrderedReady", "Parallel"]);
    let own = path.child("updateStrategy");
    let strategy = &spec["updateStrategy"];
    match strategy.text("type") {
        "" => errors.push(FieldError::required(own, "")),
        "OnDelete" if strategy.has("rollingUpdate") => {
            let text = "only allowed for updateStrategy 'RollingUpdate'";
            let value = strategy["rollingUpdate"].clone();
            errors.push(FieldError::invalid(own.child("rollingUpdate"), value, text));
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            let rolling = &strategy["rollingUpdate"];
            not_negative(errors, rolling, "partition", &own.child("rollingUpdate"));
        }
        other => {
            let text = "must be 'RollingUpdate' or 'OnDelete'";
            errors.push(FieldError::invalid(own, json!({ "type": other }), text));
        }
    }
    not_negative(errors, spec, "replicas", &path);
    not_negative(errors, spec, "minReadySeconds", &path);
    selector_and_template(
        errors,
        spec,
        "empty selector is invalid for statefulset",
        pod::template_metadata,
    );
    always_restarting(errors, spec);
}

pub(super) fn stateful_set_update(errors: &mut Errors, new: &Value, old: &Value) {
    stateful_set(errors, new);
    let (mut now, mut before) = (new["spec"].clone(), old["spec"].clone());
    for spec in [&mut now, &mut before] {
        for field in [
            "replicas",
            "ordinals",
            "template",
            "updateStrategy",
            "revisionHistoryLimit",
            "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds",
        ] {
            spec.take_key(field);
        }
    }
    if !same(&now, &before) {
        let text = "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
        errors.push(FieldError::forbidden(spec_path(), text));
    }
}

pub(super) fn job(errors: &mut Errors, object: &Value) {
    let spec = &object["spec"];
    job_spec(errors, spec, &spec_path());
    if !spec.has("selector") {
        errors.push(FieldError::required(spec_path().child("selector"), ""));
        return;
    }
    label_selector(errors, &spec["selector"], &spec_path().child("selector"));
    let labels = &spec["template"]["metadata"]["labels"];
    let matches = Selector::from_object(&spec["selector"]).is_ok_and(|s| s.matches(labels));
    if !matches {
        let path = spec_path().child("template").child("metadata").child("labels");
        let text = "`selector` does not match template `labels`";
        errors.push(FieldError::invalid(path, labels.clone(), text));
    }
}

fn job_spec(errors: &mut Errors, spec: &Value, path: &Path) {
    for field in [
        "parallelism",
        "completions",
        "backoffLimit",
        "ttlSecondsAfterFinished",
        "backoffLimitPerIndex",
        "maxFailedIndexes",
    ] {
        not_negative(errors, spec, field, path);
    }
    if let Some(seconds) = spec.integer("activeDeadlineSeconds")
        && seconds < 0
    {
        let text = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path.child("activeDeadlineSeconds"), seconds, text));
    }
    choice(errors, spec, "completionMode", path, &["NonIndexed", "Indexed"]);
    if spec.text("completionMode") == "Indexed" && !spec.has("completions") {
        let text = "when completion mode is Indexed";
        errors.push(FieldError::required(path.child("completions"), text));
    }
    choice(errors, spec, "podReplacementPolicy", path, &["Failed", "TerminatingOrFailed"]);
    let template = path.child("template");
    pod::template(errors, &spec["template"], &template);
    let policy = spec["template"]["spec"].text("restartPolicy");
    if policy == "Always" {
        let path = template.child("spec").child("restartPolicy");
        errors.push(FieldError::required(path, "valid values: \"OnFailure\", \"Never\""));
    }
}

pub(super) fn job_update(errors: &mut Errors, new: &Value, old: &Value) {
    job(errors, new);
    let path = spec_path();
    let suspended = old["spec"].flag("suspend");
    for field in [
        "completions",
        "selector",
        "completionMode",
        "podFailurePolicy",
        "backoffLimitPerIndex",
        "managedBy",
        "successPolicy",
        "manualSelector",
    ] {
        let elastic = field == "completions"
            && new["spec"].text("completionMode") == "Indexed"
            && new["spec"]["completions"] == new["spec"]["parallelism"];
        if !elastic {
            immutable(errors, &new["spec"][field], &old["spec"][field], &path.child(field));
        }
    }
    let not_started = suspended && !old["status"].has("startTime");
    let (mut now, mut before) = (new["spec"]["template"].clone(), old["spec"]["template"].clone());
    if not_started {
        for template in [&mut now, &mut before] {
            if let Some(spec) = template.existing_mut("spec") {
                for field in ["affinity", "nodeSelector", "tolerations", "schedulingGates"] {
                    spec.take_key(field);
                }
            }
            template.take_key("metadata");
        }
    }
    immutable(errors, &now, &before, &path.child("template"));
}

pub(super) fn cron_job(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    match spec.text("schedule") {
        "" => errors.push(FieldError::required(path.child("schedule"), "")),
        schedule => cron_schedule(errors, schedule, &path.child("schedule")),
    }
    not_negative(errors, spec, "startingDeadlineSeconds", &path);
    required_choice(errors, spec, "concurrencyPolicy", &path, &["Allow", "Forbid", "Replace"]);
    for field in ["successfulJobsHistoryLimit", "failedJobsHistoryLimit"] {
        not_negative(errors, spec, field, &path);
    }
    job_spec(errors, &spec["jobTemplate"]["spec"], &path.child("jobTemplate").child("spec"));
    let name = object["metadata"].text("name");
    // A job's name is the cron job's and eleven characters.
    if name.len() > 52 {
        let text = "must be no more than 52 characters";
        let path = Path::new("metadata").child("name");
        problems(errors, &path, name, vec![text.to_owned()]);
    }
}

fn cron_schedule(errors: &mut Errors, schedule: &str, path: &Path) {
    if schedule.contains("TZ") {
        let text = "cannot use TZ or CRON_TZ in schedule, use timeZone field instead";
        errors.push(FieldError::invalid(path.clone(), schedule, text));
        return;
    }
    let words = schedule.split_whitespace().count();
    if !schedule.starts_with('@') && words != 5 {
        let text = format!("expected exactly 5 fields, found {words}: [{schedule}]");
        errors.push(FieldError::invalid(path.clone(), schedule, text));
    }
}

pub(super) fn pod_disruption_budget(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    if spec.has("minAvailable") && spec.has("maxUnavailable") {
        let text = "minAvailable and maxUnavailable cannot be both set";
        errors.push(FieldError::invalid(path.clone(), spec.clone(), text));
    }
    for field in ["minAvailable", "maxUnavailable"] {
        number_or_percent(errors, &spec[field], &path.child(field));
        if percent(&spec[field]).is_some_and(|share| share > 100) {
            let text = "must not be greater than 100%";
            errors.push(FieldError::invalid(path.child(field), spec[field].clone(), text));
        }
    }
    label_selector(errors, &spec["selector"], &path.child("selector"));
    let policies = ["AlwaysAllow", "IfHealthyBudget"];
    choice(errors, spec, "unhealthyPodEvictionPolicy", &path, &policies);
}

pub(super) fn horizontal_pod_autoscaler(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    let fewest = spec.integer("minReplicas").unwrap_or(1);
    let most = spec.integer("maxReplicas").unwrap_or(0);
    if fewest < 1 {
        let text = "must be greater than or equal to 1";
        errors.push(FieldError::invalid(path.child("minReplicas"), fewest, text));
    }
    if most < 1 {
        let text = "must be greater than 0";
        errors.push(FieldError::invalid(path.child("maxReplicas"), most, text));
    }
    if most < fewest {
        let text = "must be greater than or equal to `minReplicas`";
        errors.push(FieldError::invalid(path.child("maxReplicas"), most, text));
    }
    let target = path.child("scaleTargetRef");
    for field in ["kind", "name"] {
        match spec["scaleTargetRef"].text(field) {
            "" => errors.push(FieldError::required(target.child(field), "")),
            text => problems(errors, &target.child(field), text, names::path_segment(text)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults::apply_defaults;
    use crate::testing::kind;

    fn valid() -> Value {
        let mut object = json!({"spec": {"selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}}, "spec": {"containers": [{"name": "c", "image": "x"}]}}}});
        apply_defaults(&kind("apps", "v1", "Deployment"), &mut object);
        object
    }

    fn texts(errors: &Errors) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn deployments() {
        let check = |change: fn(&mut Value), want: &[&str]| {
            let mut object = valid();
            change(&mut object["spec"]);
            let mut errors = Errors::new();
            deployment(&mut errors, &object);
            assert_eq!(texts(&errors), want);
        };
        check(|_| {}, &[]);
        check(
            |s| s["selector"]["matchLabels"]["app"] = json!("b"),
            &[
                r#"spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`"#,
            ],
        );
        check(
            |s| s["replicas"] = json!(-1),
            &["spec.replicas: Invalid value: -1: must be greater than or equal to 0"],
        );
        check(
            |s| s["template"]["spec"]["restartPolicy"] = json!("Never"),
            &[
                r#"spec.template.spec.restartPolicy: Unsupported value: "Never": supported values: "Always""#,
            ],
        );
        check(
            |s| s["strategy"] = json!({"type": "Recreate", "rollingUpdate": {}}),
            &[
                "spec.strategy.rollingUpdate: Forbidden: may not be specified when strategy `type` is 'Recreate'",
            ],
        );
    }

    #[test]
    fn selectors_stay() {
        let mut new = valid();
        new["spec"]["selector"]["matchLabels"]["app"] = json!("a");
        new["spec"]["selector"]["matchLabels"]["more"] = json!("a");
        new["spec"]["template"]["metadata"]["labels"]["more"] = json!("a");
        let mut errors = Errors::new();
        deployment_update(&mut errors, &new, &valid());
        assert_eq!(
            texts(&errors),
            [
                r#"spec.selector: Invalid value: {"matchLabels":{"app":"a","more":"a"}}: field is immutable"#
            ]
        );
    }
}
