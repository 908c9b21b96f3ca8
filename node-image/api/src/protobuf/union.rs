//! The types of a custom resource's schema that are one of two things: unions in JSON, messages with
//! a field for each in protobuf.

use serde_json::{Map, Value};

use super::decode::{Reader, bytes, text};
use super::encode::put;
use crate::schema::{NodeId, Schema, Struct};
use crate::wire::{Content, Fields, Malformed, Message};

/// A schema of a custom resource, whose fields the unions are.
const PROPS: &str = "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSONSchemaProps";

/// What a field holds besides a schema.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Union {
    /// Several schemas.
    Array,
    /// Whether anything is allowed.
    Bool,
    /// By name: names of fields.
    Strings,
}

const FIELDS: &[(&str, Union)] = &[
    ("additionalItems", Union::Bool),
    ("additionalProperties", Union::Bool),
    ("dependencies", Union::Strings),
    ("items", Union::Array),
];

impl Union {
    /// The union that a field of a struct is, if it is one.
    pub(super) fn of(structure: &Struct, field: &str) -> Option<Union> {
        if *structure.name != *PROPS {
            return None;
        }
        FIELDS.iter().find(|(name, _)| *name == field).map(|(_, union)| *union)
    }

    /// Where the schema stands in the message, and where the other thing does.
    fn numbers(self) -> (u32, u32) {
        match self {
            Union::Array | Union::Strings => (1, 2),
            Union::Bool => (2, 1),
        }
    }

    /// Writes a field.
    pub(super) fn put(self, message: &mut Message, number: u32, schema: &Schema, value: &Value) {
        let (Union::Strings, Value::Object(entries)) = (self, value) else {
            return message.message(number, self.message(schema, value));
        };
        for (key, value) in entries {
            let mut entry = Message::default();
            entry.bytes(1, key.as_bytes());
            entry.message(2, self.message(schema, value));
            message.message(number, entry);
        }
    }

    fn message(self, schema: &Schema, value: &Value) -> Message {
        let mut message = Message::default();
        let (props, other) = self.numbers();
        let Some(node) = props_node(schema) else { return message };
        match (self, value) {
            (Union::Bool, Value::Bool(allows)) => message.integer(other, i64::from(*allows)),
            (_, Value::Object(_)) => {
                if self == Union::Bool {
                    message.integer(other, 1);
                }
                put(&mut message, props, schema, node, value);
            }
            (Union::Array, Value::Array(list)) => {
                list.iter().for_each(|item| put(&mut message, other, schema, node, item));
            }
            (Union::Strings, Value::Array(list)) => {
                let names = list.iter().filter_map(Value::as_str);
                names.for_each(|name| message.bytes(other, name.as_bytes()));
            }
            _ => {}
        }
        message
    }

    /// Reads one occurrence of a field.
    pub(super) fn read(
        self,
        reader: Reader<'_>,
        content: Content<'_>,
        slot: &mut Value,
    ) -> Result<(), Malformed> {
        if self != Union::Strings {
            *slot = self.value(reader, bytes(content)?)?;
            return Ok(());
        }
        let (mut key, mut value) = (String::new(), Value::Null);
        for field in Fields::of(bytes(content)?) {
            match field? {
                (1, content) => key = text(bytes(content)?)?,
                (2, content) => value = self.value(reader, bytes(content)?)?,
                _ => {}
            }
        }
        if slot.is_null() {
            *slot = Value::Object(Map::new());
        }
        if let Value::Object(entries) = slot {
            entries.insert(key, value);
        }
        Ok(())
    }

    fn value(self, reader: Reader<'_>, message: &[u8]) -> Result<Value, Malformed> {
        let (props, other) = self.numbers();
        let node = props_node(reader.schema()).ok_or(Malformed)?;
        let mut found = Value::Null;
        let mut list = Vec::new();
        for field in Fields::of(message) {
            match (self, field?) {
                (_, (number, content)) if number == props => {
                    found = reader.value(node, content)?;
                }
                (Union::Bool, (number, Content::Varint(allows)))
                    if number == other && found.is_null() =>
                {
                    found = (allows != 0).into();
                }
                (Union::Array, (number, content)) if number == other => {
                    list.push(reader.value(node, content)?);
                }
                (Union::Strings, (number, content)) if number == other => {
                    list.push(text(bytes(content)?)?.into());
                }
                _ => {}
            }
        }
        Ok(if list.is_empty() { found } else { list.into() })
    }
}

fn props_node(schema: &Schema) -> Option<NodeId> {
    schema.by_name(PROPS).map(|place| place.node_id())
}
