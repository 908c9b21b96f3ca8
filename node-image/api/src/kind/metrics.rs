//! The kinds of `metrics.k8s.io`: answered from what kubelets measure, stored nowhere. Upstream has
//! them from an extra server; these rows are what that one's discovery tells.

use super::{Kind, Scope};

/// The group.
pub const METRICS_GROUP: &str = "metrics.k8s.io";

/// `nodes` and `pods` of the group.
pub(super) fn metrics_kinds() -> [Kind; 2] {
    [
        ("NodeMetrics", "nodes", "node", Scope::Cluster),
        ("PodMetrics", "pods", "pod", Scope::Namespaced),
    ]
    .map(|(kind, plural, singular, scope)| Kind {
        group: METRICS_GROUP.into(),
        version: "v1beta1".into(),
        kind: kind.into(),
        list_kind: format!("{kind}List"),
        plural: plural.into(),
        singular: singular.into(),
        short_names: Vec::new(),
        categories: Vec::new(),
        scope,
        verbs: ["get", "list"].map(str::to_owned).to_vec(),
        subresources: Vec::new(),
        storage: (METRICS_GROUP.into(), plural.into()),
        custom: None,
    })
}
