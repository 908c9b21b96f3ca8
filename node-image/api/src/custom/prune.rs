//! Fields that a schema does not name are dropped, and reported by their paths.

use serde_json::{Map, Value};

use super::structural::Structural;

/// What every object has, whatever its schema says.
const META: [&str; 3] = ["apiVersion", "kind", "metadata"];

/// Drops from an object what its schema does not know; returns the paths, sorted.
pub(super) fn prune(object: &mut Value, schema: &Structural) -> Vec<String> {
    let mut pruner = Pruner { path: String::new(), unknown: Vec::new() };
    pruner.value(object, Some(schema), true);
    pruner.unknown.sort();
    pruner.unknown
}

/// Drops from a value below an object's root what its schema does not know; whether anything was.
pub(super) fn prune_value(value: &mut Value, schema: &Structural) -> bool {
    let mut pruner = Pruner { path: String::new(), unknown: Vec::new() };
    pruner.value(value, Some(schema), false);
    !pruner.unknown.is_empty()
}

struct Pruner {
    path: String,
    unknown: Vec<String>,
}

impl Pruner {
    fn value(&mut self, value: &mut Value, schema: Option<&Structural>, is_object: bool) {
        match (value, schema) {
            (Value::Object(map), Some(schema)) if schema.preserves_unknown => {
                self.known(map, schema, is_object);
            }
            (Value::Object(map), Some(schema)) => {
                self.unnamed(map, Some(schema), is_object);
                self.known(map, schema, is_object);
            }
            (Value::Object(map), None) => self.unnamed(map, None, false),
            (Value::Array(list), Some(schema)) if schema.preserves_unknown => {
                self.preserved(list, schema);
            }
            (Value::Array(list), schema) => {
                let items = schema.and_then(|schema| schema.items.as_deref());
                self.each(list, |pruner, item| pruner.value(item, items, false));
            }
            _ => {}
        }
    }

    /// The elements of a list that keeps what is unknown; those are kept as their own schema says.
    fn preserved(&mut self, list: &mut [Value], schema: &Structural) {
        if let Some(items) = schema.items.as_deref() {
            self.each(list, |pruner, item| match item {
                Value::Object(map) => pruner.known(map, items, false),
                Value::Array(list) => pruner.preserved(list, items),
                _ => {}
            });
        }
    }

    fn each(&mut self, list: &mut [Value], mut visit: impl FnMut(&mut Pruner, &mut Value)) {
        let length = self.path.len();
        for (index, item) in list.iter_mut().enumerate() {
            self.path.push_str(&format!("[{index}]"));
            visit(self, item);
            self.path.truncate(length);
        }
    }

    /// Fields with a schema of their own.
    fn known(&mut self, map: &mut Map<String, Value>, schema: &Structural, is_object: bool) {
        let keeps_meta = is_object || schema.embedded;
        for (name, value) in map.iter_mut() {
            if keeps_meta && META.contains(&name.as_str()) {
                continue;
            }
            let inner = match (schema.property(name), schema.additional.is_some()) {
                (None, false) => continue,
                (None, true) => schema.values(),
                (found, _) => found,
            };
            let length = self.enter(name);
            self.value(value, inner, false);
            self.path.truncate(length);
        }
    }

    /// Fields without one.
    fn unnamed(
        &mut self,
        map: &mut Map<String, Value>,
        schema: Option<&Structural>,
        is_object: bool,
    ) {
        let keeps_meta = is_object || schema.is_some_and(|schema| schema.embedded);
        let kept = |name: &str| {
            (keeps_meta && META.contains(&name))
                || schema.is_some_and(|s| s.additional.is_some() || s.property(name).is_some())
        };
        let path = &self.path;
        let unknown = &mut self.unknown;
        map.retain(|name, _| {
            let keeps = kept(name);
            if !keeps {
                unknown.push(joined(path, name));
            }
            keeps
        });
    }

    fn enter(&mut self, name: &str) -> usize {
        let length = self.path.len();
        self.path = joined(&self.path, name);
        length
    }
}

fn joined(path: &str, name: &str) -> String {
    if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn unknown_fields_go() {
        let schema = Structural::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "properties": {
                "a": {"type": "string"},
                "list": {"type": "array", "items": {"type": "object", "properties": {"x": {"type": "string"}}}},
                "any": {"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {"known": {"type": "object", "properties": {}}}},
                "map": {"type": "object", "additionalProperties": {"type": "object", "properties": {"y": {"type": "string"}}}},
                "pod": {"type": "object", "x-kubernetes-embedded-resource": true, "properties": {"spec": {"type": "object"}}}}}}}));
        let mut object = json!({"apiVersion": "v", "kind": "K", "metadata": {"name": "n", "odd": 1}, "top": 1,
            "spec": {"a": "x", "b": 1, "list": [{"x": "1", "z": 2}], "any": {"free": {"q": 1}, "known": {"no": 1}},
                "map": {"k": {"y": "1", "w": 1}}, "pod": {"kind": "Pod", "metadata": {}, "status": 1}}});
        let unknown = prune(&mut object, &schema);
        assert_eq!(
            unknown,
            [
                "spec.any.known.no",
                "spec.b",
                "spec.list[0].z",
                "spec.map.k.w",
                "spec.pod.status",
                "top"
            ]
        );
        assert_eq!(
            object,
            json!({"apiVersion": "v", "kind": "K", "metadata": {"name": "n", "odd": 1},
                "spec": {"a": "x", "list": [{"x": "1"}], "any": {"free": {"q": 1}, "known": {}},
                    "map": {"k": {"y": "1"}}, "pod": {"kind": "Pod", "metadata": {}}}})
        );
    }
}
