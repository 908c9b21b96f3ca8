//! What the server itself does to an object at a write, before it is validated: the parts a client
//! may not touch here are reset, generations count, derived fields are filled.

mod daemon_set;
mod generation;
mod job;
mod pod;
mod secret;
mod service;
mod status;

pub(crate) use generation::same;
pub use pod::{merge_resize, qos_class};

use serde_json::{Value, json};

use crate::walk::{Shape, Walk};
use crate::{Kind, custom};

/// Prepares a new object for its create. Its uid and name are set already.
pub fn prepare_create(kind: &Kind, obj: &mut Value) {
    if let Some(metadata) = obj.existing_mut("metadata") {
        for field in ["deletionTimestamp", "deletionGracePeriodSeconds", "selfLink"] {
            metadata.take_key(field);
        }
    }
    status::reset(kind, obj);
    generation::start(kind, obj);
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Namespace") => namespace_finalizer(obj),
        ("", "Pod") => pod::prepare_create(obj),
        ("", "Secret") => secret::merge_string_data(obj),
        ("", "Service") => service::prepare_create(obj),
        ("apiregistration.k8s.io", "APIService") => local_is_available(obj),
        ("apps", "DaemonSet") => daemon_set::prepare_create(obj),
        ("apps", "StatefulSet") => drop_max_unavailable(obj, &Value::Null),
        ("apiextensions.k8s.io", "CustomResourceDefinition") => custom::prepare_create(obj),
        ("batch", "Job") => job::generate_selector(obj),
        _ => {}
    }
}

/// Prepares `new` for the update of `old` through the main resource (`subresource` "") or one of
/// its subresources.
pub fn prepare_update(kind: &Kind, subresource: &str, new: &mut Value, old: &Value) {
    keep_metadata(new, old);
    let names = (kind.group.as_str(), kind.kind.as_str());
    match subresource {
        "" => {
            status::keep(kind, new, old);
            match names {
                ("", "Namespace") => keep_namespace_finalizers(new, old),
                ("", "Secret") => secret::merge_string_data(new),
                ("", "Service") => service::prepare_update(new, old),
                ("apps", "DaemonSet") => daemon_set::prepare_update(new, old),
                ("certificates.k8s.io", "CertificateSigningRequest") => {
                    copy_field(new, old, "spec")
                }
                ("apps", "StatefulSet") => drop_max_unavailable(new, old),
                ("apiextensions.k8s.io", "CustomResourceDefinition") => custom::prepare_update(new),
                _ => {}
            }
        }
        "status" => status::take(kind, new, old),
        "ephemeralcontainers" => pod::keep_all_but_ephemeral_containers(new, old),
        "resize" => pod::keep_all_but_resources(new, old),
        "finalize" => copy_field(new, old, "status"),
        "approval" => keep_request(new, old),
        _ => {}
    }
    // Which node a pod is on is not what its user asks for.
    if subresource != "binding" {
        generation::count(kind, new, old);
    }
}

/// What a client cannot change about an object, whatever it sends: it may leave these out.
fn keep_metadata(new: &mut Value, old: &Value) {
    let Some(metadata) = new.object_mut("metadata") else { return };
    for field in
        ["creationTimestamp", "generation", "deletionTimestamp", "deletionGracePeriodSeconds"]
    {
        copy_field(metadata, &old["metadata"], field);
    }
    metadata.take_key("selfLink");
    if metadata.text("uid").is_empty() {
        copy_field(metadata, &old["metadata"], "uid");
    }
}

/// Makes `field` what it was.
fn copy_field(new: &mut Value, old: &Value, field: &str) {
    match &old[field] {
        Value::Null => drop(new.take_key(field)),
        value => new.put(field, value.clone()),
    }
}

fn namespace_finalizer(obj: &mut Value) {
    let Some(spec) = obj.object_mut("spec") else { return };
    let mut finalizers = spec.list("finalizers").to_vec();
    if !finalizers.iter().any(|f| f == "kubernetes") {
        finalizers.push(json!("kubernetes"));
    }
    spec.put("finalizers", finalizers);
}

fn keep_namespace_finalizers(new: &mut Value, old: &Value) {
    if let Some(spec) = new.object_mut("spec") {
        copy_field(spec, &old["spec"], "finalizers");
    }
}

/// A field whose feature is off in this version: it is kept only where it is in use already.
fn drop_max_unavailable(new: &mut Value, old: &Value) {
    let path = ["updateStrategy", "rollingUpdate"];
    let used = path.iter().fold(&old["spec"], |value, field| &value[*field]);
    if used.has("maxUnavailable") {
        return;
    }
    if let Some(rolling) = new.reach_mut(&["spec", path[0], path[1]]) {
        rolling.take_key("maxUnavailable");
    }
}

/// A group that this server serves itself is there at once.
fn local_is_available(obj: &mut Value) {
    if obj["spec"].has("service") {
        return;
    }
    let now = obj["metadata"]["creationTimestamp"].clone();
    if let Some(status) = obj.object_mut("status") {
        let condition = json!({
            "type": "Available",
            "status": "True",
            "lastTransitionTime": now,
            "reason": "Local",
            "message": "Local APIServices are always available",
        });
        status.put("conditions", json!([condition]));
    }
}

/// An approval changes the conditions only.
fn keep_request(new: &mut Value, old: &Value) {
    let conditions = new["status"]["conditions"].clone();
    copy_field(new, old, "spec");
    copy_field(new, old, "status");
    if let Some(status) = new.object_mut("status") {
        match conditions {
            Value::Null => drop(status.take_key("conditions")),
            conditions => status.put("conditions", conditions),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::kind;

    #[test]
    fn a_create_starts_clean() {
        let mut obj = json!({"metadata": {"name": "a", "deletionGracePeriodSeconds": 5},
            "spec": {"replicas": 1}, "status": {"replicas": 9}});
        prepare_create(&kind("apps", "v1", "Deployment"), &mut obj);
        assert_eq!(
            obj,
            json!({"metadata": {"name": "a", "generation": 1}, "spec": {"replicas": 1}, "status": {}})
        );
    }

    #[test]
    fn an_update_keeps_the_status_and_counts() {
        let deployment = kind("apps", "v1", "Deployment");
        let old = json!({"metadata": {"name": "a", "uid": "u", "generation": 4, "creationTimestamp": "t"},
            "spec": {"replicas": 1}, "status": {"replicas": 9}});
        let mut new = json!({"metadata": {"name": "a", "generation": 1},
            "spec": {"replicas": 2}, "status": {"replicas": 1}});
        prepare_update(&deployment, "", &mut new, &old);
        assert_eq!(
            new,
            json!({"metadata": {"name": "a", "uid": "u", "generation": 5, "creationTimestamp": "t"},
                "spec": {"replicas": 2}, "status": {"replicas": 9}})
        );
        let mut status =
            json!({"metadata": {"name": "a"}, "spec": {"replicas": 7}, "status": {"replicas": 3}});
        prepare_update(&deployment, "status", &mut status, &old);
        assert_eq!(status["spec"], old["spec"]);
        assert_eq!(status["status"], json!({"replicas": 3}));
        assert_eq!(status["metadata"]["generation"], 4);
    }

    #[test]
    fn namespaces_are_finalized_by_the_server() {
        let namespace = kind("", "v1", "Namespace");
        let mut obj = json!({"metadata": {"name": "a"}});
        prepare_create(&namespace, &mut obj);
        assert_eq!(obj["spec"]["finalizers"], json!(["kubernetes"]));
        assert_eq!(obj["status"], json!({"phase": "Active"}));
        let mut new = json!({"metadata": {"name": "a"}, "spec": {}});
        prepare_update(&namespace, "", &mut new, &obj);
        assert_eq!(new["spec"], obj["spec"]);
        let mut finalized = json!({"metadata": {"name": "a"}, "spec": {"finalizers": []}});
        prepare_update(&namespace, "finalize", &mut finalized, &obj);
        assert_eq!(finalized["spec"]["finalizers"], json!([]));
    }
}
