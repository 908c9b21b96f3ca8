//! `application/vnd.kubernetes.protobuf`: objects as the messages of upstream's generated code, made
//! from JSON values and back by the table of fields. Kinds without a table row of their own (custom
//! resources) have no such form.

mod decode;
mod encode;
mod instant;
mod list;
mod union;

use serde_json::Value;

use crate::Object;
use crate::kind::{is_built_in_group, split_api_version};
use crate::schema::{self, SchemaRef};
use crate::wire::{Content, Fields, Malformed, Message};

pub use list::ListWriter;

/// The media type.
pub const MEDIA_TYPE: &str = "application/vnd.kubernetes.protobuf";

/// What each object begins with.
const MAGIC: &[u8] = b"k8s\0";

/// Why bytes are no object.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtobufError {
    /// The magic bytes are missing.
    #[error(
        "provided data does not appear to be a protobuf message, expected prefix [107 56 115 0]"
    )]
    Prefix,
    /// It is cut off, or a field has another wire type.
    #[error("proto: the message is cut off or malformed")]
    Malformed,
    /// No such kind, or it has no protobuf form.
    #[error("no kind {kind:?} is registered for version {api_version:?}")]
    UnknownKind {
        /// As the envelope says.
        api_version: String,
        /// As the envelope says.
        kind: String,
    },
}

impl From<Malformed> for ProtobufError {
    fn from(_: Malformed) -> ProtobufError {
        ProtobufError::Malformed
    }
}

/// Whether objects of a type have a protobuf form.
pub fn has_form(group: &str, version: &str, kind: &str) -> bool {
    form_of(group, version, kind).is_some()
}

/// An object, or a list of them, in its envelope; `None` when its kind has no protobuf form.
pub fn encode(object: &Value) -> Option<Vec<u8>> {
    let schema = schema_of(object.api_version(), object.kind())?;
    let raw = encode::object(schema, object);
    Some(envelope(object.api_version(), object.kind(), &raw))
}

/// One frame of a watch: its length in four bytes, then the event of an object that [`encode`] wrote.
/// Unlike the object, the event has no envelope.
pub fn encode_watch_event(event_type: &str, object: &[u8]) -> Vec<u8> {
    let mut extension = Message::default();
    extension.bytes(1, object);
    let mut event = Message::default();
    event.string(1, event_type);
    event.message(2, extension);
    let event = event.finish();
    let mut frame = (event.len() as u32).to_be_bytes().to_vec();
    frame.extend_from_slice(&event);
    frame
}

/// The object in an envelope, with `apiVersion` and `kind`. Fields have the values that were sent:
/// normalize it before use. An envelope without a type is of the kind `expected`.
pub fn decode(bytes: &[u8], expected: (&str, &str)) -> Result<Value, ProtobufError> {
    let body = bytes.strip_prefix(MAGIC).ok_or(ProtobufError::Prefix)?;
    let (mut api_version, mut kind, mut raw) = (String::new(), String::new(), &[][..]);
    for field in Fields::of(body) {
        match field? {
            (1, Content::Bytes(type_meta)) => {
                for field in Fields::of(type_meta) {
                    match field? {
                        (1, Content::Bytes(text)) => api_version = decode::text(text)?,
                        (2, Content::Bytes(text)) => kind = decode::text(text)?,
                        _ => {}
                    }
                }
            }
            (2, Content::Bytes(bytes)) => raw = bytes,
            _ => {}
        }
    }
    if kind.is_empty() {
        (api_version, kind) = (expected.0.to_owned(), expected.1.to_owned());
    }
    let Some(schema) = schema_of(&api_version, &kind) else {
        return Err(ProtobufError::UnknownKind { api_version, kind });
    };
    let mut object = decode::object(schema, raw)?;
    object.set_type(&api_version, &kind);
    Ok(object)
}

fn schema_of(api_version: &str, kind: &str) -> Option<SchemaRef<'static>> {
    let (group, version) = split_api_version(api_version);
    form_of(group, version, kind)
}

fn form_of(group: &str, version: &str, kind: &str) -> Option<SchemaRef<'static>> {
    // The types of meta.k8s.io and those that belong to every group.
    is_built_in_group(group).then(|| schema::of(group, version, kind)).flatten()
}

fn envelope(api_version: &str, kind: &str, raw: &[u8]) -> Vec<u8> {
    let mut out = head(api_version, kind, raw.len());
    out.extend_from_slice(raw);
    out.extend_from_slice(TAIL);
    out
}

/// Content encoding and type: none, as upstream writes them.
const TAIL: &[u8] = b"\x1a\x00\x22\x00";

/// What precedes a message in its envelope.
fn head(api_version: &str, kind: &str, length: usize) -> Vec<u8> {
    let mut type_meta = Message::default();
    type_meta.string(1, api_version);
    type_meta.string(2, kind);
    let mut unknown = Message::default();
    unknown.message(1, type_meta);
    unknown.length(2, length);
    let mut out = MAGIC.to_vec();
    out.extend_from_slice(&unknown.finish());
    out
}

#[cfg(test)]
mod tests;
