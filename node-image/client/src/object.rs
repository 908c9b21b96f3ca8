//! An object as components keep it: its encoded bytes and its parsed metadata. Typed structs take
//! several times the memory of the bytes and are made on demand.

use std::any::Any;
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fmt;
use std::sync::OnceLock;

use jiff::Timestamp;
use memchr::memmem;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::Resource;
use crate::resource::resources;

/// Namespace ("" for cluster scope) and name.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Key {
    /// Namespace, or "".
    pub namespace: Box<str>,
    /// Name.
    pub name: Box<str>,
}

impl Key {
    /// A key from its parts.
    pub fn new(namespace: &str, name: &str) -> Key {
        Key { namespace: namespace.into(), name: name.into() }
    }

    /// The key of a cluster-scoped object.
    pub fn cluster(name: &str) -> Key {
        Key::new("", name)
    }
}

impl fmt::Display for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.namespace.is_empty() {
            true => f.write_str(&self.name),
            false => write!(f, "{}/{}", self.namespace, self.name),
        }
    }
}

/// The part of ObjectMeta that every component asks for.
#[derive(Clone, Debug, Default, PartialEq, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Metadata {
    /// Name.
    pub name: String,
    /// Namespace, or "".
    pub namespace: String,
    /// Unique over time.
    pub uid: String,
    /// Opaque to clients; compared as a number by those that wait for their own writes.
    pub resource_version: String,
    /// Counts changes of the spec.
    pub generation: i64,
    /// When it was created.
    pub creation_timestamp: Option<Timestamp>,
    /// When it is, or was, to be gone.
    pub deletion_timestamp: Option<Timestamp>,
    /// Labels.
    pub labels: BTreeMap<String, String>,
    /// Owners.
    pub owner_references: Vec<OwnerReference>,
    /// What must happen before it goes.
    pub finalizers: Vec<String>,
}

impl Metadata {
    /// The owner that controls it.
    pub fn controller(&self) -> Option<&OwnerReference> {
        self.owner_references.iter().find(|o| o.controller == Some(true))
    }

    /// Whether it is being deleted.
    pub fn is_deleting(&self) -> bool {
        self.deletion_timestamp.is_some()
    }

    /// The resourceVersion as a number, 0 when it is none.
    pub fn revision(&self) -> u64 {
        self.resource_version.parse().unwrap_or(0)
    }
}

/// An owner of an object.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct OwnerReference {
    /// Group and version.
    pub api_version: String,
    /// Kind.
    pub kind: String,
    /// Name.
    pub name: String,
    /// Uid.
    pub uid: String,
    /// Whether it is the controlling one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub controller: Option<bool>,
    /// Whether a foreground deletion of the owner waits for this object.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub block_owner_deletion: Option<bool>,
}

impl OwnerReference {
    /// The API group of the owner.
    pub fn group(&self) -> &str {
        self.api_version.split_once('/').map_or("", |(group, _)| group)
    }
}

/// How much of an object is kept.
#[derive(Clone, Copy, Debug, Default)]
pub enum Keep {
    /// All of it.
    #[default]
    Full,
    /// Its metadata; asks the server for no more (PartialObjectMetadata).
    Metadata,
    /// All of it where the rule says so of its metadata and its JSON, metadata of the rest.
    Only(fn(&Metadata, &[u8]) -> bool),
    /// All of it in the event that tells it; only its metadata is remembered after that.
    Once,
}

/// An object.
#[derive(Debug)]
pub struct Object {
    /// Its metadata.
    pub metadata: Metadata,
    /// When this component first saw this state of it.
    pub observed: Timestamp,
    node: Option<Box<str>>,
    bytes: Option<Box<[u8]>>,
    derived: OnceLock<Box<Derived>>,
}

/// Something that was made of an object, and what else was.
struct Derived {
    value: Box<dyn Any + Send + Sync>,
    next: OnceLock<Box<Derived>>,
}

impl fmt::Debug for Derived {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Derived")
    }
}

#[derive(Deserialize)]
struct Head {
    #[serde(default)]
    metadata: Metadata,
}

#[derive(Deserialize)]
struct PodHead {
    #[serde(default)]
    metadata: Metadata,
    #[serde(default)]
    spec: PodSpecHead,
}

#[derive(Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct PodSpecHead {
    node_name: Option<Box<str>>,
}

impl Object {
    /// Reads an object from its JSON.
    pub fn parse(
        resource: &Resource,
        bytes: &[u8],
        keep: Keep,
        observed: Timestamp,
    ) -> serde_json::Result<Object> {
        let (mut metadata, node) = match resource.same(&resources::PODS) {
            true => {
                let head: PodHead = serde_json::from_slice(bytes)?;
                (head.metadata, head.spec.node_name.filter(|name| !name.is_empty()))
            }
            false => (serde_json::from_slice::<Head>(bytes)?.metadata, None),
        };
        let full = match keep {
            Keep::Full | Keep::Once => true,
            Keep::Metadata => false,
            Keep::Only(rule) => rule(&metadata, bytes),
        };
        let bytes = full.then(|| without_managed_fields(bytes).into());
        metadata.owner_references.shrink_to_fit();
        metadata.finalizers.shrink_to_fit();
        Ok(Object { metadata, observed, node, bytes, derived: OnceLock::new() })
    }

    /// The same object without its bytes.
    pub(crate) fn stripped(&self) -> Object {
        Object {
            metadata: self.metadata.clone(),
            observed: self.observed,
            node: self.node.clone(),
            bytes: None,
            derived: OnceLock::new(),
        }
    }

    /// Its key.
    pub fn key(&self) -> Key {
        Key::new(&self.metadata.namespace, &self.metadata.name)
    }

    /// The node of a pod that has one.
    pub fn node(&self) -> Option<&str> {
        self.node.as_deref()
    }

    /// Its JSON, without `managedFields`, unless only the metadata is kept.
    pub fn bytes(&self) -> Option<&[u8]> {
        self.bytes.as_deref()
    }

    /// What `make` makes of the object. It is made once and kept for as long as the object: `T` should
    /// be small, and the asker's own, as it is found by its type.
    pub fn derived<T: Any + Send + Sync>(&self, make: impl Fn(&Object) -> T) -> &T {
        let mut place = &self.derived;
        loop {
            let made = place.get_or_init(|| {
                Box::new(Derived { value: Box::new(make(self)), next: OnceLock::new() })
            });
            if let Some(value) = made.value.downcast_ref() {
                return value;
            }
            place = &made.next;
        }
    }

    /// The object as a type. None (and a line in the log) when it is not of that type or only its
    /// metadata is kept.
    pub fn decode<T: DeserializeOwned>(&self) -> Option<T> {
        let bytes = self.bytes.as_deref()?;
        match serde_json::from_slice(bytes) {
            Ok(typed) => Some(typed),
            Err(error) => {
                let kind = std::any::type_name::<T>();
                tracing::warn!(object = %self.key(), kind, %error, "cannot decode the object");
                None
            }
        }
    }
}

const MANAGED_FIELDS: &[u8] = b"\"managedFields\":";

/// An object's JSON without what says who wrote which field, which is up to half of it and nothing to
/// components. The server keeps it when a write leaves it out.
fn without_managed_fields(bytes: &[u8]) -> Cow<'_, [u8]> {
    let whole = Cow::Borrowed(bytes);
    if memmem::find(bytes, MANAGED_FIELDS).is_none() {
        return whole;
    }
    let managed = serde_json::from_slice::<Managed<'_>>(bytes).ok();
    let Some(value) = managed.and_then(|head| head.metadata.managed_fields) else { return whole };
    let start = value.get().as_ptr() as usize - bytes.as_ptr() as usize;
    let mut end = start + value.get().len();
    let Some(mut start) = start.checked_sub(MANAGED_FIELDS.len()) else { return whole };
    if bytes.get(start..start + MANAGED_FIELDS.len()) != Some(MANAGED_FIELDS) {
        return whole;
    }
    // One of the commas around goes as well.
    match (bytes.get(start.wrapping_sub(1)), bytes.get(end)) {
        (Some(b','), _) => start -= 1,
        (_, Some(b',')) => end += 1,
        _ => {}
    }
    Cow::Owned([&bytes[..start], &bytes[end..]].concat())
}

#[derive(Deserialize)]
struct Managed<'a> {
    #[serde(borrow)]
    metadata: ManagedMetadata<'a>,
}

#[derive(Deserialize)]
struct ManagedMetadata<'a> {
    #[serde(borrow, rename = "managedFields")]
    managed_fields: Option<&'a RawValue>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn managed_fields_are_not_kept() {
        let check = |json: &str, expect: &str| {
            let got = without_managed_fields(json.as_bytes());
            assert_eq!(std::str::from_utf8(&got).unwrap(), expect);
        };
        let fields = r#""managedFields":[{"fieldsV1":{"f:a":{}}}]"#;
        check(
            &format!(r#"{{"metadata":{{"name":"a",{fields}}}}}"#),
            r#"{"metadata":{"name":"a"}}"#,
        );
        check(
            &format!(r#"{{"metadata":{{{fields},"name":"a"}}}}"#),
            r#"{"metadata":{"name":"a"}}"#,
        );
        check(&format!(r#"{{"metadata":{{{fields}}}}}"#), r#"{"metadata":{}}"#);
        let elsewhere = format!(r#"{{"metadata":{{"name":"a"}},"data":{{{fields}}}}}"#);
        check(&elsewhere, &elsewhere);
        let spaced = r#"{"metadata":{"managedFields" : []}}"#;
        check(spaced, spaced);
    }

    fn parse(resource: &Resource, json: serde_json::Value, keep: Keep) -> Object {
        let bytes = serde_json::to_vec(&json).unwrap();
        Object::parse(resource, &bytes, keep, Timestamp::UNIX_EPOCH).unwrap()
    }

    #[test]
    fn what_is_derived_is_made_once() {
        let object =
            parse(&resources::NODES, serde_json::json!({"metadata": {"name": "n"}}), Keep::Full);
        let made = std::cell::Cell::new(0);
        let length = |object: &Object| {
            made.set(made.get() + 1);
            object.metadata.name.len()
        };
        let upper = |object: &Object| object.metadata.name.to_uppercase();
        assert_eq!((*object.derived(length), object.derived(upper).as_str()), (1, "N"));
        assert_eq!((*object.derived(length), object.derived(upper).as_str()), (1, "N"));
        assert_eq!(made.get(), 1);
    }

    #[test]
    fn what_is_kept() {
        let json = serde_json::json!({
            "metadata": {"name": "p", "namespace": "n", "resourceVersion": "7",
                "creationTimestamp": null,
                "ownerReferences": [{"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "r",
                    "uid": "u", "controller": true}]},
            "spec": {"nodeName": "node-1", "containers": []}});
        let pod = parse(&resources::PODS, json.clone(), Keep::Full);
        assert_eq!(pod.key(), Key::new("n", "p"));
        assert_eq!(pod.node(), Some("node-1"));
        assert_eq!(pod.metadata.revision(), 7);
        assert_eq!(pod.metadata.controller().unwrap().group(), "apps");
        assert!(pod.decode::<k8s_openapi::api::core::v1::Pod>().is_some());
        let head = parse(&resources::CONFIG_MAPS, json.clone(), Keep::Metadata);
        assert_eq!((head.node(), head.bytes()), (None, None));
        let named = parse(&resources::CONFIG_MAPS, json, Keep::Only(|m, _| m.name == "p"));
        assert!(named.bytes().is_some());
    }
}
