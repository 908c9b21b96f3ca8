//! What several plugins ask of a pod.

use kd_api::Object;
use serde_json::Value;

use crate::request::{AdmissionAttributes, Operation};

/// Marks the API object of a static pod.
pub(super) const MIRROR_ANNOTATION: &str = "kubernetes.io/config.mirror";

/// Whether a pod itself (no subresource) is created.
pub(super) fn is_creation(attributes: &AdmissionAttributes<'_>) -> bool {
    attributes.operation == Operation::Create && attributes.is("", "pods", "")
}

/// Whether a pod itself is created or updated.
pub(super) fn is_write(attributes: &AdmissionAttributes<'_>) -> bool {
    matches!(attributes.operation, Operation::Create | Operation::Update)
        && attributes.is("", "pods", "")
}

/// Whether the pod mirrors a static one.
pub(super) fn is_mirror(pod: &Value) -> bool {
    pod.annotation(MIRROR_ANNOTATION).is_some()
}

/// The lists of containers that share the fields of a Container.
pub(super) const CONTAINER_LISTS: [&str; 3] =
    ["initContainers", "containers", "ephemeralContainers"];

/// Init and main containers, to change.
pub(super) fn containers_mut(pod: &mut Value) -> impl Iterator<Item = &mut Value> {
    let spec = pod.get_mut("spec").and_then(Value::as_object_mut);
    spec.into_iter()
        .flatten()
        .filter(|(field, _)| matches!(field.as_str(), "initContainers" | "containers"))
        .filter_map(|(_, list)| list.as_array_mut())
        .flatten()
}

/// Whether the pod takes anything from Secrets of its namespace.
pub(super) fn refers_to(pod: &Value, what: Reference) -> bool {
    let (volume, key, source, projected) = match what {
        Reference::Secret => ("secret", "secretKeyRef", "secretRef", "secret"),
        Reference::ConfigMap => ("configMap", "configMapKeyRef", "configMapRef", "configMap"),
    };
    let spec = &pod["spec"];
    let container_refers = |container: &Value| {
        container.list_at(&["env"]).iter().any(|env| env.at(&["valueFrom", key]).is_some())
            || container.list_at(&["envFrom"]).iter().any(|env| env.get(source).is_some())
    };
    let volume_refers = |entry: &Value| {
        entry.get(volume).is_some()
            || entry.list_at(&["projected", "sources"]).iter().any(|s| s.get(projected).is_some())
    };
    (what == Reference::Secret && !spec.list_at(&["imagePullSecrets"]).is_empty())
        || CONTAINER_LISTS.iter().flat_map(|list| spec.list_at(&[list])).any(container_refers)
        || spec.list_at(&["volumes"]).iter().any(volume_refers)
}

/// What a pod can refer to in its namespace.
#[derive(Clone, Copy, PartialEq)]
pub(super) enum Reference {
    Secret,
    ConfigMap,
}
