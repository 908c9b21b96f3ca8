//! The bytes of objects: encoded once, at the write, without the resourceVersion, which is put in
//! when they are handed out. `kind`, `apiVersion` and `metadata` come first, so its place is found
//! at once.

use bytes::Bytes;
use kd_api::Object;
use memchr::memmem;
use serde::Serialize;
use serde::de::IgnoredAny;
use serde::ser::{SerializeMap, Serializer};
use serde_json::{Map, Value};

const METADATA: &[u8] = b"\"metadata\":{";

/// The bytes to store.
pub(crate) fn encode(object: &Value) -> Bytes {
    encode_as(object, object.api_version())
}

/// The bytes to store, in another version than the object's own.
pub(crate) fn encode_as(object: &Value, api_version: &str) -> Bytes {
    // Writing maps with string keys to memory cannot fail.
    serde_json::to_vec(&Ordered { object, api_version }).unwrap_or_default().into()
}

/// The bytes of a stored object with its resourceVersion.
pub(crate) fn object(stored: &[u8], revision: u64) -> Bytes {
    let mut bytes = Vec::with_capacity(stored.len() + 48);
    named_item(&mut bytes, stored, revision);
    bytes.into()
}

/// Appends a stored object as an element of a list, with its kind.
pub(crate) fn named_item(bytes: &mut Vec<u8>, stored: &[u8], revision: u64) {
    let (head, rest) = split(stored);
    bytes.extend_from_slice(head);
    push_revision(bytes, revision, rest);
}

/// Appends a stored object as an element of a list, which does not repeat its kind.
pub(crate) fn item(bytes: &mut Vec<u8>, stored: &[u8], revision: u64) {
    let (_, rest) = split(stored);
    bytes.push(b'{');
    bytes.extend_from_slice(METADATA);
    push_revision(bytes, revision, rest);
}

/// Appends the metadata of a stored object as a PartialObjectMetadata.
pub(crate) fn partial(bytes: &mut Vec<u8>, stored: &[u8], revision: u64) {
    bytes.extend_from_slice(br#"{"kind":"PartialObjectMetadata","apiVersion":"meta.k8s.io/v1","#);
    bytes.extend_from_slice(METADATA);
    push_revision(bytes, revision, metadata(stored).get(1..).unwrap_or_default());
    bytes.push(b'}');
}

/// The metadata of a stored object, braces included. Reads no further than that.
pub(crate) fn metadata(stored: &[u8]) -> &[u8] {
    let (head, rest) = split(stored);
    let from_brace = &stored[head.len().saturating_sub(1)..];
    let mut values = serde_json::Deserializer::from_slice(from_brace).into_iter::<IgnoredAny>();
    match values.next() {
        Some(Ok(_)) => &from_brace[..values.byte_offset()],
        _ => rest,
    }
}

fn push_revision(bytes: &mut Vec<u8>, revision: u64, rest: &[u8]) {
    let comma = if rest.first() == Some(&b'}') { "" } else { "," };
    bytes.extend_from_slice(format!("\"resourceVersion\":\"{revision}\"{comma}").as_bytes());
    bytes.extend_from_slice(rest);
}

/// Up to and including the brace that opens the metadata, and what follows.
fn split(stored: &[u8]) -> (&[u8], &[u8]) {
    let found = memmem::find(stored, METADATA).map_or(0, |start| start + METADATA.len());
    stored.split_at(found)
}

struct Ordered<'a> {
    object: &'a Value,
    api_version: &'a str,
}

impl Serialize for Ordered<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let empty = Map::new();
        let fields = self.object.as_object().unwrap_or(&empty);
        let mut map = serializer.serialize_map(None)?;
        map.serialize_entry("kind", self.object.kind())?;
        map.serialize_entry("apiVersion", self.api_version)?;
        map.serialize_entry("metadata", &Metadata(self.object))?;
        for (name, value) in fields {
            if !matches!(name.as_str(), "kind" | "apiVersion" | "metadata") {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

struct Metadata<'a>(&'a Value);

impl Serialize for Metadata<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(None)?;
        for (name, value) in self.0.map_at(&["metadata"]).into_iter().flatten() {
            if name != "resourceVersion" {
                map.serialize_entry(name, value)?;
            }
        }
        map.end()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[track_caller]
    fn check(value: Value, stored: &str, shown: &str, listed: &str) {
        let bytes = encode(&value);
        assert_eq!(bytes, stored);
        assert_eq!(object(&bytes, 7), shown);
        let mut list = Vec::new();
        item(&mut list, &bytes, 7);
        assert_eq!(String::from_utf8(list).unwrap(), listed);
        let mut metadata = Vec::new();
        partial(&mut metadata, &bytes, 7);
        let metadata: Value = serde_json::from_slice(&metadata).unwrap();
        let mut shown: Value = serde_json::from_str(shown).unwrap();
        assert_eq!(metadata["kind"], "PartialObjectMetadata");
        assert_eq!(metadata["metadata"], shown["metadata"].take());
    }

    #[test]
    fn resource_versions_are_put_in() {
        check(
            json!({"apiVersion": "v1", "data": {"a": "\"metadata\":{"}, "kind": "ConfigMap",
                "metadata": {"name": "a", "resourceVersion": "3"}}),
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"name":"a"},"data":{"a":"\"metadata\":{"}}"#,
            r#"{"kind":"ConfigMap","apiVersion":"v1","metadata":{"resourceVersion":"7","name":"a"},"data":{"a":"\"metadata\":{"}}"#,
            r#"{"metadata":{"resourceVersion":"7","name":"a"},"data":{"a":"\"metadata\":{"}}"#,
        );
        check(
            json!({"apiVersion": "v1", "kind": "X"}),
            r#"{"kind":"X","apiVersion":"v1","metadata":{}}"#,
            r#"{"kind":"X","apiVersion":"v1","metadata":{"resourceVersion":"7"}}"#,
            r#"{"metadata":{"resourceVersion":"7"}}"#,
        );
    }
}
