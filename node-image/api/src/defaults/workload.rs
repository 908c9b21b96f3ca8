//! Defaults of the kinds that make pods.

use serde_json::{Value, json};

use super::pod::template_defaults;
use super::set_all;
use super::storage::claim_template;
use crate::walk::{Shape, Walk};

fn template_of(spec: &mut Value) {
    if let Some(template) = spec.object_mut("template") {
        template_defaults(template);
    }
}

pub(super) fn pod_template(obj: &mut Value) {
    template_of(obj);
}

pub(super) fn replication_controller(obj: &mut Value) {
    let labels = obj["spec"]["template"]["metadata"]["labels"].clone();
    let Some(spec) = obj.object_mut("spec") else { return };
    spec.set_default("replicas", 1);
    if spec.has("template") {
        template_of(spec);
    }
    if labels.as_object().is_none_or(|labels| labels.is_empty()) {
        return;
    }
    if spec.entries("selector").next().is_none() {
        spec.put("selector", labels.clone());
    }
    if obj["metadata"].entries("labels").next().is_none()
        && let Some(metadata) = obj.object_mut("metadata")
    {
        metadata.put("labels", labels);
    }
}

pub(super) fn replica_set(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    spec.set_default("replicas", 1);
    template_of(spec);
}

pub(super) fn deployment(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    set_all(
        spec,
        json!({"replicas": 1, "revisionHistoryLimit": 10, "progressDeadlineSeconds": 600}),
    );
    template_of(spec);
    let Some(strategy) = spec.object_mut("strategy") else { return };
    strategy.set_default_text("type", "RollingUpdate");
    if strategy.text("type") == "RollingUpdate"
        && let Some(rolling) = strategy.object_mut("rollingUpdate")
    {
        set_all(rolling, json!({"maxUnavailable": "25%", "maxSurge": "25%"}));
    }
}

pub(super) fn daemon_set(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    spec.set_default("revisionHistoryLimit", 10);
    template_of(spec);
    let Some(strategy) = spec.object_mut("updateStrategy") else { return };
    strategy.set_default_text("type", "RollingUpdate");
    if strategy.text("type") == "RollingUpdate"
        && let Some(rolling) = strategy.object_mut("rollingUpdate")
    {
        set_all(rolling, json!({"maxUnavailable": 1, "maxSurge": 0}));
    }
}

pub(super) fn stateful_set(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    set_all(spec, json!({"replicas": 1, "revisionHistoryLimit": 10}));
    spec.set_default_text("podManagementPolicy", "OrderedReady");
    template_of(spec);
    spec.each_mut("volumeClaimTemplates").for_each(claim_template);
    if let Some(retention) = spec.object_mut("persistentVolumeClaimRetentionPolicy") {
        retention.set_default_text("whenDeleted", "Retain");
        retention.set_default_text("whenScaled", "Retain");
    }
    let Some(strategy) = spec.object_mut("updateStrategy") else { return };
    if strategy.text("type").is_empty() {
        strategy.put("type", "RollingUpdate");
        strategy.set_default("rollingUpdate", json!({}));
    }
    if strategy.text("type") == "RollingUpdate"
        && let Some(rolling) = strategy.existing_mut("rollingUpdate")
    {
        rolling.set_default("partition", 0);
    }
}

pub(super) fn job(obj: &mut Value) {
    let labels = obj["spec"]["template"]["metadata"]["labels"].clone();
    if labels.as_object().is_some_and(|labels| !labels.is_empty())
        && obj["metadata"].entries("labels").next().is_none()
        && let Some(metadata) = obj.object_mut("metadata")
    {
        metadata.put("labels", labels);
    }
    let Some(spec) = obj.object_mut("spec") else { return };
    if !spec.has("completions") && !spec.has("parallelism") {
        spec.put("completions", 1);
    }
    let limit = if spec.has("backoffLimitPerIndex") { i32::MAX } else { 6 };
    let replacement = if spec.has("podFailurePolicy") { "Failed" } else { "TerminatingOrFailed" };
    set_all(
        spec,
        json!({
            "parallelism": 1,
            "backoffLimit": limit,
            "completionMode": "NonIndexed",
            "suspend": false,
            "podReplacementPolicy": replacement,
        }),
    );
    if let Some(policy) = spec.existing_mut("podFailurePolicy") {
        for rule in policy.each_mut("rules") {
            for pattern in rule.each_mut("onPodConditions") {
                pattern.set_default_text("status", "True");
            }
        }
    }
    template_of(spec);
}

pub(super) fn cron_job(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    spec.set_default_text("concurrencyPolicy", "Allow");
    set_all(
        spec,
        json!({"suspend": false, "successfulJobsHistoryLimit": 3, "failedJobsHistoryLimit": 1}),
    );
    if let Some(job_spec) = spec.object_mut("jobTemplate").and_then(|job| job.object_mut("spec")) {
        template_of(job_spec);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn deployments() {
        let mut obj = json!({"spec": {"template": {"spec": {"containers": [
            {"image": "a:1", "resources": {"limits": {"cpu": "1"}}}]}}}});
        deployment(&mut obj);
        let spec = &obj["spec"];
        assert_eq!(spec["replicas"], 1);
        assert_eq!(
            spec["strategy"],
            json!({"type": "RollingUpdate", "rollingUpdate": {"maxUnavailable": "25%", "maxSurge": "25%"}})
        );
        let pod = &spec["template"]["spec"];
        assert_eq!(pod["restartPolicy"], "Always");
        assert!(!pod.has("enableServiceLinks"), "templates leave it to the pod");
        assert!(
            !pod["containers"][0]["resources"].has("requests"),
            "templates leave it to the pod"
        );
        let mut recreate = json!({"spec": {"strategy": {"type": "Recreate"}}});
        deployment(&mut recreate);
        assert!(!recreate["spec"]["strategy"].has("rollingUpdate"));
    }

    #[test]
    fn jobs() {
        let check = |spec: Value, completions: Value, parallelism: i64| {
            let mut obj = json!({ "spec": spec });
            job(&mut obj);
            assert_eq!(obj["spec"]["completions"], completions);
            assert_eq!(obj["spec"]["parallelism"], parallelism);
            assert_eq!(obj["spec"]["backoffLimit"], 6);
        };
        check(json!({}), json!(1), 1);
        check(json!({"parallelism": 3}), json!(null), 3);
        check(json!({"completions": 4}), json!(4), 1);
    }

    #[test]
    fn replication_controllers_take_labels_and_selector_from_their_template() {
        let mut obj = json!({"spec": {"template": {"metadata": {"labels": {"a": "b"}}}}});
        replication_controller(&mut obj);
        assert_eq!(obj["spec"]["selector"], json!({"a": "b"}));
        assert_eq!(obj["metadata"]["labels"], json!({"a": "b"}));
    }
}
