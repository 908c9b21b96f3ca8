//! What the stages of the pipeline know of a request.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, PoisonError};

use async_trait::async_trait;
use kd_api::{Object, Status};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tokio::sync::watch;

use crate::authn::ClientCertificates;

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
    /// Yes, and why (shown by SubjectAccessReview, never to the user).
    Allow(String),
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
    /// The names and versions of the objects of one namespace: what an index must look at again.
    fn versions(&self, group: &str, resource: &str, namespace: &str) -> Vec<(String, u64)> {
        let objects = self.list(group, resource, Some(namespace));
        let version = |object: &Value| object.resource_version().parse().unwrap_or(0);
        objects.iter().map(|object| (object.name().to_owned(), version(object))).collect()
    }
    /// Changes with every write, to wait for one. Never changes where nothing waits.
    fn revisions(&self) -> watch::Receiver<u64> {
        watch::channel(0).1
    }
}

/// Finds out who asks.
#[async_trait]
pub trait Authenticator: Send + Sync {
    /// `Ok(None)` when the request carries nothing for this authenticator; an error when what it
    /// carries is invalid.
    async fn authenticate(
        &self,
        parts: &http::request::Parts,
        certificates: &ClientCertificates,
    ) -> Result<Option<Arc<UserInfo>>, Status>;
}

/// Decides who may do what.
#[async_trait]
pub trait Authorizer: Send + Sync {
    /// Whether `user` may do what `info` says.
    async fn authorize(&self, user: &UserInfo, info: &RequestInfo) -> Decision;
}

/// What admission tells apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operation {
    /// POST, and an update that creates.
    Create,
    /// PUT and PATCH.
    Update,
    /// DELETE, and each object of a deletecollection.
    Delete,
    /// exec, attach, portforward, proxy.
    Connect,
}

/// What an admission plugin sees of a request.
pub struct AdmissionAttributes<'a> {
    /// What is done.
    pub operation: Operation,
    /// To what: group, version, resource, subresource, namespace; the name may be empty when it is
    /// still to be generated.
    pub info: &'a RequestInfo,
    /// Group, version and kind of `object`.
    pub kind: (&'a str, &'a str, &'a str),
    /// By whom.
    pub user: &'a UserInfo,
    /// The object as it would be stored (a connect's options); Null on delete.
    pub object: Value,
    /// The stored object, on update and delete.
    pub old: Option<Arc<Value>>,
    /// CreateOptions, UpdateOptions, DeleteOptions, PatchOptions; Null on connect.
    pub options: Value,
    /// Whether nothing will be stored.
    pub dry_run: bool,
    /// Sent to the client as `Warning` headers; see [`AdmissionAttributes::warn`].
    pub warnings: Mutex<Vec<String>>,
    /// Told to the audit log; see [`AdmissionAttributes::annotate`].
    pub audit_annotations: Mutex<BTreeMap<String, String>>,
    /// Whether plugins that change objects run once more.
    pub reinvocation: Reinvocation,
}

/// What the two rounds of plugins that change an object know of each other. The second comes when a
/// webhook or a policy has changed the object.
#[derive(Clone, Debug, Default)]
pub struct Reinvocation {
    /// Whether this is the second round.
    pub again: bool,
    /// Whether there is to be a second round.
    pub wanted: bool,
    /// Who was asked and would like to be asked again.
    pub invoked: BTreeSet<String>,
    /// Of those, who is to be asked again: the object was changed after them.
    pub required: BTreeSet<String>,
    /// The object as the webhooks left it.
    pub last_output: Value,
    /// The same of the policies that change objects, which go before the webhooks.
    pub policies: PolicyReinvocation,
}

/// What the two rounds of MutatingAdmissionPolicies know of each other.
#[derive(Clone, Debug, Default)]
pub struct PolicyReinvocation {
    /// Which ran and would like to run again.
    pub invoked: BTreeSet<String>,
    /// Of those, which are to run again.
    pub required: BTreeSet<String>,
    /// The object as the policies left it.
    pub last_output: Value,
}

impl PolicyReinvocation {
    /// The object was changed: all that ran before and want to run again do.
    pub fn require_all(&mut self) {
        self.required.append(&mut self.invoked);
    }
}

impl Reinvocation {
    /// The object was changed: everyone who was asked before and wants to know is asked again.
    pub fn require_all(&mut self) {
        self.required.append(&mut self.invoked);
    }
}

impl AdmissionAttributes<'_> {
    /// Whether the request is for this resource and subresource ("" for none).
    pub fn is(&self, group: &str, resource: &str, subresource: &str) -> bool {
        self.info.group == group
            && self.info.resource == resource
            && self.info.subresource == subresource
    }

    /// Adds a warning for the client.
    pub fn warn(&self, text: impl Into<String>) {
        self.warnings.lock().unwrap_or_else(PoisonError::into_inner).push(text.into());
    }

    /// Adds an annotation of the audit log; the first of a key stays.
    pub fn annotate(&self, key: impl Into<String>, value: &str) {
        let mut annotations = self.audit_annotations.lock().unwrap_or_else(PoisonError::into_inner);
        annotations.entry(key.into()).or_insert_with(|| value.to_owned());
    }
}

/// One stage of admission.
#[async_trait]
pub trait AdmissionPlugin: Send + Sync {
    /// As in `--enable-admission-plugins`.
    fn name(&self) -> &'static str;
    /// Which operations it wants to see.
    fn handles(&self, operation: Operation) -> bool;
    /// May change the object; all plugins' `mutate` run, in order, before any `validate`.
    async fn mutate(&self, attributes: &mut AdmissionAttributes<'_>) -> Result<(), Status> {
        let _ = attributes;
        Ok(())
    }
    /// May refuse.
    async fn validate(&self, attributes: &AdmissionAttributes<'_>) -> Result<(), Status> {
        let _ = attributes;
        Ok(())
    }
}
