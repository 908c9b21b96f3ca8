//! Containers of all three sorts.

use std::collections::HashSet;

use serde_json::{Value, json};

use super::check::{Errors, choice, problems, required, required_choice, required_text};
use super::security::container_security;
use super::{names, probe, resources};
use crate::walk::Walk;
use crate::{FieldError, Path};

const PROTOCOLS: [&str; 3] = ["SCTP", "TCP", "UDP"];
const PULL_POLICIES: [&str; 3] = ["Always", "IfNotPresent", "Never"];
const MESSAGE_POLICIES: [&str; 2] = ["FallbackToLogsOnError", "File"];
const ENV_FIELDS: [&str; 9] = [
    "metadata.name",
    "metadata.namespace",
    "metadata.uid",
    "spec.nodeName",
    "spec.serviceAccountName",
    "status.hostIP",
    "status.hostIPs",
    "status.podIP",
    "status.podIPs",
];
const CONTAINER_FIELDS: [&str; 6] = [
    "limits.cpu",
    "limits.ephemeral-storage",
    "limits.memory",
    "requests.cpu",
    "requests.ephemeral-storage",
    "requests.memory",
];
/// What an ephemeral container cannot have.
const NOT_EPHEMERAL: [&str; 8] = [
    "ports",
    "livenessProbe",
    "readinessProbe",
    "startupProbe",
    "lifecycle",
    "resources",
    "resizePolicy",
    "restartPolicyRules",
];

/// All containers of a pod spec. `volumes` are the names of its valid volumes.
pub(super) fn containers(errors: &mut Errors, spec: &Value, path: &Path, volumes: &HashSet<&str>) {
    regular(errors, spec, &path.child("containers"), volumes);
    init(errors, spec, &path.child("initContainers"), volumes);
    ephemeral(errors, spec, &path.child("ephemeralContainers"), volumes);
}

fn regular(errors: &mut Errors, spec: &Value, path: &Path, volumes: &HashSet<&str>) {
    let all = spec.list("containers");
    if all.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
        return;
    }
    let mut seen = HashSet::new();
    for (index, container) in all.iter().enumerate() {
        let path = path.index(index);
        every_container(errors, container, &path, volumes);
        unique_name(errors, container, &path, &mut seen);
        probe::container_probes(errors, container, &path);
    }
    host_port_conflicts(errors, all, path);
}

fn init(errors: &mut Errors, spec: &Value, path: &Path, volumes: &HashSet<&str>) {
    let mut seen: HashSet<&str> = spec.list("containers").iter().map(|c| c.text("name")).collect();
    for (index, container) in spec.list("initContainers").iter().enumerate() {
        let path = path.index(index);
        every_container(errors, container, &path, volumes);
        if !container.text("name").is_empty() {
            unique_name(errors, container, &path, &mut seen);
        }
        match container["restartPolicy"].as_str() {
            Some("Always") => probe::container_probes(errors, container, &path),
            Some(other) if !matches!(other, "Never" | "OnFailure") => {
                let supported = ["Always", "Never", "OnFailure"];
                errors.push(FieldError::not_supported(
                    path.child("restartPolicy"),
                    other,
                    &supported,
                ));
            }
            _ => no_probes(errors, container, &path),
        }
        let ports = host_ports(container);
        let mut own = HashSet::new();
        for (port, key) in ports {
            if !own.insert(key.clone()) {
                let path = path.child("ports").index(port).child("hostPort");
                errors.push(FieldError::duplicate(path, key));
            }
        }
    }
}

/// An init container runs to its end: nothing to probe.
fn no_probes(errors: &mut Errors, container: &Value, path: &Path) {
    for field in ["lifecycle", "livenessProbe", "readinessProbe", "startupProbe"] {
        if container.has(field) {
            let text = "may not be set for init containers without restartPolicy=Always";
            errors.push(FieldError::forbidden(path.child(field), text));
        }
    }
}

fn ephemeral(errors: &mut Errors, spec: &Value, path: &Path, volumes: &HashSet<&str>) {
    let others = spec.list("containers").iter().chain(spec.list("initContainers"));
    let names: HashSet<&str> = others.map(|c| c.text("name")).collect();
    let mut seen = names.clone();
    for (index, container) in spec.list("ephemeralContainers").iter().enumerate() {
        let path = path.index(index);
        every_container(errors, container, &path, volumes);
        if !container.text("name").is_empty() {
            unique_name(errors, container, &path, &mut seen);
        }
        let target = container.text("targetContainerName");
        if !target.is_empty() && !names.contains(target) {
            errors.push(FieldError::not_found(path.child("targetContainerName"), target));
        }
        for field in NOT_EPHEMERAL {
            let empty = match &container[field] {
                Value::Null => true,
                Value::Array(list) => list.is_empty(),
                Value::Object(map) => map.is_empty(),
                _ => false,
            };
            if !empty {
                let text = "cannot be set for an Ephemeral Container";
                errors.push(FieldError::forbidden(path.child(field), text));
            }
        }
        for (mount, entry) in container.list("volumeMounts").iter().enumerate() {
            for field in ["subPath", "subPathExpr"] {
                if !entry.text(field).is_empty() {
                    let text = "cannot be set for an Ephemeral Container";
                    let path = path.child("volumeMounts").index(mount).child(field);
                    errors.push(FieldError::forbidden(path, text));
                }
            }
        }
    }
}

fn unique_name<'a>(
    errors: &mut Errors,
    container: &'a Value,
    path: &Path,
    seen: &mut HashSet<&'a str>,
) {
    let name = container.text("name");
    if !seen.insert(name) {
        errors.push(FieldError::duplicate(path.child("name"), name));
    }
}

fn every_container(errors: &mut Errors, container: &Value, path: &Path, volumes: &HashSet<&str>) {
    required_text(errors, container, "name", path, names::dns_label);
    required(errors, container, "image", path);
    required_choice(errors, container, "terminationMessagePolicy", path, &MESSAGE_POLICIES);
    ports(errors, container, &path.child("ports"));
    environment(errors, container, &path.child("env"));
    environment_sources(errors, container, &path.child("envFrom"));
    mounts(errors, container, path, volumes);
    choice(errors, container, "imagePullPolicy", path, &PULL_POLICIES);
    resources::requirements(errors, &container["resources"], &path.child("resources"));
    container_security(errors, &container["securityContext"], &path.child("securityContext"));
}

fn ports(errors: &mut Errors, container: &Value, path: &Path) {
    let mut seen = HashSet::new();
    for (index, port) in container.list("ports").iter().enumerate() {
        let path = path.index(index);
        let name = port.text("name");
        if !name.is_empty() {
            let wrong = names::port_name(name);
            if !wrong.is_empty() {
                problems(errors, &path.child("name"), name, wrong);
            } else if !seen.insert(name) {
                errors.push(FieldError::duplicate(path.child("name"), name));
            }
        }
        match port.integer("containerPort").unwrap_or(0) {
            0 => errors.push(FieldError::required(path.child("containerPort"), "")),
            number => {
                problems(errors, &path.child("containerPort"), number, names::port_number(number));
            }
        }
        if let Some(number) = port.integer("hostPort").filter(|number| *number != 0) {
            problems(errors, &path.child("hostPort"), number, names::port_number(number));
        }
        required_choice(errors, port, "protocol", &path, &PROTOCOLS);
    }
}

/// The host ports of a container with their index, as `TCP/0.0.0.0/80`.
fn host_ports(container: &Value) -> Vec<(usize, String)> {
    let ports = container.list("ports").iter().enumerate();
    ports
        .filter_map(|(index, port)| {
            let number = port.integer("hostPort").filter(|number| *number != 0)?;
            Some((index, format!("{}/{}/{number}", port.text("protocol"), port.text("hostIP"))))
        })
        .collect()
}

fn host_port_conflicts(errors: &mut Errors, containers: &[Value], path: &Path) {
    let mut seen = HashSet::new();
    for (index, container) in containers.iter().enumerate() {
        for (port, key) in host_ports(container) {
            if !seen.insert(key.clone()) {
                let path = path.index(index).child("ports").index(port).child("hostPort");
                errors.push(FieldError::duplicate(path, key));
            }
        }
    }
}

fn environment(errors: &mut Errors, container: &Value, path: &Path) {
    for (index, variable) in container.list("env").iter().enumerate() {
        let path = path.index(index);
        required_text(errors, variable, "name", &path, names::environment_name);
        if variable.has("valueFrom") {
            environment_value(errors, variable, &path.child("valueFrom"));
        }
    }
}

fn environment_value(errors: &mut Errors, variable: &Value, path: &Path) {
    let from = &variable["valueFrom"];
    let sources = ["fieldRef", "resourceFieldRef", "configMapKeyRef", "secretKeyRef", "fileKeyRef"];
    let mut found = 0;
    for name in sources.into_iter().filter(|name| from.has(name)) {
        found += 1;
        let (source, path) = (&from[name], path.child(name));
        match name {
            "fieldRef" => field_reference(errors, source, &path, &ENV_FIELDS),
            "resourceFieldRef" => resource_reference(errors, source, &path, false),
            "fileKeyRef" => {
                required(errors, source, "volumeName", &path);
                required(errors, source, "path", &path);
                required(errors, source, "key", &path);
            }
            _ => {
                required(errors, source, "name", &path);
                required_text(errors, source, "key", &path, names::config_key);
            }
        }
    }
    let text = if found == 0 {
        "must specify one of: `fieldRef`, `resourceFieldRef`, `configMapKeyRef` or `secretKeyRef`"
    } else if !variable.text("value").is_empty() {
        "may not be specified when `value` is not empty"
    } else if found > 1 {
        "may not have more than one field specified at a time"
    } else {
        return;
    };
    errors.push(FieldError::invalid(path.clone(), "", text));
}

/// A reference to a field of the pod.
pub(super) fn field_reference(errors: &mut Errors, source: &Value, path: &Path, fields: &[&str]) {
    required(errors, source, "apiVersion", path);
    let field = source.text("fieldPath");
    let path = path.child("fieldPath");
    if field.is_empty() {
        errors.push(FieldError::required(path, ""));
        return;
    }
    for owner in ["metadata.labels", "metadata.annotations"] {
        let key = field.strip_prefix(owner).and_then(|rest| rest.strip_prefix("['"));
        if let Some(key) = key.and_then(|rest| rest.strip_suffix("']")) {
            problems(errors, &path, key, names::qualified_name(&key.to_lowercase()));
            return;
        }
    }
    let known = ENV_FIELDS.contains(&field)
        || matches!(
            field,
            "metadata.labels" | "metadata.annotations" | "status.phase" | "spec.restartPolicy"
        );
    if !known {
        let text = format!("error converting fieldPath: field label not supported: {field}");
        errors.push(FieldError::invalid(path, field, text));
    } else if !fields.contains(&field) {
        errors.push(FieldError::not_supported(path, field, fields));
    }
}

/// A reference to a request or limit; volumes must name the container.
pub(super) fn resource_reference(errors: &mut Errors, source: &Value, path: &Path, volume: bool) {
    let resource = source.text("resource");
    if volume && source.text("containerName").is_empty() {
        errors.push(FieldError::required(path.child("containerName"), ""));
    } else if resource.is_empty() {
        errors.push(FieldError::required(path.child("resource"), ""));
    } else {
        let huge =
            ["limits.hugepages-", "requests.hugepages-"].iter().any(|p| resource.starts_with(p));
        if !CONTAINER_FIELDS.contains(&resource) && !huge {
            let path = path.child("resource");
            errors.push(FieldError::not_supported(path, resource, &CONTAINER_FIELDS));
        }
    }
}

fn environment_sources(errors: &mut Errors, container: &Value, path: &Path) {
    for (index, source) in container.list("envFrom").iter().enumerate() {
        let path = path.index(index);
        let prefix = source.text("prefix");
        if !prefix.is_empty() {
            problems(errors, &path.child("prefix"), prefix, names::environment_name(prefix));
        }
        let mut found = 0;
        for kind in ["configMapRef", "secretRef"].into_iter().filter(|kind| source.has(kind)) {
            found += 1;
            required(errors, &source[kind], "name", &path.child(kind));
        }
        let text = match found {
            0 => "must specify one of: `configMapRef` or `secretRef`",
            1 => continue,
            _ => "may not have more than one field specified at a time",
        };
        errors.push(FieldError::invalid(path, "", text));
    }
}

fn mounts(errors: &mut Errors, container: &Value, path: &Path, volumes: &HashSet<&str>) {
    let list = path.child("volumeMounts");
    let mut seen = HashSet::new();
    for (index, mount) in container.list("volumeMounts").iter().enumerate() {
        let path = list.index(index);
        required(errors, mount, "name", &path);
        let name = mount.text("name");
        if !volumes.contains(name) {
            errors.push(FieldError::not_found(path.child("name"), name));
        }
        required(errors, mount, "mountPath", &path);
        let target = mount.text("mountPath");
        if !seen.insert(target) {
            errors.push(FieldError::invalid(path.child("mountPath"), target, "must be unique"));
        }
        sub_path(errors, mount, &list, &path);
        choice(
            errors,
            mount,
            "mountPropagation",
            &list,
            &["Bidirectional", "HostToContainer", "None"],
        );
        if mount.text("mountPropagation") == "Bidirectional"
            && !container["securityContext"].flag("privileged")
        {
            let text = "Bidirectional mount propagation is available only to privileged containers";
            errors.push(FieldError::forbidden(list.child("mountPropagation"), text));
        }
    }
    devices(errors, container, &path.child("volumeDevices"), volumes);
}

fn sub_path(errors: &mut Errors, mount: &Value, list: &Path, path: &Path) {
    for field in ["subPath", "subPathExpr"] {
        descending_path(errors, mount.text(field), &list.child(field));
    }
    if !mount.text("subPath").is_empty() && !mount.text("subPathExpr").is_empty() {
        let text = "subPathExpr and subPath are mutually exclusive";
        let expression = json!(mount.text("subPathExpr"));
        errors.push(FieldError::invalid(path.child("subPathExpr"), expression, text));
    }
}

fn devices(errors: &mut Errors, container: &Value, path: &Path, volumes: &HashSet<&str>) {
    for (index, device) in container.list("volumeDevices").iter().enumerate() {
        let path = path.index(index);
        required(errors, device, "name", &path);
        required(errors, device, "devicePath", &path);
        let name = device.text("name");
        if !name.is_empty() && !volumes.contains(name) {
            errors.push(FieldError::not_found(path.child("name"), name));
        }
    }
}

/// A path that stays below where it starts.
pub(super) fn descending_path(errors: &mut Errors, text: &str, path: &Path) {
    if text.starts_with('/') {
        errors.push(FieldError::invalid(path.clone(), text, "must be a relative path"));
    }
    no_steps_up(errors, text, path);
}

/// A path without `..`.
pub(super) fn no_steps_up(errors: &mut Errors, text: &str, path: &Path) {
    if text.split('/').any(|part| part == "..") {
        errors.push(FieldError::invalid(path.clone(), text, "must not contain '..'"));
    }
}
