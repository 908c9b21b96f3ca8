//! Where objects are stored: `/pods/<namespace>/<name>`, `/deployments.apps/<namespace>/<name>`,
//! `/nodes/<name>`. Keys that begin with `/-/` are no objects.

use kd_api::Kind;

/// The key of an object.
pub(crate) fn key_of(kind: &Kind, namespace: &str, name: &str) -> String {
    prefix_of(kind, namespace) + name
}

/// The prefix of a kind's objects, in one namespace or ("") in all.
pub(crate) fn prefix_of(kind: &Kind, namespace: &str) -> String {
    let (group, resource) = &kind.storage;
    let prefix = resource_prefix(group, resource);
    match kind.namespaced() && !namespace.is_empty() {
        true => format!("{prefix}{namespace}/"),
        false => prefix,
    }
}

/// The prefix of a resource's objects.
pub(crate) fn resource_prefix(group: &str, resource: &str) -> String {
    match group {
        "" => format!("/{resource}/"),
        group => format!("/{resource}.{group}/"),
    }
}
