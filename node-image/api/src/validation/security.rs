//! Security contexts of pods and containers.

use serde_json::Value;

use super::check::{Errors, choice, required, within};
use super::resources;
use crate::walk::Walk;
use crate::{FieldError, Path};

const USER_ID: (i64, i64) = (0, i32::MAX as i64);
const PROFILE_TYPES: [&str; 3] = ["Localhost", "RuntimeDefault", "Unconfined"];

/// The part of a container.
pub(super) fn container_security(errors: &mut Errors, context: &Value, path: &Path) {
    if context.is_null() {
        return;
    }
    choice(errors, context, "procMount", path, &["Default", "Unmasked"]);
    within(errors, context, "runAsUser", path, USER_ID);
    within(errors, context, "runAsGroup", path, USER_ID);
    profile(errors, &context["seccompProfile"], &path.child("seccompProfile"));
    profile(errors, &context["appArmorProfile"], &path.child("appArmorProfile"));
    if context["allowPrivilegeEscalation"].as_bool() != Some(false) {
        return;
    }
    let mut adds = context["capabilities"].list("add").iter();
    let text = if context.flag("privileged") {
        "cannot set `allowPrivilegeEscalation` to false and `privileged` to true"
    } else if adds.any(|capability| capability == "CAP_SYS_ADMIN") {
        "cannot set `allowPrivilegeEscalation` to false and `capabilities.Add` CAP_SYS_ADMIN"
    } else {
        return;
    };
    errors.push(FieldError::invalid(path.clone(), context.clone(), text));
}

/// The part of a pod, with what it shares with its host. `whole` for pods, false for templates,
/// whose host ports may still be unset.
pub(super) fn pod_security(errors: &mut Errors, spec: &Value, path: &Path, whole: bool) {
    if spec.flag("hostNetwork") {
        host_network_ports(errors, spec, path, whole);
    }
    let context = &spec["securityContext"];
    let own = path.child("securityContext");
    if spec.flag("shareProcessNamespace") && spec.flag("hostPID") {
        let text = "ShareProcessNamespace and HostPID cannot both be enabled";
        errors.push(FieldError::invalid(path.child("shareProcessNamespace"), true, text));
    }
    for field in ["fsGroup", "runAsUser", "runAsGroup"] {
        within(errors, context, field, &own, USER_ID);
    }
    for (index, group) in context.list("supplementalGroups").iter().enumerate() {
        let group = group.as_i64().unwrap_or(-1);
        if !(USER_ID.0..=USER_ID.1).contains(&group) {
            let text = format!("must be between {} and {}, inclusive", USER_ID.0, USER_ID.1);
            let path = own.child("supplementalGroups").index(index);
            errors.push(FieldError::invalid(path, group, text));
        }
    }
    sysctls(errors, context, &own.child("sysctls"));
    choice(errors, context, "fsGroupChangePolicy", &own, &["OnRootMismatch", "Always"]);
    choice(errors, context, "supplementalGroupsPolicy", &own, &["Merge", "Strict"]);
    profile(errors, &context["seccompProfile"], &own.child("seccompProfile"));
    profile(errors, &context["appArmorProfile"], &own.child("appArmorProfile"));
    if spec["hostUsers"].as_bool() == Some(false) {
        for field in ["hostNetwork", "hostPID", "hostIPC"] {
            if spec.flag(field) {
                let text = "when `pod.Spec.HostUsers` is false";
                errors.push(FieldError::forbidden(path.child(field), text));
            }
        }
    }
    resources::requirements(errors, &spec["resources"], &path.child("resources"));
}

fn host_network_ports(errors: &mut Errors, spec: &Value, path: &Path, whole: bool) {
    for list in ["containers", "initContainers"] {
        for (index, container) in spec.list(list).iter().enumerate() {
            for (port_index, port) in container.list("ports").iter().enumerate() {
                let host = port.integer("hostPort").unwrap_or(0);
                let own = port.integer("containerPort").unwrap_or(0);
                if (whole || host != 0) && host != own {
                    let path = path.child(list).index(index).child("ports").index(port_index);
                    let text = "must match `containerPort` when `hostNetwork` is true";
                    errors.push(FieldError::invalid(path.child("hostPort"), host, text));
                }
            }
        }
    }
}

fn sysctls(errors: &mut Errors, context: &Value, path: &Path) {
    let mut seen = Vec::new();
    for (index, sysctl) in context.list("sysctls").iter().enumerate() {
        let path = path.index(index);
        let name = sysctl.text("name");
        let valid = name.len() <= 253 && name.split(['.', '/']).all(is_sysctl_part);
        if name.is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        } else if !valid {
            let text = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
            errors.push(FieldError::invalid(path.child("name"), name, text));
        } else if seen.contains(&name) {
            errors.push(FieldError::duplicate(path.child("name"), name));
        }
        seen.push(name);
    }
}

/// What stands between the dots or slashes of a sysctl's name.
fn is_sysctl_part(part: &str) -> bool {
    let plain = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let bytes = part.as_bytes();
    bytes.first().is_some_and(|b| plain(*b))
        && bytes.last().is_some_and(|b| plain(*b))
        && bytes.iter().all(|b| plain(*b) || b"-_".contains(b))
}

/// A seccomp or AppArmor profile.
fn profile(errors: &mut Errors, profile: &Value, path: &Path) {
    if profile.is_null() {
        return;
    }
    let kind = profile.text("type");
    let local = profile.has("localhostProfile");
    match kind {
        "" => errors.push(FieldError::required(
            path.child("type"),
            "type is required when seccompProfile is set",
        )),
        "Localhost" if !local => {
            let text = "must be set when seccomp type is Localhost";
            errors.push(FieldError::required(path.child("localhostProfile"), text));
        }
        "Localhost" => {
            required(errors, profile, "localhostProfile", path);
            let file = profile.text("localhostProfile");
            super::container::descending_path(errors, file, &path.child("localhostProfile"));
        }
        _ => {
            choice(errors, profile, "type", path, &PROFILE_TYPES);
            if local {
                let text = "can only be set when seccomp type is Localhost";
                let path = path.child("localhostProfile");
                errors.push(FieldError::invalid(path, profile["localhostProfile"].clone(), text));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn contexts() {
        let check = |spec: Value, want: &[&str]| {
            let mut errors = Errors::new();
            pod_security(&mut errors, &spec, &Path::new("spec"), true);
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        check(json!({"securityContext": {"runAsUser": 1000, "fsGroup": 5}}), &[]);
        check(
            json!({"securityContext": {"runAsUser": -1}}),
            &[
                "spec.securityContext.runAsUser: Invalid value: -1: must be between 0 and 2147483647, inclusive",
            ],
        );
        let sysctls = ["foo-", "kernel.shmmax", "safe-and-unsafe", "bar..", "net/ipv4.x_y", "a.-b"];
        let sysctls = sysctls.map(|name| json!({"name": name, "value": "1"}));
        let text = "must have at most 253 characters and match regex ^([a-z0-9]([-_a-z0-9]*[a-z0-9])?[\\./])*[a-z0-9]([-_a-z0-9]*[a-z0-9])?$";
        let refused = [(0, "foo-"), (3, "bar.."), (5, "a.-b")].map(|(index, name)| {
            format!("spec.securityContext.sysctls[{index}].name: Invalid value: {name:?}: {text}")
        });
        let refused: Vec<&str> = refused.iter().map(String::as_str).collect();
        check(json!({"securityContext": {"sysctls": sysctls}}), &refused);
        check(
            json!({"hostPID": true, "shareProcessNamespace": true}),
            &[
                "spec.shareProcessNamespace: Invalid value: true: ShareProcessNamespace and HostPID cannot both be enabled",
            ],
        );
        check(
            json!({"hostNetwork": true, "containers": [{"ports": [{"containerPort": 80, "hostPort": 81}]}]}),
            &[
                "spec.containers[0].ports[0].hostPort: Invalid value: 81: must match `containerPort` when `hostNetwork` is true",
            ],
        );
    }
}
