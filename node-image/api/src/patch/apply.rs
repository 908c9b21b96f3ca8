//! Server-side apply: an object is merged with what a manager wants, fields it no longer wants and
//! nobody else owns go, and fields that others own with other values are conflicts.

use std::collections::HashMap;

use serde_json::{Map, Value};

use super::PatchSchema;
use super::field_set::FieldSet;
use super::fields::{ListKind, changes, is_atomic_map, set_of};
use super::owners::{FieldManager, Owner, Owners};
use crate::Status;
use crate::walk::{Shape, Walk};

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
    let mut live = live.clone();
    let entries = live.existing_mut("metadata").and_then(|m| m.take_key("managedFields"));
    let mut owners = Owners::of(match entries {
        Some(Value::Array(entries)) => entries,
        _ => Vec::new(),
    });
    if owners.0.is_empty() && !live.is_null() {
        let before = FieldManager { name: BEFORE_FIRST_APPLY, ..manager };
        owners.0.push(Owner::new(before, "Update", set_of(&live, schema)));
    }
    let wanted = set_of(config, schema);
    let mut merged = merge(&live, config, Some(schema));
    let mine = owners.position(manager, "Apply");
    let last =
        mine.map(|index| owners.0.remove(index)).map(|owner| owner.fields).unwrap_or_default();
    prune(&mut merged, &last, &wanted, &owners);
    owners.settle(&changes(&live, &merged, schema), force)?;
    owners.0.push(Owner::new(manager, "Apply", wanted));
    let entries = owners.into_entries();
    if let Some(metadata) = merged.object_mut("metadata").filter(|_| !entries.is_empty()) {
        metadata.put("managedFields", entries);
    }
    Ok(merged)
}

pub(super) fn merge<S: PatchSchema>(live: &Value, config: &Value, schema: Option<&S>) -> Value {
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

/// The elements of both: what is wanted in its order, and each element that is not mentioned as soon as
/// those before it are there.
fn merge_lists<S: PatchSchema>(
    have: &[Value],
    want: &[Value],
    kind: &ListKind,
    items: Option<&S>,
) -> Vec<Value> {
    let places = |list: &[Value]| -> HashMap<String, usize> {
        let keys = list.iter().map(|item| kind.element(item, items));
        keys.zip(0..).collect()
    };
    let (had, wanted) = (places(have), places(want));
    let mut merged = Vec::with_capacity(have.len() + want.len());
    let mut left = have.iter().peekable();
    for (next, item) in want.iter().enumerate() {
        while let Some(other) = left.peek() {
            match wanted.get(&kind.element(other, items)) {
                // It comes when its turn comes.
                Some(place) if *place >= next => break,
                Some(_) => {}
                None => merged.push((*other).clone()),
            }
            left.next();
        }
        let known = had.get(&kind.element(item, items)).map(|place| &have[*place]);
        merged.push(known.map_or_else(|| item.clone(), |known| merge(known, item, items)));
    }
    let rest = left.filter(|other| !wanted.contains_key(&kind.element(other, items)));
    merged.extend(rest.cloned());
    merged
}

/// Removes what the manager wanted last time, wants no longer, and nobody else owns.
fn prune(merged: &mut Value, last: &FieldSet, wanted: &FieldSet, others: &Owners) {
    // An element comes before its fields, so that its keys still find it.
    let paths = last.paths();
    let dropped = paths.iter().filter(|path| {
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
    use crate::patch::track;
    use jiff::Timestamp;
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
            "Apply failed with 1 conflict: conflict with \"me\": .spec.replicas"
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
        let owners = old["metadata"].list("managedFields").to_vec();
        let owners = track(owners, &old, &new, &JsonSchema(&schema), by("kubectl"), &[]);
        assert_eq!(owners[0]["fieldsV1"], json!({"f:spec": {"f:args": {}}}));
        assert_eq!(owners[1]["manager"], "kubectl");
        assert_eq!(owners[1]["fieldsV1"], json!({"f:spec": {"f:replicas": {}}}));
    }

    #[test]
    fn what_is_not_mentioned_keeps_its_place() {
        let check = |have: &[&str], want: &[&str], expect: &[&str]| {
            let texts = |list: &[&str]| list.iter().map(|text| json!(text)).collect::<Vec<_>>();
            let merged =
                merge_lists::<JsonSchema<'_>>(&texts(have), &texts(want), &ListKind::Set, None);
            assert_eq!(merged, texts(expect), "{have:?} {want:?}");
        };
        check(&["a"], &["b"], &["a", "b"]);
        check(&["a", "b", "c"], &["b", "a", "d"], &["b", "a", "c", "d"]);
        check(&["a", "b", "c"], &["a", "x", "b"], &["a", "x", "b", "c"]);
        check(&["a", "b"], &["b", "a"], &["b", "a"]);
        check(&["a", "b", "c"], &["a", "b", "d"], &["a", "b", "c", "d"]);
        check(&["a", "b", "c"], &["c", "d"], &["a", "b", "c", "d"]);
        check(&[], &["b", "a"], &["b", "a"]);
        check(&["a", "b"], &[], &["a", "b"]);
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
