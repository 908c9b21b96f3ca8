//! The variables of admission's expressions and their types.

use kd_cel::{AUTHORIZER, Environment, RESOURCE_CHECK, Type};

/// The environment of expressions about requests.
pub(in super::super) fn environment(has_params: bool, has_authorizer: bool) -> Environment {
    let mut environment = Environment::new()
        .variable("object", Type::Dyn)
        .variable("oldObject", Type::Dyn)
        .variable("request", request())
        .variable("namespaceObject", namespace());
    if has_params {
        environment = environment.variable("params", Type::Dyn);
    }
    if has_authorizer {
        environment = environment
            .variable("authorizer", AUTHORIZER)
            .variable("authorizer.requestResource", RESOURCE_CHECK);
    }
    environment
}

fn request() -> Type {
    let names = |name: &str, last: &'static str| {
        let fields = ["group", "version", last].map(|field| (field, Type::String));
        Type::object(name, fields)
    };
    let kind = names("kubernetes.GroupVersionKind", "kind");
    let resource = names("kubernetes.GroupVersionResource", "resource");
    let texts = Type::list(Type::String);
    let user = Type::object(
        "kubernetes.UserInfo",
        [
            ("username", Type::String),
            ("uid", Type::String),
            ("groups", texts.clone()),
            ("extra", Type::map(Type::String, texts)),
        ],
    );
    let fields = [
        ("kind", kind.clone()),
        ("resource", resource.clone()),
        ("subResource", Type::String),
        ("requestKind", kind),
        ("requestResource", resource),
        ("requestSubResource", Type::String),
        ("name", Type::String),
        ("namespace", Type::String),
        ("operation", Type::String),
        ("userInfo", user),
        ("dryRun", Type::Bool),
        ("options", Type::Dyn),
    ];
    Type::object("kubernetes.AdmissionRequest", fields)
}

fn namespace() -> Type {
    let texts = || Type::list(Type::String);
    let labels = || Type::map(Type::String, Type::String);
    let metadata = [
        ("name", Type::String),
        ("generateName", Type::String),
        ("namespace", Type::String),
        ("labels", labels()),
        ("annotations", labels()),
        ("UID", Type::String),
        ("creationTimestamp", Type::Timestamp),
        ("deletionGracePeriodSeconds", Type::Int),
        ("deletionTimestamp", Type::Timestamp),
        ("generation", Type::Int),
        ("resourceVersion", Type::String),
        ("finalizers", texts()),
    ];
    let condition = [
        ("status", Type::String),
        ("type", Type::String),
        ("lastTransitionTime", Type::Timestamp),
        ("message", Type::String),
        ("reason", Type::String),
    ];
    let conditions = Type::list(Type::object("kubernetes.NamespaceCondition", condition));
    let status = [("conditions", conditions), ("phase", Type::String)];
    let fields = [
        ("metadata", Type::object("kubernetes.NamespaceMetadata", metadata)),
        ("spec", Type::object("kubernetes.NamespaceSpec", [("finalizers", texts())])),
        ("status", Type::object("kubernetes.NamespaceStatus", status)),
    ];
    Type::object("kubernetes.Namespace", fields)
}
