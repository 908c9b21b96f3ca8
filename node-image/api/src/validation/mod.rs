//! What makes an object valid, per kind, in upstream's words and order.

mod access;
mod admission_policy;
mod admission_rules;
mod api_service;
mod certificate;
mod check;
mod cluster;
mod config;
mod container;
mod cron_job;
mod csi;
mod daemon_set;
mod definition;
mod device_claim;
mod device_slice;
mod disruption_budget;
mod flow_control;
mod horizontal_pod_autoscaler;
mod index_list;
mod job;
mod job_policy;
mod job_status;
mod metadata;
pub mod names;
mod network;
mod pod;
mod pod_update;
mod probe;
mod resources;
mod scheduling;
mod security;
mod service;
mod stateful_set;
mod storage;
mod volume;
mod webhook;
mod workload;

use serde_json::Value;

use crate::{FieldError, Kind, Path, custom};
use check::Errors;
pub(crate) use definition::{approval_of, structural_violations};
pub use definition::{field_path, unrecognized_formats};
use names::Problems;

type Create = fn(&mut Errors, &Value);
type Update = fn(&mut Errors, &Value, &Value);

/// The rules of one kind.
struct Rules {
    group: &'static str,
    kind: &'static str,
    name: fn(&str) -> Problems,
    create: Create,
    update: Update,
    /// Updates through subresources; a subresource without a row checks the metadata only.
    subresources: &'static [(&'static str, Update)],
}

/// What is wrong with a new object; nothing when it may be stored.
pub fn validate_create(kind: &Kind, obj: &Value) -> Vec<FieldError> {
    let rules = rules(kind);
    let name_rule = rules.map_or(names::dns_subdomain as fn(&str) -> Problems, |rules| rules.name);
    let mut errors = Errors::new();
    if let Some(definition) = &kind.custom {
        custom::validate_type(&mut errors, kind, obj);
        if errors.is_empty() {
            metadata::create(&mut errors, &obj["metadata"], kind.namespaced(), name_rule);
            metadata::allow_plain_finalizers(&mut errors);
            definition.validate(&mut errors, obj, None);
        }
        return errors;
    }
    metadata::create(&mut errors, &obj["metadata"], kind.namespaced(), name_rule);
    if let Some(rules) = rules {
        (rules.create)(&mut errors, obj);
    }
    errors
}

/// What is wrong with a change of `old` into `new`, through the main resource (`subresource` "") or
/// one of its subresources. `new` has been through `strategy::prepare_update`.
pub fn validate_update(
    kind: &Kind,
    subresource: &str,
    new: &Value,
    old: &Value,
) -> Vec<FieldError> {
    let mut errors = Errors::new();
    if let Some(definition) = &kind.custom {
        custom::validate_type(&mut errors, kind, new);
        if errors.is_empty() {
            metadata::update(&mut errors, &new["metadata"], &old["metadata"]);
            metadata::allow_plain_finalizers(&mut errors);
            match subresource {
                "status" => definition.validate_status(&mut errors, new, old),
                _ => definition.validate(&mut errors, new, Some(old)),
            }
        }
        return errors;
    }
    metadata::update(&mut errors, &new["metadata"], &old["metadata"]);
    let Some(rules) = rules(kind) else {
        return errors;
    };
    if subresource.is_empty() {
        (rules.update)(&mut errors, new, old);
    } else if let Some((_, rule)) = rules.subresources.iter().find(|(name, _)| *name == subresource)
    {
        rule(&mut errors, new, old);
    }
    errors
}

/// What is wrong with the metadata of an object inside of another.
pub(crate) fn metadata_of_embedded(errors: &mut Errors, metadata: &Value, path: &Path) {
    metadata::embedded(errors, metadata, path);
}

fn rules(kind: &Kind) -> Option<&'static Rules> {
    RULES.iter().find(|row| row.group == kind.group && row.kind == kind.kind)
}

fn nothing(_: &mut Errors, _: &Value) {}

/// A kind whose updates obey the rules of its creates.
macro_rules! row {
    ($group:literal, $kind:literal, $create:path) => {
        row!($group, $kind, $create, |errors, new, _| $create(errors, new))
    };
    ($group:literal, $kind:literal, $create:path, $update:expr) => {
        Rules {
            group: $group,
            kind: $kind,
            name: names::dns_subdomain,
            create: $create,
            update: $update,
            subresources: &[],
        }
    };
}

static RULES: &[Rules] = &[
    row!("", "ConfigMap", config::config_map, config::config_map_update),
    row!("", "Endpoints", service::endpoints),
    row!("", "Event", cluster::event),
    row!("", "LimitRange", cluster::limit_range),
    Rules {
        name: names::dns_label,
        subresources: &[
            ("status", cluster::namespace_status),
            ("finalize", |errors, new, _| cluster::namespace(errors, new)),
        ],
        ..row!("", "Namespace", cluster::namespace, |_, _, _| {})
    },
    Rules {
        subresources: &[("status", cluster::node_update)],
        ..row!("", "Node", cluster::node, cluster::node_update)
    },
    row!("", "PersistentVolume", storage::persistent_volume, storage::persistent_volume_update),
    row!(
        "",
        "PersistentVolumeClaim",
        storage::persistent_volume_claim,
        storage::persistent_volume_claim_update
    ),
    Rules {
        subresources: &[
            ("status", pod_update::status),
            ("ephemeralcontainers", pod_update::ephemeral_containers),
            ("resize", pod_update::resize),
        ],
        ..row!("", "Pod", pod::create, pod_update::main)
    },
    row!("", "PodTemplate", workload::pod_template),
    Rules {
        subresources: &[("status", workload::replica_set_status)],
        ..row!("", "ReplicationController", workload::replication_controller)
    },
    row!("", "ResourceQuota", cluster::resource_quota, cluster::resource_quota_update),
    row!("", "Secret", config::secret, config::secret_update),
    Rules {
        name: names::dns_1035_label,
        ..row!("", "Service", service::service, service::service_update)
    },
    row!("", "ServiceAccount", nothing),
    row!(
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicy",
        admission_policy::mutating,
        admission_policy::mutating_update
    ),
    row!(
        "admissionregistration.k8s.io",
        "MutatingAdmissionPolicyBinding",
        admission_policy::mutating_binding
    ),
    row!(
        "admissionregistration.k8s.io",
        "MutatingWebhookConfiguration",
        webhook::create,
        webhook::update
    ),
    Rules {
        subresources: &[("status", admission_policy::status)],
        ..row!(
            "admissionregistration.k8s.io",
            "ValidatingAdmissionPolicy",
            admission_policy::validating,
            admission_policy::validating_update
        )
    },
    row!(
        "admissionregistration.k8s.io",
        "ValidatingAdmissionPolicyBinding",
        admission_policy::validating_binding
    ),
    row!(
        "admissionregistration.k8s.io",
        "ValidatingWebhookConfiguration",
        webhook::create,
        webhook::update
    ),
    Rules {
        subresources: &[("status", definition::definition_status)],
        ..row!(
            "apiextensions.k8s.io",
            "CustomResourceDefinition",
            definition::definition,
            definition::definition_update
        )
    },
    Rules {
        name: names::path_segment,
        subresources: &[("status", api_service::status)],
        ..row!("apiregistration.k8s.io", "APIService", api_service::create)
    },
    row!(
        "apps",
        "ControllerRevision",
        stateful_set::controller_revision,
        stateful_set::controller_revision_update
    ),
    Rules {
        subresources: &[("status", daemon_set::status)],
        ..row!("apps", "DaemonSet", daemon_set::create, daemon_set::update)
    },
    Rules {
        subresources: &[("status", workload::deployment_status)],
        ..row!("apps", "Deployment", workload::deployment, workload::deployment_update)
    },
    Rules {
        subresources: &[("status", workload::replica_set_status)],
        ..row!("apps", "ReplicaSet", workload::replica_set, workload::replica_set_update)
    },
    Rules {
        name: names::dns_label,
        subresources: &[("status", stateful_set::status)],
        ..row!("apps", "StatefulSet", stateful_set::create, stateful_set::update)
    },
    Rules {
        subresources: &[("status", horizontal_pod_autoscaler::status)],
        ..row!("autoscaling", "HorizontalPodAutoscaler", horizontal_pod_autoscaler::create)
    },
    row!("batch", "CronJob", cron_job::create, cron_job::update),
    Rules {
        subresources: &[("status", job_status::update)],
        ..row!("batch", "Job", job::create, job::update)
    },
    Rules {
        name: names::path_segment,
        subresources: &[("status", certificate::status), ("approval", certificate::approval)],
        ..row!(
            "certificates.k8s.io",
            "CertificateSigningRequest",
            certificate::create,
            certificate::update
        )
    },
    row!("coordination.k8s.io", "Lease", cluster::lease),
    row!(
        "discovery.k8s.io",
        "EndpointSlice",
        service::endpoint_slice,
        service::endpoint_slice_update
    ),
    row!("events.k8s.io", "Event", cluster::event),
    Rules {
        subresources: &[("status", flow_control::status)],
        ..row!("flowcontrol.apiserver.k8s.io", "FlowSchema", flow_control::flow_schema)
    },
    Rules {
        subresources: &[("status", flow_control::status)],
        ..row!(
            "flowcontrol.apiserver.k8s.io",
            "PriorityLevelConfiguration",
            flow_control::priority_level
        )
    },
    Rules {
        name: network::address_name,
        ..row!("networking.k8s.io", "IPAddress", network::ip_address, network::ip_address_update)
    },
    Rules {
        subresources: &[("status", network::ingress_status)],
        ..row!("networking.k8s.io", "Ingress", network::ingress_create, network::ingress_update)
    },
    row!(
        "networking.k8s.io",
        "IngressClass",
        network::ingress_class,
        network::ingress_class_update
    ),
    row!("networking.k8s.io", "NetworkPolicy", network::network_policy),
    row!("networking.k8s.io", "ServiceCIDR", network::service_cidr, network::service_cidr_update),
    row!("node.k8s.io", "RuntimeClass", cluster::runtime_class, cluster::runtime_class_update),
    Rules {
        subresources: &[("status", disruption_budget::status)],
        ..row!("policy", "PodDisruptionBudget", disruption_budget::create)
    },
    Rules {
        name: names::path_segment,
        ..row!("rbac.authorization.k8s.io", "ClusterRole", access::cluster_role)
    },
    Rules {
        name: names::path_segment,
        ..row!(
            "rbac.authorization.k8s.io",
            "ClusterRoleBinding",
            access::cluster_role_binding,
            access::cluster_role_binding_update
        )
    },
    Rules { name: names::path_segment, ..row!("rbac.authorization.k8s.io", "Role", access::role) },
    Rules {
        name: names::path_segment,
        ..row!(
            "rbac.authorization.k8s.io",
            "RoleBinding",
            access::role_binding,
            access::role_binding_update
        )
    },
    row!("resource.k8s.io", "DeviceClass", device_claim::class),
    Rules {
        subresources: &[("status", device_claim::claim_status)],
        ..row!("resource.k8s.io", "ResourceClaim", device_claim::claim, device_claim::claim_update)
    },
    row!(
        "resource.k8s.io",
        "ResourceClaimTemplate",
        device_claim::template,
        device_claim::template_update
    ),
    row!("resource.k8s.io", "ResourceSlice", device_slice::create, device_slice::update),
    row!(
        "scheduling.k8s.io",
        "PriorityClass",
        cluster::priority_class,
        cluster::priority_class_update
    ),
    Rules {
        name: csi::object_name,
        ..row!("storage.k8s.io", "CSIDriver", csi::driver, csi::driver_update)
    },
    row!("storage.k8s.io", "CSINode", csi::node, csi::node_update),
    row!("storage.k8s.io", "CSIStorageCapacity", csi::capacity, csi::capacity_update),
    row!("storage.k8s.io", "StorageClass", storage::storage_class, storage::storage_class_update),
    Rules {
        subresources: &[("status", csi::attachment_status)],
        ..row!("storage.k8s.io", "VolumeAttachment", csi::attachment, csi::attachment_update)
    },
    row!(
        "storage.k8s.io",
        "VolumeAttributesClass",
        csi::attributes_class,
        csi::attributes_class_update
    ),
];

#[cfg(test)]
mod tests {
    use serde::Deserialize;
    use serde_json::json;

    use super::*;
    use crate::defaults::apply_defaults;
    use crate::table::{IncludeObject, table};
    use crate::testing::kind;
    use crate::{Kinds, strategy};

    #[test]
    fn rules_are_sorted_and_unique() {
        let names: Vec<_> = RULES.iter().map(|row| (row.group, row.kind)).collect();
        assert!(names.windows(2).all(|pair| pair[0] < pair[1]), "{names:?}");
    }

    /// What passes a create also passes an update that changes nothing, and one that only an old
    /// client would send: defaulted again.
    #[test]
    fn ordinary_objects_are_valid() {
        let kinds = Kinds::known();
        let mut count = 0;
        for document in serde_yaml::Deserializer::from_str(include_str!("ordinary_objects.yaml")) {
            let mut object = Value::deserialize(document).expect("YAML");
            let [version, name] =
                ["apiVersion", "kind"].map(|f| object[f].as_str().unwrap().to_owned());
            let kind = kinds.by_api_version(&version, &name).expect(&name).clone();
            apply_defaults(&kind, &mut object);
            strategy::prepare_create(&kind, &mut object);
            assert_eq!(texts(validate_create(&kind, &object)), [""; 0], "{name}");
            let mut again = object.clone();
            apply_defaults(&kind, &mut again);
            strategy::prepare_update(&kind, "", &mut again, &object);
            assert_eq!(again, object, "{name}");
            assert_eq!(texts(validate_update(&kind, "", &again, &object)), [""; 0], "{name}");
            count += 1;
        }
        assert!(count > 35);
    }

    fn texts(errors: Errors) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    /// Decoding lets no such object through; the rules do not rely on it.
    #[test]
    fn nothing_panics_on_misshapen_objects() {
        let now = jiff::Timestamp::UNIX_EPOCH;
        let odd = [
            json!({}),
            json!([]),
            json!({"metadata": 1, "spec": [], "status": "x", "subsets": {}, "webhooks": [1]}),
            json!({"metadata": [], "spec": {"template": 1, "selector": "", "ports": [[]], "containers": [7]}}),
            json!({"spec": {"containers": [{"ports": 1, "env": [null], "resources": {"limits": []}}], "volumes": [0]}}),
        ];
        for kind in Kinds::known().iter() {
            for object in &odd {
                let mut new = object.clone();
                apply_defaults(kind, &mut new);
                strategy::prepare_create(kind, &mut new);
                for old in &odd {
                    for subresource in ["", "status", "resize", "ephemeralcontainers", "approval"] {
                        let mut changed = new.clone();
                        strategy::prepare_update(kind, subresource, &mut changed, old);
                        validate_update(kind, subresource, &changed, old);
                    }
                }
                validate_create(kind, &new);
                table(kind, [&new], &Value::Null, IncludeObject::Object, true, now);
            }
        }
    }

    #[test]
    fn the_name_of_each_kind() {
        let check = |of: Kind, name: &str, valid: bool| {
            let errors =
                validate_create(&of, &json!({"metadata": {"name": name, "namespace": "n"}}));
            let bad = errors.iter().any(|e| e.field.to_string() == "metadata.name");
            assert_eq!(!bad, valid, "{} {name}", of.kind);
        };
        check(kind("", "v1", "ConfigMap"), "a.b", true);
        check(kind("", "v1", "Namespace"), "a.b", false);
        check(kind("", "v1", "Service"), "1a", false);
        check(kind("rbac.authorization.k8s.io", "v1", "Role"), "system:x", true);
        check(kind("rbac.authorization.k8s.io", "v1", "Role"), "a/b", false);
    }
}
