//! DaemonSets.

use serde_json::{Value, json};

use super::check::{
    Errors, at_most_all, is_zero, label_selector, none_negative, not_decremented, not_negative,
    number_or_percent,
};
use super::pod;
use super::workload::{always_restarting, same_selector, spec_path};
use crate::selector::Selector;
use crate::walk::Walk;
use crate::{FieldError, Path};

pub(super) fn create(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    let selector = &spec["selector"];
    label_selector(errors, selector, &path.child("selector"));
    let template = path.child("template");
    let labels = &spec["template"]["metadata"]["labels"];
    if Selector::from_object(selector).is_ok_and(|selector| !selector.matches(labels)) {
        let text = "`selector` does not match template `labels`";
        let path = template.child("metadata").child("labels");
        errors.push(FieldError::invalid(path, labels.clone(), text));
    }
    let terms = selector.entries("matchLabels").count() + selector.list("matchExpressions").len();
    if !selector.is_null() && terms == 0 {
        let text = "empty selector is invalid for daemonset";
        errors.push(FieldError::invalid(path.child("selector"), selector.clone(), text));
    }
    pod::template(errors, &spec["template"], &template);
    always_restarting(errors, spec, "DaemonSet");
    not_negative(errors, spec, "minReadySeconds", &path);
    update_strategy(errors, &spec["updateStrategy"], &path.child("updateStrategy"));
    not_negative(errors, spec, "revisionHistoryLimit", &path);
}

fn update_strategy(errors: &mut Errors, strategy: &Value, path: &Path) {
    let rolling = &strategy["rollingUpdate"];
    match strategy.text("type") {
        "OnDelete" => {}
        "RollingUpdate" if rolling.is_null() => {
            errors.push(FieldError::required(path.child("rollingUpdate"), ""));
        }
        "RollingUpdate" => rolling_update(errors, rolling, &path.child("rollingUpdate")),
        other => {
            let shown = json!({"Type": other, "RollingUpdate": rolling});
            let supported = ["RollingUpdate", "OnDelete"];
            errors.push(FieldError::not_supported(path.clone(), shown, &supported));
        }
    }
}

fn rolling_update(errors: &mut Errors, rolling: &Value, path: &Path) {
    let fields = ["maxUnavailable", "maxSurge"];
    fields.iter().for_each(|f| number_or_percent(errors, &rolling[*f], &path.child(f)));
    fields.iter().for_each(|f| at_most_all(errors, &rolling[*f], &path.child(f)));
    match fields.map(|field| is_zero(&rolling[field])) {
        [false, false] => {
            let text = "may not be set when maxUnavailable is non-zero";
            let path = path.child("maxSurge");
            errors.push(FieldError::invalid(path, rolling["maxSurge"].clone(), text));
        }
        [true, true] => {
            let text = "cannot be 0 when maxSurge is 0";
            errors.push(FieldError::required(path.child("maxUnavailable"), text));
        }
        _ => {}
    }
}

pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    create(errors, new);
    same_selector(errors, new, old);
}

pub(super) fn status(errors: &mut Errors, new: &Value, old: &Value) {
    let (path, status) = (Path::new("status"), &new["status"]);
    let fields = [
        "currentNumberScheduled",
        "numberMisscheduled",
        "desiredNumberScheduled",
        "numberReady",
        "observedGeneration",
        "updatedNumberScheduled",
        "numberAvailable",
        "numberUnavailable",
        "collisionCount",
    ];
    none_negative(errors, status, &fields, &path);
    not_decremented(errors, status, &old["status"], "collisionCount", &path);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults::apply_defaults;
    use crate::testing::kind;

    fn check(change: fn(&mut Value), want: &[&str]) {
        let mut object = json!({"spec": {"selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "c", "image": "x"}]}}}});
        change(&mut object["spec"]);
        apply_defaults(&kind("apps", "v1", "DaemonSet"), &mut object);
        let mut errors = Errors::new();
        create(&mut errors, &object);
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        assert_eq!(texts, want);
    }

    #[test]
    fn daemon_sets() {
        check(|_| {}, &[]);
        check(
            |s| s["selector"] = json!(null),
            &[
                r#"spec.template.metadata.labels: Invalid value: {"app":"a"}: `selector` does not match template `labels`"#,
            ],
        );
        check(
            |s| {
                s["updateStrategy"] =
                    json!({"rollingUpdate": {"maxSurge": "10%", "maxUnavailable": 1}})
            },
            &[
                r#"spec.updateStrategy.rollingUpdate.maxSurge: Invalid value: "10%": may not be set when maxUnavailable is non-zero"#,
            ],
        );
        check(
            |s| s["updateStrategy"] = json!({"rollingUpdate": {"maxUnavailable": 0}}),
            &[
                "spec.updateStrategy.rollingUpdate.maxUnavailable: Required value: cannot be 0 when maxSurge is 0",
            ],
        );
        check(
            |s| s["template"]["spec"]["activeDeadlineSeconds"] = json!(5),
            &[
                "spec.template.spec.activeDeadlineSeconds: Forbidden: activeDeadlineSeconds in DaemonSet is not Supported",
            ],
        );
    }
}
