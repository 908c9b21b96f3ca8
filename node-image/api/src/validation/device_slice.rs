//! ResourceSlices: the devices that drivers offer.

use std::collections::HashSet;

use serde_json::Value;

use super::check::{Errors, immutable, problems};
use super::device_claim::{attribute_name, driver_name, pool_name};
use super::workload::spec_path;
use super::{names, scheduling};
use crate::walk::Walk;
use crate::{FieldError, Path};

const DEVICES_MAX: usize = 128;
const PROPERTIES_MAX: usize = 32;
const VALUE_BYTES_MAX: usize = 64;
const COUNTER_SETS_MAX: usize = 8;
const TAINTS_MAX: usize = 16;
const NODE_CHOICES: &str =
    "exactly one of `nodeName`, `nodeSelector`, `allNodes`, `perDeviceNodeSelection` is required";

pub(super) fn create(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    driver_name(errors, spec.text("driver"), &path.child("driver"));
    pool(errors, &spec["pool"], &path.child("pool"));
    let per_device = spec.flag("perDeviceNodeSelection");
    match nodes(errors, spec, &path) + usize::from(per_device) {
        1 => {}
        0 => errors.push(FieldError::required(path.clone(), NODE_CHOICES)),
        _ => {
            let text = format!("{NODE_CHOICES}, but multiple fields are set");
            errors.push(FieldError::invalid_unshown(path.clone(), text));
        }
    }
    devices(errors, spec, &path.child("devices"), per_device);
    let (sets, path) = (spec.list("sharedCounters"), path.child("sharedCounters"));
    if sets.len() > COUNTER_SETS_MAX {
        errors.push(FieldError::too_many(path.clone(), sets.len(), COUNTER_SETS_MAX));
    }
    let mut seen = HashSet::new();
    for (index, set) in sets.iter().enumerate() {
        let path = path.index(index);
        let name = set.text("name");
        match name {
            "" => errors.push(FieldError::required(path.child("name"), "")),
            _ => problems(errors, &path.child("name"), name, names::dns_label(name)),
        }
        if set.entries("counters").next().is_none() {
            errors.push(FieldError::required(path.child("counters"), ""));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
    }
}

fn pool(errors: &mut Errors, pool: &Value, path: &Path) {
    pool_name(errors, pool.text("name"), &path.child("name"));
    let (slices, generation) =
        (pool.integer("resourceSliceCount").unwrap_or(0), pool.integer("generation").unwrap_or(0));
    if slices <= 0 {
        let text = "must be greater than zero";
        errors.push(FieldError::invalid(path.child("resourceSliceCount"), slices, text));
    }
    if generation < 0 {
        let text = "must be greater than or equal to zero";
        errors.push(FieldError::invalid(path.child("generation"), generation, text));
    }
}

/// Where devices can be used: how many of the ways to say so are used.
fn nodes(errors: &mut Errors, owner: &Value, path: &Path) -> usize {
    let mut ways = usize::from(owner.flag("allNodes"));
    let name = owner.text("nodeName");
    if !name.is_empty() {
        ways += 1;
        problems(errors, &path.child("nodeName"), name, names::dns_subdomain(name));
    }
    if owner.has("nodeSelector") {
        ways += 1;
        let path = path.child("nodeSelector");
        scheduling::node_selector(errors, &owner["nodeSelector"], &path);
        if owner["nodeSelector"].list("nodeSelectorTerms").len() > 1 {
            let text = "must have exactly one node selector term";
            let value = owner["nodeSelector"]["nodeSelectorTerms"].clone();
            errors.push(FieldError::invalid(path.child("nodeSelectorTerms"), value, text));
        }
    }
    ways
}

fn devices(errors: &mut Errors, spec: &Value, path: &Path, per_device: bool) {
    let devices = spec.list("devices");
    let mut seen = HashSet::new();
    for (index, device) in devices.iter().enumerate() {
        let path = path.index(index);
        let name = device.text("name");
        problems(errors, &path.child("name"), name, names::dns_label(name));
        properties(errors, device, &path);
        taints(errors, device, &path.child("taints"));
        let ways = nodes(errors, device, &path);
        if per_device && ways != 1 {
            let text = "exactly one of `nodeName`, `nodeSelector`, or `allNodes` is required when `perDeviceNodeSelection` is set to true in the ResourceSlice spec";
            errors.push(FieldError::required(path.clone(), text));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
    }
    if devices.len() > DEVICES_MAX {
        errors.push(FieldError::too_many(path.clone(), devices.len(), DEVICES_MAX));
    }
}

fn properties(errors: &mut Errors, device: &Value, path: &Path) {
    for field in ["attributes", "capacity"] {
        let path = path.child(field);
        for (name, value) in device.entries(field) {
            attribute_name(errors, name, &path);
            if field == "attributes" {
                attribute(errors, value, &path.key(name));
            }
        }
    }
    let count = device.entries("attributes").count() + device.entries("capacity").count();
    if count > PROPERTIES_MAX {
        let text = format!(
            "the total number of attributes and capacities must not exceed {PROPERTIES_MAX}"
        );
        errors.push(FieldError::invalid(path.clone(), count, text));
    }
}

fn attribute(errors: &mut Errors, attribute: &Value, path: &Path) {
    for field in ["string", "version"] {
        let text = attribute.text(field);
        if field == "version" && attribute.has(field) && !is_semantic_version(text) {
            let why = "must be a string compatible with semver.org spec 2.0.0";
            errors.push(FieldError::invalid(path.child(field), text, why));
        }
        if text.len() > VALUE_BYTES_MAX {
            errors.push(FieldError::too_long(path.child(field), VALUE_BYTES_MAX));
        }
    }
    match attribute.as_object().map_or(0, |fields| fields.values().filter(|v| !v.is_null()).count())
    {
        1 => {}
        0 => errors.push(FieldError::required(path.clone(), "exactly one value must be specified")),
        _ => {
            let text = "exactly one value must be specified";
            errors.push(FieldError::invalid(path.clone(), attribute.clone(), text));
        }
    }
}

/// `1.2.3`, with `-pre.release` and `+build` behind it.
fn is_semantic_version(text: &str) -> bool {
    let number = |part: &str| {
        !part.is_empty()
            && part.bytes().all(|b| b.is_ascii_digit())
            && (part == "0" || !part.starts_with('0'))
    };
    let word = |part: &str| {
        !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
    };
    let (rest, build) = match text.split_once('+') {
        Some((rest, build)) => (rest, Some(build)),
        None => (text, None),
    };
    let (core, release) = match rest.split_once('-') {
        Some((core, release)) => (core, Some(release)),
        None => (rest, None),
    };
    let digits = |part: &str| part.bytes().all(|b| b.is_ascii_digit());
    core.split('.').count() == 3
        && core.split('.').all(number)
        && release.is_none_or(|r| r.split('.').all(|p| word(p) && (number(p) || !digits(p))))
        && build.is_none_or(|b| b.split('.').all(word))
}

fn taints(errors: &mut Errors, device: &Value, path: &Path) {
    let taints = device.list("taints");
    for (index, taint) in taints.iter().enumerate() {
        let path = path.index(index);
        let (key, value, effect) = (taint.text("key"), taint.text("value"), taint.text("effect"));
        problems(errors, &path.child("key"), key, names::qualified_name(key));
        problems(errors, &path.child("value"), value, names::label_value(value));
        if effect.is_empty() {
            errors.push(FieldError::required(path.child("effect"), ""));
        } else if !matches!(effect, "NoExecute" | "NoSchedule" | "None") {
            let supported = ["NoExecute", "NoSchedule", "None"];
            errors.push(FieldError::not_supported(path.child("effect"), effect, &supported));
        }
    }
    if taints.len() > TAINTS_MAX {
        errors.push(FieldError::too_many(path.clone(), taints.len(), TAINTS_MAX));
    }
}

pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    create(errors, new);
    let (path, now, before) = (spec_path(), &new["spec"], &old["spec"]);
    let pool = path.child("pool").child("name");
    immutable(errors, &now["pool"]["name"], &before["pool"]["name"], &pool);
    for field in ["driver", "nodeName"] {
        immutable(errors, &now[field], &before[field], &path.child(field));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn slices() {
        let check = |change: fn(&mut Value), want: &[&str]| {
            let mut object = json!({"spec": {"driver": "gpu.example.com", "nodeName": "node-1",
                "pool": {"name": "node-1", "generation": 0, "resourceSliceCount": 1},
                "devices": [{"name": "gpu-0", "attributes": {"model": {"string": "x"},
                    "driver": {"version": "1.2.3-rc.1"}}, "capacity": {"memory": {"value": "16Gi"}}}]}});
            change(&mut object["spec"]);
            let mut errors = Errors::new();
            create(&mut errors, &object);
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        check(|_| {}, &[]);
        check(
            |s| s["allNodes"] = json!(true),
            &[&format!("spec: Invalid value: {NODE_CHOICES}, but multiple fields are set")],
        );
        check(
            |s| s["devices"][0]["attributes"] = json!({"a b": {}, "v": {"version": "1.2"}}),
            &[
                "spec.devices[0].attributes: Invalid value: \"a b\": a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')",
                "spec.devices[0].attributes[a b]: Required value: exactly one value must be specified",
                r#"spec.devices[0].attributes[v].version: Invalid value: "1.2": must be a string compatible with semver.org spec 2.0.0"#,
            ],
        );
        check(
            |s| s["pool"] = json!({"name": "p"}),
            &["spec.pool.resourceSliceCount: Invalid value: 0: must be greater than zero"],
        );
    }
}
