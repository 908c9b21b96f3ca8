//! A version 3 document as gnostic's protobuf messages (`openapi.v3.Document`), made from the JSON form
//! piece by piece.

use serde_json::Value;

use super::gnostic::{elements, entries, extensions, flag, named, only, strings, text, yaml};
use crate::wire::Message;

/// The whole document.
pub(super) fn document<'n>(
    info: &Value,
    paths: impl Iterator<Item = (&'n str, Value)>,
    schemas: impl Iterator<Item = (&'n str, Value)>,
    security: &Value,
) -> Vec<u8> {
    let mut out = Message::default();
    out.string(1, "3.0.0");
    let mut about = Message::default();
    about.string(1, text(info, "title"));
    about.string(6, text(info, "version"));
    out.message(2, about);
    let mut all = Message::default();
    for (name, item) in paths {
        all.message(1, named(name, path_item(&item)));
    }
    out.message(4, all);
    let mut components = Message::default();
    let mut all = Message::default();
    for (name, item) in schemas {
        all.message(1, named(name, schema(&item)));
    }
    components.message(1, all);
    let mut all = Message::default();
    for (name, item) in entries(security) {
        all.message(1, named(name, only(1, security_scheme(item))));
    }
    components.message(7, all);
    out.message(5, components);
    out.finish()
}

fn path_item(item: &Value) -> Message {
    const METHODS: [(u32, &str); 7] = [
        (4, "get"),
        (5, "put"),
        (6, "post"),
        (7, "delete"),
        (8, "options"),
        (9, "head"),
        (10, "patch"),
    ];
    let mut out = Message::default();
    for (number, method) in METHODS {
        if let Some(value) = item.get(method) {
            out.message(number, operation(value));
        }
    }
    for value in elements(item, "parameters") {
        out.message(13, only(1, parameter(value)));
    }
    out
}

fn operation(value: &Value) -> Message {
    let mut out = Message::default();
    strings(&mut out, 1, value, "tags");
    out.string(3, text(value, "description"));
    out.string(5, text(value, "operationId"));
    for one in elements(value, "parameters") {
        out.message(6, only(1, parameter(one)));
    }
    if let Some(body) = value.get("requestBody") {
        let mut request = Message::default();
        request.message(2, content(&body["content"]));
        request.boolean(3, flag(body, "required"));
        out.message(7, only(1, request));
    }
    let mut responses = Message::default();
    for (code, response) in entries(&value["responses"]) {
        let mut one = Message::default();
        one.string(1, text(response, "description"));
        if let Some(answer) = response.get("content") {
            one.message(3, content(answer));
        }
        responses.message(2, named(code, only(1, one)));
    }
    out.message(8, responses);
    extensions(&mut out, 13, value);
    out
}

fn parameter(value: &Value) -> Message {
    let mut out = Message::default();
    out.string(1, text(value, "name"));
    out.string(2, text(value, "in"));
    out.string(3, text(value, "description"));
    out.boolean(4, flag(value, "required"));
    out.message(10, schema(&value["schema"]));
    out
}

fn content(types: &Value) -> Message {
    let mut out = Message::default();
    for (name, media) in entries(types) {
        out.message(1, named(name, only(1, schema(&media["schema"]))));
    }
    out
}

/// A SchemaOrReference.
fn schema(value: &Value) -> Message {
    const SCHEMA: u32 = 1;
    const REFERENCE: u32 = 2;
    let reference = text(value, "$ref");
    if !reference.is_empty() {
        let mut out = Message::default();
        out.string(1, reference);
        return only(REFERENCE, out);
    }
    only(SCHEMA, plain_schema(value))
}

fn plain_schema(value: &Value) -> Message {
    const DOUBLES: [(u32, &str); 3] = [(10, "multipleOf"), (11, "maximum"), (13, "minimum")];
    const FLAGS: [(u32, &str); 4] =
        [(1, "nullable"), (12, "exclusiveMaximum"), (14, "exclusiveMinimum"), (20, "uniqueItems")];
    const LIMITS: [(u32, &str); 6] = [
        (15, "maxLength"),
        (16, "minLength"),
        (18, "maxItems"),
        (19, "minItems"),
        (21, "maxProperties"),
        (22, "minProperties"),
    ];
    let mut out = Message::default();
    FLAGS.iter().for_each(|(number, key)| out.boolean(*number, flag(value, key)));
    for (number, key) in DOUBLES {
        value[key].as_f64().into_iter().for_each(|limit| out.double(number, limit));
    }
    for (number, key) in LIMITS {
        value[key].as_i64().into_iter().for_each(|limit| out.integer(number, limit));
    }
    out.string(17, text(value, "pattern"));
    strings(&mut out, 23, value, "required");
    elements(value, "enum").for_each(|one| out.message(24, yaml(one)));
    out.string(25, text(value, "type"));
    for (number, key) in [(26, "allOf"), (27, "oneOf"), (28, "anyOf")] {
        elements(value, key).for_each(|one| out.message(number, schema(one)));
    }
    if let Some(not) = value.get("not") {
        out.message(29, plain_schema(not));
    }
    if let Some(items) = value.get("items") {
        out.message(30, only(1, schema(items)));
    }
    if let Some(properties) = value.get("properties") {
        let mut all = Message::default();
        for (name, property) in entries(properties) {
            all.message(1, named(name, schema(property)));
        }
        out.message(31, all);
    }
    match value.get("additionalProperties") {
        Some(Value::Bool(allowed)) => {
            let mut item = Message::default();
            item.integer(2, i64::from(*allowed));
            out.message(32, item);
        }
        Some(values) => out.message(32, only(1, schema(values))),
        None => {}
    }
    if let Some(default) = default(&value["default"]) {
        out.message(33, default);
    }
    out.string(34, text(value, "description"));
    out.string(35, text(value, "format"));
    extensions(&mut out, 36, value);
    out
}

/// A DefaultType, which has no lists and no objects.
fn default(value: &Value) -> Option<Message> {
    let mut out = Message::default();
    match value {
        Value::Number(number) => out.double(1, number.as_f64()?),
        Value::Bool(flag) => out.integer(2, i64::from(*flag)),
        Value::String(text) => out.bytes(3, text.as_bytes()),
        _ => return None,
    }
    Some(out)
}

fn security_scheme(value: &Value) -> Message {
    let mut out = Message::default();
    out.string(1, text(value, "type"));
    out.string(2, text(value, "description"));
    out.string(3, text(value, "name"));
    out.string(4, text(value, "in"));
    out
}
