//! Volumes, claims, classes and drivers.

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;
use crate::walk::Walk;

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now)
}

fn or_unset(text: &str) -> Value {
    json!(if text.is_empty() { "<unset>" } else { text })
}

/// `RWO,ROX`
fn access_modes(owner: &Value) -> String {
    let has = |mode: &str| owner.list("accessModes").iter().any(|m| m == mode);
    let short = [
        ("ReadWriteOnce", "RWO"),
        ("ReadOnlyMany", "ROX"),
        ("ReadWriteMany", "RWX"),
        ("ReadWriteOncePod", "RWOP"),
    ];
    short.iter().filter(|(mode, _)| has(mode)).map(|(_, s)| *s).collect::<Vec<_>>().join(",")
}

fn phase(object: &Value) -> Value {
    match object["metadata"].has("deletionTimestamp") {
        true => json!("Terminating"),
        false => json!(object["status"].text("phase")),
    }
}

/// The class by the old annotation, else by the field.
fn storage_class_of(object: &Value) -> &str {
    let annotations = &object["metadata"]["annotations"];
    match annotations["volume.beta.kubernetes.io/storage-class"].as_str() {
        Some(class) => class,
        None => object["spec"].text("storageClassName"),
    }
}

pub(super) fn persistent_volume(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let claim = match &spec["claimRef"] {
        Value::Null => String::new(),
        claim => format!("{}/{}", claim.text("namespace"), claim.text("name")),
    };
    vec![
        name(object),
        json!(spec["capacity"]["storage"].as_str().unwrap_or("0")),
        json!(access_modes(spec)),
        json!(spec.text("persistentVolumeReclaimPolicy")),
        phase(object),
        json!(claim),
        json!(storage_class_of(object)),
        or_unset(spec.text("volumeAttributesClassName")),
        json!(object["status"].text("reason")),
        age(object, now),
        or_unset(spec.text("volumeMode")),
    ]
}

pub(super) fn persistent_volume_claim(object: &Value, now: Timestamp) -> Vec<Value> {
    let (spec, status) = (&object["spec"], &object["status"]);
    let bound = !spec.text("volumeName").is_empty();
    let capacity = status["capacity"]["storage"].as_str().unwrap_or("0");
    vec![
        name(object),
        phase(object),
        json!(spec.text("volumeName")),
        json!(if bound { capacity } else { "" }),
        json!(if bound { access_modes(status) } else { String::new() }),
        json!(storage_class_of(object)),
        or_unset(spec.text("volumeAttributesClassName")),
        age(object, now),
        or_unset(spec.text("volumeMode")),
    ]
}

pub(super) fn storage_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let annotations = &object["metadata"]["annotations"];
    let default = [
        "storageclass.kubernetes.io/is-default-class",
        "storageclass.beta.kubernetes.io/is-default-class",
    ]
    .iter()
    .any(|key| annotations[*key] == "true");
    let suffix = if default { " (default)" } else { "" };
    let text =
        |field: &str, missing: &'static str| json!(object[field].as_str().unwrap_or(missing));
    vec![
        json!(format!("{}{suffix}", object["metadata"].text("name"))),
        json!(object.text("provisioner")),
        text("reclaimPolicy", "Delete"),
        text("volumeBindingMode", "Immediate"),
        json!(object.flag("allowVolumeExpansion")),
        age(object, now),
    ]
}

pub(super) fn csi_driver(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let joined =
        |list: &[Value]| list.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(",");
    let modes = joined(spec.list("volumeLifecycleModes"));
    let tokens = match spec["tokenRequests"].as_array() {
        Some(requests) => requests.iter().map(|r| r.text("audience")).collect::<Vec<_>>().join(","),
        None => "<unset>".to_owned(),
    };
    vec![
        name(object),
        json!(spec["attachRequired"].as_bool().unwrap_or(true)),
        json!(spec.flag("podInfoOnMount")),
        json!(spec.flag("storageCapacity")),
        json!(tokens),
        json!(spec.flag("requiresRepublish")),
        json!(if modes.is_empty() { "<none>" } else { &modes }),
        age(object, now),
    ]
}

pub(super) fn csi_node(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(object["spec"].list("drivers").len()), age(object, now)]
}

pub(super) fn csi_storage_capacity(object: &Value, _: Timestamp) -> Vec<Value> {
    vec![name(object), json!(object.text("storageClassName")), or_unset(object.text("capacity"))]
}

pub(super) fn volume_attachment(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    vec![
        name(object),
        json!(spec.text("attacher")),
        json!(spec["source"].text("persistentVolumeName")),
        json!(spec.text("nodeName")),
        json!(object["status"].flag("attached")),
        age(object, now),
    ]
}

pub(super) fn volume_attributes_class(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), json!(object.text("driverName")), age(object, now)]
}
