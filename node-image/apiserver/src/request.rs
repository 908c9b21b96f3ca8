//! What the stages of the pipeline know of a request.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use serde_json::Value;

/// Who asks, as authentication found (`authentication.k8s.io` UserInfo).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(default)]
pub struct UserInfo {
    /// `system:node:a`, `kubernetes-admin`, `system:serviceaccount:ns:name`.
    pub username: String,
    /// Unique over time, may be empty.
    pub uid: String,
    /// Group names, `system:authenticated` among them.
    pub groups: Vec<String>,
    /// More, by lower-case key.
    pub extra: BTreeMap<String, Vec<String>>,
}

/// What is asked, in the words of authorization.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct RequestInfo {
    /// Whether the path names a resource (`/api/...`, `/apis/<group>/<version>/<resource>...`).
    pub is_resource: bool,
    /// The path, undecoded.
    pub path: String,
    /// get, list, watch, create, update, patch, delete, deletecollection, or the lower-case HTTP
    /// method for non-resource paths.
    pub verb: String,
    /// API group, "" for core.
    pub group: String,
    /// API version.
    pub version: String,
    /// Plural resource name.
    pub resource: String,
    /// Subresource, or "".
    pub subresource: String,
    /// Namespace, or "" for cluster scope and all namespaces.
    pub namespace: String,
    /// Object name, or "".
    pub name: String,
    /// What follows the subresource (proxy paths), without the leading slash.
    pub rest: String,
    /// The field selector of list, watch and deletecollection, verbatim.
    pub field_selector: String,
    /// Likewise for labels.
    pub label_selector: String,
}

/// An authorizer's answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Decision {
    /// Yes.
    Allow,
    /// No, whatever others say.
    Deny(String),
    /// Not for this one to say; the reasons of all are joined.
    NoOpinion(String),
}

/// Reads the stored objects from inside the API server (authorization, admission, tokens): always
/// the newest state, from memory.
pub trait Reader: Send + Sync {
    /// One object; `namespace` is "" for cluster scope.
    fn get(&self, group: &str, resource: &str, namespace: &str, name: &str) -> Option<Arc<Value>>;
    /// All objects of a resource, of one namespace if given, ordered by key.
    fn list(&self, group: &str, resource: &str, namespace: Option<&str>) -> Vec<Arc<Value>>;
    /// A number that changes whenever an object of the resource changes: the key of derived caches.
    fn generation(&self, group: &str, resource: &str) -> u64;
}
