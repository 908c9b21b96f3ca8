//! Strategic merge patch: JSON merge that knows which lists are keyed, with the directives
//! `$patch`, `$retainKeys`, `$setElementOrder/<list>` and `$deleteFromPrimitiveList/<list>`.

use serde_json::{Map, Value};

use super::{PatchSchema, unprocessable};
use crate::Status;

const PATCH: &str = "$patch";
const RETAIN_KEYS: &str = "$retainKeys";
const SET_ELEMENT_ORDER: &str = "$setElementOrder/";
const DELETE_FROM_LIST: &str = "$deleteFromPrimitiveList/";

type Object = Map<String, Value>;
type Result<T> = std::result::Result<T, Status>;

/// Merges `patch` into `target`, an object of the type that `schema` describes.
pub fn strategic<S: PatchSchema>(target: &Value, patch: &Value, schema: &S) -> Result<Value> {
    let Value::Object(patch) = patch else {
        return Err(Status::bad_request("invalid JSON document"));
    };
    let target = target.as_object().cloned().unwrap_or_default();
    merge_map(target, patch.clone(), Some(schema)).map(Value::Object)
}

/// How a list is merged.
struct ListRule<S> {
    merges: bool,
    key: String,
    items: Option<S>,
}

fn list_rule<S: PatchSchema>(schema: Option<&S>, field: &str) -> ListRule<S> {
    let list = schema.and_then(|s| s.under(field));
    let Some(list) = list else {
        return ListRule { merges: false, key: String::new(), items: None };
    };
    ListRule {
        merges: strategies(&list).any(|s| s == "merge"),
        key: list.patch_merge_key().unwrap_or("").to_owned(),
        items: list.items(),
    }
}

fn strategies<S: PatchSchema>(schema: &S) -> impl Iterator<Item = &str> {
    schema.patch_strategy().unwrap_or("").split(',').map(str::trim)
}

fn merge_map<S: PatchSchema>(
    mut original: Object,
    mut patch: Object,
    schema: Option<&S>,
) -> Result<Object> {
    if let Some(directive) = patch.remove(PATCH) {
        return match directive.as_str() {
            Some("replace") => Ok(without_directives(patch)),
            Some("delete") => Ok(Object::new()),
            _ => Err(unprocessable()),
        };
    }
    retain_keys(&mut original, &mut patch)?;
    merge_ordered_lists(&mut original, &mut patch, schema)?;
    for (key, change) in patch {
        match key.strip_prefix(DELETE_FROM_LIST) {
            Some(field) => delete_from_list(&mut original, field, &change)?,
            None => merge_field(&mut original, key, change, schema)?,
        }
    }
    Ok(original)
}

fn merge_field<S: PatchSchema>(
    original: &mut Object,
    key: String,
    change: Value,
    schema: Option<&S>,
) -> Result<()> {
    if change.is_null() {
        original.remove(&key);
        return Ok(());
    }
    let merged = match (original.remove(&key), change) {
        (Some(Value::Object(have)), Value::Object(change)) => {
            let field = schema.and_then(|s| s.under(&key));
            let replaces = field.as_ref().is_some_and(|f| strategies(f).any(|s| s == "replace"));
            Value::Object(match replaces {
                true => without_directives(change),
                false => merge_map(have, change, field.as_ref())?,
            })
        }
        (Some(Value::Array(have)), Value::Array(change)) => {
            Value::Array(merge_list(have, change, &list_rule(schema, &key))?)
        }
        (_, change) => plain(change),
    };
    original.insert(key, merged);
    Ok(())
}

/// Drops what the patch says shall not be retained.
fn retain_keys(original: &mut Object, patch: &mut Object) -> Result<()> {
    let Some(directive) = patch.remove(RETAIN_KEYS) else {
        return Ok(());
    };
    let bad = || Status::bad_request("invalid patch format of retainKeys");
    let kept: Vec<&str> =
        directive.as_array().ok_or_else(bad)?.iter().filter_map(Value::as_str).collect();
    let exempt =
        |key: &str| key.starts_with(DELETE_FROM_LIST) || key.starts_with(SET_ELEMENT_ORDER);
    for (key, value) in patch.iter() {
        if !value.is_null() && !exempt(key) && !kept.contains(&key.as_str()) {
            return Err(bad());
        }
    }
    original.retain(|key, _| kept.contains(&key.as_str()));
    Ok(())
}

fn delete_from_list(original: &mut Object, field: &str, dropped: &Value) -> Result<()> {
    let bad = || Status::bad_request("invalid patch format of primitive list");
    let dropped = dropped.as_array().ok_or_else(bad)?;
    if let Some(Value::Array(list)) = original.get_mut(field) {
        list.retain(|item| !dropped.contains(item));
    }
    Ok(())
}

/// Merges the lists that come with a wanted order, and takes both out of the patch.
fn merge_ordered_lists<S: PatchSchema>(
    original: &mut Object,
    patch: &mut Object,
    schema: Option<&S>,
) -> Result<()> {
    let directives: Vec<String> =
        patch.keys().filter(|key| key.starts_with(SET_ELEMENT_ORDER)).cloned().collect();
    for directive in directives {
        let bad = || Status::bad_request("invalid patch format of setElementOrder list");
        let order = patch.remove(&directive).unwrap_or_default();
        let order = order.as_array().ok_or_else(bad)?.clone();
        let field = &directive[SET_ELEMENT_ORDER.len()..];
        let rule = list_rule(schema, field);
        let have = original.get(field).and_then(Value::as_array).cloned();
        let change = match patch.get(field) {
            Some(Value::Array(change)) => Some(change.clone()),
            Some(_) => continue,
            None => None,
        };
        if !order_covers(&order, change.as_deref().unwrap_or(&[]), &rule.key) {
            return Err(bad());
        }
        patch.remove(field);
        let merged = match (have.clone(), change) {
            (Some(have), None) => have,
            (None, Some(change)) => plain_list(change),
            (Some(have), Some(change)) => merge_list(have, change, &rule)?,
            (None, None) => continue,
        };
        let ordered = in_order(merged, &order, &have.unwrap_or_default(), &rule.key);
        original.insert(field.to_owned(), Value::Array(ordered));
    }
    Ok(())
}

/// Whether the elements of a patch list appear in the order list, in the same sequence.
fn order_covers(order: &[Value], patch: &[Value], key: &str) -> bool {
    let mut position = 0;
    let kept = patch.iter().filter(|item| item.get(PATCH).is_none());
    for item in kept {
        match order[position..].iter().position(|o| same_element(o, item, key)) {
            Some(found) => position += found + 1,
            None => return false,
        }
    }
    true
}

fn merge_list<S: PatchSchema>(
    original: Vec<Value>,
    patch: Vec<Value>,
    rule: &ListRule<S>,
) -> Result<Vec<Value>> {
    if !rule.merges {
        return Ok(plain_list(patch));
    }
    let objects = original.iter().chain(&patch).all(Value::is_object);
    if !objects {
        return Ok(merge_primitives(original, patch));
    }
    if rule.key.is_empty() {
        return Err(unprocessable());
    }
    let (original, patch) = run_element_directives(original, patch, &rule.key)?;
    let mut merged = original.clone();
    for change in &patch {
        merge_element(&mut merged, change, rule)?;
    }
    Ok(in_order(merged, &patch, &original, &rule.key))
}

fn merge_primitives(original: Vec<Value>, patch: Vec<Value>) -> Vec<Value> {
    let mut merged: Vec<Value> = Vec::new();
    for item in original.iter().chain(&patch) {
        if !merged.contains(item) {
            merged.push(item.clone());
        }
    }
    in_order(merged, &patch, &original, "")
}

fn merge_element<S: PatchSchema>(
    merged: &mut Vec<Value>,
    change: &Value,
    rule: &ListRule<S>,
) -> Result<()> {
    let Value::Object(change) = change else { return Ok(()) };
    let id = change.get(&rule.key).ok_or_else(unprocessable)?;
    let slot = merged.iter_mut().find(|item| item.get(&rule.key) == Some(id));
    match slot {
        Some(Value::Object(have)) => {
            let merged = merge_map(std::mem::take(have), change.clone(), rule.items.as_ref())?;
            *have = merged;
        }
        _ => merged.push(plain(Value::Object(change.clone()))),
    }
    Ok(())
}

/// Obeys `$patch` in elements: delete drops the matching ones, replace drops all others.
fn run_element_directives(
    mut original: Vec<Value>,
    patch: Vec<Value>,
    key: &str,
) -> Result<(Vec<Value>, Vec<Value>)> {
    let mut rest = Vec::new();
    let mut replaces = false;
    for item in patch {
        match item.get(PATCH).map(|directive| directive.as_str().unwrap_or("")) {
            None => rest.push(item),
            Some("replace") => replaces = true,
            Some("delete") => {
                let id = item.get(key).ok_or_else(unprocessable)?;
                original.retain(|have| have.get(key) != Some(id));
            }
            Some(_) => return Err(unprocessable()),
        }
    }
    Ok(if replaces { (plain_list(rest), Vec::new()) } else { (original, rest) })
}

fn same_element(a: &Value, b: &Value, key: &str) -> bool {
    if key.is_empty() { a == b } else { a.get(key).is_some() && a.get(key) == b.get(key) }
}

fn in_order(merged: Vec<Value>, patch: &[Value], server: &[Value], key: &str) -> Vec<Value> {
    weave(merged, patch, server, |a, b| same_element(a, b, key))
}

/// Orders `merged`: what the patch names in the patch's order, the server's other elements woven in
/// where they stood.
pub(super) fn weave(
    merged: Vec<Value>,
    patch: &[Value],
    server: &[Value],
    same: impl Fn(&Value, &Value) -> bool,
) -> Vec<Value> {
    let place = |list: &[Value], item: &Value| list.iter().position(|other| same(other, item));
    let (mut named, mut others): (Vec<Value>, Vec<Value>) =
        merged.into_iter().partition(|item| place(patch, item).is_some());
    named.sort_by_key(|item| place(patch, item));
    others.sort_by_key(|item| place(server, item));
    let mut woven = Vec::with_capacity(named.len() + others.len());
    let (mut named, mut others) = (named.into_iter().peekable(), others.into_iter().peekable());
    loop {
        let other_first = match (others.peek(), named.peek()) {
            (None, None) => return woven,
            (None, _) => false,
            (_, None) => true,
            (Some(other), Some(name)) => {
                place(server, other).zip(place(server, name)).is_some_and(|(o, n)| o < n)
            }
        };
        woven.extend(if other_first { others.next() } else { named.next() });
    }
}

/// A patch value where nothing was before: without nulls and directives.
fn plain(value: Value) -> Value {
    match value {
        Value::Object(map) => Value::Object(without_directives(map)),
        Value::Array(list) => Value::Array(plain_list(list)),
        other => other,
    }
}

fn plain_list(list: Vec<Value>) -> Vec<Value> {
    let deleted = |item: &Value| item.get(PATCH).and_then(Value::as_str) == Some("delete");
    list.into_iter().filter(|item| !deleted(item)).map(plain).collect()
}

fn without_directives(map: Object) -> Object {
    let directive = |key: &str| {
        key == PATCH
            || key == RETAIN_KEYS
            || key.starts_with(SET_ELEMENT_ORDER)
            || key.starts_with(DELETE_FROM_LIST)
    };
    map.into_iter()
        .filter(|(key, value)| !value.is_null() && !directive(key))
        .map(|(key, value)| (key, plain(value)))
        .collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::patch::schema::json_schema::JsonSchema;

    fn schema() -> Value {
        json!({"properties": {
            "args": {"items": {}},
            "finalizers": {"items": {}, "x-kubernetes-patch-strategy": "merge"},
            "labels": {"additionalProperties": {}},
            "strategy": {"x-kubernetes-patch-strategy": "retainKeys", "properties": {}},
            "containers": {
                "x-kubernetes-patch-strategy": "merge",
                "x-kubernetes-patch-merge-key": "name",
                "items": {"properties": {"env": {
                    "x-kubernetes-patch-strategy": "merge",
                    "x-kubernetes-patch-merge-key": "name",
                    "items": {"properties": {}}
                }}}
            }
        }})
    }

    fn patched(target: Value, patch: Value) -> Result<Value> {
        let schema = schema();
        strategic(&target, &patch, &JsonSchema(&schema))
    }

    #[test]
    fn merges() {
        let check = |target: Value, patch: Value, want: Value| {
            assert_eq!(patched(target, patch.clone()).unwrap(), want, "{patch}");
        };
        check(
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"b": "2", "a": null}}),
            json!({"labels": {"b": "2"}}),
        );
        check(json!({"args": [1, 2]}), json!({"args": [3]}), json!({"args": [3]}));
        check(
            json!({"finalizers": ["a"]}),
            json!({"finalizers": ["b"]}),
            json!({"finalizers": ["b", "a"]}),
        );
        check(
            json!({"finalizers": ["a", "b"]}),
            json!({"$deleteFromPrimitiveList/finalizers": ["a"]}),
            json!({"finalizers": ["b"]}),
        );
        check(
            json!({"containers": [{"name": "a", "image": "1", "env": [{"name": "X", "value": "1"}]}, {"name": "b"}]}),
            json!({"containers": [{"name": "a", "image": "2", "env": [{"name": "Y"}]}]}),
            json!({"containers": [
                {"name": "a", "image": "2", "env": [{"name": "Y"}, {"name": "X", "value": "1"}]},
                {"name": "b"}]}),
        );
        check(
            json!({}),
            json!({"containers": [{"name": "a", "image": null}]}),
            json!({"containers": [{"name": "a"}]}),
        );
    }

    #[test]
    fn directives() {
        let check = |target: Value, patch: Value, want: Value| {
            assert_eq!(patched(target, patch.clone()).unwrap(), want, "{patch}");
        };
        let two = json!({"containers": [{"name": "a"}, {"name": "b"}]});
        check(
            two.clone(),
            json!({"containers": [{"name": "a", "$patch": "delete"}]}),
            json!({"containers": [{"name": "b"}]}),
        );
        check(
            two.clone(),
            json!({"containers": [{"$patch": "replace"}, {"name": "c"}]}),
            json!({"containers": [{"name": "c"}]}),
        );
        check(
            two.clone(),
            json!({"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}),
            json!({"containers": [{"name": "b"}, {"name": "a"}]}),
        );
        check(
            two,
            json!({"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}],
                "containers": [{"name": "c", "image": "x"}]}),
            json!({"containers": [{"name": "c", "image": "x"}, {"name": "a"}, {"name": "b"}]}),
        );
        check(
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"$patch": "replace", "b": "2"}}),
            json!({"labels": {"b": "2"}}),
        );
        check(
            json!({"labels": {"a": "1"}}),
            json!({"labels": {"$patch": "delete"}}),
            json!({"labels": {}}),
        );
        check(
            json!({"strategy": {"type": "RollingUpdate", "rollingUpdate": {}}}),
            json!({"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}),
            json!({"strategy": {"type": "Recreate"}}),
        );
    }

    #[test]
    fn refused() {
        let check = |patch: Value, code: u16, message: &str| {
            let error =
                patched(json!({"containers": [{"name": "a"}], "strategy": {}}), patch).unwrap_err();
            assert_eq!(error.code, code);
            assert!(error.message.contains(message), "{error}");
        };
        check(json!([]), 400, "invalid JSON document");
        check(json!({"strategy": {"$retainKeys": [], "type": "x"}}), 400, "retainKeys");
        check(
            json!({"$setElementOrder/containers": [], "containers": [{"name": "x"}]}),
            400,
            "setElementOrder",
        );
        check(json!({"containers": [{"image": "x"}]}), 422, "");
        check(json!({"strategy": {"$patch": "no"}}), 422, "");
    }
}
