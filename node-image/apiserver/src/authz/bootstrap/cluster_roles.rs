//! Default ClusterRoles and their bindings, besides the controllers'.

use super::RuleRow::{Named, Paths, Resources};
use super::SubjectRow::{Group, User};
use super::{BindingRow, EVENTS, READ, READ_WRITE, RoleRow, WRITE, role};

const CERTIFICATES: &str = "certificates.k8s.io";

pub(super) const ROLES: &[RoleRow] = &[
    RoleRow { name: "admin", aggregated_to: "", collects: "admin", rules: &[] },
    role("cluster-admin", &[Resources("*", "*", "*"), Paths("*", "*")]),
    RoleRow { name: "edit", aggregated_to: "admin", collects: "edit", rules: &[] },
    RoleRow {
        name: "system:aggregate-to-admin",
        aggregated_to: "admin",
        collects: "",
        rules: &[
            Resources("create", "authorization.k8s.io", "localsubjectaccessreviews"),
            Resources(READ_WRITE, "rbac.authorization.k8s.io", "rolebindings roles"),
        ],
    },
    RoleRow {
        name: "system:aggregate-to-edit",
        aggregated_to: "edit",
        collects: "",
        rules: &[
            Resources(
                READ,
                "core",
                "pods/attach pods/exec pods/portforward pods/proxy secrets services/proxy",
            ),
            Resources("impersonate", "core", "serviceaccounts"),
            Resources(WRITE, "core", "pods pods/attach pods/exec pods/portforward pods/proxy"),
            Resources("create", "core", "pods/eviction"),
            Resources(
                WRITE,
                "core",
                "configmaps events persistentvolumeclaims replicationcontrollers \
                 replicationcontrollers/scale secrets serviceaccounts services services/proxy",
            ),
            Resources("create", "core", "serviceaccounts/token"),
            Resources(
                WRITE,
                "apps",
                "daemonsets deployments deployments/rollback deployments/scale replicasets \
                 replicasets/scale statefulsets statefulsets/scale",
            ),
            Resources(WRITE, "autoscaling", "horizontalpodautoscalers"),
            Resources(WRITE, "batch", "cronjobs jobs"),
            Resources(
                WRITE,
                "extensions",
                "daemonsets deployments deployments/rollback deployments/scale ingresses \
                 networkpolicies replicasets replicasets/scale replicationcontrollers/scale",
            ),
            Resources(WRITE, "policy", "poddisruptionbudgets"),
            Resources(WRITE, "networking.k8s.io", "ingresses networkpolicies"),
            Resources(READ_WRITE, "coordination.k8s.io", "leases"),
            Resources(WRITE, "resource.k8s.io", "resourceclaims resourceclaimtemplates"),
        ],
    },
    RoleRow {
        name: "system:aggregate-to-view",
        aggregated_to: "view",
        collects: "",
        rules: &[
            Resources(
                READ,
                "core",
                "configmaps endpoints persistentvolumeclaims persistentvolumeclaims/status pods \
                 replicationcontrollers replicationcontrollers/scale serviceaccounts services \
                 services/status",
            ),
            Resources(
                READ,
                "core",
                "bindings events limitranges namespaces/status pods/log pods/status \
                 replicationcontrollers/status resourcequotas resourcequotas/status",
            ),
            Resources(READ, "core", "namespaces"),
            Resources(READ, "discovery.k8s.io", "endpointslices"),
            Resources(
                READ,
                "apps",
                "controllerrevisions daemonsets daemonsets/status deployments deployments/scale \
                 deployments/status replicasets replicasets/scale replicasets/status statefulsets \
                 statefulsets/scale statefulsets/status",
            ),
            Resources(
                READ,
                "autoscaling",
                "horizontalpodautoscalers horizontalpodautoscalers/status",
            ),
            Resources(READ, "batch", "cronjobs cronjobs/status jobs jobs/status"),
            Resources(
                READ,
                "extensions",
                "daemonsets daemonsets/status deployments deployments/scale deployments/status \
                 ingresses ingresses/status networkpolicies replicasets replicasets/scale \
                 replicasets/status replicationcontrollers/scale",
            ),
            Resources(READ, "policy", "poddisruptionbudgets poddisruptionbudgets/status"),
            Resources(READ, "networking.k8s.io", "ingresses ingresses/status networkpolicies"),
            Resources(
                READ,
                "resource.k8s.io",
                "resourceclaims resourceclaims/status resourceclaimtemplates",
            ),
        ],
    },
    role(
        "system:auth-delegator",
        &[
            Resources("create", "authentication.k8s.io", "tokenreviews"),
            Resources("create", "authorization.k8s.io", "subjectaccessreviews"),
        ],
    ),
    role(
        "system:basic-user",
        &[
            Resources(
                "create",
                "authorization.k8s.io",
                "selfsubjectaccessreviews selfsubjectrulesreviews",
            ),
            Resources("create", "authentication.k8s.io", "selfsubjectreviews"),
        ],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:nodeclient",
        &[Resources("create", CERTIFICATES, "certificatesigningrequests/nodeclient")],
    ),
    role(
        "system:certificates.k8s.io:certificatesigningrequests:selfnodeclient",
        &[Resources("create", CERTIFICATES, "certificatesigningrequests/selfnodeclient")],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-approver",
        &[Named("approve", CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-client")],
    ),
    role(
        "system:certificates.k8s.io:kube-apiserver-client-kubelet-approver",
        &[Named("approve", CERTIFICATES, "signers", "kubernetes.io/kube-apiserver-client-kubelet")],
    ),
    role(
        "system:certificates.k8s.io:kubelet-serving-approver",
        &[Named("approve", CERTIFICATES, "signers", "kubernetes.io/kubelet-serving")],
    ),
    role(
        "system:certificates.k8s.io:legacy-unknown-approver",
        &[Named("approve", CERTIFICATES, "signers", "kubernetes.io/legacy-unknown")],
    ),
    role(
        "system:discovery",
        &[Paths(
            "get",
            "/api /api/* /apis /apis/* /healthz /livez /openapi /openapi/* /readyz /version /version/",
        )],
    ),
    role(
        "system:heapster",
        &[
            Resources(READ, "core", "events namespaces nodes pods"),
            Resources(READ, "extensions", "deployments"),
        ],
    ),
    role("system:kube-aggregator", &[Resources(READ, "core", "endpoints services")]),
    role(
        "system:kube-controller-manager",
        &[
            EVENTS,
            Resources("create", "coordination.k8s.io", "leases"),
            Named("get update", "coordination.k8s.io", "leases", "kube-controller-manager"),
            Resources("create", "core", "secrets serviceaccounts"),
            Resources("delete", "core", "secrets"),
            Resources("get", "core", "configmaps namespaces secrets serviceaccounts"),
            Resources("update", "core", "secrets serviceaccounts"),
            Resources("create", "authentication.k8s.io", "tokenreviews"),
            Resources("create", "authorization.k8s.io", "subjectaccessreviews"),
            Resources("list watch", "*", "*"),
            Resources("create", "core", "serviceaccounts/token"),
        ],
    ),
    role("system:kube-dns", &[Resources("list watch", "core", "endpoints services")]),
    role(
        "system:kube-scheduler",
        &[
            EVENTS,
            Resources("create", "coordination.k8s.io", "leases"),
            Named("get list update watch", "coordination.k8s.io", "leases", "kube-scheduler"),
            Resources(READ_WRITE, "coordination.k8s.io", "leasecandidates"),
            Resources(READ, "core", "nodes"),
            Resources("delete get list watch", "core", "pods"),
            Resources("create", "core", "bindings pods/binding"),
            Resources("patch update", "core", "pods/status"),
            Resources(READ, "core", "replicationcontrollers services"),
            Resources(READ, "apps extensions", "replicasets"),
            Resources(READ, "apps", "statefulsets"),
            Resources(READ, "policy", "poddisruptionbudgets"),
            Resources(READ, "core", "persistentvolumeclaims persistentvolumes"),
            Resources("create", "authentication.k8s.io", "tokenreviews"),
            Resources("create", "authorization.k8s.io", "subjectaccessreviews"),
            Resources(READ, "storage.k8s.io", "csinodes"),
            Resources(READ, "storage.k8s.io", "volumeattachments"),
            Resources(READ, "core", "namespaces"),
            Resources(READ, "storage.k8s.io", "csidrivers"),
            Resources(READ, "storage.k8s.io", "csistoragecapacities"),
            Resources(READ, "resource.k8s.io", "deviceclasses"),
            Resources("get list patch update watch", "resource.k8s.io", "resourceclaims"),
            Resources("get list patch update watch", "resource.k8s.io", "resourceclaims/status"),
            Resources("patch update", "resource.k8s.io", "resourceclaims/binding"),
            Resources("get list patch update watch", "core", "pods/finalizers"),
            Resources(READ, "resource.k8s.io", "resourceslices"),
        ],
    ),
    role(
        "system:kubelet-api-admin",
        &[
            Resources(READ, "core", "nodes"),
            Resources("proxy", "core", "nodes"),
            Resources(
                "*",
                "core",
                "nodes/checkpoint nodes/configz nodes/healthz nodes/log nodes/metrics nodes/pods \
                 nodes/proxy nodes/stats",
            ),
        ],
    ),
    RoleRow {
        name: "system:aggregated-metrics-reader",
        aggregated_to: "view",
        collects: "",
        rules: &[Resources(READ, "metrics.k8s.io", "nodes pods")],
    },
    role(
        "system:monitoring",
        &[Paths(
            "get",
            "/healthz /healthz/* /livez /livez/* /metrics /metrics/slis /readyz /readyz/*",
        )],
    ),
    role(
        "system:node",
        &[
            Resources("create", "authentication.k8s.io", "tokenreviews"),
            Resources(
                "create",
                "authorization.k8s.io",
                "localsubjectaccessreviews subjectaccessreviews",
            ),
            Resources(READ, "core", "services"),
            Resources("create get list watch", "core", "nodes"),
            Resources("patch update", "core", "nodes/status"),
            Resources("patch update", "core", "nodes"),
            Resources("create patch update", "core", "events"),
            Resources(READ, "core", "pods"),
            Resources("create delete", "core", "pods"),
            Resources("patch update", "core", "pods/status"),
            Resources("create", "core", "pods/eviction"),
            Resources(READ, "core", "configmaps secrets"),
            Resources("get", "core", "persistentvolumeclaims persistentvolumes"),
            Resources("get", "core", "endpoints"),
            Resources("create get list watch", CERTIFICATES, "certificatesigningrequests"),
            Resources("create delete get patch update", "coordination.k8s.io", "leases"),
            Resources("get", "storage.k8s.io", "volumeattachments"),
            Resources("create", "core", "serviceaccounts/token"),
            Resources("get patch update", "core", "persistentvolumeclaims/status"),
            Resources(READ, "storage.k8s.io", "csidrivers"),
            Resources("create delete get patch update", "storage.k8s.io", "csinodes"),
            Resources(READ, "node.k8s.io", "runtimeclasses"),
            Resources("get", "resource.k8s.io", "resourceclaims"),
            Resources("deletecollection", "resource.k8s.io", "resourceslices"),
        ],
    ),
    role(
        "system:node-bootstrapper",
        &[Resources("create get list watch", CERTIFICATES, "certificatesigningrequests")],
    ),
    role(
        "system:node-problem-detector",
        &[Resources("get", "core", "nodes"), Resources("patch", "core", "nodes/status"), EVENTS],
    ),
    role(
        "system:node-proxier",
        &[
            Resources("list watch", "core", "endpoints services"),
            Resources(READ, "core", "nodes"),
            EVENTS,
            Resources("list watch", "discovery.k8s.io", "endpointslices"),
            Resources("list watch", "networking.k8s.io", "servicecidrs"),
        ],
    ),
    role(
        "system:persistent-volume-provisioner",
        &[
            Resources("create delete get list watch", "core", "persistentvolumes"),
            Resources("get list update watch", "core", "persistentvolumeclaims"),
            Resources(READ, "storage.k8s.io", "storageclasses"),
            Resources("watch", "core", "events"),
            EVENTS,
        ],
    ),
    role(
        "system:public-info-viewer",
        &[Paths("get", "/healthz /livez /readyz /version /version/")],
    ),
    role(
        "system:service-account-issuer-discovery",
        &[Paths(
            "get",
            "/.well-known/openid-configuration /.well-known/openid-configuration/ \
             /openid/v1/jwks /openid/v1/jwks/",
        )],
    ),
    role(
        "system:volume-scheduler",
        &[
            Resources("get list patch update watch", "core", "persistentvolumes"),
            Resources(READ, "storage.k8s.io", "storageclasses"),
            Resources("get list patch update watch", "core", "persistentvolumeclaims"),
        ],
    ),
    // The built-in reverse proxy serves Ingresses and Gateways with the certificates that they name.
    role(
        "kd:ingress",
        &[
            Resources("list watch", "core", "namespaces nodes secrets services"),
            Resources("list watch", "discovery.k8s.io", "endpointslices"),
            Resources("list watch", "apiextensions.k8s.io", "customresourcedefinitions"),
            Resources("list watch", "networking.k8s.io", "ingresses"),
            Resources("create list watch", "networking.k8s.io", "ingressclasses"),
            Resources("patch", "networking.k8s.io", "ingresses/status"),
            Resources(
                "list watch",
                "gateway.networking.k8s.io",
                "gateways grpcroutes httproutes referencegrants",
            ),
            Resources("create list watch", "gateway.networking.k8s.io", "gatewayclasses"),
            Resources(
                "patch",
                "gateway.networking.k8s.io",
                "gatewayclasses/status gateways/status grpcroutes/status httproutes/status",
            ),
        ],
    ),
    // Names of pods exist in namespaces that exist.
    role("kd:node-dns", &[Resources("list watch", "core", "namespaces")]),
    // Directories of the built-in provisioner go with their volumes.
    role("kd:node-volumes", &[Resources("list watch", "core", "persistentvolumes")]),
    // A policy of one node's pods is about all pods and namespaces.
    role(
        "kd:node-network-policies",
        &[
            Resources("list watch", "core", "namespaces pods"),
            Resources("list watch", "networking.k8s.io", "networkpolicies"),
        ],
    ),
    RoleRow { name: "view", aggregated_to: "edit", collects: "view", rules: &[] },
];

pub(super) const BINDINGS: &[BindingRow] = &[
    bind("cluster-admin", &[Group("system:masters")]),
    bind("system:basic-user", &[Group("system:authenticated")]),
    bind("system:discovery", &[Group("system:authenticated")]),
    bind("system:kube-controller-manager", &[User("system:kube-controller-manager")]),
    bind("system:kube-dns", &[super::SubjectRow::ServiceAccount("kube-dns")]),
    bind("system:kube-scheduler", &[User("system:kube-scheduler")]),
    bind("system:monitoring", &[Group("system:monitoring")]),
    // Nodes are the Node authorizer's; the binding exists without subjects, as upstream's.
    bind("system:node", &[]),
    bind("system:node-proxier", &[User("system:kube-proxy")]),
    // A node's proxy, DNS and routes run under the node's own identity.
    bind("kd:ingress", &[User("system:kd-ingress")]),
    bind("kd:node-dns", &[Group("system:nodes")]),
    bind("kd:node-volumes", &[Group("system:nodes")]),
    bind("kd:node-network-policies", &[Group("system:nodes")]),
    BindingRow {
        name: "kd:node-proxier",
        role: "system:node-proxier",
        subjects: &[Group("system:nodes")],
    },
    bind(
        "system:public-info-viewer",
        &[Group("system:authenticated"), Group("system:unauthenticated")],
    ),
    bind("system:service-account-issuer-discovery", &[Group("system:serviceaccounts")]),
    bind("system:volume-scheduler", &[User("system:kube-scheduler")]),
];

const fn bind(name: &'static str, subjects: &'static [super::SubjectRow]) -> BindingRow {
    BindingRow { name, role: "", subjects }
}
