//! Defaults of containers of all three sorts.

use serde_json::{Value, json};

use super::{empty, quantities, set_all};
use crate::walk::{Shape, Walk};

/// Everything but what only whole pods get.
pub(super) fn container(container: &mut Value) {
    if let Some(image) = container["image"].as_str().map(str::to_owned) {
        container.set_default_text("imagePullPolicy", image_pull_policy(&image));
    }
    container.set_default_text("terminationMessagePath", "/dev/termination-log");
    container.set_default_text("terminationMessagePolicy", "File");
    container.set_default("resources", empty());
    quantities::requirements(container, "resources");
    for port in container.each_mut("ports") {
        port.set_default_text("protocol", "TCP");
    }
    for variable in container.each_mut("env") {
        if let Some(source) = variable.existing_mut("valueFrom") {
            field_source(source);
        }
    }
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if let Some(probe) = container.existing_mut(name) {
            self::probe(probe);
        }
    }
    if let Some(lifecycle) = container.existing_mut("lifecycle") {
        for name in ["postStart", "preStop"] {
            lifecycle.existing_mut(name).map(http_get);
        }
    }
    if let Some(security) = container.existing_mut("securityContext")
        && security.has("procMount")
    {
        security.set_default_text("procMount", "Default");
    }
}

/// `Always` for the tag `latest`, said or unsaid; else `IfNotPresent`.
pub(super) fn image_pull_policy(image: &str) -> &'static str {
    let (name, digest) = match image.split_once('@') {
        Some((name, _)) => (name, true),
        None => (image, false),
    };
    let last = name.rsplit('/').next().unwrap_or(name);
    let tag = last.split_once(':').map(|(_, tag)| tag);
    match tag {
        Some("latest") => "Always",
        None if !digest => "Always",
        _ => "IfNotPresent",
    }
}

/// Downward-API references: `fieldRef` and `resourceFieldRef`.
pub(super) fn field_source(source: &mut Value) {
    if let Some(field) = source.existing_mut("fieldRef") {
        field.set_default_text("apiVersion", "v1");
    }
    if let Some(resource) = source.existing_mut("resourceFieldRef") {
        resource.set_default("divisor", "0");
        quantities::single(resource, "divisor");
    }
}

fn probe(probe: &mut Value) {
    for (field, default) in [
        ("timeoutSeconds", 1),
        ("periodSeconds", 10),
        ("successThreshold", 1),
        ("failureThreshold", 3),
    ] {
        if probe.integer(field).unwrap_or(0) == 0 {
            probe.put(field, default);
        }
    }
    http_get(probe);
    if let Some(grpc) = probe.existing_mut("grpc") {
        grpc.set_default("service", "");
    }
}

fn http_get(handler: &mut Value) {
    if let Some(get) = handler.existing_mut("httpGet") {
        get.set_default_text("path", "/");
        get.set_default_text("scheme", "HTTP");
    }
}

/// What only whole pods get, not templates: requests follow limits.
pub(super) fn requests_from_limits(container: &mut Value) {
    let Some(resources) = container.existing_mut("resources") else { return };
    let Some(limits) = resources["limits"].as_object().cloned() else { return };
    if let Some(requests) = resources.object_mut("requests") {
        set_all(requests, json!(limits));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pull_policy() {
        let check = |image: &str, want: &str| assert_eq!(image_pull_policy(image), want, "{image}");
        check("nginx", "Always");
        check("nginx:latest", "Always");
        check("nginx:1.25", "IfNotPresent");
        check("localhost:5000/nginx", "Always");
        check("localhost:5000/nginx:1", "IfNotPresent");
        check("nginx@sha256:abc", "IfNotPresent");
        check("nginx:latest@sha256:abc", "Always");
    }
}
