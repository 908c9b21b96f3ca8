//! The defaults of schemas, and nulls where none may be.

use serde_json::{Map, Value};

use super::structural::Structural;

/// Fills in what an object leaves out: first nulls go that neither may be nor have a default, then
/// the defaults come.
pub(super) fn default(object: &mut Value, schema: &Structural) {
    drop_nulls(object, Some(schema));
    fill(object, schema);
}

fn drop_nulls(value: &mut Value, schema: Option<&Structural>) {
    match value {
        Value::Object(map) => {
            map.retain(|name, value| {
                let inner = schema.and_then(|schema| schema.under(name));
                let keeps = !value.is_null()
                    || inner.is_none_or(|inner| inner.nullable || inner.default.is_some());
                if keeps {
                    drop_nulls(value, inner);
                }
                keeps
            });
        }
        Value::Array(list) => {
            let items = schema.and_then(|schema| schema.items.as_deref());
            list.iter_mut().for_each(|item| drop_nulls(item, items));
        }
        _ => {}
    }
}

fn fill(value: &mut Value, schema: &Structural) {
    match value {
        Value::Object(map) => fill_map(map, schema),
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for item in list {
                replace_null(item, items);
                fill(item, items);
            }
        }
        _ => {}
    }
}

fn fill_map(map: &mut Map<String, Value>, schema: &Structural) {
    for (name, field) in &schema.properties {
        let Some(default) = &field.default else { continue };
        match map.get_mut(name.as_ref()) {
            None => drop(map.insert(name.to_string(), (**default).clone())),
            Some(value) => replace_null(value, field),
        }
    }
    for (name, value) in map {
        let Some(field) = schema.under(name) else { continue };
        replace_null(value, field);
        fill(value, field);
    }
}

/// A null becomes the default, unless it is a value.
fn replace_null(value: &mut Value, schema: &Structural) {
    if let (Value::Null, false, Some(default)) = (&*value, schema.nullable, &schema.default) {
        *value = (**default).clone();
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_is_left_out_is_filled_in() {
        let schema = Structural::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "default": {}, "properties": {
                "a": {"type": "string", "default": "A"},
                "n": {"type": "string", "nullable": true, "default": "N"},
                "gone": {"type": "string"},
                "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "integer", "default": 1}}}},
                "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"y": {"type": "boolean", "default": true}}}}}}}}));
        let check = |mut object: Value, want: Value| {
            default(&mut object, &schema);
            assert_eq!(object, want);
        };
        check(json!({}), json!({"spec": {"a": "A", "n": "N"}}));
        check(
            json!({"spec": {"a": null, "n": null, "gone": null, "list": [{}, {"x": 2}], "map": {"k": {}}}}),
            json!({"spec": {"a": "A", "n": null, "list": [{"x": 1}, {"x": 2}], "map": {"k": {"y": true}}}}),
        );
    }
}
