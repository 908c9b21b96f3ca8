//! Probes and life-cycle hooks.

use serde_json::Value;

use super::check::{Errors, choice, not_negative, port_reference, problems, required};
use super::names;
use crate::walk::Walk;
use crate::{FieldError, Path};

const HANDLERS: [&str; 5] = ["exec", "httpGet", "tcpSocket", "grpc", "sleep"];

/// The probes and hooks of a container that may have them.
pub(super) fn container_probes(errors: &mut Errors, container: &Value, path: &Path) {
    lifecycle(errors, &container["lifecycle"], &path.child("lifecycle"));
    for name in ["livenessProbe", "readinessProbe", "startupProbe"] {
        if container.has(name) {
            probe(errors, &container[name], &path.child(name), name);
        }
    }
}

fn lifecycle(errors: &mut Errors, lifecycle: &Value, path: &Path) {
    for hook in ["postStart", "preStop"] {
        if lifecycle.has(hook) {
            handler(errors, &lifecycle[hook], &path.child(hook));
        }
    }
}

fn probe(errors: &mut Errors, probe: &Value, path: &Path, name: &str) {
    handler(errors, probe, path);
    for field in [
        "initialDelaySeconds",
        "timeoutSeconds",
        "periodSeconds",
        "successThreshold",
        "failureThreshold",
    ] {
        not_negative(errors, probe, field, path);
    }
    let grace = probe.integer("terminationGracePeriodSeconds");
    let grace_path = path.child("terminationGracePeriodSeconds");
    if name == "readinessProbe" {
        if let Some(seconds) = grace {
            let text = "must not be set for readinessProbes";
            errors.push(FieldError::invalid(grace_path, seconds, text));
        }
        return;
    }
    if let Some(seconds) = grace.filter(|seconds| *seconds <= 0) {
        errors.push(FieldError::invalid(grace_path, seconds, "must be greater than 0"));
    }
    let successes = probe.integer("successThreshold").unwrap_or(1);
    if successes != 1 {
        errors.push(FieldError::invalid(path.child("successThreshold"), successes, "must be 1"));
    }
}

/// Exactly one way to act.
fn handler(errors: &mut Errors, owner: &Value, path: &Path) {
    let mut found = 0;
    for name in HANDLERS.into_iter().filter(|name| owner.has(name)) {
        found += 1;
        let path = path.child(name);
        if found > 1 {
            let text = "may not specify more than 1 handler type";
            errors.push(FieldError::forbidden(path, text));
            continue;
        }
        let action = &owner[name];
        match name {
            "exec" => {
                if action.list("command").is_empty() {
                    errors.push(FieldError::required(path.child("command"), ""));
                }
            }
            "httpGet" => http_get(errors, action, &path),
            "sleep" => not_negative(errors, action, "seconds", &path),
            _ => port_reference(errors, &action["port"], &path.child("port")),
        }
    }
    if found == 0 {
        errors.push(FieldError::required(path.clone(), "must specify a handler type"));
    }
}

fn http_get(errors: &mut Errors, action: &Value, path: &Path) {
    required(errors, action, "path", path);
    port_reference(errors, &action["port"], &path.child("port"));
    choice(errors, action, "scheme", path, &["HTTP", "HTTPS"]);
    for header in action.list("httpHeaders") {
        let name = header.text("name");
        problems(errors, &path.child("httpHeaders"), name, names::http_header(name));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn probes() {
        let check = |container: Value, want: &[&str]| {
            let mut errors = Errors::new();
            container_probes(&mut errors, &container, &Path::new("c"));
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        check(
            json!({"livenessProbe": {"httpGet": {"path": "/", "port": 80, "scheme": "HTTP"}}}),
            &[],
        );
        check(
            json!({"livenessProbe": {}}),
            &["c.livenessProbe: Required value: must specify a handler type"],
        );
        check(
            json!({"livenessProbe": {"exec": {"command": ["a"]}, "tcpSocket": {"port": 1}, "successThreshold": 2}}),
            &[
                "c.livenessProbe.tcpSocket: Forbidden: may not specify more than 1 handler type",
                "c.livenessProbe.successThreshold: Invalid value: 2: must be 1",
            ],
        );
        check(
            json!({"readinessProbe": {"tcpSocket": {"port": 0}, "periodSeconds": -1}}),
            &[
                "c.readinessProbe.tcpSocket.port: Invalid value: 0: must be between 1 and 65535, inclusive",
                "c.readinessProbe.periodSeconds: Invalid value: -1: must be greater than or equal to 0",
            ],
        );
    }
}
