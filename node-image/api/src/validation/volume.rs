//! Volumes of pods.

use std::collections::HashSet;

use serde_json::Value;

use super::check::{Errors, problems, required};
use super::container::{field_reference, no_steps_up, resource_reference};
use super::names;
use crate::quantity::Quantity;
use crate::walk::Walk;
use crate::{FieldError, Path};

const MODE_MAX: i64 = 0o777;
const MODE_TEXT: &str = "must be a number between 0 and 0777 (octal), both inclusive";
const TOKEN_SECONDS_MIN: i64 = 600;
const DOWNWARD_FIELDS: [&str; 5] = [
    "metadata.annotations",
    "metadata.labels",
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
];
const HOST_PATH_TYPES: [&str; 8] = [
    "",
    "BlockDevice",
    "CharDevice",
    "Directory",
    "DirectoryOrCreate",
    "File",
    "FileOrCreate",
    "Socket",
];
/// Sources that are checked for required texts only.
const REQUIRED_FIELDS: &[(&str, &[&str])] = &[
    ("awsElasticBlockStore", &["volumeID"]),
    ("azureDisk", &["diskName", "diskURI"]),
    ("azureFile", &["secretName", "shareName"]),
    ("cephfs", &["monitors"]),
    ("cinder", &["volumeID"]),
    ("csi", &["driver"]),
    ("fc", &[]),
    ("flexVolume", &["driver"]),
    ("flocker", &[]),
    ("gcePersistentDisk", &["pdName"]),
    ("gitRepo", &["repository"]),
    ("glusterfs", &["endpoints", "path"]),
    ("image", &["reference"]),
    ("iscsi", &["targetPortal", "iqn"]),
    ("nfs", &["server", "path"]),
    ("persistentVolumeClaim", &["claimName"]),
    ("photonPersistentDisk", &["pdID"]),
    ("portworxVolume", &["volumeID"]),
    ("quobyte", &["registry", "volume"]),
    ("rbd", &["image"]),
    ("scaleIO", &["gateway", "system", "volumeName"]),
    ("storageos", &[]),
    ("vsphereVolume", &["volumePath"]),
];

/// Checks all volumes; returns the names of the valid ones.
pub(super) fn volumes<'a>(errors: &mut Errors, spec: &'a Value, path: &Path) -> HashSet<&'a str> {
    let mut valid = HashSet::new();
    for (index, volume) in spec.list("volumes").iter().enumerate() {
        let path = path.index(index);
        let before = errors.len();
        source(errors, volume, &path);
        let name = volume.text("name");
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else {
            problems(errors, &path.child("name"), name, names::dns_label(name));
        }
        if valid.contains(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        if errors.len() == before {
            valid.insert(name);
        }
    }
    valid
}

fn source(errors: &mut Errors, volume: &Value, path: &Path) {
    let mut found = 0;
    for (name, source) in volume.as_object().into_iter().flatten() {
        if name == "name" || source.is_null() {
            continue;
        }
        found += 1;
        let path = path.child(name);
        if found > 1 {
            let text = "may not specify more than 1 volume type";
            errors.push(FieldError::forbidden(path, text));
            continue;
        }
        one_source(errors, name, source, &path);
    }
    if found == 0 {
        errors.push(FieldError::required(path.clone(), "must specify a volume type"));
    }
}

fn one_source(errors: &mut Errors, name: &str, source: &Value, path: &Path) {
    match name {
        "emptyDir" => empty_dir(errors, source, path),
        "hostPath" => host_path(errors, source, path),
        "secret" => {
            required(errors, source, "secretName", path);
            mode(errors, source, "defaultMode", path);
            key_paths(errors, source, path);
        }
        "configMap" => {
            required(errors, source, "name", path);
            mode(errors, source, "defaultMode", path);
            key_paths(errors, source, path);
        }
        "downwardAPI" => {
            mode(errors, source, "defaultMode", path);
            downward_files(errors, source, path);
        }
        "projected" => projected(errors, source, path),
        "ephemeral" => {
            if !source.has("volumeClaimTemplate") {
                errors.push(FieldError::required(path.child("volumeClaimTemplate"), ""));
            } else {
                let claim = &source["volumeClaimTemplate"]["spec"];
                let path = path.child("volumeClaimTemplate").child("spec");
                super::storage::claim_spec(errors, claim, &path);
            }
        }
        _ => {
            let row = REQUIRED_FIELDS.iter().find(|(known, _)| *known == name);
            for field in row.map_or(&[][..], |(_, fields)| fields) {
                if source[*field].is_null()
                    || source.text(field).is_empty() && !source[*field].is_array()
                {
                    errors.push(FieldError::required(path.child(field), ""));
                }
            }
            if name == "nfs"
                && !source.text("path").is_empty()
                && !source.text("path").starts_with('/')
            {
                let text = "must be an absolute path";
                errors.push(FieldError::invalid(path.child("path"), source.text("path"), text));
            }
        }
    }
}

fn empty_dir(errors: &mut Errors, source: &Value, path: &Path) {
    if let Ok(limit) = Quantity::from_json(&source["sizeLimit"])
        && limit.signum() < 0
    {
        let text = "SizeLimit field must be a valid resource quantity";
        errors.push(FieldError::forbidden(path.child("sizeLimit"), text));
    }
}

/// The directory or file of a hostPath, also in a PersistentVolume.
pub(super) fn host_path(errors: &mut Errors, source: &Value, path: &Path) {
    let text = source.text("path");
    if text.is_empty() {
        errors.push(FieldError::required(path.child("path"), ""));
        return;
    }
    no_steps_up(errors, text, &path.child("path"));
    let kind = source.text("type");
    if !HOST_PATH_TYPES.contains(&kind) {
        let mut supported = HOST_PATH_TYPES;
        supported.sort_unstable();
        errors.push(FieldError::not_supported(path.child("type"), kind, &supported));
    }
}

fn mode(errors: &mut Errors, owner: &Value, field: &str, path: &Path) {
    if let Some(mode) = owner.integer(field)
        && !(0..=MODE_MAX).contains(&mode)
    {
        errors.push(FieldError::invalid(path.child(field), mode, MODE_TEXT));
    }
}

fn key_paths(errors: &mut Errors, source: &Value, path: &Path) {
    for (index, item) in source.list("items").iter().enumerate() {
        let path = path.child("items").index(index);
        required(errors, item, "key", &path);
        file_path(errors, item, &path);
        mode(errors, item, "mode", &path);
    }
}

/// A file's path inside the volume.
fn file_path(errors: &mut Errors, item: &Value, path: &Path) {
    let text = item.text("path");
    let path = path.child("path");
    if text.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    super::container::descending_path(errors, text, &path);
    if text.starts_with("..") && !text.starts_with("../") {
        errors.push(FieldError::invalid(path, text, "must not start with '..'"));
    }
}

fn downward_files(errors: &mut Errors, source: &Value, path: &Path) {
    for (index, item) in source.list("items").iter().enumerate() {
        let path = path.child("items").index(index);
        file_path(errors, item, &path);
        match (item.has("fieldRef"), item.has("resourceFieldRef")) {
            (true, true) => {
                let text = "fieldRef and resourceFieldRef can not be specified simultaneously";
                errors.push(FieldError::invalid(path.clone(), "resource", text));
            }
            (true, false) => {
                field_reference(
                    errors,
                    &item["fieldRef"],
                    &path.child("fieldRef"),
                    &DOWNWARD_FIELDS,
                );
            }
            (false, true) => {
                let path = path.child("resourceFieldRef");
                resource_reference(errors, &item["resourceFieldRef"], &path, true);
            }
            (false, false) => {
                let text = "one of fieldRef and resourceFieldRef is required";
                errors.push(FieldError::required(path.child("fieldRef"), text));
            }
        }
        mode(errors, item, "mode", &path);
    }
}

fn projected(errors: &mut Errors, source: &Value, path: &Path) {
    mode(errors, source, "defaultMode", path);
    let mut taken: HashSet<String> = HashSet::new();
    for (index, part) in source.list("sources").iter().enumerate() {
        let path = path.child("sources").index(index);
        let mut found = 0;
        for (name, part) in part.as_object().into_iter().flatten().filter(|(_, p)| !p.is_null()) {
            found += 1;
            let path = path.child(name);
            if found > 1 {
                let text = "may not specify more than 1 volume type per source";
                errors.push(FieldError::forbidden(path, text));
                continue;
            }
            projection(errors, name, part, &path);
            conflicts(errors, part, &path, &mut taken);
        }
        if found == 0 {
            errors.push(FieldError::required(path, "must specify a volume type"));
        }
    }
}

fn projection(errors: &mut Errors, name: &str, part: &Value, path: &Path) {
    match name {
        "secret" | "configMap" => {
            required(errors, part, "name", path);
            key_paths(errors, part, path);
        }
        "downwardAPI" => downward_files(errors, part, path),
        "serviceAccountToken" => {
            file_path(errors, part, path);
            let seconds = part.integer("expirationSeconds").unwrap_or(0);
            let path = path.child("expirationSeconds");
            if seconds < TOKEN_SECONDS_MIN {
                let text = "may not specify a duration less than 10 minutes";
                errors.push(FieldError::invalid(path, seconds, text));
            } else if seconds > 1 << 32 {
                let text = "may not specify a duration larger than 2^32 seconds";
                errors.push(FieldError::invalid(path, seconds, text));
            }
        }
        _ => {}
    }
}

/// No two sources may write the same file.
fn conflicts(errors: &mut Errors, part: &Value, path: &Path, taken: &mut HashSet<String>) {
    let items = part.list("items").iter().map(|item| item.text("path"));
    let own = std::iter::once(part.text("path"));
    for file in items.chain(own).filter(|file| !file.is_empty()) {
        if !taken.insert(file.to_owned()) {
            let text = format!("conflicting duplicate paths in {path}");
            errors.push(FieldError::invalid(path.clone(), file, text));
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn sources() {
        let check = |volume: Value, want: &[&str]| {
            let mut errors = Errors::new();
            volumes(&mut errors, &json!({"volumes": [volume]}), &Path::new("v"));
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        check(json!({"name": "a", "emptyDir": {}}), &[]);
        check(json!({"name": "a"}), &["v[0]: Required value: must specify a volume type"]);
        check(
            json!({"name": "a", "emptyDir": {}, "secret": {"secretName": "x"}}),
            &["v[0].secret: Forbidden: may not specify more than 1 volume type"],
        );
        check(json!({"name": "a", "secret": {}}), &["v[0].secret.secretName: Required value"]);
        check(
            json!({"name": "a", "configMap": {"name": "c", "defaultMode": 512}}),
            &[
                "v[0].configMap.defaultMode: Invalid value: 512: must be a number between 0 and 0777 (octal), both inclusive",
            ],
        );
        check(
            json!({"name": "a", "hostPath": {"path": "/a/../b"}}),
            &[r#"v[0].hostPath.path: Invalid value: "/a/../b": must not contain '..'"#],
        );
        check(
            json!({"name": "a", "projected": {"sources": [{"serviceAccountToken": {"path": "t", "expirationSeconds": 5}}]}}),
            &[
                "v[0].projected.sources[0].serviceAccountToken.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes",
            ],
        );
        check(
            json!({"name": "a", "persistentVolumeClaim": {}}),
            &["v[0].persistentVolumeClaim.claimName: Required value"],
        );
    }
}
