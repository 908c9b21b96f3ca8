//! Defaults of claims for devices.

use serde_json::Value;

use super::quantities;
use crate::walk::{Shape, Walk};

pub(super) fn claim(obj: &mut Value) {
    if let Some(spec) = obj.existing_mut("spec") {
        claim_spec(spec);
    }
}

pub(super) fn claim_template(obj: &mut Value) {
    if let Some(spec) = obj.reach_mut(&["spec", "spec"]) {
        claim_spec(spec);
    }
}

fn claim_spec(spec: &mut Value) {
    let Some(devices) = spec.existing_mut("devices") else { return };
    for request in devices.each_mut("requests") {
        if let Some(exactly) = request.existing_mut("exactly") {
            device_request(exactly);
        }
        request.each_mut("firstAvailable").for_each(device_request);
    }
}

fn device_request(request: &mut Value) {
    request.set_default_text("allocationMode", "ExactCount");
    if request.text("allocationMode") == "ExactCount" && request.integer("count").unwrap_or(0) == 0
    {
        request.put("count", 1);
    }
    for toleration in request.each_mut("tolerations") {
        toleration.set_default_text("operator", "Equal");
    }
    if let Some(capacity) = request.existing_mut("capacity") {
        quantities::resource_list(capacity, "requests");
    }
}
