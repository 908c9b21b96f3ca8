//! Messages as JSON values.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map, Value};

use super::instant;
use super::union::Union;
use crate::object::{format_micro_time, format_time};
use crate::schema::{Form, NodeId, Scalar, Schema, SchemaRef, Struct, Wire};
use crate::wire::{Content, Fields, Malformed, read_varint};

/// Messages in messages: more is refused.
const DEPTH_MAX: usize = 64;

/// The object of a message.
pub(super) fn object(place: SchemaRef<'_>, message: &[u8]) -> Result<Value, Malformed> {
    let schema = place.schema();
    let mut entries = Map::new();
    if let Form::Struct(index) = schema.node(place.node_id()).form {
        let reader = Reader { schema, depth: 0 };
        reader.fields(schema.structure(index), message, &mut entries)?;
    }
    Ok(Value::Object(entries))
}

/// The text of a string field.
pub(super) fn text(bytes: &[u8]) -> Result<String, Malformed> {
    String::from_utf8(bytes.to_vec()).map_err(|_| Malformed)
}

#[derive(Clone, Copy)]
pub(super) struct Reader<'s> {
    schema: &'s Schema,
    depth: usize,
}

impl<'s> Reader<'s> {
    pub(super) fn schema(self) -> &'s Schema {
        self.schema
    }

    fn deeper(self) -> Result<Self, Malformed> {
        let depth = self.depth + 1;
        if depth > DEPTH_MAX { Err(Malformed) } else { Ok(Reader { depth, ..self }) }
    }

    fn fields(
        self,
        structure: &Struct,
        message: &[u8],
        entries: &mut Map<String, Value>,
    ) -> Result<(), Malformed> {
        let inner = self.deeper()?;
        for field in Fields::of(message) {
            let (number, content) = field?;
            match structure.wire(number) {
                Some(Wire::Inlined(index)) => {
                    let structure = self.schema.structure(index);
                    inner.fields(structure, bytes(content)?, entries)?;
                }
                Some(Wire::Field(position)) => {
                    let field = &structure.fields[usize::from(position)];
                    let slot = entries.entry(field.name.as_ref()).or_insert(Value::Null);
                    match Union::of(structure, &field.name) {
                        Some(union) => union.read(inner, content, slot)?,
                        None => inner.field(field.node, content, slot)?,
                    }
                }
                // Of a newer version.
                None => {}
            }
        }
        Ok(())
    }

    /// Adds one occurrence of a field to what is there.
    fn field(self, id: NodeId, content: Content<'_>, slot: &mut Value) -> Result<(), Malformed> {
        let node = self.schema.node(id);
        match node.form {
            Form::List(item) if node.alias.is_none() => self.element(item, content, slot),
            Form::Map(values) => self.entry(values, bytes(content)?, slot),
            _ => {
                *slot = self.value(id, content)?;
                Ok(())
            }
        }
    }

    fn element(
        self,
        item: NodeId,
        content: Content<'_>,
        slot: &mut Value,
    ) -> Result<(), Malformed> {
        let list = made(slot, || Value::Array(Vec::new()));
        let Value::Array(list) = list else { return Err(Malformed) };
        let packs = matches!(
            self.schema.node(item).form,
            Form::Scalar(Scalar::Int32 | Scalar::Int64 | Scalar::Bool)
        );
        match content {
            Content::Bytes(mut packed) if packs => {
                while !packed.is_empty() {
                    let (value, rest) = read_varint(packed).ok_or(Malformed)?;
                    list.push(self.value(item, Content::Varint(value))?);
                    packed = rest;
                }
            }
            content => list.push(self.value(item, content)?),
        }
        Ok(())
    }

    fn entry(self, values: NodeId, message: &[u8], slot: &mut Value) -> Result<(), Malformed> {
        let map = made(slot, || Value::Object(Map::new()));
        let Value::Object(map) = map else { return Err(Malformed) };
        let mut key = String::new();
        let mut value = Value::Null;
        for field in Fields::of(message) {
            match field? {
                (1, content) => key = text(bytes(content)?)?,
                (2, content) => self.field(values, content, &mut value)?,
                _ => {}
            }
        }
        map.insert(key, value);
        Ok(())
    }

    pub(super) fn value(self, id: NodeId, content: Content<'_>) -> Result<Value, Malformed> {
        match self.schema.node(id).form {
            Form::Struct(index) => {
                let mut entries = Map::new();
                self.fields(self.schema.structure(index), bytes(content)?, &mut entries)?;
                Ok(Value::Object(entries))
            }
            Form::List(item) => self.named_list(item, bytes(content)?),
            Form::Map(_) => Err(Malformed),
            Form::Scalar(scalar) => scalar_value(scalar, content),
        }
    }

    /// A list that is a message of its own.
    fn named_list(self, item: NodeId, message: &[u8]) -> Result<Value, Malformed> {
        let inner = self.deeper()?;
        let mut list = Value::Array(Vec::new());
        for field in Fields::of(message) {
            if let (1, content) = field? {
                inner.element(item, content, &mut list)?;
            }
        }
        Ok(list)
    }
}

/// The value of a slot, made if there is none.
fn made(slot: &mut Value, make: impl FnOnce() -> Value) -> &mut Value {
    if slot.is_null() {
        *slot = make();
    }
    slot
}

pub(super) fn bytes<'b>(content: Content<'b>) -> Result<&'b [u8], Malformed> {
    match content {
        Content::Bytes(bytes) => Ok(bytes),
        _ => Err(Malformed),
    }
}

fn scalar_value(scalar: Scalar, content: Content<'_>) -> Result<Value, Malformed> {
    Ok(match (scalar, content) {
        (Scalar::Bool, Content::Varint(value)) => (value != 0).into(),
        (Scalar::Int32, Content::Varint(value)) => (value as i32).into(),
        (Scalar::Int64, Content::Varint(value)) => (value as i64).into(),
        (Scalar::Double, Content::Fixed64(value)) => f64::from_le_bytes(value).into(),
        (Scalar::String, Content::Bytes(value)) => text(value)?.into(),
        (Scalar::Bytes, Content::Bytes(value)) => STANDARD.encode(value).into(),
        (Scalar::Time, Content::Bytes(value)) => instant::decode(value)?.map(format_time).into(),
        (Scalar::MicroTime, Content::Bytes(value)) => {
            instant::decode(value)?.map(format_micro_time).into()
        }
        (Scalar::Quantity, Content::Bytes(value)) => match first_text(value)? {
            text if text.is_empty() => "0".into(),
            text => text.into(),
        },
        (Scalar::IntOrString, Content::Bytes(value)) => int_or_string(value)?,
        (Scalar::Raw | Scalar::Fields | Scalar::Json, Content::Bytes(value)) => {
            let text = first_text(value)?;
            if text.is_empty() {
                return Ok(Value::Null);
            }
            serde_json::from_str(&text).map_err(|_| Malformed)?
        }
        _ => return Err(Malformed),
    })
}

/// The string under number 1 of a message.
fn first_text(message: &[u8]) -> Result<String, Malformed> {
    let mut found = String::new();
    for field in Fields::of(message) {
        if let (1, content) = field? {
            found = text(bytes(content)?)?;
        }
    }
    Ok(found)
}

fn int_or_string(message: &[u8]) -> Result<Value, Malformed> {
    let (mut is_text, mut number, mut string) = (false, 0, String::new());
    for field in Fields::of(message) {
        match field? {
            (1, Content::Varint(value)) => is_text = value == 1,
            (2, Content::Varint(value)) => number = value as i32,
            (3, Content::Bytes(value)) => string = text(value)?,
            _ => {}
        }
    }
    Ok(if is_text { string.into() } else { number.into() })
}
