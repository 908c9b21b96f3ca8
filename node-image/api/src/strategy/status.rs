//! Which part of an object each endpoint may write: the main resource everything but the status,
//! the status subresource nothing else.

use serde_json::{Map, Value, json};

use super::copy_field;
use crate::Kind;
use crate::walk::{Shape, Walk};

/// The status of a new object, for kinds whose typed form is never without. Others start without.
fn initial(group: &str, kind: &str) -> Option<Value> {
    let status = match (group, kind) {
        ("", "Namespace") => json!({"phase": "Active"}),
        ("", "Pod" | "PersistentVolume" | "PersistentVolumeClaim") => json!({"phase": "Pending"}),
        ("", "Service") | ("networking.k8s.io", "Ingress") => json!({"loadBalancer": {}}),
        ("", "ReplicationController") | ("apps", "ReplicaSet") => json!({"replicas": 0}),
        ("apps", "StatefulSet") => json!({"replicas": 0, "availableReplicas": 0}),
        ("apps", "DaemonSet") => json!({
            "currentNumberScheduled": 0,
            "numberMisscheduled": 0,
            "desiredNumberScheduled": 0,
            "numberReady": 0,
        }),
        ("autoscaling", "HorizontalPodAutoscaler") => {
            json!({"currentMetrics": null, "desiredReplicas": 0})
        }
        ("policy", "PodDisruptionBudget") => json!({
            "disruptionsAllowed": 0,
            "currentHealthy": 0,
            "desiredHealthy": 0,
            "expectedPods": 0,
        }),
        ("storage.k8s.io", "VolumeAttachment") => json!({"attached": false}),
        ("apps", "Deployment")
        | ("batch", "Job" | "CronJob")
        | ("", "ResourceQuota")
        | ("certificates.k8s.io", "CertificateSigningRequest")
        | ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy")
        | ("flowcontrol.apiserver.k8s.io", _)
        | ("networking.k8s.io", "ServiceCIDR")
        | ("resource.k8s.io", "ResourceClaim")
        | ("apiregistration.k8s.io", "APIService") => json!({}),
        _ => return None,
    };
    Some(status)
}

/// Clears the status of a new object; nodes register with theirs.
pub(super) fn reset(kind: &Kind, obj: &mut Value) {
    if kind.subresource("status").is_none() || (kind.group.is_empty() && kind.kind == "Node") {
        return;
    }
    obj.take_key("status");
    if let Some(status) = initial(&kind.group, &kind.kind) {
        obj.put("status", status);
    }
}

/// An update of the main resource keeps the status.
pub(super) fn keep(kind: &Kind, new: &mut Value, old: &Value) {
    if kind.subresource("status").is_some() {
        copy_field(new, old, "status");
    }
}

/// An update of the status keeps the rest.
pub(super) fn take(kind: &Kind, new: &mut Value, old: &Value) {
    let Value::Object(fields) = new else { return };
    let served = ["apiVersion", "kind", "metadata", "status"];
    fields.retain(|key, _| served.contains(&key.as_str()));
    for (key, value) in old.as_object().into_iter().flatten() {
        if !served.contains(&key.as_str()) {
            fields.insert(key.clone(), value.clone());
        }
    }
    keep_metadata(kind, new, old);
    match (kind.group.as_str(), kind.kind.as_str()) {
        ("", "Pod") => keep_quality_of_service(new, old),
        ("certificates.k8s.io", "CertificateSigningRequest") => keep_decisions(new, old),
        _ => {}
    }
}

/// What of the metadata kinds keep that mean their status to be all that its writer changes.
const METADATA: &[&str] = &["annotations", "finalizers", "labels", "ownerReferences"];

/// Custom resources keep all metadata; most built-in kinds let a status writer touch labels and
/// annotations, as the kubelet does for its node.
fn keep_metadata(kind: &Kind, new: &mut Value, old: &Value) {
    let names = (kind.group.as_str(), kind.kind.as_str());
    if kind.custom.is_some() {
        let managed = new["metadata"].get("managedFields").cloned();
        let version = new["metadata"].get("resourceVersion").cloned();
        let mut metadata = old["metadata"].as_object().cloned().unwrap_or_else(Map::new);
        metadata.extend(managed.map(|m| ("managedFields".to_owned(), m)));
        metadata.extend(version.map(|v| ("resourceVersion".to_owned(), v)));
        new.put("metadata", metadata);
        return;
    }
    let fields: &[&str] = match names {
        ("", "Pod") => &["ownerReferences"],
        ("apps", "Deployment") => &["labels"],
        ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy")
        | ("apiregistration.k8s.io", "APIService")
        | ("flowcontrol.apiserver.k8s.io", _)
        | ("resource.k8s.io", "ResourceClaim")
        | ("storage.k8s.io", "VolumeAttachment") => METADATA,
        _ => &[],
    };
    if let Some(metadata) = new.object_mut("metadata") {
        fields.iter().for_each(|field| copy_field(metadata, &old["metadata"], field));
    }
}

fn keep_quality_of_service(new: &mut Value, old: &Value) {
    let class = old["status"].text("qosClass").to_owned();
    if let Some(status) = new.object_mut("status")
        && !class.is_empty()
    {
        status.put("qosClass", class);
    }
}

/// Approved and Denied are written through `approval` only.
fn keep_decisions(new: &mut Value, old: &Value) {
    let decision = |c: &&Value| matches!(c.text("type"), "Approved" | "Denied");
    let decided = old["status"].list("conditions").iter().filter(decision).cloned();
    let mut conditions: Vec<Value> = decided.collect();
    let others = new["status"].list("conditions").iter().filter(|c| !decision(c)).cloned();
    conditions.extend(others);
    if !conditions.is_empty()
        && let Some(status) = new.object_mut("status")
    {
        status.put("conditions", conditions);
    }
}
