//! ResourceClaims, their templates, and DeviceClasses. Whether expressions can be compiled is not
//! looked at here.

use std::collections::HashSet;

use serde_json::Value;

use super::check::{Errors, immutable, labels, problems, required};
use super::workload::spec_path;
use super::{metadata, names, scheduling};
use crate::walk::Walk;
use crate::{FieldError, FieldErrorType, Path};

const REQUESTS_MAX: usize = 32;
const SUBREQUESTS_MAX: usize = 8;
const SELECTORS_MAX: usize = 32;
const CONSTRAINTS_MAX: usize = 32;
const CONFIGURATIONS_MAX: usize = 32;
const RESULTS_MAX: usize = 32;
const CONSUMERS_MAX: usize = 256;
const TOLERATIONS_MAX: usize = 16;
const EXPRESSION_BYTES_MAX: usize = 10 * 1024;
const PARAMETERS_BYTES_MAX: usize = 10 * 1024;
const DRIVER_NAME_MAX: usize = 63;
const POOL_NAME_MAX: usize = 253;
const IDENTIFIER_MAX: usize = 32;

const EXACTLY_ONE: &str = "exactly one of `exactly` or `firstAvailable` is required";
const UNKNOWN_REQUEST: &str = "must be the name of a request in the claim or the name of a request and a subrequest separated by '/'";

/// A list of at most so many entries.
fn at_most(errors: &mut Errors, count: usize, limit: usize, path: &Path) {
    if count > limit {
        errors.push(FieldError::too_many(path.clone(), count, limit));
    }
}

pub(super) fn driver_name(errors: &mut Errors, name: &str, path: &Path) {
    if name.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
        return;
    }
    if name.len() > DRIVER_NAME_MAX {
        errors.push(FieldError::too_long(path.clone(), DRIVER_NAME_MAX));
    }
    problems(errors, path, name, names::dns_subdomain(name));
}

/// Subdomains with slashes between them.
pub(super) fn pool_name(errors: &mut Errors, name: &str, path: &Path) {
    if name.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
        return;
    }
    if name.len() > POOL_NAME_MAX {
        errors.push(FieldError::too_long(path.clone(), POOL_NAME_MAX));
    }
    for part in name.split('/') {
        problems(errors, path, part, names::dns_subdomain(part));
    }
}

/// A C identifier, with the domain of its driver in front or without.
pub(super) fn attribute_name(errors: &mut Errors, name: &str, path: &Path) {
    let (domain, identifier) = match name.split_once('/') {
        _ if name.is_empty() => {
            errors.push(FieldError::required(path.clone(), "name required"));
            return;
        }
        None => (None, name),
        Some((domain, identifier)) => (Some(domain), identifier),
    };
    match domain {
        Some("") => {
            let text = "the domain prefix must not be empty";
            errors.push(FieldError::required(path.clone(), text));
        }
        Some(domain) => driver_name(errors, domain, path),
        None => {}
    }
    if identifier.is_empty() {
        let text = "the C identifier must not be empty";
        errors.push(FieldError::required(path.clone(), text));
        return;
    }
    if identifier.len() > IDENTIFIER_MAX {
        errors.push(FieldError::too_long(path.clone(), IDENTIFIER_MAX));
    }
    for problem in names::c_identifier(identifier) {
        let mut error = FieldError::invalid(path.clone(), identifier, problem);
        error.error_type = FieldErrorType::TypeInvalid;
        errors.push(error);
    }
}

/// Names of a list, of which each occurs once.
fn unique(errors: &mut Errors, owner: &Value, list: &str, path: &Path) {
    let mut seen = HashSet::new();
    for (index, entry) in owner.list(list).iter().enumerate() {
        let name = entry.text("name");
        if !seen.insert(name) {
            let path = path.child(list).index(index).child("name");
            errors.push(FieldError::duplicate(path, name));
        }
    }
}

pub(super) fn class(errors: &mut Errors, object: &Value) {
    let (path, spec) = (spec_path(), &object["spec"]);
    selectors(errors, spec, &path);
    let own = path.child("config");
    for (index, config) in spec.list("config").iter().enumerate() {
        configuration(errors, config, &own.index(index));
    }
    at_most(errors, spec.list("config").len(), CONFIGURATIONS_MAX, &own);
    if let Some(name) = spec["extendedResourceName"].as_str() {
        let path = path.child("extendedResourceName");
        let fine = super::resources::is_extended(name) && names::qualified_name(name).is_empty();
        if !fine {
            let text = "must be a valid extended resource name";
            errors.push(FieldError::invalid(path, name, text));
        }
    }
}

fn selectors(errors: &mut Errors, owner: &Value, path: &Path) {
    let path = path.child("selectors");
    for (index, selector) in owner.list("selectors").iter().enumerate() {
        let path = path.index(index).child("cel");
        if !selector.has("cel") {
            errors.push(FieldError::required(path, ""));
            continue;
        }
        let expression = selector["cel"].text("expression");
        let path = path.child("expression");
        if expression.trim().is_empty() {
            errors.push(FieldError::required(path, ""));
        } else if expression.len() > EXPRESSION_BYTES_MAX {
            errors.push(FieldError::too_long(path, EXPRESSION_BYTES_MAX));
        }
    }
    at_most(errors, owner.list("selectors").len(), SELECTORS_MAX, &path);
}

fn configuration(errors: &mut Errors, config: &Value, path: &Path) {
    let (opaque, path) = (&config["opaque"], path.child("opaque"));
    if opaque.is_null() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    driver_name(errors, opaque.text("driver"), &path.child("driver"));
    let path = path.child("parameters");
    match &opaque["parameters"] {
        Value::Null => errors.push(FieldError::required(path, "")),
        parameters @ Value::Object(_) => {
            if parameters.to_string().len() > PARAMETERS_BYTES_MAX {
                errors.push(FieldError::too_long(path, PARAMETERS_BYTES_MAX));
            }
        }
        _ => {
            let text = "parameters must be a valid JSON object";
            errors.push(FieldError::invalid(path, "<value omitted>", text));
        }
    }
}

pub(super) fn claim(errors: &mut Errors, object: &Value) {
    claim_spec(errors, &object["spec"], &spec_path());
}

fn claim_spec(errors: &mut Errors, spec: &Value, path: &Path) {
    let (devices, path) = (&spec["devices"], path.child("devices"));
    let requests = devices.list("requests");
    for (index, entry) in requests.iter().enumerate() {
        request(errors, entry, &path.child("requests").index(index));
    }
    at_most(errors, requests.len(), REQUESTS_MAX, &path.child("requests"));
    unique(errors, devices, "requests", &path);
    let known = request_names(devices);
    for (index, entry) in devices.list("constraints").iter().enumerate() {
        let path = path.child("constraints").index(index);
        references(errors, entry, &path, &known);
        constraint(errors, entry, &path);
    }
    let count = devices.list("constraints").len();
    at_most(errors, count, CONSTRAINTS_MAX, &path.child("constraints"));
    for (index, entry) in devices.list("config").iter().enumerate() {
        let path = path.child("config").index(index);
        references(errors, entry, &path, &known);
        configuration(errors, entry, &path);
    }
    at_most(errors, devices.list("config").len(), CONFIGURATIONS_MAX, &path.child("config"));
}

/// The requests of a claim, and `request/subrequest`.
fn request_names(devices: &Value) -> HashSet<String> {
    let mut known = HashSet::new();
    for request in devices.list("requests") {
        let name = request.text("name");
        known.insert(name.to_owned());
        let subs = request.list("firstAvailable").iter();
        known.extend(subs.map(|sub| format!("{name}/{}", sub.text("name"))));
    }
    known
}

fn references(errors: &mut Errors, owner: &Value, path: &Path, known: &HashSet<String>) {
    let mut seen = HashSet::new();
    for (index, name) in owner.list("requests").iter().filter_map(Value::as_str).enumerate() {
        let path = path.child("requests").index(index);
        if !known.contains(name) {
            errors.push(FieldError::invalid(path.clone(), name, UNKNOWN_REQUEST));
        }
        if !seen.insert(name) {
            errors.push(FieldError::duplicate(path, name));
        }
    }
}

fn constraint(errors: &mut Errors, constraint: &Value, path: &Path) {
    let fields = ["matchAttribute", "distinctAttribute"];
    if fields.iter().all(|field| !constraint.has(field)) {
        errors.push(FieldError::required(path.child("matchAttribute"), ""));
    }
    for field in fields {
        let Some(name) = constraint[field].as_str() else { continue };
        let path = path.child(field);
        attribute_name(errors, name, &path);
        if !name.contains('/') {
            let text = "must include a domain prefix";
            errors.push(FieldError::required(path.child("domain"), text));
        }
    }
}

fn request(errors: &mut Errors, request: &Value, path: &Path) {
    let name = request.text("name");
    problems(errors, &path.child("name"), name, names::dns_label(name));
    let alternatives = request.list("firstAvailable");
    match (request.has("exactly"), alternatives.is_empty()) {
        (false, true) => errors.push(FieldError::required(path.clone(), EXACTLY_ONE)),
        (true, false) => {
            let text = format!("{EXACTLY_ONE}, but multiple fields are set");
            errors.push(FieldError::invalid(path.clone(), Value::Null, text));
        }
        (true, true) => device_request(errors, &request["exactly"], &path.child("exactly")),
        (false, false) => {
            let own = path.child("firstAvailable");
            for (index, sub) in alternatives.iter().enumerate() {
                let path = own.index(index);
                let name = sub.text("name");
                problems(errors, &path.child("name"), name, names::dns_label(name));
                device_request(errors, sub, &path);
            }
            at_most(errors, alternatives.len(), SUBREQUESTS_MAX, &own);
            unique(errors, request, "firstAvailable", path);
        }
    }
}

fn device_request(errors: &mut Errors, request: &Value, path: &Path) {
    match request.text("deviceClassName") {
        "" => errors.push(FieldError::required(path.child("deviceClassName"), "")),
        name => problems(errors, &path.child("deviceClassName"), name, names::dns_subdomain(name)),
    }
    selectors(errors, request, path);
    let (mode, count) = (request.text("allocationMode"), request.integer("count").unwrap_or(0));
    match mode {
        "All" if count != 0 => {
            let text = "must not be specified when allocationMode is 'All'";
            errors.push(FieldError::invalid(path.child("count"), count, text));
        }
        "ExactCount" if count <= 0 => {
            errors.push(FieldError::invalid(
                path.child("count"),
                count,
                "must be greater than zero",
            ));
        }
        "All" | "ExactCount" => {}
        _ => {
            let supported = ["All", "ExactCount"];
            errors.push(FieldError::not_supported(path.child("allocationMode"), mode, &supported));
        }
    }
    let path = path.child("tolerations");
    for (index, entry) in request.list("tolerations").iter().enumerate() {
        toleration(errors, entry, &path.index(index));
    }
    at_most(errors, request.list("tolerations").len(), TOLERATIONS_MAX, &path);
}

fn toleration(errors: &mut Errors, toleration: &Value, path: &Path) {
    let key = toleration.text("key");
    if !key.is_empty() {
        problems(errors, &path.child("key"), key, names::qualified_name(key));
    }
    let (operator, value) = (toleration.text("operator"), toleration.text("value"));
    match operator {
        "Exists" if !value.is_empty() => {
            let text = "must be empty for operator `Exists`";
            errors.push(FieldError::invalid(path.child("value"), value, text));
        }
        "Equal" if key.is_empty() => {
            errors.push(FieldError::required(path.child("key"), "required for operator `Equal`"));
        }
        "Exists" | "Equal" => {}
        "" => errors.push(FieldError::required(path.child("operator"), "")),
        _ => {
            let supported = ["Equal", "Exists"];
            errors.push(FieldError::not_supported(path.child("operator"), operator, &supported));
        }
    }
    let effect = toleration.text("effect");
    if !matches!(effect, "" | "NoExecute" | "NoSchedule" | "None") {
        let supported = ["NoExecute", "NoSchedule", "None"];
        errors.push(FieldError::not_supported(path.child("effect"), effect, &supported));
    }
}

pub(super) fn claim_update(errors: &mut Errors, new: &Value, old: &Value) {
    immutable(errors, &new["spec"], &old["spec"], &spec_path());
}

pub(super) fn template(errors: &mut Errors, object: &Value) {
    let (path, template) = (spec_path(), &object["spec"]);
    let own = path.child("metadata");
    labels(errors, &template["metadata"], "labels", &own);
    metadata::annotations(errors, &template["metadata"], &own);
    claim_spec(errors, &template["spec"], &path.child("spec"));
}

pub(super) fn template_update(errors: &mut Errors, new: &Value, old: &Value) {
    immutable(errors, &new["spec"], &old["spec"], &spec_path());
}

pub(super) fn claim_status(errors: &mut Errors, new: &Value, old: &Value) {
    let (path, status, before) = (Path::new("status"), &new["status"], &old["status"]);
    let known = request_names(&new["spec"]["devices"]);
    if status.has("allocation") {
        allocation(errors, &status["allocation"], &path.child("allocation"), &known);
    }
    consumers(errors, new, old, &path.child("reservedFor"));
    if status.has("allocation") && before.has("allocation") {
        let path = path.child("allocation");
        immutable(errors, &status["allocation"], &before["allocation"], &path);
    }
    for (index, device) in status.list("devices").iter().enumerate() {
        let path = path.child("devices").index(index);
        driver_name(errors, device.text("driver"), &path.child("driver"));
        pool_name(errors, device.text("pool"), &path.child("pool"));
        let name = device.text("device");
        problems(errors, &path.child("device"), name, names::dns_label(name));
        let allocated = status["allocation"]["devices"].list("results").iter().any(|result| {
            ["driver", "pool", "device"].iter().all(|f| result.text(f) == device.text(f))
        });
        if !allocated {
            let text = "must be an allocated device in the claim";
            errors.push(FieldError::invalid(path, device.clone(), text));
        }
    }
}

fn allocation(errors: &mut Errors, allocation: &Value, path: &Path, known: &HashSet<String>) {
    let devices = &allocation["devices"];
    let own = path.child("devices").child("results");
    for (index, result) in devices.list("results").iter().enumerate() {
        let path = own.index(index);
        let request = result.text("request");
        if !known.contains(request) {
            errors.push(FieldError::invalid(path.child("request"), request, UNKNOWN_REQUEST));
        }
        driver_name(errors, result.text("driver"), &path.child("driver"));
        pool_name(errors, result.text("pool"), &path.child("pool"));
        let name = result.text("device");
        problems(errors, &path.child("device"), name, names::dns_label(name));
    }
    at_most(errors, devices.list("results").len(), RESULTS_MAX, &own);
    let own = path.child("devices").child("config");
    for (index, config) in devices.list("config").iter().enumerate() {
        let path = own.index(index);
        match config.text("source") {
            "" => errors.push(FieldError::required(path.child("source"), "")),
            "FromClaim" | "FromClass" => {}
            other => {
                let supported = ["FromClaim", "FromClass"];
                errors.push(FieldError::not_supported(path.child("source"), other, &supported));
            }
        }
        references(errors, config, &path, known);
        configuration(errors, config, &path);
    }
    at_most(errors, devices.list("config").len(), 2 * CONFIGURATIONS_MAX, &own);
    if allocation.has("nodeSelector") {
        let path = path.child("nodeSelector");
        scheduling::node_selector(errors, &allocation["nodeSelector"], &path);
    }
}

fn consumers(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let reserved = new["status"].list("reservedFor");
    let mut seen = HashSet::new();
    for (index, consumer) in reserved.iter().enumerate() {
        let path = path.index(index);
        for field in ["resource", "name", "uid"] {
            required(errors, consumer, field, &path);
        }
        let uid = consumer.text("uid");
        if !seen.insert(uid) {
            errors.push(FieldError::duplicate(path.child("uid"), uid));
        }
    }
    at_most(errors, reserved.len(), CONSUMERS_MAX, path);
    if reserved.is_empty() {
        return;
    }
    let before = old["status"].list("reservedFor");
    if !new["status"].has("allocation") {
        let text = "may not be specified when `allocated` is not set";
        errors.push(FieldError::forbidden(path.clone(), text));
    } else if new["metadata"].has("deletionTimestamp")
        && reserved.iter().any(|entry| !before.contains(entry))
    {
        let text = "new entries may not be added while `deletionTimestamp` is set";
        errors.push(FieldError::forbidden(path.clone(), text));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::defaults::apply_defaults;
    use crate::testing::kind;

    fn check(devices: Value, want: &[&str]) {
        let mut object = json!({"spec": {"devices": devices}});
        apply_defaults(&kind("resource.k8s.io", "v1", "ResourceClaim"), &mut object);
        let mut errors = Errors::new();
        claim(&mut errors, &object);
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        assert_eq!(texts, want, "{object}");
    }

    #[test]
    fn claims() {
        let request = |exactly: Value| json!({"requests": [{"name": "gpu", "exactly": exactly}]});
        check(request(json!({"deviceClassName": "gpu.example.com"})), &[]);
        check(
            json!({"requests": [{"name": "gpu"}]}),
            &[
                "spec.devices.requests[0]: Required value: exactly one of `exactly` or `firstAvailable` is required",
            ],
        );
        check(
            request(json!({"deviceClassName": "c", "allocationMode": "All", "count": 2})),
            &[
                "spec.devices.requests[0].exactly.count: Invalid value: 2: must not be specified when allocationMode is 'All'",
            ],
        );
        check(
            json!({"requests": [{"name": "gpu", "firstAvailable": [{"name": "a", "deviceClassName": "c"}]}],
                "constraints": [{"requests": ["gpu/a", "tpu"], "matchAttribute": "model"}],
                "config": [{"opaque": {"driver": "d.example", "parameters": [1]}}]}),
            &[
                &format!(
                    r#"spec.devices.constraints[0].requests[1]: Invalid value: "tpu": {UNKNOWN_REQUEST}"#
                ),
                "spec.devices.constraints[0].matchAttribute.domain: Required value: must include a domain prefix",
                r#"spec.devices.config[0].opaque.parameters: Invalid value: "<value omitted>": parameters must be a valid JSON object"#,
            ],
        );
    }

    #[test]
    fn statuses() {
        let check = |old: Value, new: Value, want: &[&str]| {
            let spec = json!({"devices": {"requests": [{"name": "gpu"}]}});
            let mut errors = Errors::new();
            claim_status(
                &mut errors,
                &json!({"spec": spec, "status": new}),
                &json!({"spec": spec, "status": old}),
            );
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        let result =
            json!({"request": "gpu", "driver": "d.example", "pool": "node-1", "device": "gpu-0"});
        let allocation = json!({"devices": {"results": [result]}});
        let pod = json!({"resource": "pods", "name": "p", "uid": "1"});
        check(json!({}), json!({"allocation": allocation, "reservedFor": [pod]}), &[]);
        check(
            json!({}),
            json!({"reservedFor": [pod]}),
            &["status.reservedFor: Forbidden: may not be specified when `allocated` is not set"],
        );
    }
}
