//! Volumes, claims and storage classes.

use serde_json::{Value, json};

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
    let (path, spec) = (Path::new("spec"), &object["spec"]);
    access_modes(errors, spec, &path);
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
    choice(errors, spec, "persistentVolumeReclaimPolicy", &path, &RECLAIM_POLICIES);
    if spec["nodeAffinity"].has("required") {
        let path = path.child("nodeAffinity").child("required");
        scheduling::node_selector(errors, &spec["nodeAffinity"]["required"], &path);
    }
    volume_source(errors, spec, &path);
    optional_text(errors, spec, "storageClassName", &path, names::dns_subdomain);
    choice(errors, spec, "volumeMode", &path, &VOLUME_MODES);
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
    let path = Path::new("spec").child("volumeMode");
    immutable(errors, &new["spec"]["volumeMode"], &old["spec"]["volumeMode"], &path);
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
    if !same(&now, &before) {
        let text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims";
        errors.push(FieldError::forbidden(path.clone(), text));
    }
    if let (Ok(wanted), Ok(had)) = (wanted, had)
        && wanted < had
    {
        let text = "field can not be less than status.capacity";
        let path = path.child("resources").child("requests").child("storage");
        errors.push(FieldError::forbidden(path, text));
    }
}

pub(super) fn storage_class(errors: &mut Errors, object: &Value) {
    let path = Path::new("");
    match object.text("provisioner") {
        "" => errors.push(FieldError::required(path.child("provisioner"), "")),
        name => {
            let wrong = names::qualified_name(&name.to_lowercase());
            problems(errors, &path.child("provisioner"), name, wrong);
        }
    }
    for (key, _) in object.entries("parameters") {
        if key.is_empty() {
            let text = "field can not be empty.";
            errors.push(FieldError::invalid(path.child("parameters"), json!(key), text));
        }
    }
    choice(errors, object, "reclaimPolicy", &path, &["Delete", "Retain"]);
    let modes = ["Immediate", "WaitForFirstConsumer"];
    required_choice(errors, object, "volumeBindingMode", &path, &modes);
}

pub(super) fn storage_class_update(errors: &mut Errors, new: &Value, old: &Value) {
    storage_class(errors, new);
    for field in ["parameters", "provisioner", "reclaimPolicy"] {
        if !same(&new[field], &old[field]) {
            let text = "updates to ".to_owned() + field + " are forbidden.";
            errors.push(FieldError::forbidden(Path::new(field), text));
        }
    }
    let path = Path::new("volumeBindingMode");
    immutable(errors, &new["volumeBindingMode"], &old["volumeBindingMode"], &path);
}

#[cfg(test)]
mod tests {
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
