//! One ClusterRole per controller; each is bound to the ServiceAccount of its name in kube-system.

use super::RuleRow::{Named, Resources};
use super::{EVENTS, READ, RoleRow, role};

/// Role names are this and the ServiceAccount's name.
pub(super) const PREFIX: &str = "system:controller:";

const ALL_BUT_COLLECTION: &str = "create delete get list patch update watch";

pub(super) const ROLES: &[RoleRow] = &[
    role(
        "system:controller:attachdetach-controller",
        &[
            Resources("list watch", "core", "persistentvolumeclaims persistentvolumes"),
            Resources(READ, "core", "nodes"),
            Resources("patch update", "core", "nodes/status"),
            Resources("list watch", "core", "pods"),
            EVENTS,
            Resources("create delete get list watch", "storage.k8s.io", "volumeattachments"),
            Resources(READ, "storage.k8s.io", "csidrivers"),
            Resources(READ, "storage.k8s.io", "csinodes"),
        ],
    ),
    role(
        "system:controller:certificate-controller",
        &[
            Resources("delete get list watch", "certificates.k8s.io", "certificatesigningrequests"),
            Resources(
                "update",
                "certificates.k8s.io",
                "certificatesigningrequests/approval certificatesigningrequests/status",
            ),
            Named(
                "approve",
                "certificates.k8s.io",
                "signers",
                "kubernetes.io/kube-apiserver-client-kubelet",
            ),
            Named(
                "sign",
                "certificates.k8s.io",
                "signers",
                "kubernetes.io/kube-apiserver-client kubernetes.io/kube-apiserver-client-kubelet \
                 kubernetes.io/kubelet-serving kubernetes.io/legacy-unknown",
            ),
            Resources("create", "authorization.k8s.io", "subjectaccessreviews"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:clusterrole-aggregation-controller",
        &[Resources(
            "escalate get list patch update watch",
            "rbac.authorization.k8s.io",
            "clusterroles",
        )],
    ),
    role(
        "system:controller:cronjob-controller",
        &[
            Resources("get list update watch", "batch", "cronjobs"),
            Resources(ALL_BUT_COLLECTION, "batch", "jobs"),
            Resources("update", "batch", "cronjobs/status"),
            Resources("update", "batch", "cronjobs/finalizers"),
            Resources("delete list watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:daemon-set-controller",
        &[
            Resources(READ, "apps extensions", "daemonsets"),
            Resources("update", "apps extensions", "daemonsets/status"),
            Resources("update", "apps extensions", "daemonsets/finalizers"),
            Resources("list watch", "core", "nodes"),
            Resources("create delete list patch watch", "core", "pods"),
            Resources("create", "core", "pods/binding"),
            Resources(ALL_BUT_COLLECTION, "apps", "controllerrevisions"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:deployment-controller",
        &[
            Resources("get list update watch", "apps extensions", "deployments"),
            Resources("update", "apps extensions", "deployments/status"),
            Resources("update", "apps extensions", "deployments/finalizers"),
            Resources(ALL_BUT_COLLECTION, "apps extensions", "replicasets"),
            Resources("get list update watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:device-taint-eviction-controller",
        &[
            Resources("delete get list watch", "core", "pods"),
            Resources("patch update", "core", "pods/status"),
            Resources(READ, "resource.k8s.io", "resourceclaims"),
            Resources(READ, "resource.k8s.io", "resourceslices"),
            Resources(READ, "resource.k8s.io", "deviceclasses"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:disruption-controller",
        &[
            Resources(READ, "apps extensions", "deployments"),
            Resources(READ, "apps extensions", "replicasets"),
            Resources(READ, "core", "replicationcontrollers"),
            Resources(READ, "policy", "poddisruptionbudgets"),
            Resources(READ, "apps", "statefulsets"),
            Resources("update", "policy", "poddisruptionbudgets/status"),
            Resources("patch update", "core", "pods/status"),
            Resources("get", "*", "*/scale"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpoint-controller",
        &[
            Resources(READ, "core", "pods services"),
            Resources("create delete get list update watch", "core", "endpoints"),
            Resources("create", "core", "endpoints/restricted"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpointslice-controller",
        &[
            Resources(READ, "core", "nodes pods services"),
            Resources("update", "core", "services/finalizers"),
            Resources("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:endpointslicemirroring-controller",
        &[
            Resources(READ, "core", "endpoints services"),
            Resources("update", "core", "services/finalizers"),
            Resources("update", "core", "endpoints/finalizers"),
            Resources("create delete get list update watch", "discovery.k8s.io", "endpointslices"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:ephemeral-volume-controller",
        &[
            Resources(READ, "core", "pods"),
            Resources("update", "core", "pods/finalizers"),
            Resources("create get list watch", "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:expand-controller",
        &[
            Resources("get list patch update watch", "core", "persistentvolumes"),
            Resources("patch update", "core", "persistentvolumeclaims/status"),
            Resources(READ, "core", "persistentvolumeclaims"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:generic-garbage-collector",
        &[Resources("delete get list patch update watch", "*", "*"), EVENTS],
    ),
    role(
        "system:controller:horizontal-pod-autoscaler",
        &[
            Resources(READ, "autoscaling", "horizontalpodautoscalers"),
            Resources("update", "autoscaling", "horizontalpodautoscalers/status"),
            Resources("get update", "*", "*/scale"),
            Resources("list watch", "core", "pods"),
            Resources("list watch", "metrics.k8s.io", "pods"),
            Resources(READ, "custom.metrics.k8s.io", "*"),
            Resources(READ, "external.metrics.k8s.io", "*"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:job-controller",
        &[
            Resources("get list patch update watch", "batch", "jobs"),
            Resources("update", "batch", "jobs/status"),
            Resources("update", "batch", "jobs/finalizers"),
            Resources("create delete list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:legacy-service-account-token-cleaner",
        &[
            Named(
                "get",
                "core",
                "configmaps",
                "kube-apiserver-legacy-service-account-token-tracking",
            ),
            Resources("delete patch", "core", "secrets"),
        ],
    ),
    role(
        "system:controller:local-path-provisioner",
        &[
            Resources(READ, "core", "nodes persistentvolumeclaims"),
            Resources("create delete get list watch", "core", "persistentvolumes"),
            Resources(READ, "storage.k8s.io", "storageclasses"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:namespace-controller",
        &[
            Resources("delete get list watch", "core", "namespaces"),
            Resources("update", "core", "namespaces/finalize namespaces/status"),
            Resources("delete deletecollection get list watch", "*", "*"),
        ],
    ),
    role(
        "system:controller:node-controller",
        &[
            Resources("delete get list patch update watch", "core", "nodes"),
            Resources("patch update", "core", "nodes/status"),
            Resources("patch update", "core", "pods/status"),
            Resources("delete get list watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:persistent-volume-binder",
        &[
            Resources("create delete get list update watch", "core", "persistentvolumes"),
            Resources("update", "core", "persistentvolumes/status"),
            Resources("get list update watch", "core", "persistentvolumeclaims"),
            Resources("update", "core", "persistentvolumeclaims/status"),
            Resources("create delete get list watch", "core", "pods"),
            Resources(READ, "storage.k8s.io", "storageclasses"),
            Resources("list watch", "core", "nodes"),
            EVENTS,
            Resources("watch", "core", "events"),
        ],
    ),
    role(
        "system:controller:pod-garbage-collector",
        &[
            Resources("delete list watch", "core", "pods"),
            Resources(READ, "core", "nodes"),
            Resources("patch", "core", "pods/status"),
        ],
    ),
    role(
        "system:controller:pv-protection-controller",
        &[Resources("get list update watch", "core", "persistentvolumes"), EVENTS],
    ),
    role(
        "system:controller:pvc-protection-controller",
        &[
            Resources("get list update watch", "core", "persistentvolumeclaims"),
            Resources("update", "core", "persistentvolumeclaims/status"),
            Resources(READ, "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:replicaset-controller",
        &[
            Resources("get list update watch", "apps extensions", "replicasets"),
            Resources("update", "apps extensions", "replicasets/status"),
            Resources("update", "apps extensions", "replicasets/finalizers"),
            Resources("create delete list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:replication-controller",
        &[
            Resources("get list update watch", "core", "replicationcontrollers"),
            Resources("update", "core", "replicationcontrollers/status"),
            Resources("update", "core", "replicationcontrollers/finalizers"),
            Resources("create delete list patch watch", "core", "pods"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:resource-claim-controller",
        &[
            Resources(READ, "core", "pods"),
            Resources("update", "core", "pods/finalizers"),
            Resources("create delete get list watch", "resource.k8s.io", "resourceclaims"),
            Resources("patch update", "resource.k8s.io", "resourceclaims resourceclaims/status"),
            Resources("patch update", "core", "pods/status"),
            EVENTS,
            Resources("patch update", "resource.k8s.io", "resourceclaims/binding"),
        ],
    ),
    role(
        "system:controller:resourcequota-controller",
        &[
            Resources("list watch", "*", "*"),
            Resources("update", "core", "resourcequotas/status"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:root-ca-cert-publisher",
        &[Resources("create update", "core", "configmaps"), EVENTS],
    ),
    role(
        "system:controller:route-controller",
        &[
            Resources("list watch", "core", "nodes"),
            Resources("patch", "core", "nodes/status"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:selinux-warning-controller",
        &[
            EVENTS,
            Resources(READ, "core", "persistentvolumes"),
            Resources(READ, "core", "persistentvolumeclaims"),
            Resources(READ, "core", "pods"),
            Resources(READ, "storage.k8s.io", "csidrivers"),
        ],
    ),
    role(
        "system:controller:service-account-controller",
        &[Resources("create", "core", "serviceaccounts"), EVENTS],
    ),
    role(
        "system:controller:service-cidrs-controller",
        &[
            Resources("get list patch update watch", "networking.k8s.io", "servicecidrs"),
            Resources("patch update", "networking.k8s.io", "servicecidrs/finalizers"),
            Resources("patch update", "networking.k8s.io", "servicecidrs/status"),
            Resources(READ, "networking.k8s.io", "ipaddresses"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:service-controller",
        &[
            Resources(READ, "core", "services"),
            Resources("patch update", "core", "services/status"),
            Resources("list watch", "core", "nodes"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:simulated-node-controller",
        &[
            Resources("create get list watch", "core", "nodes"),
            Resources("create get list patch watch", "coordination.k8s.io", "leases"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:simulated-pod-controller",
        &[
            Resources("list watch", "core", "nodes"),
            Resources("delete get list watch", "core", "pods"),
            Resources("update", "core", "pods/status"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:statefulset-controller",
        &[
            Resources("list watch", "core", "pods"),
            Resources(READ, "apps", "statefulsets"),
            Resources("update", "apps", "statefulsets/status"),
            Resources("update", "apps", "statefulsets/finalizers"),
            Resources("create delete get patch update", "core", "pods"),
            Resources(ALL_BUT_COLLECTION, "apps", "controllerrevisions"),
            Resources("create get list watch", "core", "persistentvolumeclaims"),
            Resources("delete update", "core", "persistentvolumeclaims"),
            Resources("update", "core", "pods/finalizers"),
            EVENTS,
        ],
    ),
    role(
        "system:controller:ttl-after-finished-controller",
        &[Resources("delete get list watch", "batch", "jobs"), EVENTS],
    ),
    role(
        "system:controller:ttl-controller",
        &[Resources("list patch update watch", "core", "nodes"), EVENTS],
    ),
    role(
        "system:controller:validatingadmissionpolicy-status-controller",
        &[
            Resources(READ, "admissionregistration.k8s.io", "validatingadmissionpolicies"),
            Resources(
                "get patch update",
                "admissionregistration.k8s.io",
                "validatingadmissionpolicies/status",
            ),
            EVENTS,
        ],
    ),
    role(
        "system:controller:volumeattributesclass-protection-controller",
        &[
            Resources(READ, "core", "persistentvolumeclaims"),
            Resources(READ, "core", "persistentvolumes"),
            Resources("get list update watch", "storage.k8s.io", "volumeattributesclasses"),
            EVENTS,
        ],
    ),
];
