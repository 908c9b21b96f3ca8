//! Default Roles and RoleBindings of kube-system and kube-public.

use super::RuleRow::{Named, Resources};
use super::SubjectRow::{Group, ServiceAccount, User};
use super::{BindingRow, EVENTS, READ, RoleRow, role};

/// What a namespace is born with.
pub(super) struct NamespaceRow {
    pub(super) namespace: &'static str,
    pub(super) roles: &'static [RoleRow],
    pub(super) bindings: &'static [BindingRow],
}

pub(super) const NAMESPACES: &[NamespaceRow] = &[
    NamespaceRow {
        namespace: "kube-public",
        roles: &[role(
            "system:controller:bootstrap-signer",
            &[
                Resources(READ, "core", "configmaps"),
                Named("update", "core", "configmaps", "cluster-info"),
                EVENTS,
            ],
        )],
        bindings: &[bind(
            "system:controller:bootstrap-signer",
            &[ServiceAccount("bootstrap-signer")],
        )],
    },
    NamespaceRow { namespace: "kube-system", roles: SYSTEM_ROLES, bindings: SYSTEM_BINDINGS },
];

const SYSTEM_ROLES: &[RoleRow] = &[
    role(
        "kd:cluster-dns-controller",
        &[
            Resources("create", "core", "services"),
            Resources("create delete update", "discovery.k8s.io", "endpointslices"),
        ],
    ),
    // The built-in reverse proxy tells other nodes which ports it serves.
    role(
        "kd:ingress",
        &[
            Resources("create", "discovery.k8s.io", "endpointslices"),
            Named("delete patch", "discovery.k8s.io", "endpointslices", "kd-ingress"),
        ],
    ),
    // A node's DNS reads what its users say about names.
    role("kd:node-dns", &[Named(READ, "core", "configmaps", "coredns")]),
    role(
        "extension-apiserver-authentication-reader",
        &[Named(READ, "core", "configmaps", "extension-apiserver-authentication")],
    ),
    role(
        "system::leader-locking-kube-controller-manager",
        &[
            Resources("watch", "core", "configmaps"),
            Named("get update", "core", "configmaps", "kube-controller-manager"),
        ],
    ),
    role(
        "system::leader-locking-kube-scheduler",
        &[
            Resources("watch", "core", "configmaps"),
            Named("get update", "core", "configmaps", "kube-scheduler"),
        ],
    ),
    role("system:controller:bootstrap-signer", &[Resources(READ, "core", "secrets")]),
    role(
        "system:controller:cloud-provider",
        &[Resources("create get list watch", "core", "configmaps")],
    ),
    role(
        "system:controller:token-cleaner",
        &[Resources("delete get list watch", "core", "secrets"), EVENTS],
    ),
];

const SYSTEM_BINDINGS: &[BindingRow] = &[
    bind("kd:cluster-dns-controller", &[ServiceAccount("cluster-dns-controller")]),
    bind("kd:ingress", &[User("system:kd-ingress")]),
    bind("kd:node-dns", &[Group("system:nodes")]),
    BindingRow {
        name: "system::extension-apiserver-authentication-reader",
        role: "extension-apiserver-authentication-reader",
        subjects: &[User("system:kube-controller-manager"), User("system:kube-scheduler")],
    },
    bind(
        "system::leader-locking-kube-controller-manager",
        &[User("system:kube-controller-manager"), ServiceAccount("kube-controller-manager")],
    ),
    bind(
        "system::leader-locking-kube-scheduler",
        &[User("system:kube-scheduler"), ServiceAccount("kube-scheduler")],
    ),
    bind("system:controller:bootstrap-signer", &[ServiceAccount("bootstrap-signer")]),
    bind("system:controller:cloud-provider", &[ServiceAccount("cloud-provider")]),
    bind("system:controller:token-cleaner", &[ServiceAccount("token-cleaner")]),
];

const fn bind(name: &'static str, subjects: &'static [super::SubjectRow]) -> BindingRow {
    BindingRow { name, role: "", subjects }
}
