//! StatefulSets, and the ControllerRevisions that they and DaemonSets keep.

use serde_json::{Value, json};

use super::check::{
    Errors, at_most_all, immutable, is_zero, none_negative, not_above, not_decremented,
    not_negative, number_or_percent, optional_text,
};
use super::storage::claim_spec;
use super::workload::{always_restarting, selector_and_template, spec_path};
use super::{names, pod};
use crate::strategy::same;
use crate::walk::{Shape, Walk};
use crate::{FieldError, Path};

/// What an update may change of a spec, in upstream's order.
const MUTABLE: [&str; 7] = [
    "replicas",
    "ordinals",
    "template",
    "updateStrategy",
    "revisionHistoryLimit",
    "persistentVolumeClaimRetentionPolicy",
    "minReadySeconds",
];

pub(super) fn create(errors: &mut Errors, object: &Value) {
    spec(errors, &object["spec"], true);
}

/// `new`: the names and claims, which an update cannot change, are checked too.
fn spec(errors: &mut Errors, spec: &Value, new: bool) {
    let path = spec_path();
    match spec.text("podManagementPolicy") {
        "" => errors.push(FieldError::required(path.child("podManagementPolicy"), "")),
        "OrderedReady" | "Parallel" => {}
        other => {
            let text = "must be 'OrderedReady' or 'Parallel'";
            errors.push(FieldError::invalid(path.child("podManagementPolicy"), other, text));
        }
    }
    update_strategy(errors, &spec["updateStrategy"], &path.child("updateStrategy"));
    retention(errors, &spec["persistentVolumeClaimRetentionPolicy"], &path);
    not_negative(errors, spec, "replicas", &path);
    not_negative(errors, spec, "minReadySeconds", &path);
    if let Some(start) = spec["ordinals"].integer("start").filter(|start| *start < 0) {
        let text = "must be greater than or equal to 0";
        errors.push(FieldError::invalid(path.child("ordinals.start"), start, text));
    }
    if new {
        optional_text(errors, spec, "serviceName", &path, names::dns_label);
        for (index, claim) in spec.list("volumeClaimTemplates").iter().enumerate() {
            let path = path.child("volumeClaimTemplates").index(index).child("spec");
            claim_spec(errors, &claim["spec"], &path);
        }
    }
    let whole = with_claims(spec);
    let text = "empty selector is invalid for statefulset";
    selector_and_template(errors, &whole, text, pod::template);
    always_restarting(errors, spec, "StatefulSet");
}

/// The spec, with a volume in its template for each claim: containers may mount those.
fn with_claims(spec: &Value) -> Value {
    let mut spec = spec.clone();
    let claims = spec.list("volumeClaimTemplates").to_vec();
    let Some(pod) = spec.reach_mut(&["template", "spec"]) else { return spec };
    let mut volumes = pod.list("volumes").to_vec();
    for claim in &claims {
        let name = claim["metadata"].text("name");
        let volume = json!({"name": name, "persistentVolumeClaim": {"claimName": name}});
        match volumes.iter_mut().find(|volume| volume.text("name") == name) {
            Some(shadowed) => *shadowed = volume,
            None => volumes.push(volume),
        }
    }
    if !volumes.is_empty() {
        pod.put("volumes", volumes);
    }
    spec
}

fn update_strategy(errors: &mut Errors, strategy: &Value, path: &Path) {
    let rolling = &strategy["rollingUpdate"];
    match strategy.text("type") {
        "" => errors.push(FieldError::required(path.clone(), "")),
        "OnDelete" if !rolling.is_null() => {
            let text = "only allowed for updateStrategy 'RollingUpdate'";
            let path = path.child("rollingUpdate");
            errors.push(FieldError::invalid(path, rolling.clone(), text));
        }
        "OnDelete" => {}
        "RollingUpdate" => {
            let path = path.child("rollingUpdate");
            not_negative(errors, rolling, "partition", &path);
            let (most, path) = (&rolling["maxUnavailable"], path.child("maxUnavailable"));
            number_or_percent(errors, most, &path);
            if !most.is_null() && is_zero(most) {
                errors.push(FieldError::invalid(path.clone(), most.clone(), "cannot be 0"));
            }
            at_most_all(errors, most, &path);
        }
        other => {
            let text = "must be 'RollingUpdate' or 'OnDelete'";
            let shown = json!({"Type": other, "RollingUpdate": rolling});
            errors.push(FieldError::invalid(path.clone(), shown, text));
        }
    }
}

fn retention(errors: &mut Errors, policy: &Value, path: &Path) {
    if policy.is_null() {
        return;
    }
    let path = path.child("persistentVolumeClaimRetentionPolicy");
    for field in ["whenDeleted", "whenScaled"] {
        let text = policy.text(field);
        if !matches!(text, "Retain" | "Delete") {
            let supported = ["Retain", "Delete"];
            errors.push(FieldError::not_supported(path.child(field), text, &supported));
        }
    }
}

pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    spec(errors, &new["spec"], false);
    let (mut now, mut before) = (new["spec"].clone(), old["spec"].clone());
    for spec in [&mut now, &mut before] {
        MUTABLE.iter().for_each(|field| drop(spec.take_key(field)));
    }
    if !same(&now, &before) {
        let (last, others) = MUTABLE.split_last().expect("a list");
        let text = format!(
            "updates to statefulset spec for fields other than '{}' and '{last}' are forbidden",
            others.join("', '")
        );
        errors.push(FieldError::forbidden(spec_path(), text));
    }
}

pub(super) fn status(errors: &mut Errors, new: &Value, old: &Value) {
    let (path, status) = (Path::new("status"), &new["status"]);
    let counts = ["readyReplicas", "currentReplicas", "updatedReplicas", "availableReplicas"];
    not_negative(errors, status, "replicas", &path);
    none_negative(errors, status, &counts, &path);
    none_negative(errors, status, &["observedGeneration", "collisionCount"], &path);
    for count in counts {
        let text = "cannot be greater than status.replicas";
        not_above(errors, status, (count, "replicas"), &path, text);
    }
    let text = "cannot be greater than status.readyReplicas";
    not_above(errors, status, ("availableReplicas", "readyReplicas"), &path, text);
    not_decremented(errors, status, &old["status"], "collisionCount", &path);
}

pub(super) fn controller_revision(errors: &mut Errors, object: &Value) {
    if !object.has("data") {
        errors.push(FieldError::required(Path::new("data"), "data is mandatory"));
    }
    not_negative(errors, object, "revision", &Path::new(""));
}

pub(super) fn controller_revision_update(errors: &mut Errors, new: &Value, old: &Value) {
    controller_revision(errors, new);
    immutable(errors, &new["data"], &old["data"], &Path::new("data"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::defaults::apply_defaults;
    use crate::testing::kind;

    fn valid() -> Value {
        let mut object = json!({"spec": {"selector": {"matchLabels": {"app": "a"}},
            "template": {"metadata": {"labels": {"app": "a"}},
                "spec": {"containers": [{"name": "c", "image": "x",
                    "volumeMounts": [{"name": "data", "mountPath": "/data"}]}]}},
            "volumeClaimTemplates": [{"metadata": {"name": "data"},
                "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1Gi"}}}}]}});
        apply_defaults(&kind("apps", "v1", "StatefulSet"), &mut object);
        object
    }

    fn texts(errors: &Errors) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn creates() {
        let check = |change: fn(&mut Value), want: &[&str]| {
            let mut object = valid();
            change(&mut object["spec"]);
            let mut errors = Errors::new();
            create(&mut errors, &object);
            assert_eq!(texts(&errors), want);
        };
        check(|_| {}, &[]);
        check(
            |s| s["volumeClaimTemplates"][0]["metadata"]["name"] = json!("other"),
            &[r#"spec.template.spec.containers[0].volumeMounts[0].name: Not found: "data""#],
        );
        check(
            |s| s["volumeClaimTemplates"][0]["spec"]["accessModes"] = json!([]),
            &[
                "spec.volumeClaimTemplates[0].spec.accessModes: Required value: at least 1 access mode is required",
            ],
        );
        check(
            |s| s["podManagementPolicy"] = json!("Any"),
            &[
                r#"spec.podManagementPolicy: Invalid value: "Any": must be 'OrderedReady' or 'Parallel'"#,
            ],
        );
        check(
            |s| s["ordinals"] = json!({"start": -1}),
            &["spec.ordinals.start: Invalid value: -1: must be greater than or equal to 0"],
        );
    }

    #[test]
    fn updates() {
        let check = |change: fn(&mut Value), want: &[&str]| {
            let mut object = valid();
            change(&mut object["spec"]);
            let mut errors = Errors::new();
            update(&mut errors, &object, &valid());
            assert_eq!(texts(&errors), want);
        };
        check(|s| s["replicas"] = json!(3), &[]);
        check(
            |s| s["serviceName"] = json!("other"),
            &[
                "spec: Forbidden: updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden",
            ],
        );
    }

    #[test]
    fn revisions() {
        let old = json!({"data": {"a": 1}, "revision": 1});
        let mut errors = Errors::new();
        controller_revision_update(&mut errors, &json!({"data": {"a": 1}, "revision": 2}), &old);
        assert_eq!(texts(&errors), [""; 0]);
        controller_revision_update(&mut errors, &json!({"revision": -1}), &old);
        assert_eq!(
            texts(&errors),
            [
                "data: Required value: data is mandatory",
                "revision: Invalid value: -1: must be greater than or equal to 0",
                "data: Invalid value: null: field is immutable",
            ]
        );
    }
}
