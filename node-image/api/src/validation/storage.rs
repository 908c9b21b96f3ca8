//! Volumes, claims and storage classes.

use serde_json::Value;

use super::check::{
    Errors, choice, immutable, label_selector, optional_text, problems, required, required_choice,
};
use super::volume::host_path;
use super::{names, resources, scheduling};
use crate::quantity::Quantity;
use crate::strategy::same;
use crate::walk::{Shape, Walk};
use crate::{FieldError, Path};

const ACCESS_MODES: [&str; 4] =
    ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"];
const RECLAIM_POLICIES: [&str; 3] = ["Delete", "Recycle", "Retain"];
const VOLUME_MODES: [&str; 2] = ["Block", "Filesystem"];
const PARAMETERS_MAX: usize = 512;
const PARAMETERS_BYTES_MAX: usize = 256 * 1024;
/// The fields of a PersistentVolume's spec that are no source.
const NO_SOURCE: [&str; 9] = [
    "accessModes",
    "capacity",
    "claimRef",
    "mountOptions",
    "nodeAffinity",
    "persistentVolumeReclaimPolicy",
    "storageClassName",
    "volumeAttributesClassName",
    "volumeMode",
];

fn access_modes(errors: &mut Errors, spec: &Value, path: &Path) {
    let modes: Vec<&str> = spec.list("accessModes").iter().filter_map(Value::as_str).collect();
    let own = path.child("accessModes");
    if modes.is_empty() {
        errors.push(FieldError::required(own, "at least 1 access mode is required"));
        return;
    }
    for mode in &modes {
        if !ACCESS_MODES.contains(mode) {
            errors.push(FieldError::not_supported(own.clone(), *mode, &ACCESS_MODES));
        }
    }
    if modes.contains(&"ReadWriteOncePod") && modes.len() > 1 {
        let text = "may not use ReadWriteOncePod with other access modes";
        errors.push(FieldError::forbidden(own, text));
    }
}

pub(super) fn persistent_volume(errors: &mut Errors, object: &Value) {
    volume_spec(errors, &object["spec"], &Path::new("spec"));
}

/// The spec of a volume, also of one inside an attachment.
pub(super) fn volume_spec(errors: &mut Errors, spec: &Value, path: &Path) {
    access_modes(errors, spec, path);
    let capacity = spec["capacity"].as_object();
    if capacity.is_none_or(|capacity| capacity.is_empty()) {
        errors.push(FieldError::required(path.child("capacity"), ""));
    } else if !spec["capacity"].has("storage") || capacity.is_some_and(|c| c.len() > 1) {
        let value = spec["capacity"].clone();
        errors.push(FieldError::not_supported(path.child("capacity"), value, &["storage"]));
    }
    for (resource, value) in spec.entries("capacity") {
        let path = path.child("capacity").key(resource);
        if let Some(size) = resources::amount(errors, resource, value, &path)
            && size.is_zero()
        {
            errors.push(FieldError::invalid(path, "0", "must be greater than zero"));
        }
    }
    choice(errors, spec, "persistentVolumeReclaimPolicy", path, &RECLAIM_POLICIES);
    if spec["nodeAffinity"].has("required") {
        let path = path.child("nodeAffinity").child("required");
        scheduling::node_selector(errors, &spec["nodeAffinity"]["required"], &path);
    }
    volume_source(errors, spec, path);
    let recycled = spec.text("persistentVolumeReclaimPolicy") == "Recycle";
    if recycled && spec["hostPath"].text("path") == "/" {
        let text = "may not be 'recycle' for a hostPath mount of '/'";
        errors.push(FieldError::forbidden(path.child("persistentVolumeReclaimPolicy"), text));
    }
    optional_text(errors, spec, "storageClassName", path, names::dns_subdomain);
    choice(errors, spec, "volumeMode", path, &VOLUME_MODES);
}

fn volume_source(errors: &mut Errors, spec: &Value, path: &Path) {
    let all = spec.as_object().into_iter().flatten();
    let sources: Vec<_> =
        all.filter(|(key, value)| !value.is_null() && !NO_SOURCE.contains(&key.as_str())).collect();
    if sources.is_empty() {
        errors.push(FieldError::required(path.clone(), "must specify a volume type"));
    }
    for (index, (name, source)) in sources.into_iter().enumerate() {
        let path = path.child(name);
        if index > 0 {
            let text = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(path, text));
            continue;
        }
        match name.as_str() {
            "hostPath" => host_path(errors, source, &path),
            "local" => {
                required(errors, source, "path", &path);
                if !spec.has("nodeAffinity") {
                    let text = "Local volume requires node affinity";
                    errors.push(FieldError::required(
                        Path::new("metadata").child("annotations"),
                        text,
                    ));
                }
            }
            "nfs" => ["server", "path"].iter().for_each(|f| required(errors, source, f, &path)),
            "csi" => {
                ["driver", "volumeHandle"].iter().for_each(|f| required(errors, source, f, &path))
            }
            _ => {}
        }
    }
}

pub(super) fn persistent_volume_update(errors: &mut Errors, new: &Value, old: &Value) {
    persistent_volume(errors, new);
    let source = |object: &Value| {
        let mut spec = object["spec"].clone();
        NO_SOURCE.iter().for_each(|field| drop(spec.take_key(field)));
        spec
    };
    if !same(&source(new), &source(old)) {
        let text = "spec.persistentvolumesource is immutable after creation";
        errors.push(FieldError::forbidden(Path::new("spec").child("persistentvolumesource"), text));
    }
    let path = Path::new("spec");
    let field = "volumeMode";
    immutable(errors, &new["spec"][field], &old["spec"][field], &path.child(field));
    let field = "nodeAffinity";
    if old["spec"].has(field) && !same(&new["spec"][field], &old["spec"][field]) {
        let text = "field is immutable, except for updating from beta label to GA";
        let value = new["spec"][field].clone();
        errors.push(FieldError::invalid(path.child(field), value, text));
    }
}

pub(super) fn persistent_volume_claim(errors: &mut Errors, object: &Value) {
    claim_spec(errors, &object["spec"], &Path::new("spec"));
}

/// The spec of a claim, also of the template in a pod's ephemeral volume.
pub(super) fn claim_spec(errors: &mut Errors, spec: &Value, path: &Path) {
    access_modes(errors, spec, path);
    label_selector(errors, &spec["selector"], &path.child("selector"));
    let own = path.child("resources").key("storage");
    match &spec["resources"]["requests"]["storage"] {
        Value::Null => errors.push(FieldError::required(own, "")),
        value => {
            let size = resources::amount(errors, "storage", value, &own);
            if size.is_some_and(|size| size.is_zero()) {
                errors.push(FieldError::invalid(own, "0", "must be greater than zero"));
            }
        }
    }
    optional_text(errors, spec, "storageClassName", path, names::dns_subdomain);
    choice(errors, spec, "volumeMode", path, &VOLUME_MODES);
    let source = &spec["dataSource"];
    if !source.is_null() {
        let path = path.child("dataSource");
        required(errors, source, "name", &path);
        required(errors, source, "kind", &path);
    }
}

pub(super) fn persistent_volume_claim_update(errors: &mut Errors, new: &Value, old: &Value) {
    persistent_volume_claim(errors, new);
    let path = Path::new("spec");
    let (mut now, mut before) = (new["spec"].clone(), old["spec"].clone());
    if before.text("volumeName").is_empty() {
        // Binding sets the volume once.
        now.take_key("volumeName");
        before.take_key("volumeName");
    }
    let bound = old["status"].text("phase") == "Bound";
    let size = |spec: &Value| Quantity::from_json(&spec["resources"]["requests"]["storage"]);
    let (wanted, had) = (size(&now), size(&before));
    for spec in [&mut now, &mut before] {
        spec.take_key("volumeAttributesClassName");
        if !bound {
            continue;
        }
        if let Some(requests) = spec.reach_mut(&["resources", "requests"]) {
            requests.take_key("storage");
        }
    }
    attributes_class_change(errors, new, old, &path.child("volumeAttributesClassName"));
    if !same(&now, &before) {
        let text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(path.clone(), text));
    }
    let current = Quantity::from_json(&old["status"]["capacity"]["storage"]);
    if let (Ok(wanted), Ok(had)) = (wanted, had)
        && wanted < had
        && current.is_ok_and(|current| wanted <= current)
    {
        let text = "field can not be less than status.capacity";
        let path = path.child("resources").child("requests").child("storage");
        errors.push(FieldError::forbidden(path, text));
    }
}

pub(super) fn storage_class(errors: &mut Errors, object: &Value) {
    let path = Path::new("");
    provisioner(errors, object, "provisioner");
    parameters(errors, object);
    choice(errors, object, "reclaimPolicy", &path, &["Delete", "Retain"]);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    required_choice(errors, object, "volumeBindingMode", &path, &modes);
    for (index, term) in object.list("allowedTopologies").iter().enumerate() {
        topology_term(errors, term, &Path::new("allowedTopologies").index(index));
    }
}

/// The name of who makes volumes.
pub(super) fn provisioner(errors: &mut Errors, object: &Value, field: &str) {
    let path = Path::new(field);
    match object.text(field) {
        "" => errors.push(FieldError::required(path, "")),
        name => problems(errors, &path, name, names::qualified_name(&name.to_lowercase())),
    }
}

/// The class of a claim's attributes may be changed, not taken away.
fn attributes_class_change(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let class = |object: &Value| object["spec"]["volumeAttributesClassName"].clone();
    let (now, before) = (class(new), class(old));
    if now == before || before.as_str().unwrap_or("").is_empty() {
        return;
    }
    if now.is_null() {
        let text = "update from non-nil value to nil is forbidden";
        errors.push(FieldError::forbidden(path.clone(), text));
    } else if now == "" {
        let text = "update from non-nil value to an empty string is forbidden";
        errors.push(FieldError::forbidden(path.clone(), text));
    }
}

/// What is handed to who makes volumes.
pub(super) fn parameters(errors: &mut Errors, object: &Value) {
    let path = Path::new("parameters");
    let count = object.entries("parameters").count();
    if count > PARAMETERS_MAX {
        errors.push(FieldError::too_long(path, PARAMETERS_MAX));
        return;
    }
    let mut size = 0;
    for (key, value) in object.entries("parameters") {
        if key.is_empty() {
            errors.push(FieldError::invalid(path.clone(), key, "field can not be empty."));
        }
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > PARAMETERS_BYTES_MAX {
        errors.push(FieldError::too_long(path, PARAMETERS_BYTES_MAX));
    }
}

fn topology_term(errors: &mut Errors, term: &Value, path: &Path) {
    let mut seen = Vec::new();
    for (index, expression) in term.list("matchLabelExpressions").iter().enumerate() {
        let path = path.child("matchLabelExpressions").index(index);
        let key = expression.text("key");
        let values: Vec<&str> =
            expression.list("values").iter().filter_map(Value::as_str).collect();
        if values.is_empty() {
            errors.push(FieldError::required(path.child("values"), ""));
        }
        for (index, value) in values.iter().enumerate() {
            if values[..index].contains(value) {
                errors.push(FieldError::duplicate(path.child("values").index(index), *value));
            }
        }
        problems(errors, &path.child("key"), key, names::qualified_name(key));
        if seen.contains(&key) {
            errors.push(FieldError::duplicate(path.child("key"), key));
        }
        seen.push(key);
    }
}

/// Fields that stay as they were made.
pub(super) fn forbidden_changes(errors: &mut Errors, new: &Value, old: &Value, fields: &[&str]) {
    for field in fields.iter().filter(|field| !same(&new[**field], &old[**field])) {
        let text = format!("updates to {field} are forbidden.");
        errors.push(FieldError::forbidden(Path::new(field), text));
    }
}

pub(super) fn storage_class_update(errors: &mut Errors, new: &Value, old: &Value) {
    storage_class(errors, new);
    forbidden_changes(errors, new, old, &["parameters", "provisioner", "reclaimPolicy"]);
    let path = Path::new("volumeBindingMode");
    immutable(errors, &new["volumeBindingMode"], &old["volumeBindingMode"], &path);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: &Errors) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn claims() {
        let mut errors = Errors::new();
        persistent_volume_claim(&mut errors, &json!({"spec": {}}));
        assert_eq!(
            texts(&errors),
            [
                "spec.accessModes: Required value: at least 1 access mode is required",
                "spec.resources[storage]: Required value"
            ]
        );
    }

    #[test]
    fn volumes() {
        let mut errors = Errors::new();
        let spec = json!({"accessModes": ["ReadWriteOnce"], "capacity": {"storage": "1Gi"}, "hostPath": {"path": "/x"}});
        persistent_volume(&mut errors, &json!({ "spec": spec }));
        assert_eq!(texts(&errors), [""; 0]);
    }
}
