//! The built-in kinds of v1.36, one row each, by group and in upstream's order of groups.

use super::{Kind, Scope, Subresource};

/// The groups of the built-in kinds, in the order in which upstream prefers them.
pub(super) const GROUP_ORDER: &[&str] = &[
    "",
    "apiregistration.k8s.io",
    "apps",
    "events.k8s.io",
    "authentication.k8s.io",
    "authorization.k8s.io",
    "autoscaling",
    "batch",
    "certificates.k8s.io",
    "networking.k8s.io",
    "policy",
    "rbac.authorization.k8s.io",
    "storage.k8s.io",
    "admissionregistration.k8s.io",
    "apiextensions.k8s.io",
    "scheduling.k8s.io",
    "coordination.k8s.io",
    "node.k8s.io",
    "discovery.k8s.io",
    "flowcontrol.apiserver.k8s.io",
    "resource.k8s.io",
    super::METRICS_GROUP,
];

const ALL: &[&str] =
    &["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
const NO_COLLECTION: &[&str] = &["create", "delete", "get", "list", "patch", "update", "watch"];
const CREATE: &[&str] = &["create"];
const READ: &[&str] = &["get", "list"];
const CHANGE: &[&str] = &["get", "patch", "update"];
const STREAM: &[&str] = &["create", "get"];
const PROXY: &[&str] = &["create", "delete", "get", "patch", "update"];
const GET: &[&str] = &["get"];
const UPDATE: &[&str] = &["update"];

const NAMESPACED: Scope = Scope::Namespaced;
const CLUSTER: Scope = Scope::Cluster;

/// A subresource: name, the body's (group, version, kind), verbs. An empty kind is the parent's
/// own; an empty version is the parent's group and version.
type Sub = (&'static str, (&'static str, &'static str, &'static str), &'static [&'static str]);

const SAME: (&str, &str, &str) = ("", "", "");
const STATUS: Sub = ("status", SAME, CHANGE);
const SCALE: Sub = ("scale", ("autoscaling", "v1", "Scale"), CHANGE);

/// The subresources of pods.
const POD: &[Sub] = &[
    ("attach", ("", "", "PodAttachOptions"), STREAM),
    ("binding", ("", "", "Binding"), CREATE),
    ("ephemeralcontainers", SAME, CHANGE),
    ("eviction", ("policy", "v1", "Eviction"), CREATE),
    ("exec", ("", "", "PodExecOptions"), STREAM),
    ("log", SAME, GET),
    ("portforward", ("", "", "PodPortForwardOptions"), STREAM),
    ("proxy", ("", "", "PodProxyOptions"), PROXY),
    ("resize", SAME, CHANGE),
    STATUS,
];
const NODE: &[Sub] = &[("proxy", ("", "", "NodeProxyOptions"), PROXY), STATUS];
const SERVICE: &[Sub] = &[("proxy", ("", "", "ServiceProxyOptions"), PROXY), STATUS];
const NAMESPACE: &[Sub] = &[("finalize", SAME, UPDATE), STATUS];
const TOKEN: &[Sub] = &[("token", ("authentication.k8s.io", "v1", "TokenRequest"), CREATE)];
const APPROVAL: &[Sub] = &[("approval", SAME, CHANGE), STATUS];

/// A row as it is written in the table.
struct Row {
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    scope: Scope,
    short_names: &'static [&'static str],
    categories: &'static [&'static str],
    verbs: &'static [&'static str],
    subresources: &'static [Sub],
    storage: (&'static str, &'static str),
}

const fn row(
    group: &'static str,
    version: &'static str,
    kind: &'static str,
    plural: &'static str,
    scope: Scope,
) -> Row {
    Row {
        group,
        version,
        kind,
        plural,
        scope,
        short_names: &[],
        categories: &[],
        verbs: ALL,
        subresources: &[],
        storage: (group, plural),
    }
}

impl Row {
    const fn short(mut self, names: &'static [&'static str]) -> Row {
        self.short_names = names;
        self
    }

    const fn category(mut self, names: &'static [&'static str]) -> Row {
        self.categories = names;
        self
    }

    const fn verbs(mut self, verbs: &'static [&'static str]) -> Row {
        self.verbs = verbs;
        self
    }

    const fn with(mut self, subresources: &'static [Sub]) -> Row {
        self.subresources = subresources;
        self
    }

    const fn stored_as(mut self, group: &'static str, plural: &'static str) -> Row {
        self.storage = (group, plural);
        self
    }
}

const WORKLOAD: &[&str] = &["all"];
const EXTENSION: &[&str] = &["api-extensions"];
const ADMISSION: &str = "admissionregistration.k8s.io";
const API_EXTENSIONS: &str = "apiextensions.k8s.io";
const API_REGISTRATION: &str = "apiregistration.k8s.io";
const AUTHENTICATION: &str = "authentication.k8s.io";
const AUTHORIZATION: &str = "authorization.k8s.io";
const CERTIFICATES: &str = "certificates.k8s.io";
const COORDINATION: &str = "coordination.k8s.io";
const DISCOVERY: &str = "discovery.k8s.io";
const EVENTS: &str = "events.k8s.io";
const FLOW_CONTROL: &str = "flowcontrol.apiserver.k8s.io";
const NETWORKING: &str = "networking.k8s.io";
const NODES: &str = "node.k8s.io";
const RBAC: &str = "rbac.authorization.k8s.io";
const DEVICES: &str = "resource.k8s.io";
const SCHEDULING: &str = "scheduling.k8s.io";
const STORAGE: &str = "storage.k8s.io";

#[rustfmt::skip]
const ROWS: &[Row] = &[
    row("", "v1", "Binding", "bindings", NAMESPACED).verbs(CREATE),
    row("", "v1", "ComponentStatus", "componentstatuses", CLUSTER).verbs(READ).short(&["cs"]),
    row("", "v1", "ConfigMap", "configmaps", NAMESPACED).short(&["cm"]),
    row("", "v1", "Endpoints", "endpoints", NAMESPACED).short(&["ep"]),
    row("", "v1", "Event", "events", NAMESPACED).short(&["ev"]),
    row("", "v1", "LimitRange", "limitranges", NAMESPACED).short(&["limits"]),
    row("", "v1", "Namespace", "namespaces", CLUSTER).verbs(NO_COLLECTION).short(&["ns"]).with(NAMESPACE),
    row("", "v1", "Node", "nodes", CLUSTER).short(&["no"]).with(NODE),
    row("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", NAMESPACED).short(&["pvc"]).with(&[STATUS]),
    row("", "v1", "PersistentVolume", "persistentvolumes", CLUSTER).short(&["pv"]).with(&[STATUS]),
    row("", "v1", "Pod", "pods", NAMESPACED).short(&["po"]).category(WORKLOAD).with(POD),
    row("", "v1", "PodTemplate", "podtemplates", NAMESPACED),
    row("", "v1", "ReplicationController", "replicationcontrollers", NAMESPACED).short(&["rc"]).category(WORKLOAD).with(&[SCALE, STATUS]),
    row("", "v1", "ResourceQuota", "resourcequotas", NAMESPACED).short(&["quota"]).with(&[STATUS]),
    row("", "v1", "Secret", "secrets", NAMESPACED),
    row("", "v1", "ServiceAccount", "serviceaccounts", NAMESPACED).short(&["sa"]).with(TOKEN),
    row("", "v1", "Service", "services", NAMESPACED).short(&["svc"]).category(WORKLOAD).with(SERVICE),

    row(API_REGISTRATION, "v1", "APIService", "apiservices", CLUSTER).category(EXTENSION).with(&[STATUS]),

    row("apps", "v1", "ControllerRevision", "controllerrevisions", NAMESPACED),
    row("apps", "v1", "DaemonSet", "daemonsets", NAMESPACED).short(&["ds"]).category(WORKLOAD).with(&[STATUS]),
    row("apps", "v1", "Deployment", "deployments", NAMESPACED).short(&["deploy"]).category(WORKLOAD).with(&[SCALE, STATUS]),
    row("apps", "v1", "ReplicaSet", "replicasets", NAMESPACED).short(&["rs"]).category(WORKLOAD).with(&[SCALE, STATUS]),
    row("apps", "v1", "StatefulSet", "statefulsets", NAMESPACED).short(&["sts"]).category(WORKLOAD).with(&[SCALE, STATUS]),

    row(EVENTS, "v1", "Event", "events", NAMESPACED).short(&["ev"]).stored_as("", "events"),

    row(AUTHENTICATION, "v1", "SelfSubjectReview", "selfsubjectreviews", CLUSTER).verbs(CREATE),
    row(AUTHENTICATION, "v1", "TokenReview", "tokenreviews", CLUSTER).verbs(CREATE),

    row(AUTHORIZATION, "v1", "LocalSubjectAccessReview", "localsubjectaccessreviews", NAMESPACED).verbs(CREATE),
    row(AUTHORIZATION, "v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", CLUSTER).verbs(CREATE),
    row(AUTHORIZATION, "v1", "SelfSubjectRulesReview", "selfsubjectrulesreviews", CLUSTER).verbs(CREATE),
    row(AUTHORIZATION, "v1", "SubjectAccessReview", "subjectaccessreviews", CLUSTER).verbs(CREATE),

    row("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", NAMESPACED).short(&["hpa"]).category(WORKLOAD).with(&[STATUS]),
    row("autoscaling", "v1", "HorizontalPodAutoscaler", "horizontalpodautoscalers", NAMESPACED).short(&["hpa"]).category(WORKLOAD).with(&[STATUS]),

    row("batch", "v1", "CronJob", "cronjobs", NAMESPACED).short(&["cj"]).category(WORKLOAD).with(&[STATUS]),
    row("batch", "v1", "Job", "jobs", NAMESPACED).category(WORKLOAD).with(&[STATUS]),

    row(CERTIFICATES, "v1", "CertificateSigningRequest", "certificatesigningrequests", CLUSTER).short(&["csr"]).with(APPROVAL),

    row(NETWORKING, "v1", "IngressClass", "ingressclasses", CLUSTER),
    row(NETWORKING, "v1", "Ingress", "ingresses", NAMESPACED).short(&["ing"]).with(&[STATUS]),
    row(NETWORKING, "v1", "IPAddress", "ipaddresses", CLUSTER).short(&["ip"]),
    row(NETWORKING, "v1", "NetworkPolicy", "networkpolicies", NAMESPACED).short(&["netpol"]),
    row(NETWORKING, "v1", "ServiceCIDR", "servicecidrs", CLUSTER).with(&[STATUS]),

    row("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", NAMESPACED).short(&["pdb"]).with(&[STATUS]),

    row(RBAC, "v1", "ClusterRoleBinding", "clusterrolebindings", CLUSTER),
    row(RBAC, "v1", "ClusterRole", "clusterroles", CLUSTER),
    row(RBAC, "v1", "RoleBinding", "rolebindings", NAMESPACED),
    row(RBAC, "v1", "Role", "roles", NAMESPACED),

    row(STORAGE, "v1", "CSIDriver", "csidrivers", CLUSTER),
    row(STORAGE, "v1", "CSINode", "csinodes", CLUSTER),
    row(STORAGE, "v1", "CSIStorageCapacity", "csistoragecapacities", NAMESPACED),
    row(STORAGE, "v1", "StorageClass", "storageclasses", CLUSTER).short(&["sc"]),
    row(STORAGE, "v1", "VolumeAttachment", "volumeattachments", CLUSTER).with(&[STATUS]),
    row(STORAGE, "v1", "VolumeAttributesClass", "volumeattributesclasses", CLUSTER).short(&["vac"]),

    row(ADMISSION, "v1", "MutatingAdmissionPolicy", "mutatingadmissionpolicies", CLUSTER).category(EXTENSION),
    row(ADMISSION, "v1", "MutatingAdmissionPolicyBinding", "mutatingadmissionpolicybindings", CLUSTER).category(EXTENSION),
    row(ADMISSION, "v1", "MutatingWebhookConfiguration", "mutatingwebhookconfigurations", CLUSTER).category(EXTENSION),
    row(ADMISSION, "v1", "ValidatingAdmissionPolicy", "validatingadmissionpolicies", CLUSTER).category(EXTENSION).with(&[STATUS]),
    row(ADMISSION, "v1", "ValidatingAdmissionPolicyBinding", "validatingadmissionpolicybindings", CLUSTER).category(EXTENSION),
    row(ADMISSION, "v1", "ValidatingWebhookConfiguration", "validatingwebhookconfigurations", CLUSTER).category(EXTENSION),

    row(API_EXTENSIONS, "v1", "CustomResourceDefinition", "customresourcedefinitions", CLUSTER).short(&["crd", "crds"]).category(EXTENSION).with(&[STATUS]),

    row(SCHEDULING, "v1", "PriorityClass", "priorityclasses", CLUSTER).short(&["pc"]),

    row(COORDINATION, "v1", "Lease", "leases", NAMESPACED),

    row(NODES, "v1", "RuntimeClass", "runtimeclasses", CLUSTER),

    row(DISCOVERY, "v1", "EndpointSlice", "endpointslices", NAMESPACED),

    row(FLOW_CONTROL, "v1", "FlowSchema", "flowschemas", CLUSTER).with(&[STATUS]),
    row(FLOW_CONTROL, "v1", "PriorityLevelConfiguration", "prioritylevelconfigurations", CLUSTER).with(&[STATUS]),

    row(DEVICES, "v1", "DeviceClass", "deviceclasses", CLUSTER),
    row(DEVICES, "v1", "ResourceClaim", "resourceclaims", NAMESPACED).with(&[STATUS]),
    row(DEVICES, "v1", "ResourceClaimTemplate", "resourceclaimtemplates", NAMESPACED),
    row(DEVICES, "v1", "ResourceSlice", "resourceslices", CLUSTER),
];

/// All kinds that are known.
pub(super) fn known() -> Vec<Kind> {
    ROWS.iter().map(Kind::from).collect()
}

impl From<&Row> for Kind {
    fn from(row: &Row) -> Kind {
        Kind {
            group: row.group.into(),
            version: row.version.into(),
            kind: row.kind.into(),
            list_kind: format!("{}List", row.kind),
            plural: row.plural.into(),
            singular: row.kind.to_lowercase(),
            short_names: owned(row.short_names),
            categories: owned(row.categories),
            scope: row.scope,
            verbs: owned(row.verbs),
            subresources: row.subresources.iter().map(|sub| subresource(row, sub)).collect(),
            storage: (row.storage.0.into(), row.storage.1.into()),
            custom: None,
        }
    }
}

fn subresource(row: &Row, &(name, (group, version, kind), verbs): &Sub) -> Subresource {
    let (group, version) =
        if version.is_empty() { (row.group, row.version) } else { (group, version) };
    let kind = if kind.is_empty() { row.kind } else { kind };
    Subresource {
        name: name.into(),
        body: (group.into(), version.into(), kind.into()),
        verbs: owned(verbs),
    }
}

fn owned(names: &[&str]) -> Vec<String> {
    names.iter().map(|&name| name.to_owned()).collect()
}
