//! JSON values as messages. What does not fit its type is left out: objects were decoded by the same
//! table before.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::instant;
use super::union::Union;
use crate::schema::{Form, NodeId, Scalar, Schema, SchemaRef, Struct, Wire};
use crate::wire::Message;

/// The message of an object.
pub(super) fn object(place: SchemaRef<'_>, object: &Value) -> Vec<u8> {
    let schema = place.schema();
    let mut message = Message::default();
    if let (Form::Struct(index), Value::Object(entries)) =
        (schema.node(place.node_id()).form, object)
    {
        put_fields(&mut message, schema, schema.structure(index), entries);
    }
    message.finish()
}

fn put_fields(
    message: &mut Message,
    schema: &Schema,
    structure: &Struct,
    entries: &Map<String, Value>,
) {
    for (number, target) in &structure.wire {
        let number = u32::from(*number);
        match *target {
            Wire::Inlined(index) => {
                let mut inner = Message::default();
                put_fields(&mut inner, schema, schema.structure(index), entries);
                message.message(number, inner);
            }
            Wire::Field(position) => {
                let field = &structure.fields[usize::from(position)];
                if let Some(value) = entries.get(field.name.as_ref()).filter(|v| !v.is_null()) {
                    match Union::of(structure, &field.name) {
                        Some(union) => union.put(message, number, schema, value),
                        None => put(message, number, schema, field.node, value),
                    }
                }
            }
        }
    }
}

/// A field, with all its elements.
pub(super) fn put(message: &mut Message, number: u32, schema: &Schema, id: NodeId, value: &Value) {
    let node = schema.node(id);
    match (node.form, value) {
        // A named list is a message of its own.
        (Form::List(item), Value::Array(elements)) if node.alias.is_some() => {
            let mut inner = Message::default();
            elements.iter().for_each(|element| put(&mut inner, 1, schema, item, element));
            message.message(number, inner);
        }
        (Form::List(item), Value::Array(elements)) => {
            elements.iter().for_each(|element| put(message, number, schema, item, element));
        }
        (Form::Map(values), Value::Object(entries)) => {
            for (key, value) in entries {
                let mut entry = Message::default();
                entry.bytes(1, key.as_bytes());
                put(&mut entry, 2, schema, values, value);
                message.message(number, entry);
            }
        }
        (Form::Struct(index), Value::Object(entries)) => {
            let mut inner = Message::default();
            put_fields(&mut inner, schema, schema.structure(index), entries);
            message.message(number, inner);
        }
        (Form::Scalar(scalar), value) => put_scalar(message, number, scalar, value),
        _ => {}
    }
}

fn put_scalar(message: &mut Message, number: u32, scalar: Scalar, value: &Value) {
    match (scalar, value) {
        (Scalar::String, Value::String(text)) => message.bytes(number, text.as_bytes()),
        (Scalar::Bool, Value::Bool(flag)) => message.integer(number, i64::from(*flag)),
        (Scalar::Int32 | Scalar::Int64, Value::Number(value)) => {
            if let Some(value) = value.as_i64() {
                message.integer(number, value);
            }
        }
        (Scalar::Double, Value::Number(value)) => {
            message.double(number, value.as_f64().unwrap_or_default());
        }
        (Scalar::Bytes, Value::String(text)) => {
            message.bytes(number, &STANDARD.decode(text).unwrap_or_default());
        }
        (Scalar::Time | Scalar::MicroTime, Value::String(text)) => {
            message.message(number, instant::encode(text));
        }
        // In a list or a map: no time, but an element.
        (Scalar::Time | Scalar::MicroTime, Value::Null) => {
            message.message(number, Message::default());
        }
        (Scalar::Quantity, Value::String(text)) => {
            let mut inner = Message::default();
            inner.string(1, text);
            message.message(number, inner);
        }
        (Scalar::IntOrString, value) => message.message(number, int_or_string(value)),
        (Scalar::Raw | Scalar::Fields | Scalar::Json, value) => {
            let mut inner = Message::default();
            inner.bytes(1, value.to_string().as_bytes());
            message.message(number, inner);
        }
        _ => {}
    }
}

fn int_or_string(value: &Value) -> Message {
    let mut message = Message::default();
    let text = value.as_str();
    message.integer(1, i64::from(text.is_some()));
    message.integer(2, value.as_i64().unwrap_or_default());
    message.bytes(3, text.unwrap_or_default().as_bytes());
    message
}
