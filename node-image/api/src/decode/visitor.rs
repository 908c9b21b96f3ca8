//! The pass itself: a serde seed that knows the schema of what it is about to read. The answer is
//! `None` for null, and for what is of a wrong type.

use std::fmt;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::{Map, Number, Value};

use super::Shape;
use super::report::{Here, Report};
use super::zero;
use crate::object::{format_micro_time, format_time};
use crate::quantity::Quantity;
use crate::schema::{Form, NodeId, Scalar, Schema, SchemaRef, Struct};

/// Reads one value.
pub(super) struct Seed<'s, 'p, 'r> {
    schema: &'s Schema,
    node: NodeId,
    here: &'p Here<'p>,
    report: &'r mut Report,
    shape: Shape,
}

impl<'s, 'p, 'r> Seed<'s, 'p, 'r> {
    pub(super) fn new(
        schema: SchemaRef<'s>,
        here: &'p Here<'p>,
        report: &'r mut Report,
        shape: Shape,
    ) -> Self {
        Seed { schema: schema.schema(), node: schema.node_id(), here, report, shape }
    }

    fn child<'a>(&'a mut self, node: NodeId, here: &'a Here<'a>) -> Seed<'s, 'a, 'a> {
        Seed { schema: self.schema, node, here, report: self.report, shape: self.shape }
    }

    fn form(&self) -> Form {
        self.schema.node(self.node).form
    }

    fn scalar(&self) -> Option<Scalar> {
        match self.form() {
            Form::Scalar(scalar) => Some(scalar),
            _ => None,
        }
    }

    fn mismatch(self, found: &str) -> Option<Value> {
        self.report.mismatch(self.here, found, self.schema, self.node);
        None
    }

    /// A refusal in the words of a type that decodes itself.
    fn foreign(self, found: &str, expected: &str) -> Option<Value> {
        let text = format!("json: cannot unmarshal {found} into Go value of type {expected}");
        self.wrong(text)
    }

    fn wrong(self, why: String) -> Option<Value> {
        self.report.wrong(why);
        None
    }

    /// The answer for a null.
    fn null(self) -> Option<Value> {
        let keeps = self.scalar() == Some(Scalar::Json) || self.shape == Shape::AsWritten;
        keeps.then_some(Value::Null)
    }

    /// What a null or refused element becomes: a list has no holes.
    fn element(value: Option<Value>, node: NodeId, schema: &Schema) -> Value {
        value.unwrap_or_else(|| zero::zero(node, schema))
    }

    fn number(self, number: Number) -> Option<Value> {
        let integer = number.as_i64();
        match self.scalar() {
            Some(Scalar::Int64) if integer.is_some() => Some(number.into()),
            Some(Scalar::Int32) if integer.is_some_and(is_int32) => Some(number.into()),
            Some(Scalar::Double | Scalar::Json | Scalar::Raw | Scalar::Fields) => {
                Some(number.into())
            }
            Some(Scalar::IntOrString) => match integer.is_some_and(is_int32) {
                true => Some(number.into()),
                false => self.foreign(&format!("number {number}"), "int32"),
            },
            Some(Scalar::Quantity) => self.quantity(&number.into()),
            Some(Scalar::Time | Scalar::MicroTime | Scalar::Duration) => {
                self.foreign("number", "string")
            }
            Some(Scalar::Int32 | Scalar::Int64) => self.mismatch(&format!("number {number}")),
            _ => self.mismatch("number"),
        }
    }

    fn text(self, text: &str) -> Option<Value> {
        match self.scalar() {
            Some(
                Scalar::String
                | Scalar::IntOrString
                | Scalar::Json
                | Scalar::Raw
                | Scalar::Fields
                | Scalar::Duration,
            ) => Some(text.into()),
            Some(Scalar::Quantity) => self.quantity(&text.into()),
            Some(Scalar::Time) => self.time(text, format_time),
            Some(Scalar::MicroTime) => self.time(text, format_micro_time),
            Some(Scalar::Bytes) => self.bytes(text),
            _ => self.mismatch("string"),
        }
    }

    fn quantity(self, value: &Value) -> Option<Value> {
        match Quantity::from_json(value) {
            Err(error) => self.wrong(error.to_string()),
            // What apply compares must be as written.
            Ok(_) if self.shape == Shape::AsWritten => Some(value.clone()),
            Ok(quantity) => Some(quantity.to_string().into()),
        }
    }

    fn time(self, text: &str, format: fn(Timestamp) -> String) -> Option<Value> {
        match text.parse::<Timestamp>() {
            Ok(time) => Some(format(time).into()),
            Err(_) => self.wrong(format!(
                "parsing time {text:?} as \"2006-01-02T15:04:05Z07:00\": cannot parse {text:?} as \"2006\""
            )),
        }
    }

    /// Base64 as Go reads it: line breaks do not count.
    fn bytes(self, text: &str) -> Option<Value> {
        let compact: String = text.chars().filter(|c| !matches!(c, '\r' | '\n')).collect();
        match STANDARD.decode(&compact) {
            Ok(_) => Some(compact.into()),
            Err(error) => {
                let at = match error {
                    base64::DecodeError::InvalidByte(at, _)
                    | base64::DecodeError::InvalidLastSymbol(at, _) => at,
                    base64::DecodeError::InvalidLength(at) => at / 4 * 4,
                    base64::DecodeError::InvalidPadding => compact.len(),
                };
                self.wrong(format!("illegal base64 data at input byte {at}"))
            }
        }
    }

    fn structure<'de, A: MapAccess<'de>>(
        mut self,
        structure: &'s Struct,
        mut access: A,
    ) -> Result<Option<Value>, A::Error> {
        let mut object = Map::new();
        let mut seen = vec![false; structure.fields.len()];
        let here = *self.here;
        while let Some(key) = access.next_key_seed(KeySeed(structure))? {
            let index = match key {
                Key::Known(index) => index,
                Key::Unknown(name) => {
                    self.report.unknown(&here, &name);
                    access.next_value::<IgnoredAny>()?;
                    continue;
                }
            };
            let field = &structure.fields[index];
            if std::mem::replace(&mut seen[index], true) {
                self.report.duplicate(&here, &field.name);
            }
            let place = here.field(structure.short_name(), &field.name);
            let value = access.next_value_seed(self.child(field.node, &place))?;
            let node = self.schema.node(field.node);
            let kept = value.filter(|value| {
                self.shape == Shape::AsWritten || !zero::is_left_out(value, field, node)
            });
            match kept {
                Some(value) => object.insert(field.name.as_ref().to_owned(), value),
                None => object.remove(field.name.as_ref()),
            };
        }
        if self.shape == Shape::Typed {
            zero::fill(&mut object, structure, self.schema);
        }
        Ok(Some(Value::Object(object)))
    }

    fn map<'de, A: MapAccess<'de>>(
        mut self,
        values: NodeId,
        mut access: A,
    ) -> Result<Option<Value>, A::Error> {
        let mut object = Map::new();
        let here = *self.here;
        while let Some(key) = access.next_key::<String>()? {
            if object.contains_key(&key) {
                self.report.duplicate(&here, &key);
            }
            let place = here.key(&key);
            let value = access.next_value_seed(self.child(values, &place))?;
            let value = Self::element(value, values, self.schema);
            object.insert(key, value);
        }
        Ok(Some(Value::Object(object)))
    }
}

fn is_int32(number: i64) -> bool {
    i32::try_from(number).is_ok()
}

impl<'de> DeserializeSeed<'de> for Seed<'_, '_, '_> {
    type Value = Option<Value>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Seed<'_, '_, '_> {
    type Value = Option<Value>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.schema.go_type(self.node))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.null())
    }

    fn visit_none<E: Error>(self) -> Result<Self::Value, E> {
        Ok(self.null())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
        deserializer.deserialize_any(self)
    }

    fn visit_bool<E: Error>(self, value: bool) -> Result<Self::Value, E> {
        Ok(match self.scalar() {
            Some(Scalar::Bool | Scalar::Json | Scalar::Raw | Scalar::Fields) => Some(value.into()),
            Some(Scalar::Quantity) => self.quantity(&value.into()),
            Some(Scalar::IntOrString) => self.foreign("bool", "int32"),
            Some(Scalar::Time | Scalar::MicroTime) => self.foreign("bool", "string"),
            _ => self.mismatch("bool"),
        })
    }

    fn visit_i64<E: Error>(self, value: i64) -> Result<Self::Value, E> {
        Ok(self.number(value.into()))
    }

    fn visit_u64<E: Error>(self, value: u64) -> Result<Self::Value, E> {
        Ok(self.number(value.into()))
    }

    fn visit_f64<E: Error>(self, value: f64) -> Result<Self::Value, E> {
        let number = Number::from_f64(value).ok_or_else(|| E::custom("not a JSON number"))?;
        Ok(self.number(number))
    }

    fn visit_str<E: Error>(self, value: &str) -> Result<Self::Value, E> {
        Ok(self.text(value))
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut access: A) -> Result<Self::Value, A::Error> {
        let item = match self.form() {
            Form::List(item) => item,
            Form::Scalar(Scalar::Json | Scalar::Raw | Scalar::Fields) => {
                let any = serde::de::value::SeqAccessDeserializer::new(access);
                return Value::deserialize(any).map(Some);
            }
            form => {
                while access.next_element::<IgnoredAny>()?.is_some() {}
                return Ok(match form {
                    Form::Scalar(Scalar::IntOrString) => self.foreign("array", "int32"),
                    Form::Scalar(Scalar::Time | Scalar::MicroTime) => {
                        self.foreign("array", "string")
                    }
                    _ => self.mismatch("array"),
                });
            }
        };
        let mut list = Vec::new();
        let here = *self.here;
        loop {
            let place = here.index(list.len());
            let Some(value) = access.next_element_seed(self.child(item, &place))? else { break };
            list.push(Self::element(value, item, self.schema));
        }
        Ok(Some(Value::Array(list)))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        match self.form() {
            Form::Struct(index) => {
                let structure = self.schema.structure(index);
                self.structure(structure, access)
            }
            Form::Map(values) => self.map(values, access),
            Form::Scalar(Scalar::Json | Scalar::Raw | Scalar::Fields) => {
                let any = serde::de::value::MapAccessDeserializer::new(access);
                Value::deserialize(any).map(Some)
            }
            form => {
                while access.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(match form {
                    Form::Scalar(Scalar::IntOrString) => self.foreign("object", "int32"),
                    Form::Scalar(Scalar::Time | Scalar::MicroTime) => {
                        self.foreign("object", "string")
                    }
                    _ => self.mismatch("object"),
                })
            }
        }
    }
}

/// A field's name, looked up without a copy.
struct KeySeed<'s>(&'s Struct);

enum Key {
    Known(usize),
    Unknown(String),
}

impl<'de> DeserializeSeed<'de> for KeySeed<'_> {
    type Value = Key;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Key, D::Error> {
        deserializer.deserialize_str(self)
    }
}

impl<'de> Visitor<'de> for KeySeed<'_> {
    type Value = Key;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a field's name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<Key, E> {
        Ok(match self.0.position(name) {
            Some(index) => Key::Known(index),
            None => Key::Unknown(name.to_owned()),
        })
    }
}
