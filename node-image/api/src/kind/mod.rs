//! A kind is a row: everything generic about it derives from here.

mod metrics;
mod registry;
mod rows;

use std::sync::Arc;

use crate::custom::CustomKind;

pub use metrics::METRICS_GROUP;
pub use registry::{Group, Kinds, compare_versions, split_api_version};

/// Whether a group is one of upstream's own, or that of the types all groups share.
pub(crate) fn is_built_in_group(group: &str) -> bool {
    group == "meta.k8s.io" || rows::GROUP_ORDER.contains(&group)
}

/// Where objects of a kind live.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    /// In a namespace.
    Namespaced,
    /// In the cluster.
    Cluster,
}

/// One served kind of one group and version.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// API group, "" for core.
    pub group: String,
    /// API version, e.g. `v1`.
    pub version: String,
    /// `Pod`.
    pub kind: String,
    /// `PodList`.
    pub list_kind: String,
    /// `pods`.
    pub plural: String,
    /// `pod`.
    pub singular: String,
    /// `po`.
    pub short_names: Vec<String>,
    /// `all`.
    pub categories: Vec<String>,
    /// Where its objects live.
    pub scope: Scope,
    /// What can be done, in discovery's words and order (create, delete, deletecollection, get,
    /// list, patch, update, watch).
    pub verbs: Vec<String>,
    /// `status`, `scale`, `log`, ...
    pub subresources: Vec<Subresource>,
    /// The group and resource under which its objects are stored, when another kind shares its
    /// storage (events); else its own.
    pub storage: (String, String),
    /// What its definition says, for custom resources.
    pub custom: Option<Arc<CustomKind>>,
}

/// A subresource of a kind.
#[derive(Clone, Debug, PartialEq)]
pub struct Subresource {
    /// `status`.
    pub name: String,
    /// The group, version and kind of its body (`autoscaling/v1 Scale`, `policy/v1 Eviction`); the
    /// parent's for `status`.
    pub body: (String, String, String),
    /// What can be done.
    pub verbs: Vec<String>,
}

impl Kind {
    /// `v1`, `apps/v1`.
    pub fn api_version(&self) -> String {
        match self.group.as_str() {
            "" => self.version.clone(),
            group => format!("{group}/{}", self.version),
        }
    }

    /// Whether its objects live in a namespace.
    pub fn namespaced(&self) -> bool {
        self.scope == Scope::Namespaced
    }

    /// Whether discovery lists the verb for the kind itself.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }

    /// The row of a subresource.
    pub fn subresource(&self, name: &str) -> Option<&Subresource> {
        self.subresources.iter().find(|s| s.name == name)
    }

    /// Whether objects of the kind are stored (reviews and bindings are only answered).
    pub fn is_stored(&self) -> bool {
        self.has_verb("list")
    }
}

impl Subresource {
    /// Whether discovery lists the verb.
    pub fn has_verb(&self, verb: &str) -> bool {
        self.verbs.iter().any(|v| v == verb)
    }
}
