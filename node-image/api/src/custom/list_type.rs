//! Lists of type set hold each element once, lists of type map each key.

use serde_json::{Map, Value, json};

use super::structural::Structural;
use crate::schema::ListType;
use crate::{FieldError, Path};

/// What occurs twice in an object.
pub(super) fn validate(errors: &mut Vec<FieldError>, schema: &Structural, object: &Value) {
    value(errors, &Path::new(""), schema, object);
}

fn value(errors: &mut Vec<FieldError>, path: &Path, schema: &Structural, found: &Value) {
    match found {
        Value::Object(map) => {
            for (name, inner) in map {
                match schema.property(name) {
                    Some(field) => value(errors, &path.child(name), field, inner),
                    None => {
                        if let Some(values) = schema.values() {
                            value(errors, &path.key(name), values, inner);
                        }
                    }
                }
            }
        }
        Value::Array(items) => list(errors, path, schema, items),
        _ => {}
    }
}

fn list(errors: &mut Vec<FieldError>, path: &Path, schema: &Structural, items: &[Value]) {
    match schema.list_type {
        Some(ListType::Set) => duplicates(errors, path, items.to_vec()),
        Some(ListType::Map) => keyed(errors, path, &schema.checks().list_map_keys, items),
        _ => {}
    }
    if let Some(inner) = &schema.items {
        for (index, item) in items.iter().enumerate() {
            value(errors, &path.index(index), inner, item);
        }
    }
}

fn keyed(errors: &mut Vec<FieldError>, path: &Path, keys: &[String], items: &[Value]) {
    let odd = items.iter().position(|item| !item.is_null() && !item.is_object());
    if let Some(index) = odd {
        let text = "must be an object for an array of list-type map";
        errors.push(FieldError::invalid(path.index(index), items[index].clone(), text));
        return;
    }
    let key_of = |item: &Value| -> Value {
        let fields = keys.iter().filter_map(|key| Some((key.clone(), item.get(key)?.clone())));
        Value::Object(fields.collect::<Map<_, _>>())
    };
    duplicates(errors, path, items.iter().map(key_of).collect());
}

/// One error for the second of each.
fn duplicates(errors: &mut Vec<FieldError>, path: &Path, items: Vec<Value>) {
    let mut seen = std::collections::HashMap::new();
    for (index, item) in items.into_iter().enumerate() {
        let times = seen.entry(json!([item]).to_string()).or_insert(0usize);
        *times += 1;
        if *times == 2 {
            errors.push(FieldError::duplicate(path.index(index), item));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn duplicates_are_found() {
        let schema = Structural::parse(&json!({"type": "object", "properties": {
            "set": {"type": "array", "x-kubernetes-list-type": "set", "items": {"type": "string"}},
            "map": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["a", "b"],
                "items": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "integer"}}}}}}));
        let check = |object: Value, want: &[&str]| {
            let mut errors = Vec::new();
            validate(&mut errors, &schema, &object);
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        check(json!({"set": ["x", "y", "x", "x"]}), &["set[2]: Duplicate value: \"x\""]);
        check(
            json!({"map": [{"a": "1", "b": 1}, {"a": "1", "b": 2}, {"a": "1", "b": 1, "c": 0}]}),
            &["map[2]: Duplicate value: {\"a\":\"1\",\"b\":1}"],
        );
        check(
            json!({"map": ["x"]}),
            &["map[0]: Invalid value: \"x\": must be an object for an array of list-type map"],
        );
    }
}
