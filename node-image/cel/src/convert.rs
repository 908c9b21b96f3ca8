//! JSON to values, as a schema directs it, and values to JSON.

use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Map as JsonMap, Number, Value as Json};

use crate::error::Error;
use crate::library::{duration_text, parse_format_duration, parse_timestamp, timestamp_text};
use crate::schema::{Form, Schema, Text};
use crate::types::Type;
use crate::value::{Key, List, Map, Value};

/// How deep values may nest on their way to JSON.
const DEPTH_MAX: usize = 200;

impl Value {
    /// A value from JSON of which nothing is known.
    pub fn from_json(json: &Json) -> Value {
        match json {
            Json::Null => Value::Null,
            Json::Bool(value) => Value::Bool(*value),
            Json::Number(number) => number_value(number),
            Json::String(text) => Value::from(text.as_str()),
            Json::Array(items) => {
                Value::from(items.iter().map(Value::from_json).collect::<Vec<_>>())
            }
            Json::Object(fields) => {
                let field = |(name, value): (&String, &Json)| {
                    (Key::String(name.as_str().into()), Value::from_json(value))
                };
                Value::map(fields.iter().map(field))
            }
        }
    }

    /// A value from JSON that should fit a schema. What does not fit becomes an error for the expression
    /// that touches it. Fields get their escaped names, and those that have none are left out.
    pub fn with_schema(json: &Json, schema: &Schema) -> Value {
        convert(json, schema).unwrap_or_else(|message| Value::Invalid(message.into()))
    }

    /// The value as JSON: bytes in base64, times as text, an absent optional as null.
    ///
    /// # Errors
    /// For types, library values and numbers that JSON does not have.
    pub fn to_json(&self) -> Result<Json, Error> {
        to_json(self, 0)
    }
}

fn number_value(number: &Number) -> Value {
    match number.as_i64() {
        Some(integer) => Value::Int(integer),
        None => Value::Double(number.as_f64().unwrap_or(f64::NAN)),
    }
}

/// The kind of JSON as messages call it.
fn kind(json: &Json) -> &'static str {
    match json {
        Json::Null => "<nil>",
        Json::Bool(_) => "bool",
        Json::Number(number) if number.is_i64() => "int64",
        Json::Number(_) => "float64",
        Json::String(_) => "string",
        Json::Array(_) => "[]interface {}",
        Json::Object(_) => "map[string]interface {}",
    }
}

fn convert(json: &Json, schema: &Schema) -> Result<Value, String> {
    if json.is_null() {
        return match schema.nullable || matches!(schema.form, Form::Any | Form::Unknown) {
            true => Ok(Value::Null),
            false => Err("invalid data, got null for schema with nullable=false".into()),
        };
    }
    match (&schema.form, json) {
        (Form::Any | Form::Unknown, json) => Ok(Value::from_json(json)),
        (Form::IntOrString, Json::String(_)) => Ok(Value::from_json(json)),
        (Form::IntOrString, Json::Number(number)) if number.is_i64() => Ok(number_value(number)),
        (Form::IntOrString, _) => {
            Err("invalid data, expected XIntOrString value to be either a string or integer".into())
        }
        (Form::Boolean, Json::Bool(value)) => Ok(Value::Bool(*value)),
        (Form::Boolean, _) => Err(format!("invalid data, expected bool, got {}", kind(json))),
        (Form::Integer, Json::Number(number)) if number.is_i64() => Ok(number_value(number)),
        (Form::Integer, _) => Err(format!("invalid data, expected int, got {}", kind(json))),
        (Form::Number, Json::Number(number)) => {
            Ok(Value::Double(number.as_f64().unwrap_or(f64::NAN)))
        }
        (Form::Number, _) => Err(format!("invalid data, expected float, got {}", kind(json))),
        (Form::String(text), Json::String(value)) => convert_text(value, *text),
        (Form::String(_), _) => Err(format!("invalid data, expected string, got {}", kind(json))),
        (Form::List { element, kind }, Json::Array(items)) => {
            let items = items.iter().map(|item| Value::with_schema(item, element)).collect();
            Ok(Value::List(Arc::new(List { items, kind: kind.clone() })))
        }
        (Form::List { .. }, _) => {
            Err("invalid data, expected an array for the provided schema with type=array".into())
        }
        (Form::Map(element), Json::Object(fields)) => {
            let entry = |(name, value): (&String, &Json)| {
                (Key::String(name.as_str().into()), Value::with_schema(value, element))
            };
            Ok(Value::map(fields.iter().map(entry)))
        }
        (Form::Object(_), Json::Object(fields)) => Ok(convert_object(fields, schema)),
        (Form::Map(_) | Form::Object(_), _) => {
            Err("invalid data, expected a map for the provided schema with type=object".into())
        }
    }
}

fn convert_object(fields: &JsonMap<String, Json>, schema: &Schema) -> Value {
    let Form::Object(properties) = &schema.form else { return Value::Null };
    let field = |(name, value): (&String, &Json)| {
        let property = properties.get(name)?;
        // What cannot be selected still counts for equality.
        let name = property.escaped.as_deref().unwrap_or(name);
        Some((Key::String(name.into()), Value::with_schema(value, &property.schema)))
    };
    let entries = fields.iter().filter_map(field).collect();
    let type_name = match &schema.type_ {
        Type::Object(object) => Some(object.name.as_str().into()),
        _ => None,
    };
    Value::Map(Arc::new(Map { entries, type_name }))
}

fn convert_text(text: &str, form: Text) -> Result<Value, String> {
    match form {
        Text::Plain => Ok(Value::from(text)),
        Text::Bytes => match STANDARD.decode(text) {
            Ok(bytes) => Ok(Value::Bytes(bytes.into())),
            Err(error) => Err(format!("Invalid byte formatted string {text}: {error}")),
        },
        Text::Duration => {
            let duration = parse_format_duration(text).map(Value::Duration);
            duration.ok_or_else(|| {
                format!("Invalid duration {text}: unable to parse {text} as duration")
            })
        }
        Text::Date => {
            let date = text.parse::<jiff::civil::Date>().ok().filter(|_| text.len() == 10);
            let value = date.map(|date| Value::Timestamp(date.at(0, 0, 0, 0)));
            value.ok_or_else(|| format!("Invalid date formatted string {text}: cannot parse"))
        }
        Text::DateTime => {
            let value = parse_timestamp(text).map(Value::Timestamp);
            value.ok_or_else(|| format!("Invalid date-time formatted string {text}: cannot parse"))
        }
    }
}

fn to_json(value: &Value, depth: usize) -> Result<Json, Error> {
    if depth > DEPTH_MAX {
        return Err(Error::other("value is nested too deeply for JSON"));
    }
    let refused = || {
        Error::other(format!("cannot convert a value of type {} to JSON", value.type_of().name()))
    };
    Ok(match value {
        Value::Null | Value::Optional(None) => Json::Null,
        Value::Bool(value) => Json::Bool(*value),
        Value::Int(number) => Json::from(*number),
        Value::Uint(number) => Json::from(*number),
        Value::Double(number) => Json::Number(Number::from_f64(*number).ok_or_else(refused)?),
        Value::String(text) => Json::from(&**text),
        Value::Bytes(bytes) => Json::from(STANDARD.encode(bytes)),
        Value::Duration(nanoseconds) => Json::from(duration_text(*nanoseconds)),
        Value::Timestamp(time) => Json::from(timestamp_text(*time)),
        Value::List(list) => {
            let items: Result<Vec<Json>, Error> =
                list.items.iter().map(|item| to_json(item, depth + 1)).collect();
            Json::Array(items?)
        }
        Value::Map(map) => {
            let entry =
                |(key, value): (&Key, &Value)| Ok((key.to_string(), to_json(value, depth + 1)?));
            Json::Object(map.entries.iter().map(entry).collect::<Result<_, Error>>()?)
        }
        Value::Optional(Some(value)) => to_json(value, depth + 1)?,
        Value::Invalid(message) => return Err(Error::Other(message.to_string())),
        Value::Type(_) | Value::Opaque(_) | Value::Fields(_) => return Err(refused()),
    })
}
