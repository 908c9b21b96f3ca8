//! Pods and their templates.

use std::collections::HashMap;

use serde_json::Value;

use super::Warnings;
use crate::Path;
use crate::quantity::Quantity;
use crate::walk::Walk;

/// Labels of nodes with another name by now: (old, since, new).
const OLD_LABELS: &[(&str, &str, &str)] = &[
    ("beta.kubernetes.io/arch", "v1.14", "kubernetes.io/arch"),
    ("beta.kubernetes.io/instance-type", "v1.17", "node.kubernetes.io/instance-type"),
    ("beta.kubernetes.io/os", "v1.14", "kubernetes.io/os"),
    ("failure-domain.beta.kubernetes.io/region", "v1.17", "topology.kubernetes.io/region"),
    ("failure-domain.beta.kubernetes.io/zone", "v1.17", "topology.kubernetes.io/zone"),
];

/// Annotations that do nothing any more, or soon.
const OLD_ANNOTATIONS: &[(&str, &str)] = &[
    (
        "scheduler.alpha.kubernetes.io/critical-pod",
        "non-functional in v1.16+; use the \"priorityClassName\" field instead",
    ),
    (
        "seccomp.security.alpha.kubernetes.io/pod",
        "non-functional in v1.27+; use the \"seccompProfile\" field instead",
    ),
];
const SECCOMP_OF_CONTAINER: &str = "container.seccomp.security.alpha.kubernetes.io/";
const APPARMOR_OF_CONTAINER: &str = "container.apparmor.security.beta.kubernetes.io/";

/// Sources of volumes without a driver behind them.
const OLD_VOLUMES: &[(&str, &str)] = &[
    ("cephfs", "deprecated in v1.28, non-functional in v1.31+"),
    ("flocker", "deprecated in v1.22, non-functional in v1.25+"),
    ("gitRepo", "deprecated in v1.11, and disabled by default in v1.33+"),
    ("glusterfs", "deprecated in v1.25, non-functional in v1.26+"),
    ("photonPersistentDisk", "deprecated in v1.11, non-functional in v1.16+"),
    ("quobyte", "deprecated in v1.22, non-functional in v1.25+"),
    ("rbd", "deprecated in v1.28, non-functional in v1.31+"),
    ("scaleIO", "deprecated in v1.16, non-functional in v1.22+"),
    ("storageos", "deprecated in v1.22, non-functional in v1.25+"),
];

pub(super) fn pod(found: &mut Warnings, object: &Value) {
    whole(found, object, &Path::new("metadata"), &Path::new("spec"));
}

pub(super) fn template(found: &mut Warnings, template: &Value, path: &Path) {
    whole(found, template, &path.child("metadata"), &path.child("spec"));
}

fn whole(found: &mut Warnings, object: &Value, metadata: &Path, path: &Path) {
    let spec = &object["spec"];
    node_labels(found, spec, path);
    annotations(found, &object["metadata"], &metadata.child("annotations"));
    for (index, volume) in spec.list("volumes").iter().enumerate() {
        for (source, text) in OLD_VOLUMES.iter().filter(|(source, _)| volume.has(source)) {
            found.push(&path.child("volumes").index(index).child(source), text);
        }
    }
    for (index, secret) in spec.list("imagePullSecrets").iter().enumerate() {
        if secret.text("name").is_empty() {
            let path = path.child("imagePullSecrets").index(index).child("name");
            found.push(&path, "invalid empty name \"\"");
        }
    }
    for list in ["initContainers", "containers"] {
        for (index, container) in spec.list(list).iter().enumerate() {
            self::container(found, container, &path.child(list).index(index));
        }
    }
    duplicate_ports(found, spec, &path.child("containers"));
    if spec.integer("terminationGracePeriodSeconds").is_some_and(|seconds| seconds < 0) {
        let path = path.child("terminationGracePeriodSeconds");
        found.push(&path, "must be >= 0; negative values are invalid and will be treated as 1");
    }
}

fn node_labels(found: &mut Warnings, spec: &Value, path: &Path) {
    for (old, since, new) in OLD_LABELS {
        let instead = format!("deprecated since {since}; use {new:?} instead");
        if spec["nodeSelector"].has(old) {
            found.push(&path.child("nodeSelector").key(old), &instead);
        }
        let own = path.child("topologySpreadConstraints");
        for (index, constraint) in spec.list("topologySpreadConstraints").iter().enumerate() {
            if constraint.text("topologyKey") == *old {
                let path = own.index(index).child("topologyKey");
                found.push(&path, format!("{old} is {instead}"));
            }
        }
    }
    let field = "requiredDuringSchedulingIgnoredDuringExecution";
    let path = path.child("affinity").child("nodeAffinity").child(field).child("nodeSelectorTerms");
    let required = &spec["affinity"]["nodeAffinity"][field];
    for (index, term) in required.list("nodeSelectorTerms").iter().enumerate() {
        for (number, expression) in term.list("matchExpressions").iter().enumerate() {
            let key = expression.text("key");
            for (old, since, new) in OLD_LABELS.iter().filter(|(old, ..)| *old == key) {
                let path = path.index(index).child("matchExpressions").index(number).child("key");
                found
                    .push(&path, format!("{old} is deprecated since {since}; use {new:?} instead"));
            }
        }
    }
}

fn annotations(found: &mut Warnings, metadata: &Value, path: &Path) {
    for (key, _) in metadata.entries("annotations") {
        let row = OLD_ANNOTATIONS.iter().find(|(old, _)| *old == key);
        let text = if key.starts_with(SECCOMP_OF_CONTAINER) {
            "non-functional in v1.27+; use the \"seccompProfile\" field instead"
        } else if key.starts_with(APPARMOR_OF_CONTAINER) {
            "deprecated since v1.30; use the \"appArmorProfile\" field instead"
        } else if let Some((_, text)) = row {
            text
        } else {
            continue;
        };
        found.push(&path.key(key), text);
    }
}

fn container(found: &mut Warnings, container: &Value, path: &Path) {
    let mut seen = Vec::new();
    for (index, variable) in container.list("env").iter().enumerate() {
        let name = variable.text("name");
        // A variable may be made of its own earlier value.
        let extends = variable.text("value").contains(&format!("$({name})"));
        if seen.contains(&name) && !extends {
            let text = format!(
                "hides previous definition of {name:?}, which may be dropped when using apply"
            );
            found.push(&path.child("env").index(index), text);
        }
        seen.push(name);
    }
    for field in ["limits", "requests"] {
        let path = path.child("resources").child(field);
        for resource in ["memory", "ephemeral-storage"] {
            whole_bytes(found, &container["resources"][field], resource, &path);
        }
    }
}

/// Amounts of bytes such as `100m`, which was meant as megabytes.
pub(super) fn whole_bytes(found: &mut Warnings, owner: &Value, resource: &str, path: &Path) {
    let Some(text) = owner[resource].as_str() else { return };
    if text.ends_with('m') && Quantity::from_json(&owner[resource]).is_ok() {
        let why = format!("fractional byte value {text:?} is invalid, must be an integer");
        found.push(&path.key(resource), why);
    }
}

/// The same port of several containers, or of one.
fn duplicate_ports(found: &mut Warnings, spec: &Value, path: &Path) {
    let mut seen: HashMap<(i64, String, String, i64), Path> = HashMap::new();
    for (index, container) in spec.list("containers").iter().enumerate() {
        for (number, port) in container.list("ports").iter().enumerate() {
            let own = path.index(index).child("ports").index(number);
            let key = (
                port.integer("containerPort").unwrap_or(0),
                port.text("protocol").to_owned(),
                port.text("hostIP").to_owned(),
                port.integer("hostPort").unwrap_or(0),
            );
            match seen.get(&key) {
                Some(other) => {
                    found.push(&own, format!("duplicate port definition with {other}"));
                }
                None => drop(seen.insert(key, own)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn pods() {
        let check = |object: Value, want: &[&str]| {
            let mut found = Warnings::default();
            pod(&mut found, &object);
            assert_eq!(found.0, want, "{object}");
        };
        check(
            json!({"spec": {"nodeSelector": {"beta.kubernetes.io/os": "linux"}}}),
            &[
                r#"spec.nodeSelector[beta.kubernetes.io/os]: deprecated since v1.14; use "kubernetes.io/os" instead"#,
            ],
        );
        check(
            json!({"spec": {"containers": [{"resources": {"limits": {"memory": "128m", "cpu": "100m"}}}]}}),
            &[
                r#"spec.containers[0].resources.limits[memory]: fractional byte value "128m" is invalid, must be an integer"#,
            ],
        );
        check(
            json!({"spec": {"containers": [{"ports": [{"containerPort": 80}]}, {"ports": [{"containerPort": 80}]}]}}),
            &[
                "spec.containers[1].ports[0]: duplicate port definition with spec.containers[0].ports[0]",
            ],
        );
        check(
            json!({"metadata": {"annotations": {"container.apparmor.security.beta.kubernetes.io/c": "x"}},
                "spec": {"volumes": [{"name": "v", "gitRepo": {}}]}}),
            &[
                r#"metadata.annotations[container.apparmor.security.beta.kubernetes.io/c]: deprecated since v1.30; use the "appArmorProfile" field instead"#,
                "spec.volumes[0].gitRepo: deprecated in v1.11, and disabled by default in v1.33+",
            ],
        );
    }
}
