//! Server-side apply: an object is merged with what a manager wants, fields it no longer wants and
//! nobody else owns go, and fields that others own with other values are conflicts.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Map, Value, json};

use super::PatchSchema;
use super::field_set::{FieldPath, FieldSet, ListKind, fields, is_atomic_map, set_of, shown};
use super::strategic::weave;
use crate::walk::{Shape, Walk};
use crate::{Status, StatusCause};

/// Who writes, and how.
#[derive(Clone, Copy, Debug)]
pub struct FieldManager<'a> {
    /// `fieldManager` of the request.
    pub name: &'a str,
    /// The version the fields are named in.
    pub api_version: &'a str,
    /// "" for the object itself.
    pub subresource: &'a str,
    /// When.
    pub now: Timestamp,
}

/// The manager that owns what was there before the first apply.
const BEFORE_FIRST_APPLY: &str = "before-first-apply";

/// Applies `config` to `live` (null when it does not exist yet). The result carries managedFields.
/// `force` takes fields over from their owners.
pub fn apply<S: PatchSchema>(
    live: &Value,
    config: &Value,
    schema: &S,
    manager: FieldManager<'_>,
    force: bool,
) -> Result<Value, Status> {
    if config["metadata"].has("managedFields") {
        return Err(Status::bad_request("metadata.managedFields must be nil"));
    }
    let mut owners = Owners::of(live);
    if owners.0.is_empty() && !live.is_null() {
        let before = FieldManager { name: BEFORE_FIRST_APPLY, ..manager };
        owners.0.push(Owner::new(before, "Update", set_of(live, schema)));
    }
    let mut live = live.clone();
    strip(&mut live);
    let wanted = set_of(config, schema);
    let mut merged = merge(&live, config, Some(schema));
    let mine = owners.position(manager, "Apply");
    let last =
        mine.map(|index| owners.0.remove(index)).map(|owner| owner.fields).unwrap_or_default();
    prune(&mut merged, &last, &wanted, &owners);
    owners.settle(&changes(&live, &merged, schema), force)?;
    owners.0.push(Owner::new(manager, "Apply", wanted));
    owners.write(&mut merged);
    Ok(merged)
}

/// Records in `new` who owns what after an ordinary write changed `old` (null for a create) into it.
pub fn track_update<S: PatchSchema>(
    old: &Value,
    new: &mut Value,
    schema: &S,
    manager: FieldManager<'_>,
) {
    let mut owners = Owners::of(old);
    let mut before = old.clone();
    strip(&mut before);
    strip(new);
    let changes = changes(&before, new, schema);
    owners.give_up(&changes.written);
    owners.give_up(&changes.removed);
    if !changes.written.is_empty() {
        let mine = owners.position(manager, "Update");
        let mut owner = match mine {
            Some(index) => owners.0.remove(index),
            None => Owner::new(manager, "Update", FieldSet::default()),
        };
        owner.fields.0.extend(changes.written);
        owner.entry.put("time", manager.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
        owners.0.push(owner);
    }
    owners.write(new);
}

/// The fields of `config` that `live` has with the same values, as conflicts name them.
pub fn fields_in_common<S: PatchSchema>(
    config: &Value,
    live: &Value,
    schema: &S,
) -> BTreeSet<String> {
    let have = fields(live, schema);
    let wanted = fields(config, schema);
    let same = wanted.iter().filter(|(path, value)| have.get(*path) == Some(value));
    same.map(|(path, _)| shown(path)).collect()
}

fn strip(object: &mut Value) {
    if let Some(metadata) = object.existing_mut("metadata") {
        metadata.take_key("managedFields");
    }
}

struct Changes {
    /// Added, or given another value.
    written: BTreeSet<FieldPath>,
    removed: BTreeSet<FieldPath>,
}

fn changes<S: PatchSchema>(old: &Value, new: &Value, schema: &S) -> Changes {
    let (before, after) = (fields(old, schema), fields(new, schema));
    let written = after.iter().filter(|(path, value)| before.get(*path) != Some(value));
    let removed = before.keys().filter(|path| !after.contains_key(*path));
    Changes {
        written: written.map(|(path, _)| path.clone()).collect(),
        removed: removed.cloned().collect(),
    }
}

/// One entry of managedFields.
struct Owner {
    entry: Value,
    fields: FieldSet,
}

impl Owner {
    fn new(manager: FieldManager<'_>, operation: &str, fields: FieldSet) -> Owner {
        let mut entry = json!({
            "manager": manager.name,
            "operation": operation,
            "apiVersion": manager.api_version,
            "time": manager.now.strftime("%Y-%m-%dT%H:%M:%SZ").to_string(),
            "fieldsType": "FieldsV1",
        });
        if !manager.subresource.is_empty() {
            entry.put("subresource", manager.subresource);
        }
        Owner { entry, fields }
    }

    fn describe(&self) -> String {
        let (name, version) = (self.entry.text("manager"), self.entry.text("apiVersion"));
        match self.entry.text("subresource") {
            "" => format!("{name:?} using {version}"),
            subresource => format!("{name:?} with subresource {subresource:?} using {version}"),
        }
    }
}

struct Owners(Vec<Owner>);

impl Owners {
    fn of(object: &Value) -> Owners {
        let entries = object["metadata"].list("managedFields").iter();
        Owners(
            entries
                .map(|entry| Owner {
                    fields: FieldSet::from_json(&entry["fieldsV1"]),
                    entry: entry.clone(),
                })
                .collect(),
        )
    }

    fn position(&self, manager: FieldManager<'_>, operation: &str) -> Option<usize> {
        self.0.iter().position(|owner| {
            owner.entry.text("manager") == manager.name
                && owner.entry.text("operation") == operation
                && owner.entry.text("subresource") == manager.subresource
                && (operation == "Apply" || owner.entry.text("apiVersion") == manager.api_version)
        })
    }

    fn give_up(&mut self, paths: &BTreeSet<FieldPath>) {
        for owner in &mut self.0 {
            owner.fields.0.retain(|path| !paths.contains(path));
        }
    }

    /// Refuses, or with `force` takes over, what others own and the changes touch.
    fn settle(&mut self, changes: &Changes, force: bool) -> Result<(), Status> {
        let conflicts: Vec<(String, Vec<&FieldPath>)> = self
            .0
            .iter()
            .map(|owner| {
                let touched = owner.fields.0.iter().filter(|path| changes.written.contains(*path));
                (owner.describe(), touched.collect())
            })
            .filter(|(_, paths): &(String, Vec<&FieldPath>)| !paths.is_empty())
            .collect();
        if !conflicts.is_empty() && !force {
            return Err(conflict(&conflicts));
        }
        self.give_up(&changes.written);
        self.give_up(&changes.removed);
        Ok(())
    }

    fn write(mut self, object: &mut Value) {
        self.0.retain(|owner| !owner.fields.0.is_empty());
        self.0.sort_by_key(|owner| {
            let entry = &owner.entry;
            let update = entry.text("operation") != "Apply";
            (update, entry.text("time").to_owned(), entry.text("manager").to_owned())
        });
        let entries: Vec<Value> = self
            .0
            .into_iter()
            .map(|mut owner| {
                owner.entry.put("fieldsV1", owner.fields.to_json());
                owner.entry
            })
            .collect();
        if let Some(metadata) = object.object_mut("metadata")
            && !entries.is_empty()
        {
            metadata.put("managedFields", entries);
        }
    }
}

fn conflict(conflicts: &[(String, Vec<&FieldPath>)]) -> Status {
    let count: usize = conflicts.iter().map(|(_, paths)| paths.len()).sum();
    let texts: Vec<String> = conflicts
        .iter()
        .map(|(owner, paths)| match paths.as_slice() {
            [one] => format!("conflict with {owner}: {}", shown(one)),
            many => {
                let lines: Vec<String> = many.iter().map(|p| format!("\n- {}", shown(p))).collect();
                format!("conflicts with {owner}:{}", lines.concat())
            }
        })
        .collect();
    let plural = if count == 1 { "" } else { "s" };
    let message = format!("Apply failed with {count} conflict{plural}: {}", texts.join("\n"));
    let mut status = Status::failure(409, "Conflict", message);
    let causes = conflicts.iter().flat_map(|(owner, paths)| {
        paths.iter().map(move |path| StatusCause {
            reason: "FieldManagerConflict".into(),
            message: format!("conflict with {owner}"),
            field: shown(path),
        })
    });
    status.details.get_or_insert_default().causes = causes.collect();
    status
}

fn merge<S: PatchSchema>(live: &Value, config: &Value, schema: Option<&S>) -> Value {
    match (live, config) {
        (Value::Object(have), Value::Object(want)) if !is_atomic_map(schema) => {
            Value::Object(merge_maps(have, want, schema))
        }
        (Value::Array(have), Value::Array(want)) => {
            let kind = ListKind::of(schema);
            if kind == ListKind::Atomic {
                return config.clone();
            }
            let items = schema.and_then(|s| s.items());
            Value::Array(merge_lists(have, want, &kind, items.as_ref()))
        }
        _ => config.clone(),
    }
}

fn merge_maps<S: PatchSchema>(
    have: &Map<String, Value>,
    want: &Map<String, Value>,
    schema: Option<&S>,
) -> Map<String, Value> {
    let mut merged = have.clone();
    for (key, value) in want {
        let field = schema.and_then(|s| s.under(key));
        let value = merge(have.get(key).unwrap_or(&Value::Null), value, field.as_ref());
        merged.insert(key.clone(), value);
    }
    merged
}

fn merge_lists<S: PatchSchema>(
    have: &[Value],
    want: &[Value],
    kind: &ListKind,
    items: Option<&S>,
) -> Vec<Value> {
    let same = |a: &Value, b: &Value| kind.element(a, items) == kind.element(b, items);
    let mut merged: Vec<Value> = have.to_vec();
    for item in want {
        match merged.iter_mut().find(|other| same(other, item)) {
            Some(slot) => *slot = merge(slot, item, items),
            None => merged.push(item.clone()),
        }
    }
    weave(merged, want, have, same)
}

/// Removes what the manager wanted last time, wants no longer, and nobody else owns.
fn prune(merged: &mut Value, last: &FieldSet, wanted: &FieldSet, others: &Owners) {
    // An element comes before its fields, so that its keys still find it.
    let dropped = last.0.iter().filter(|path| {
        !is_key(path)
            && !wanted.reaches(path)
            && !others.0.iter().any(|owner| owner.fields.reaches(path))
    });
    for path in dropped {
        remove(merged, path);
    }
}

/// Whether a path is one of the fields that tell an element from the others.
fn is_key(path: &[String]) -> bool {
    let [.., parent, field] = path else { return false };
    let keys = parent.strip_prefix("k:").map(serde_json::from_str::<Value>);
    let name = field.strip_prefix("f:").unwrap_or("");
    keys.is_some_and(|keys| keys.is_ok_and(|keys| keys.has(name)))
}

/// Removes what is at `path`, and the containers that are empty then; says whether `value` is one.
fn remove(value: &mut Value, path: &[String]) -> bool {
    let Some((element, rest)) = path.split_first() else { return false };
    match (value, element.split_at(2.min(element.len()))) {
        (Value::Object(map), ("f:", name)) => {
            let gone = match map.get_mut(name) {
                Some(child) => rest.is_empty() || remove(child, rest),
                None => return false,
            };
            if gone {
                map.remove(name);
            }
            map.is_empty()
        }
        (Value::Array(list), (sort, id)) => {
            let id: Value = serde_json::from_str(id).unwrap_or_default();
            let found = list.iter().position(|item| match sort {
                "k:" => id
                    .as_object()
                    .is_some_and(|keys| keys.iter().all(|(k, v)| item.get(k) == Some(v))),
                _ => *item == id,
            });
            let Some(index) = found else { return false };
            if rest.is_empty() || remove(&mut list[index], rest) {
                list.remove(index);
            }
            list.is_empty()
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::patch::schema::json_schema::JsonSchema;

    fn schema() -> Value {
        json!({"properties": {
            "metadata": {"properties": {
                "name": {}, "labels": {"additionalProperties": {}},
                "finalizers": {"items": {}, "x-kubernetes-list-type": "set"}
            }},
            "spec": {"properties": {
                "replicas": {},
                "args": {"items": {}, "x-kubernetes-list-type": "atomic"},
                "containers": {"x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["name"],
                    "items": {"properties": {"name": {}, "image": {}, "tty": {}}}}
            }}
        }})
    }

    fn by(name: &str) -> FieldManager<'_> {
        FieldManager { name, api_version: "v1", subresource: "", now: Timestamp::UNIX_EPOCH }
    }

    fn applied(live: &Value, config: Value, name: &str, force: bool) -> Result<Value, Status> {
        let schema = schema();
        apply(live, &config, &JsonSchema(&schema), by(name), force)
    }

    #[test]
    fn a_first_apply_owns_its_fields() {
        let config = json!({"metadata": {"name": "a", "labels": {"x": "1"}},
            "spec": {"args": ["b"], "containers": [{"name": "c", "image": "i"}]}});
        let object = applied(&Value::Null, config, "me", false).unwrap();
        let entry = &object["metadata"]["managedFields"][0];
        assert_eq!(entry["operation"], "Apply");
        assert_eq!(
            entry["fieldsV1"],
            json!({"f:metadata": {"f:labels": {"f:x": {}}},
                "f:spec": {"f:args": {}, "f:containers": {"k:{\"name\":\"c\"}": {".": {}, "f:image": {}, "f:name": {}}}}})
        );
    }

    #[test]
    fn what_is_no_longer_wanted_goes() {
        let first = json!({"metadata": {"labels": {"x": "1", "y": "2"}},
            "spec": {"containers": [{"name": "c", "image": "i"}, {"name": "d"}]}});
        let object = applied(&Value::Null, first, "me", false).unwrap();
        let second =
            json!({"metadata": {"labels": {"x": "1"}}, "spec": {"containers": [{"name": "d"}]}});
        let object = applied(&object, second, "me", false).unwrap();
        assert_eq!(object["metadata"]["labels"], json!({"x": "1"}));
        assert_eq!(object["spec"], json!({"containers": [{"name": "d"}]}));
    }

    #[test]
    fn conflicts() {
        let one = applied(&Value::Null, json!({"spec": {"replicas": 1}}), "me", false).unwrap();
        let same = applied(&one, json!({"spec": {"replicas": 1}}), "you", false).unwrap();
        assert_eq!(same["metadata"].list("managedFields").len(), 2, "two owners of one value");
        let error = applied(&one, json!({"spec": {"replicas": 2}}), "you", false).unwrap_err();
        assert_eq!(error.code, 409);
        assert_eq!(
            error.message,
            "Apply failed with 1 conflict: conflict with \"me\" using v1: .spec.replicas"
        );
        let forced = applied(&one, json!({"spec": {"replicas": 2}}), "you", true).unwrap();
        assert_eq!(forced["spec"]["replicas"], 2);
        let owners = forced["metadata"].list("managedFields");
        assert_eq!(owners.len(), 1);
        assert_eq!(owners[0]["manager"], "you");
    }

    #[test]
    fn what_was_there_before_has_an_owner() {
        let live = json!({"metadata": {"name": "a"}, "spec": {"replicas": 3}});
        let error = applied(&live, json!({"spec": {"replicas": 2}}), "me", false).unwrap_err();
        assert!(error.message.contains("before-first-apply"), "{error}");
        let fine = applied(&live, json!({"spec": {"args": ["x"]}}), "me", false).unwrap();
        assert_eq!(fine["spec"], json!({"replicas": 3, "args": ["x"]}));
    }

    #[test]
    fn updates_take_over() {
        let schema = schema();
        let old =
            applied(&Value::Null, json!({"spec": {"replicas": 1, "args": ["a"]}}), "me", false)
                .unwrap();
        let mut new = old.clone();
        new["spec"]["replicas"] = json!(5);
        track_update(&old, &mut new, &JsonSchema(&schema), by("kubectl"));
        let owners = new["metadata"].list("managedFields");
        assert_eq!(owners[0]["fieldsV1"], json!({"f:spec": {"f:args": {}}}));
        assert_eq!(owners[1]["manager"], "kubectl");
        assert_eq!(owners[1]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    }

    #[test]
    fn lists_take_the_order_of_the_config() {
        let live =
            json!({"metadata": {"finalizers": ["a", "b"], "managedFields": [{"manager": "x"}]}});
        let object =
            applied(&live, json!({"metadata": {"finalizers": ["b", "c"]}}), "me", false).unwrap();
        assert_eq!(object["metadata"]["finalizers"], json!(["a", "b", "c"]));
    }
}
