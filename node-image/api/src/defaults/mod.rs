//! The values that fields take when a client leaves them out, and quantities in canonical form, per
//! kind.

mod admission;
mod autoscaling;
mod cluster;
mod container;
mod devices;
mod network;
mod pod;
mod quantities;
mod storage;
mod workload;

use serde_json::{Value, json};

use crate::Kind;
use crate::walk::{Shape, Walk};

const RBAC_GROUP: &str = "rbac.authorization.k8s.io";

/// Fills what `obj` leaves out. Idempotent.
pub fn apply_defaults(kind: &Kind, obj: &mut Value) {
    if let Some(custom) = &kind.custom {
        return custom.apply_defaults(obj);
    }
    let rows = ROWS.iter().filter(|(group, name, _)| *group == kind.group && *name == kind.kind);
    for (_, _, rule) in rows {
        rule(obj);
    }
}

type Rule = fn(&mut Value);

/// Group, kind, rule.
const ROWS: &[(&str, &str, Rule)] = &[
    ("", "Endpoints", network::endpoints),
    ("", "LimitRange", cluster::limit_range),
    ("", "Namespace", cluster::namespace),
    ("", "Node", cluster::node),
    ("", "PersistentVolume", storage::persistent_volume),
    ("", "PersistentVolumeClaim", storage::persistent_volume_claim),
    ("", "Pod", pod::pod),
    ("", "PodTemplate", workload::pod_template),
    ("", "ReplicationController", workload::replication_controller),
    ("", "ResourceQuota", cluster::resource_quota),
    ("", "Secret", cluster::secret),
    ("", "Service", network::service),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicy", admission::policy),
    ("admissionregistration.k8s.io", "MutatingAdmissionPolicyBinding", admission::policy_binding),
    ("admissionregistration.k8s.io", "MutatingWebhookConfiguration", admission::mutating_webhooks),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicy", admission::policy),
    ("admissionregistration.k8s.io", "ValidatingAdmissionPolicyBinding", admission::policy_binding),
    ("admissionregistration.k8s.io", "ValidatingWebhookConfiguration", admission::webhooks),
    ("apiextensions.k8s.io", "CustomResourceDefinition", admission::custom_resource_definition),
    ("apiregistration.k8s.io", "APIService", admission::api_service),
    ("apps", "DaemonSet", workload::daemon_set),
    ("apps", "Deployment", workload::deployment),
    ("apps", "ReplicaSet", workload::replica_set),
    ("apps", "StatefulSet", workload::stateful_set),
    ("authentication.k8s.io", "TokenRequest", token_request),
    ("autoscaling", "HorizontalPodAutoscaler", autoscaling::horizontal_pod_autoscaler),
    ("batch", "CronJob", workload::cron_job),
    ("batch", "Job", workload::job),
    ("discovery.k8s.io", "EndpointSlice", network::endpoint_slice),
    ("flowcontrol.apiserver.k8s.io", "FlowSchema", cluster::flow_schema),
    ("flowcontrol.apiserver.k8s.io", "PriorityLevelConfiguration", cluster::priority_level),
    ("networking.k8s.io", "IngressClass", network::ingress_class),
    ("networking.k8s.io", "NetworkPolicy", network::network_policy),
    ("node.k8s.io", "RuntimeClass", cluster::runtime_class),
    ("rbac.authorization.k8s.io", "ClusterRoleBinding", role_binding),
    ("rbac.authorization.k8s.io", "RoleBinding", role_binding),
    ("resource.k8s.io", "ResourceClaim", devices::claim),
    ("resource.k8s.io", "ResourceClaimTemplate", devices::claim_template),
    ("scheduling.k8s.io", "PriorityClass", cluster::priority_class),
    ("storage.k8s.io", "CSIDriver", storage::csi_driver),
    ("storage.k8s.io", "CSIStorageCapacity", storage::csi_storage_capacity),
    ("storage.k8s.io", "StorageClass", storage::storage_class),
];

fn token_request(obj: &mut Value) {
    if let Some(spec) = obj.object_mut("spec") {
        spec.set_default("expirationSeconds", 3600);
    }
}

fn role_binding(obj: &mut Value) {
    if let Some(role) = obj.existing_mut("roleRef") {
        role.set_default_text("apiGroup", RBAC_GROUP);
    }
    for subject in obj.each_mut("subjects") {
        if matches!(subject.text("kind"), "User" | "Group") {
            subject.set_default_text("apiGroup", RBAC_GROUP);
        }
    }
}

/// Sets several fields of an object where they are absent.
fn set_all(object: &mut Value, defaults: Value) {
    if let Value::Object(defaults) = defaults {
        for (key, value) in defaults {
            object.set_default(&key, value);
        }
    }
}

/// The empty object.
fn empty() -> Value {
    json!({})
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::kind;

    #[test]
    fn rows_are_sorted_and_unique() {
        let names: Vec<_> = ROWS.iter().map(|(group, name, _)| (*group, *name)).collect();
        assert!(names.is_sorted());
        assert!(names.windows(2).all(|pair| pair[0] != pair[1]));
    }

    #[test]
    fn bindings() {
        let mut binding = json!({"roleRef": {"kind": "Role", "name": "r", "apiGroup": ""},
            "subjects": [{"kind": "User", "name": "u"}, {"kind": "ServiceAccount", "name": "s"}]});
        apply_defaults(&kind(RBAC_GROUP, "v1", "RoleBinding"), &mut binding);
        assert_eq!(binding["roleRef"]["apiGroup"], RBAC_GROUP);
        assert_eq!(binding["subjects"][0]["apiGroup"], RBAC_GROUP);
        assert!(!binding["subjects"][1].has("apiGroup"));
    }

    #[test]
    fn defaulting_twice_changes_nothing() {
        for (group, name, rule) in ROWS {
            let mut once = json!({"metadata": {"name": "a"}, "spec": {"template": {"spec": {"containers": [{}]}}}});
            rule(&mut once);
            let mut twice = once.clone();
            rule(&mut twice);
            assert_eq!(once, twice, "{group} {name}");
        }
    }
}
