//! What drivers of storage register: CSIDrivers, CSINodes, capacities, attachments, and the classes of
//! volume attributes.

use std::collections::HashSet;

use serde_json::Value;

use super::check::{Errors, immutable, label_selector, not_negative, problems};
use super::storage::parameters;
use super::workload::spec_path;
use super::{names, resources, storage};
use crate::walk::{Shape, Walk};
use crate::{FieldError, Path};

const DRIVER_NAME_MAX: usize = 63;
const NODE_ID_MAX: usize = 192;
const TOKEN_SECONDS_MIN: i64 = 600;
const TOKEN_SECONDS_MAX: i64 = 1 << 32;
const UPDATE_PERIOD_SECONDS_MIN: i64 = 10;
const METADATA_BYTES_MAX: usize = 256 * 1024;
const MESSAGE_BYTES_MAX: usize = 1024;
const FS_GROUP_POLICIES: [&str; 3] = ["File", "None", "ReadWriteOnceWithFSType"];
const LIFECYCLE_MODES: [&str; 2] = ["Persistent", "Ephemeral"];

/// The name of a driver, whose letters may be of either case.
fn driver_name(errors: &mut Errors, name: &str, path: &Path) {
    if name.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
    }
    if name.len() > DRIVER_NAME_MAX {
        errors.push(FieldError::too_long(path.clone(), DRIVER_NAME_MAX));
    }
    problems(errors, path, name, names::dns_subdomain(&name.to_lowercase()));
}

/// The rule for the name of a CSIDriver, without what `driver` says of it.
pub(super) fn object_name(name: &str) -> names::Problems {
    names::dns_subdomain(&name.to_lowercase())
}

pub(super) fn driver(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    let name = object["metadata"].text("name");
    if name.len() > DRIVER_NAME_MAX {
        errors.push(FieldError::too_long(Path::new("name"), DRIVER_NAME_MAX));
    }
    for (field, shown) in [
        ("attachRequired", "attachedRequired"),
        ("podInfoOnMount", "podInfoOnMount"),
        ("storageCapacity", "storageCapacity"),
    ] {
        if !spec.has(field) {
            errors.push(FieldError::required(path.child(shown), ""));
        }
    }
    if let Some(policy) = spec["fsGroupPolicy"].as_str()
        && !FS_GROUP_POLICIES.contains(&policy)
    {
        let path = path.child("fsGroupPolicy");
        errors.push(FieldError::not_supported(path, policy, &FS_GROUP_POLICIES));
    }
    token_requests(errors, spec, &path.child("tokenRequests"));
    for mode in spec.list("volumeLifecycleModes").iter().filter_map(Value::as_str) {
        if !LIFECYCLE_MODES.contains(&mode) {
            let path = path.child("volumeLifecycleModes");
            errors.push(FieldError::not_supported(path, mode, &LIFECYCLE_MODES));
        }
    }
    let field = "nodeAllocatableUpdatePeriodSeconds";
    if let Some(seconds) = spec.integer(field).filter(|s| *s < UPDATE_PERIOD_SECONDS_MIN) {
        let text = "must be greater than or equal to 10 seconds";
        errors.push(FieldError::invalid(path.child(field), seconds, text));
    }
}

fn token_requests(errors: &mut Errors, spec: &Value, path: &Path) {
    let mut seen = HashSet::new();
    for (index, request) in spec.list("tokenRequests").iter().enumerate() {
        let path = path.index(index);
        let audience = request.text("audience");
        if !seen.insert(audience) {
            errors.push(FieldError::duplicate(path.child("audience"), audience));
            continue;
        }
        let Some(seconds) = request.integer("expirationSeconds") else { continue };
        let text = match seconds {
            ..TOKEN_SECONDS_MIN => "may not specify a duration less than 10 minutes",
            TOKEN_SECONDS_MIN..=TOKEN_SECONDS_MAX => continue,
            _ => "may not specify a duration larger than 2^32 seconds",
        };
        errors.push(FieldError::invalid(path.child("expirationSeconds"), seconds, text));
    }
}

pub(super) fn driver_update(errors: &mut Errors, new: &Value, old: &Value) {
    driver(errors, new);
    for (field, shown) in
        [("attachRequired", "attachedRequired"), ("volumeLifecycleModes", "volumeLifecycleModes")]
    {
        immutable(errors, &new["spec"][field], &old["spec"][field], &spec_path().child(shown));
    }
}

pub(super) fn node(errors: &mut Errors, object: &Value) {
    let path = spec_path().child("drivers");
    let mut seen = HashSet::new();
    for (index, driver) in object["spec"].list("drivers").iter().enumerate() {
        let path = path.index(index);
        let (name, id) = (driver.text("name"), driver.text("nodeID"));
        driver_name(errors, name, &path.child("name"));
        if id.is_empty() {
            errors.push(FieldError::required(path.child("nodeID"), ""));
        }
        if id.len() > NODE_ID_MAX {
            let text = format!("must be {NODE_ID_MAX} characters or less");
            errors.push(FieldError::invalid(path.child("nodeID"), id, text));
        }
        not_negative(errors, &driver["allocatable"], "count", &path.child("allocatable"));
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        let mut keys = HashSet::new();
        for key in driver.list("topologyKeys").iter().filter_map(Value::as_str) {
            if key.is_empty() {
                errors.push(FieldError::required(path.clone(), ""));
            }
            if !keys.insert(key) {
                errors.push(FieldError::duplicate(path.clone(), key));
            }
            for problem in names::qualified_name(key) {
                let value = driver["topologyKeys"].clone();
                errors.push(FieldError::invalid(path.clone(), value, problem));
            }
        }
    }
}

/// A driver registers once; how many volumes it can attach may change.
pub(super) fn node_update(errors: &mut Errors, new: &Value, old: &Value) {
    node(errors, new);
    let lasting = |driver: &Value| {
        let mut driver = driver.clone();
        driver.take_key("allocatable");
        driver
    };
    for driver in new["spec"].list("drivers") {
        let drivers = old["spec"].list("drivers");
        let before = drivers.iter().find(|old| old.text("name") == driver.text("name"));
        if before.is_some_and(|before| lasting(before) != lasting(driver)) {
            let path = Path::new("CSINodeDriver");
            errors.push(FieldError::invalid(path, driver.clone(), "field is immutable"));
        }
    }
}

pub(super) fn capacity(errors: &mut Errors, object: &Value) {
    label_selector(errors, &object["nodeTopology"], &Path::new("nodeTopology"));
    let class = object.text("storageClassName");
    problems(errors, &Path::new("storageClassName"), class, names::dns_subdomain(class));
    for field in ["capacity", "maximumVolumeSize"] {
        if object.has(field) {
            resources::amount(errors, "storage", &object[field], &Path::new(field));
        }
    }
}

pub(super) fn capacity_update(errors: &mut Errors, new: &Value, old: &Value) {
    capacity(errors, new);
    for field in ["nodeTopology", "storageClassName"] {
        immutable(errors, &new[field], &old[field], &Path::new(field));
    }
}

pub(super) fn attachment(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    driver_name(errors, spec.text("attacher"), &path.child("attacher"));
    let (source, own) = (&spec["source"], path.child("source"));
    let exactly = "must specify exactly one of inlineVolumeSpec and persistentVolumeName";
    match (source.has("inlineVolumeSpec"), source["persistentVolumeName"].as_str()) {
        (false, None) => errors.push(FieldError::required(own, exactly)),
        (true, Some(_)) => errors.push(FieldError::forbidden(own, exactly)),
        (false, Some("")) => {
            let text = "must specify non empty persistentVolumeName";
            errors.push(FieldError::required(own.child("persistentVolumeName"), text));
        }
        (false, Some(name)) => {
            problems(errors, &own.child("persistentVolumeName"), name, names::dns_subdomain(name));
        }
        (true, None) => {
            let path = own.child("inlineVolumeSpec");
            storage::volume_spec(errors, &source["inlineVolumeSpec"], &path);
        }
    }
    let node = spec.text("nodeName");
    problems(errors, &path.child("nodeName"), node, names::dns_subdomain(node));
}

pub(super) fn attachment_update(errors: &mut Errors, new: &Value, old: &Value) {
    attachment(errors, new);
    immutable(errors, &new["spec"], &old["spec"], &spec_path());
}

pub(super) fn attachment_status(errors: &mut Errors, new: &Value, _: &Value) {
    let (path, status) = (Path::new("status"), &new["status"]);
    let size: usize = status
        .entries("attachmentMetadata")
        .map(|(key, value)| key.len() + value.as_str().map_or(0, str::len))
        .sum();
    if size > METADATA_BYTES_MAX {
        errors.push(FieldError::too_long(path.child("attachmentMetadata"), METADATA_BYTES_MAX));
    }
    for field in ["attachError", "detachError"] {
        if status[field].text("message").len() > MESSAGE_BYTES_MAX {
            let path = path.child(field).child("message");
            errors.push(FieldError::too_long(path, MESSAGE_BYTES_MAX));
        }
        not_negative(errors, &status[field], "errorCode", &path.child(field));
    }
}

pub(super) fn attributes_class(errors: &mut Errors, object: &Value) {
    storage::provisioner(errors, object, "driverName");
    parameters(errors, object);
    if object.entries("parameters").next().is_none() {
        let text = "must contain at least one key/value pair";
        errors.push(FieldError::required(Path::new("parameters"), text));
    }
}

pub(super) fn attributes_class_update(errors: &mut Errors, new: &Value, old: &Value) {
    attributes_class(errors, new);
    storage::forbidden_changes(errors, new, old, &["driverName", "parameters"]);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults::apply_defaults;
    use crate::testing::{check, kind};

    #[test]
    fn drivers() {
        let mut object = json!({"metadata": {"name": "hostpath.csi.k8s.io"}, "spec": {}});
        check(
            driver,
            object.clone(),
            &[
                "spec.attachedRequired: Required value",
                "spec.podInfoOnMount: Required value",
                "spec.storageCapacity: Required value",
            ],
        );
        apply_defaults(&kind("storage.k8s.io", "v1", "CSIDriver"), &mut object);
        check(driver, object.clone(), &[]);
        object["spec"]["fsGroupPolicy"] = json!("Some");
        object["spec"]["tokenRequests"] = json!([{"audience": "a", "expirationSeconds": 5}]);
        check(
            driver,
            object,
            &[
                r#"spec.fsGroupPolicy: Unsupported value: "Some": supported values: "File", "None", "ReadWriteOnceWithFSType""#,
                "spec.tokenRequests[0].expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
            ],
        );
    }

    #[test]
    fn nodes_attachments_and_classes() {
        check(
            node,
            json!({"spec": {"drivers": [{"name": "a.b", "nodeID": "n", "topologyKeys": ["k"]}]}}),
            &[],
        );
        check(
            node,
            json!({"spec": {"drivers": [{"name": "a.b"}]}}),
            &["spec.drivers[0].nodeID: Required value"],
        );
        let source = json!({"persistentVolumeName": "pv"});
        check(
            attachment,
            json!({"spec": {"attacher": "a.b", "nodeName": "n", "source": source}}),
            &[],
        );
        check(
            attachment,
            json!({"spec": {"attacher": "a.b", "nodeName": "n", "source": {}}}),
            &[
                "spec.source: Required value: must specify exactly one of inlineVolumeSpec and persistentVolumeName",
            ],
        );
        check(
            attributes_class,
            json!({"driverName": "a.b"}),
            &["parameters: Required value: must contain at least one key/value pair"],
        );
    }
}
