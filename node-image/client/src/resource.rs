//! Which resource a request is about, and the well-known ones.

use std::borrow::Cow;

/// One served resource: enough to build paths and to name it.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Resource {
    /// API group, "" for core.
    pub group: Cow<'static, str>,
    /// API version, e.g. `v1`.
    pub version: Cow<'static, str>,
    /// `pods`.
    pub plural: Cow<'static, str>,
    /// `Pod`.
    pub kind: Cow<'static, str>,
    /// Whether its objects live in a namespace.
    pub namespaced: bool,
}

impl Resource {
    const fn known(
        group: &'static str,
        plural: &'static str,
        kind: &'static str,
        namespaced: bool,
    ) -> Resource {
        Resource {
            group: Cow::Borrowed(group),
            version: Cow::Borrowed("v1"),
            plural: Cow::Borrowed(plural),
            kind: Cow::Borrowed(kind),
            namespaced,
        }
    }

    /// The row of a typed kind of `k8s_openapi`.
    pub fn of<K: k8s_openapi::Resource>() -> Resource
    where
        K::Scope: ScopeName,
    {
        Resource {
            group: Cow::Borrowed(K::GROUP),
            version: Cow::Borrowed(K::VERSION),
            plural: Cow::Borrowed(K::URL_PATH_SEGMENT),
            kind: Cow::Borrowed(K::KIND),
            namespaced: K::Scope::NAMESPACED,
        }
    }

    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group.as_ref() {
            "" => self.version.to_string(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Whether both name the same objects, whatever the version.
    pub fn same(&self, other: &Resource) -> bool {
        self.plural == other.plural && self.group == other.group
    }

    /// The path of the collection, or of one object, or of its subresource. An empty namespace
    /// means all namespaces (or cluster scope), an empty name the collection.
    pub fn path(&self, namespace: &str, name: &str, subresource: &str) -> String {
        let mut path = match self.group.as_ref() {
            "" => format!("/api/{}", self.version),
            group => format!("/apis/{group}/{}", self.version),
        };
        if self.namespaced && !namespace.is_empty() {
            path.push_str("/namespaces/");
            path.push_str(namespace);
        }
        for part in [self.plural.as_ref(), name, subresource] {
            if !part.is_empty() {
                path.push('/');
                path.push_str(part);
            }
        }
        path
    }
}

/// Tells at compile time whether a typed kind is namespaced.
pub trait ScopeName {
    /// Whether objects live in a namespace.
    const NAMESPACED: bool;
}

impl ScopeName for k8s_openapi::NamespaceResourceScope {
    const NAMESPACED: bool = true;
}

impl ScopeName for k8s_openapi::ClusterResourceScope {
    const NAMESPACED: bool = false;
}

impl ScopeName for k8s_openapi::SubResourceScope {
    const NAMESPACED: bool = true;
}

/// The resources that components name in code.
pub mod resources {
    use std::borrow::Cow;

    use super::Resource;

    macro_rules! known {
        ($($name:ident = $group:literal $plural:literal $kind:literal $namespaced:literal;)*) => {$(
            #[doc = concat!("`", $plural, "`")]
            pub static $name: Resource = Resource::known($group, $plural, $kind, $namespaced);
        )*
            #[cfg(test)]
            pub(super) static ALL: &[&Resource] = &[$(&$name),*];
        };
    }

    /// `horizontalpodautoscalers`, in the version that has all metrics.
    pub static HORIZONTAL_POD_AUTOSCALERS: Resource = Resource {
        group: Cow::Borrowed("autoscaling"),
        version: Cow::Borrowed("v2"),
        plural: Cow::Borrowed("horizontalpodautoscalers"),
        kind: Cow::Borrowed("HorizontalPodAutoscaler"),
        namespaced: true,
    };

    known! {
        API_SERVICES = "apiregistration.k8s.io" "apiservices" "APIService" false;
        CERTIFICATE_SIGNING_REQUESTS = "certificates.k8s.io" "certificatesigningrequests" "CertificateSigningRequest" false;
        CLUSTER_ROLES = "rbac.authorization.k8s.io" "clusterroles" "ClusterRole" false;
        CONFIG_MAPS = "" "configmaps" "ConfigMap" true;
        CONTROLLER_REVISIONS = "apps" "controllerrevisions" "ControllerRevision" true;
        CRON_JOBS = "batch" "cronjobs" "CronJob" true;
        CSI_DRIVERS = "storage.k8s.io" "csidrivers" "CSIDriver" false;
        CSI_NODES = "storage.k8s.io" "csinodes" "CSINode" false;
        CSI_STORAGE_CAPACITIES = "storage.k8s.io" "csistoragecapacities" "CSIStorageCapacity" true;
        CUSTOM_RESOURCE_DEFINITIONS = "apiextensions.k8s.io" "customresourcedefinitions" "CustomResourceDefinition" false;
        DAEMON_SETS = "apps" "daemonsets" "DaemonSet" true;
        DEPLOYMENTS = "apps" "deployments" "Deployment" true;
        DEVICE_CLASSES = "resource.k8s.io" "deviceclasses" "DeviceClass" false;
        ENDPOINTS = "" "endpoints" "Endpoints" true;
        ENDPOINT_SLICES = "discovery.k8s.io" "endpointslices" "EndpointSlice" true;
        EVENTS = "" "events" "Event" true;
        EVENTS_V1 = "events.k8s.io" "events" "Event" true;
        IP_ADDRESSES = "networking.k8s.io" "ipaddresses" "IPAddress" false;
        JOBS = "batch" "jobs" "Job" true;
        LEASES = "coordination.k8s.io" "leases" "Lease" true;
        NAMESPACES = "" "namespaces" "Namespace" false;
        NODES = "" "nodes" "Node" false;
        PERSISTENT_VOLUMES = "" "persistentvolumes" "PersistentVolume" false;
        PERSISTENT_VOLUME_CLAIMS = "" "persistentvolumeclaims" "PersistentVolumeClaim" true;
        POD_DISRUPTION_BUDGETS = "policy" "poddisruptionbudgets" "PodDisruptionBudget" true;
        PODS = "" "pods" "Pod" true;
        PRIORITY_CLASSES = "scheduling.k8s.io" "priorityclasses" "PriorityClass" false;
        REPLICATION_CONTROLLERS = "" "replicationcontrollers" "ReplicationController" true;
        REPLICA_SETS = "apps" "replicasets" "ReplicaSet" true;
        RESOURCE_CLAIMS = "resource.k8s.io" "resourceclaims" "ResourceClaim" true;
        RESOURCE_CLAIM_TEMPLATES = "resource.k8s.io" "resourceclaimtemplates" "ResourceClaimTemplate" true;
        RESOURCE_QUOTAS = "" "resourcequotas" "ResourceQuota" true;
        RESOURCE_SLICES = "resource.k8s.io" "resourceslices" "ResourceSlice" false;
        SECRETS = "" "secrets" "Secret" true;
        SERVICES = "" "services" "Service" true;
        SERVICE_CIDRS = "networking.k8s.io" "servicecidrs" "ServiceCIDR" false;
        SERVICE_ACCOUNTS = "" "serviceaccounts" "ServiceAccount" true;
        STATEFUL_SETS = "apps" "statefulsets" "StatefulSet" true;
        STORAGE_CLASSES = "storage.k8s.io" "storageclasses" "StorageClass" false;
        SUBJECT_ACCESS_REVIEWS = "authorization.k8s.io" "subjectaccessreviews" "SubjectAccessReview" false;
        VOLUME_ATTACHMENTS = "storage.k8s.io" "volumeattachments" "VolumeAttachment" false;
        VOLUME_ATTRIBUTES_CLASSES = "storage.k8s.io" "volumeattributesclasses" "VolumeAttributesClass" false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths() {
        let check = |r: &Resource, namespace, name, subresource, expect: &str| {
            assert_eq!(r.path(namespace, name, subresource), expect);
        };
        check(&resources::PODS, "", "", "", "/api/v1/pods");
        check(&resources::PODS, "a", "b", "status", "/api/v1/namespaces/a/pods/b/status");
        check(&resources::NODES, "", "n", "", "/api/v1/nodes/n");
        check(&resources::NAMESPACES, "", "n", "finalize", "/api/v1/namespaces/n/finalize");
        check(&resources::LEASES, "a", "", "", "/apis/coordination.k8s.io/v1/namespaces/a/leases");
    }

    #[test]
    fn known_resources_are_unique() {
        let mut seen = std::collections::BTreeSet::new();
        for r in resources::ALL {
            assert!(seen.insert((r.group.clone(), r.plural.clone())), "{r:?} twice");
        }
        assert_eq!(Resource::of::<k8s_openapi::api::core::v1::Pod>(), resources::PODS);
        assert_eq!(Resource::of::<k8s_openapi::api::core::v1::Node>(), resources::NODES);
    }
}
