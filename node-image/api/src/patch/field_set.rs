//! Sets of field paths, as managedFields record them (`FieldsV1`), and the fields of an object.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

use super::PatchSchema;

/// A path: `f:name` for a field, `k:{...}` for an element by its keys, `v:...` for one by value.
pub(super) type FieldPath = Vec<String>;

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet(pub(super) BTreeSet<FieldPath>);

/// What the system sets and nobody owns.
const UNOWNED: &[&[&str]] = &[
    &["f:apiVersion"],
    &["f:kind"],
    &["f:metadata", "f:creationTimestamp"],
    &["f:metadata", "f:generation"],
    &["f:metadata", "f:managedFields"],
    &["f:metadata", "f:name"],
    &["f:metadata", "f:namespace"],
    &["f:metadata", "f:resourceVersion"],
    &["f:metadata", "f:selfLink"],
    &["f:metadata", "f:uid"],
];

impl FieldSet {
    /// Reads `fieldsV1`.
    pub(super) fn from_json(fields: &Value) -> FieldSet {
        let mut set = FieldSet::default();
        set.read(fields, &mut Vec::new());
        set
    }

    fn read(&mut self, node: &Value, path: &mut FieldPath) {
        let Value::Object(children) = node else { return };
        if children.is_empty() && !path.is_empty() {
            self.0.insert(path.clone());
        }
        for (name, child) in children {
            if name == "." {
                self.0.insert(path.clone());
                continue;
            }
            path.push(name.clone());
            self.read(child, path);
            path.pop();
        }
    }

    /// Writes `fieldsV1`.
    pub(super) fn to_json(&self) -> Value {
        let mut root = Value::Object(Map::new());
        for path in &self.0 {
            let mut node = &mut root;
            for name in path {
                if let Value::Object(children) = node {
                    node =
                        children.entry(name.clone()).or_insert_with(|| Value::Object(Map::new()));
                }
            }
        }
        for path in &self.0 {
            let node = path.iter().try_fold(&mut root, |node, name| node.get_mut(name));
            if let Some(Value::Object(children)) = node
                && !children.is_empty()
            {
                children.insert(".".into(), Value::Object(Map::new()));
            }
        }
        root
    }

    /// Whether the set has `path` or something below it.
    pub(super) fn reaches(&self, path: &[String]) -> bool {
        let first = self.0.range(path.to_vec()..).next();
        first.is_some_and(|found| found.starts_with(path))
    }
}

/// The fields of an object, each with its value; containers and list elements have none.
pub(super) fn fields<'a, S: PatchSchema>(
    object: &'a Value,
    schema: &S,
) -> BTreeMap<FieldPath, Option<&'a Value>> {
    let mut found = BTreeMap::new();
    walk(object, Some(schema), &mut Vec::new(), &mut found);
    found.retain(|path, _| {
        let unowned = UNOWNED.iter().any(|prefix| {
            prefix.len() <= path.len() && prefix.iter().zip(path).all(|(a, b)| a == b)
        });
        !unowned && *path != ["f:metadata"]
    });
    found
}

/// The set of the fields of an object.
pub(super) fn set_of<S: PatchSchema>(object: &Value, schema: &S) -> FieldSet {
    FieldSet(fields(object, schema).into_keys().collect())
}

fn walk<'a, S: PatchSchema>(
    value: &'a Value,
    schema: Option<&S>,
    path: &mut FieldPath,
    found: &mut BTreeMap<FieldPath, Option<&'a Value>>,
) {
    match value {
        Value::Object(map) if !is_atomic_map(schema) => walk_map(map, schema, path, found),
        Value::Array(list) if ListKind::of(schema) != ListKind::Atomic => {
            let kind = ListKind::of(schema);
            let items = schema.and_then(|s| s.items());
            for item in list {
                path.push(kind.element(item, items.as_ref()));
                found.insert(path.clone(), None);
                if let (ListKind::Map(_), Value::Object(map)) = (&kind, item) {
                    walk_map(map, items.as_ref(), path, found);
                }
                path.pop();
            }
        }
        leaf => {
            found.insert(path.clone(), Some(leaf));
        }
    }
}

fn walk_map<'a, S: PatchSchema>(
    map: &'a Map<String, Value>,
    schema: Option<&S>,
    path: &mut FieldPath,
    found: &mut BTreeMap<FieldPath, Option<&'a Value>>,
) {
    for (name, value) in map {
        path.push(format!("f:{name}"));
        let field = schema.and_then(|s| s.under(name));
        walk(value, field.as_ref(), path, found);
        let named = schema.is_some_and(|s| s.property(name).is_some());
        let bare = value.as_object().is_some_and(Map::is_empty);
        if bare || (value.is_object() && !named) {
            found.entry(path.clone()).or_insert(None);
        }
        path.pop();
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

/// `.spec.containers[name="a"].image`
pub(super) fn shown(path: &[String]) -> String {
    let mut text = String::new();
    for element in path {
        match element.split_at(2.min(element.len())) {
            ("f:", name) => text.push_str(&format!(".{name}")),
            ("k:", keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let pairs: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                text.push_str(&format!("[{}]", pairs.join(",")));
            }
            ("v:", value) => text.push_str(&format!("[={value}]")),
            _ => text.push_str(element),
        }
    }
    text
}
