//! Which fields an object has, and which differ between two states of it, as their owners see them.

use std::collections::BTreeSet;

use serde_json::{Map, Value};

use super::PatchSchema;
use super::field_set::{FieldSet, Place};

/// What the system sets and nobody owns.
const UNOWNED: [&str; 2] = ["f:apiVersion", "f:kind"];
/// The same of the metadata.
const UNOWNED_METADATA: [&str; 8] = [
    "f:creationTimestamp",
    "f:generation",
    "f:managedFields",
    "f:name",
    "f:namespace",
    "f:resourceVersion",
    "f:selfLink",
    "f:uid",
];

/// The fields that an object has.
pub(super) fn set_of<S: PatchSchema>(object: &Value, schema: &S) -> FieldSet {
    let mut set = place_of(object, Some(schema)).below;
    disown(&mut set);
    set
}

/// What became of an object.
#[derive(Debug, Default)]
pub(super) struct Changes {
    /// Added, or given another value.
    pub(super) written: FieldSet,
    pub(super) removed: FieldSet,
}

/// The fields that differ between two states of an object.
pub(super) fn changes<S: PatchSchema>(old: &Value, new: &Value, schema: &S) -> Changes {
    let difference = compare(Some(old), Some(new), Some(schema));
    let mut changes =
        Changes { written: difference.written.below, removed: difference.removed.below };
    disown(&mut changes.written);
    disown(&mut changes.removed);
    changes
}

fn disown(set: &mut FieldSet) {
    UNOWNED.iter().for_each(|element| set.detach(element));
    set.change_below("f:metadata", |metadata| {
        UNOWNED_METADATA.iter().for_each(|element| metadata.detach(element));
    });
}

fn place_of<S: PatchSchema>(value: &Value, schema: Option<&S>) -> Place {
    let mut place = Place::default();
    match value {
        Value::Object(map) if !is_atomic_map(schema) => {
            for (name, value) in map {
                let field = schema.and_then(|s| s.under(name));
                let mut child = place_of(value, field.as_ref());
                let is_bare = value.as_object().is_some_and(Map::is_empty);
                let is_named = schema.is_some_and(|s| s.property(name).is_some());
                child.is_member |= is_bare || (value.is_object() && !is_named);
                place.below.attach(|| format!("f:{name}"), child);
            }
        }
        Value::Array(list) if ListKind::of(schema) != ListKind::Atomic => {
            let kind = ListKind::of(schema);
            let items = schema.and_then(|s| s.items());
            for item in list {
                let mut child = match &kind {
                    ListKind::Map(_) => place_of(item, items.as_ref()),
                    _ => Place::default(),
                };
                child.is_member = true;
                place.below.attach(|| kind.element(item, items.as_ref()), child);
            }
        }
        _ => place.is_member = true,
    }
    place
}

#[derive(Default)]
struct Difference {
    written: Place,
    removed: Place,
}

/// Absent and null differ: what is null was there before.
fn compare<S: PatchSchema>(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: Option<&S>,
) -> Difference {
    let mut difference = Difference::default();
    match (shape(old, schema), shape(new, schema)) {
        (Shape::Map, Shape::Map | Shape::Nothing) | (Shape::Nothing, Shape::Map) => {
            compare_maps(old, new, schema, &mut difference);
        }
        (Shape::List, Shape::List | Shape::Nothing) | (Shape::Nothing, Shape::List) => {
            compare_lists(old, new, schema, &mut difference);
        }
        _ => {
            difference.written.is_member = new.is_some() && old != new;
            difference.removed.is_member = new.is_none() && old.is_some();
            return difference;
        }
    }
    difference.written.is_member = old.is_none();
    difference.removed.is_member = new.is_none();
    difference
}

/// How a value is compared.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Shape {
    /// Field by field.
    Map,
    /// Element by element.
    List,
    /// As a whole.
    Leaf,
    /// Like what it is compared with.
    Nothing,
}

fn shape<S: PatchSchema>(value: Option<&Value>, schema: Option<&S>) -> Shape {
    match value {
        None | Some(Value::Null) => Shape::Nothing,
        Some(Value::Object(map)) => match is_atomic_map(schema) {
            true => Shape::Leaf,
            // Nothing and an empty map differ as wholes.
            false if map.is_empty() => Shape::Nothing,
            false => Shape::Map,
        },
        Some(Value::Array(list)) => match ListKind::of(schema) {
            ListKind::Atomic => Shape::Leaf,
            _ if list.is_empty() => Shape::Nothing,
            _ => Shape::List,
        },
        Some(_) => Shape::Leaf,
    }
}

fn compare_maps<S: PatchSchema>(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: Option<&S>,
    difference: &mut Difference,
) {
    let old = old.and_then(Value::as_object);
    let new = new.and_then(Value::as_object);
    let mut compare_field = |name: &str, before: Option<&Value>, after: Option<&Value>| {
        if before == after {
            return;
        }
        let field = schema.and_then(|s| s.under(name));
        difference.attach(|| format!("f:{name}"), compare(before, after, field.as_ref()));
    };
    for (name, value) in new.into_iter().flatten() {
        compare_field(name, old.and_then(|old| old.get(name)), Some(value));
    }
    for (name, value) in old.into_iter().flatten() {
        if new.is_none_or(|new| !new.contains_key(name)) {
            compare_field(name, Some(value), None);
        }
    }
}

fn compare_lists<S: PatchSchema>(
    old: Option<&Value>,
    new: Option<&Value>,
    schema: Option<&S>,
    difference: &mut Difference,
) {
    let kind = ListKind::of(schema);
    let items = schema.and_then(|s| s.items());
    let elements = |list: Option<&'_ Value>| {
        let list = list.and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        list.iter().map(|item| kind.element(item, items.as_ref())).collect::<Vec<_>>()
    };
    let (old_ids, new_ids) = (elements(old), elements(new));
    let mut seen = BTreeSet::new();
    for (index, id) in new_ids.iter().enumerate() {
        if !seen.insert(id) {
            continue;
        }
        let before = old_ids.iter().position(|other| other == id);
        let before = before.and_then(|index| old.and_then(|old| old.get(index)));
        let after = new.and_then(|new| new.get(index));
        if before != after {
            difference.attach(|| id.clone(), compare(before, after, items.as_ref()));
        }
    }
    for (index, id) in old_ids.iter().enumerate() {
        if seen.insert(id) {
            let before = old.and_then(|old| old.get(index));
            difference.attach(|| id.clone(), compare(before, None, items.as_ref()));
        }
    }
}

impl Difference {
    fn attach(&mut self, element: impl Fn() -> String, below: Difference) {
        self.written.below.attach(&element, below.written);
        self.removed.below.attach(&element, below.removed);
    }
}

pub(super) fn is_atomic_map<S: PatchSchema>(schema: Option<&S>) -> bool {
    schema.is_some_and(|s| s.map_type() == Some("atomic"))
}

/// How the elements of a list are told apart.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum ListKind {
    /// Not at all: the list is one value.
    Atomic,
    /// By value.
    Set,
    /// By these fields.
    Map(Vec<String>),
}

impl ListKind {
    pub(super) fn of<S: PatchSchema>(schema: Option<&S>) -> ListKind {
        match schema.and_then(|s| s.list_type()) {
            Some("set") => ListKind::Set,
            Some("map") => ListKind::Map(schema.map(|s| s.list_map_keys()).unwrap_or_default()),
            _ => ListKind::Atomic,
        }
    }

    /// The path element of a list's element.
    pub(super) fn element<S: PatchSchema>(&self, item: &Value, items: Option<&S>) -> String {
        let ListKind::Map(keys) = self else {
            return format!("v:{item}");
        };
        let mut id = Map::new();
        for key in keys {
            let default = || items.and_then(|s| s.property(key)).and_then(|s| s.default_value());
            if let Some(value) = item.get(key).cloned().or_else(default) {
                id.insert(key.clone(), value);
            }
        }
        format!("k:{}", Value::Object(id))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::schema::json_schema::JsonSchema;
    use serde_json::json;

    fn schema() -> Value {
        json!({"properties": {
            "metadata": {"properties": {
                "name": {}, "labels": {"additionalProperties": {}},
                "finalizers": {"items": {}, "x-kubernetes-list-type": "set"}
            }},
            "spec": {"properties": {
                "replicas": {},
                "args": {"items": {}, "x-kubernetes-list-type": "atomic"},
                "selector": {"x-kubernetes-map-type": "atomic"},
                "strategy": {"properties": {"type": {}}},
                "containers": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"properties": {"name": {}, "image": {}, "resources": {"properties": {}}}}}
            }}
        }})
    }

    #[track_caller]
    fn check(old: Value, new: Value, written: Value, removed: Value) {
        let schema = schema();
        let found = changes(&old, &new, &JsonSchema(&schema));
        assert_eq!(found.written.into_json(), written, "written");
        assert_eq!(found.removed.into_json(), removed, "removed");
    }

    #[test]
    fn what_is_new() {
        check(
            json!({"metadata": {}, "spec": {"containers": null, "strategy": {}}}),
            json!({"kind": "X", "metadata": {"name": "a", "labels": {"l": "1"}},
                "spec": {"replicas": 1, "strategy": {"type": "t"}, "selector": {"a": "b"}, "args": ["x"],
                    "containers": [{"name": "c", "image": "i", "resources": {}}]}}),
            json!({"f:metadata": {"f:labels": {".": {}, "f:l": {}}},
                "f:spec": {"f:replicas": {}, "f:strategy": {"f:type": {}}, "f:selector": {}, "f:args": {},
                    "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}, "f:resources": {}}}}}),
            json!({}),
        );
        check(
            json!({}),
            json!({"spec": {"replicas": 1}}),
            json!({"f:spec": {".": {}, "f:replicas": {}}}),
            json!({}),
        );
    }

    #[test]
    fn what_differs() {
        let old = json!({"metadata": {"labels": {"l": "1", "m": "2"}, "finalizers": ["a", "b"]},
            "spec": {"replicas": 1, "containers": [{"name": "c", "image": "i"}, {"name": "d"}]}});
        check(old.clone(), old.clone(), json!({}), json!({}));
        check(
            old,
            json!({"metadata": {"labels": {"l": "2"}, "finalizers": ["b", "c"], "uid": "u"},
                "spec": {"replicas": 1, "containers": [{"name": "d"}, {"name": "c", "image": "j"}]}}),
            json!({"f:metadata": {"f:labels": {"f:l": {}}, "f:finalizers": {"v:\"c\"": {}}},
                "f:spec": {"f:containers": {"k:{\"name\":\"c\"}": {"f:image": {}}}}}),
            json!({"f:metadata": {"f:labels": {"f:m": {}}, "f:finalizers": {"v:\"a\"": {}}}}),
        );
    }

    #[test]
    fn containers_come_and_go() {
        check(
            json!({"metadata": {"labels": {"l": "1"}}, "spec": {"strategy": {"type": "t"}}}),
            json!({"metadata": {}, "spec": {"strategy": {}}}),
            json!({}),
            json!({"f:metadata": {"f:labels": {".": {}, "f:l": {}}},
                "f:spec": {"f:strategy": {"f:type": {}}}}),
        );
        check(
            json!({"spec": {}}),
            json!({"spec": {"strategy": {}}}),
            json!({"f:spec": {"f:strategy": {}}}),
            json!({}),
        );
    }
}
