//! ReplicationControllers, ReplicaSets and Deployments, and what all kinds that make pods share.

use serde_json::{Value, json};

use super::check::{
    Errors, at_most_all, immutable, is_zero, label_selector, none_negative, not_above,
    not_decremented, not_negative, number_or_percent,
};
use super::pod;
use crate::selector::Selector;
use crate::walk::Walk;
use crate::{FieldError, Path};

pub(super) fn spec_path() -> Path {
    Path::new("spec")
}

pub(super) fn pod_template(errors: &mut Errors, object: &Value) {
    pod::template(errors, &object["template"], &Path::new("template"));
}

/// How a template is checked.
type TemplateRule = fn(&mut Errors, &Value, &Path);

/// A selector that must be there, not be empty, and match the template it selects.
pub(super) fn selector_and_template(
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
    // What is not selected at all selects nothing, so it does not match either.
    if !selector.is_everything() && !selector.matches(labels) {
        let text = "`selector` does not match template `labels`";
        let path = path.child("metadata").child("labels");
        errors.push(FieldError::invalid(path, labels.clone(), text));
    }
    template(errors, &spec["template"], &path);
}

/// Pods of long-running workloads always restart and have no deadline. `owner` is the kind.
pub(super) fn always_restarting(errors: &mut Errors, spec: &Value, owner: &str) {
    let path = spec_path().child("template").child("spec");
    let pod = &spec["template"]["spec"];
    let policy = pod.text("restartPolicy");
    if !policy.is_empty() && policy != "Always" {
        errors.push(FieldError::not_supported(path.child("restartPolicy"), policy, &["Always"]));
    }
    if pod.has("activeDeadlineSeconds") {
        let text = format!("activeDeadlineSeconds in {owner} is not Supported");
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
        always_restarting(errors, spec, "ReplicaSet");
    }
}

pub(super) fn replica_set(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    not_negative(errors, spec, "replicas", &path);
    not_negative(errors, spec, "minReadySeconds", &path);
    selector_and_template(errors, spec, "empty selector is invalid for deployment", pod::template);
    always_restarting(errors, spec, "ReplicaSet");
}

pub(super) fn replica_set_update(errors: &mut Errors, new: &Value, old: &Value) {
    replica_set(errors, new);
    same_selector(errors, new, old);
}

pub(super) fn same_selector(errors: &mut Errors, new: &Value, old: &Value) {
    let path = spec_path().child("selector");
    immutable(errors, &new["spec"]["selector"], &old["spec"]["selector"], &path);
}

pub(super) fn deployment(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    not_negative(errors, spec, "replicas", &path);
    selector_and_template(errors, spec, "empty selector is invalid for deployment", pod::template);
    always_restarting(errors, spec, "ReplicaSet");
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
            let shown = json!({"Type": other, "RollingUpdate": rolling});
            let supported = ["Recreate", "RollingUpdate"];
            errors.push(FieldError::not_supported(path.clone(), shown, &supported));
        }
    }
}

fn rolling_update(errors: &mut Errors, rolling: &Value, path: &Path) {
    let (unavailable, surge) = (&rolling["maxUnavailable"], &rolling["maxSurge"]);
    number_or_percent(errors, unavailable, &path.child("maxUnavailable"));
    number_or_percent(errors, surge, &path.child("maxSurge"));
    if is_zero(unavailable) && is_zero(surge) {
        let text = "may not be 0 when `maxSurge` is 0";
        let value = unavailable.clone();
        errors.push(FieldError::invalid(path.child("maxUnavailable"), value, text));
    }
    at_most_all(errors, unavailable, &path.child("maxUnavailable"));
}

pub(super) fn deployment_update(errors: &mut Errors, new: &Value, old: &Value) {
    deployment(errors, new);
    same_selector(errors, new, old);
}

/// The counts in the status of a ReplicationController or ReplicaSet.
pub(super) fn replica_set_status(errors: &mut Errors, new: &Value, _: &Value) {
    let (path, status) = (Path::new("status"), &new["status"]);
    let counts = ["fullyLabeledReplicas", "readyReplicas", "availableReplicas"];
    not_negative(errors, status, "replicas", &path);
    none_negative(errors, status, &counts, &path);
    not_negative(errors, status, "observedGeneration", &path);
    for count in counts {
        let text = "cannot be greater than status.replicas";
        not_above(errors, status, (count, "replicas"), &path, text);
    }
    let text = "cannot be greater than readyReplicas";
    not_above(errors, status, ("availableReplicas", "readyReplicas"), &path, text);
}

pub(super) fn deployment_status(errors: &mut Errors, new: &Value, old: &Value) {
    let (path, status) = (Path::new("status"), &new["status"]);
    let fields = [
        "observedGeneration",
        "replicas",
        "updatedReplicas",
        "readyReplicas",
        "availableReplicas",
        "unavailableReplicas",
        "terminatingReplicas",
        "collisionCount",
    ];
    none_negative(errors, status, &fields, &path);
    for count in ["updatedReplicas", "readyReplicas", "availableReplicas"] {
        let text = "cannot be greater than status.replicas";
        not_above(errors, status, (count, "replicas"), &path, text);
    }
    let text = "cannot be greater than readyReplicas";
    not_above(errors, status, ("availableReplicas", "readyReplicas"), &path, text);
    not_decremented(errors, status, &old["status"], "collisionCount", &path);
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
            |s| s["selector"] = Value::Null,
            &[
                "spec.selector: Required value",
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
            |s| s["strategy"] = json!({"type": "rolling"}),
            &[
                r#"spec.strategy: Unsupported value: {"RollingUpdate":null,"Type":"rolling"}: supported values: "Recreate", "RollingUpdate""#,
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
