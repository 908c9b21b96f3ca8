//! The version 2 document as gnostic's protobuf messages (`openapi.v2.Document`), made from the JSON
//! form piece by piece. Extensions travel as YAML text, of which JSON is a part.

use serde_json::Value;

use crate::wire::Message;

/// The whole document.
pub(super) fn document<'n>(
    info: &Value,
    paths: impl Iterator<Item = (&'n str, Value)>,
    schemas: impl Iterator<Item = (&'n str, Value)>,
    security: &Value,
) -> Vec<u8> {
    let mut out = Message::default();
    out.string(1, "2.0");
    let mut about = Message::default();
    about.string(1, text(info, "title"));
    about.string(2, text(info, "version"));
    out.message(2, about);
    let mut all = Message::default();
    for (name, item) in paths {
        all.message(2, named(name, path_item(&item)));
    }
    out.message(8, all);
    let mut all = Message::default();
    for (name, item) in schemas {
        all.message(1, named(name, schema(&item)));
    }
    out.message(9, all);
    let mut all = Message::default();
    for (name, item) in entries(security) {
        all.message(1, named(name, security_item(item)));
    }
    out.message(13, all);
    out.finish()
}

/// An entry of a map: name and value.
pub(super) fn named(name: &str, value: Message) -> Message {
    let mut out = Message::default();
    out.string(1, name);
    out.message(2, value);
    out
}

fn path_item(item: &Value) -> Message {
    const METHODS: [(u32, &str); 7] = [
        (2, "get"),
        (3, "put"),
        (4, "post"),
        (5, "delete"),
        (6, "options"),
        (7, "head"),
        (8, "patch"),
    ];
    let mut out = Message::default();
    for (number, method) in METHODS {
        if let Some(value) = item.get(method) {
            out.message(number, operation(value));
        }
    }
    for value in elements(item, "parameters") {
        out.message(9, parameter(value));
    }
    out
}

fn operation(value: &Value) -> Message {
    let mut out = Message::default();
    strings(&mut out, 1, value, "tags");
    out.string(3, text(value, "description"));
    out.string(5, text(value, "operationId"));
    strings(&mut out, 6, value, "produces");
    strings(&mut out, 7, value, "consumes");
    for one in elements(value, "parameters") {
        out.message(8, parameter(one));
    }
    let mut responses = Message::default();
    for (code, response) in entries(&value["responses"]) {
        responses.message(1, named(code, response_value(response)));
    }
    out.message(9, responses);
    strings(&mut out, 10, value, "schemes");
    extensions(&mut out, 13, value);
    out
}

fn response_value(value: &Value) -> Message {
    let mut response = Message::default();
    response.string(1, text(value, "description"));
    if let Some(answer) = value.get("schema") {
        response.message(2, only(1, schema(answer)));
    }
    only(1, response)
}

/// A ParametersItem, which holds a Parameter.
fn parameter(value: &Value) -> Message {
    let parameter = match text(value, "in") {
        "body" => only(1, body_parameter(value)),
        "path" => only(2, only(4, simple_parameter(value, 5, 19))),
        _ => only(2, only(3, simple_parameter(value, 6, 20))),
    };
    only(1, parameter)
}

fn body_parameter(value: &Value) -> Message {
    let mut out = Message::default();
    out.string(1, text(value, "description"));
    out.string(2, text(value, "name"));
    out.string(3, text(value, "in"));
    out.boolean(4, flag(value, "required"));
    out.message(5, schema(&value["schema"]));
    out
}

/// A path or query parameter; they number two fields differently.
fn simple_parameter(value: &Value, type_number: u32, unique_number: u32) -> Message {
    let mut out = Message::default();
    out.boolean(1, flag(value, "required"));
    out.string(2, text(value, "in"));
    out.string(3, text(value, "description"));
    out.string(4, text(value, "name"));
    out.string(type_number, text(value, "type"));
    out.boolean(unique_number, flag(value, "uniqueItems"));
    out
}

fn schema(value: &Value) -> Message {
    let mut out = Message::default();
    out.string(1, text(value, "$ref"));
    out.string(2, text(value, "format"));
    out.string(4, text(value, "description"));
    if let Some(default) = value.get("default") {
        out.message(5, yaml(default));
    }
    strings(&mut out, 19, value, "required");
    for one in elements(value, "enum") {
        out.message(20, yaml(one));
    }
    if let Some(values) = value.get("additionalProperties") {
        out.message(21, only(1, schema(values)));
    }
    if let Some(name) = value.get("type").and_then(Value::as_str) {
        let mut kind = Message::default();
        kind.string(1, name);
        out.message(22, kind);
    }
    if let Some(items) = value.get("items") {
        out.message(23, only(1, schema(items)));
    }
    if let Some(properties) = value.get("properties") {
        let mut all = Message::default();
        for (name, property) in entries(properties) {
            all.message(1, named(name, schema(property)));
        }
        out.message(25, all);
    }
    extensions(&mut out, 31, value);
    out
}

fn security_item(value: &Value) -> Message {
    const API_KEY: u32 = 2;
    let mut out = Message::default();
    out.string(1, text(value, "type"));
    out.string(2, text(value, "name"));
    out.string(3, text(value, "in"));
    out.string(4, text(value, "description"));
    only(API_KEY, out)
}

pub(super) fn extensions(out: &mut Message, number: u32, value: &Value) {
    for (name, extension) in entries(value).filter(|(name, _)| name.starts_with("x-")) {
        out.message(number, named(name, yaml(extension)));
    }
}

/// An Any.
pub(super) fn yaml(value: &Value) -> Message {
    let mut out = Message::default();
    out.string(2, &value.to_string());
    out
}

/// A message with one field.
pub(super) fn only(number: u32, value: Message) -> Message {
    let mut out = Message::default();
    out.message(number, value);
    out
}

pub(super) fn text<'v>(value: &'v Value, key: &str) -> &'v str {
    value[key].as_str().unwrap_or("")
}

pub(super) fn flag(value: &Value, key: &str) -> bool {
    value[key].as_bool().unwrap_or(false)
}

pub(super) fn strings(out: &mut Message, number: u32, value: &Value, key: &str) {
    for text in elements(value, key).filter_map(Value::as_str) {
        out.string(number, text);
    }
}

pub(super) fn elements<'v>(value: &'v Value, key: &str) -> impl Iterator<Item = &'v Value> {
    value[key].as_array().into_iter().flatten()
}

pub(super) fn entries(value: &Value) -> impl Iterator<Item = (&str, &Value)> {
    value.as_object().into_iter().flatten().map(|(name, value)| (name.as_str(), value))
}
