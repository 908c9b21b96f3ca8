//! JSON Patch (RFC 6902), with the answers upstream gives for patches that do not parse or fit.

use serde_json::{Map, Value};

use super::unprocessable;
use crate::Status;
use crate::walk::Walk;

/// Upstream's bound on the operations of one patch.
const OPERATIONS_MAX: usize = 10_000;

/// Applies the operations of `patch`, a JSON list, to `target`: all or none.
pub fn json(target: &Value, patch: &Value) -> Result<Value, Status> {
    let undecodable = |why: &str| Status::bad_request(format!("error decoding patch: {why}"));
    let Value::Array(operations) = patch else {
        return Err(undecodable(
            "json: cannot unmarshal object into Go value of type jsonpatch.Patch",
        ));
    };
    if operations.len() > OPERATIONS_MAX {
        return Err(Status::failure(
            413,
            "RequestEntityTooLarge",
            format!(
                "Request entity too large: The allowed maximum operations in a JSON patch is {OPERATIONS_MAX}, got {}",
                operations.len()
            ),
        ));
    }
    let mut document = target.clone();
    for operation in operations {
        if !operation.is_object() {
            return Err(undecodable("an operation must be an object"));
        }
        run(&mut document, operation).ok_or_else(unprocessable)?;
    }
    Ok(document)
}

/// One operation; `None` when it does not fit the document.
fn run(document: &mut Value, operation: &Value) -> Option<()> {
    let path = pointer(operation["path"].as_str()?)?;
    match operation.text("op") {
        "add" => add(document, &path, operation.get("value")?.clone()),
        "remove" => remove(document, &path).map(drop),
        "replace" => {
            let value = operation.get("value")?.clone();
            find(document, &path)?;
            if let Some((last, parents)) = path.split_last()
                && let Value::Object(map) = find_mut(document, parents)?
            {
                map.insert(last.clone(), value);
                return Some(());
            }
            *find_mut(document, &path)? = value;
            Some(())
        }
        "move" => {
            let from = pointer(operation["from"].as_str()?)?;
            if path.len() > from.len() && path.starts_with(&from) {
                return None;
            }
            let value = remove(document, &from)?;
            add(document, &path, value)
        }
        "copy" => {
            let from = pointer(operation["from"].as_str()?)?;
            let value = find(document, &from)?.clone();
            add(document, &path, value)
        }
        "test" => {
            let want = operation.get("value").unwrap_or(&Value::Null);
            let have = find(document, &path).unwrap_or(&Value::Null);
            same(have, want).then_some(())
        }
        _ => None,
    }
}

/// Equality in which 1 and 1.0 are one number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        (Value::Array(a), Value::Array(b)) => {
            a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b))
        }
        (Value::Object(a), Value::Object(b)) => same_maps(a, b),
        _ => a == b,
    }
}

fn same_maps(a: &Map<String, Value>, b: &Map<String, Value>) -> bool {
    a.len() == b.len()
        && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| same(value, other)))
}

/// The reference tokens of a JSON pointer.
fn pointer(path: &str) -> Option<Vec<String>> {
    if path.is_empty() {
        return Some(Vec::new());
    }
    let tokens = path.strip_prefix('/')?.split('/');
    Some(tokens.map(|token| token.replace("~1", "/").replace("~0", "~")).collect())
}

fn find<'a>(document: &'a Value, path: &[String]) -> Option<&'a Value> {
    path.iter().try_fold(document, |value, token| match value {
        Value::Object(map) => map.get(token),
        Value::Array(list) => list.get(position(token, list.len())?),
        _ => None,
    })
}

fn find_mut<'a>(document: &'a mut Value, path: &[String]) -> Option<&'a mut Value> {
    path.iter().try_fold(document, |value, token| match value {
        Value::Object(map) => map.get_mut(token),
        Value::Array(list) => {
            let index = position(token, list.len())?;
            list.get_mut(index)
        }
        _ => None,
    })
}

/// A list index; negative ones count from the end, as upstream's library allows.
fn position(token: &str, length: usize) -> Option<usize> {
    let index: i64 = token.parse().ok()?;
    let index = if index < 0 { index + length as i64 } else { index };
    usize::try_from(index).ok()
}

fn add(document: &mut Value, path: &[String], value: Value) -> Option<()> {
    let Some((last, parents)) = path.split_last() else {
        *document = value;
        return Some(());
    };
    match find_mut(document, parents)? {
        Value::Object(map) => {
            map.insert(last.clone(), value);
        }
        Value::Array(list) if last == "-" => list.push(value),
        Value::Array(list) => {
            let index = position(last, list.len() + 1)?;
            if index > list.len() {
                return None;
            }
            list.insert(index, value);
        }
        _ => return None,
    }
    Some(())
}

fn remove(document: &mut Value, path: &[String]) -> Option<Value> {
    let (last, parents) = path.split_last()?;
    match find_mut(document, parents)? {
        Value::Object(map) => map.remove(last),
        Value::Array(list) => {
            let index = position(last, list.len())?;
            (index < list.len()).then(|| list.remove(index))
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::patch::json as apply;

    #[test]
    fn operations() {
        let check = |target: Value, patch: Value, want: Value| {
            assert_eq!(apply(&target, &patch).unwrap(), want, "{patch}");
        };
        let op =
            |op: &str, path: &str, value: Value| json!([{"op": op, "path": path, "value": value}]);
        check(json!({}), op("add", "/a", json!(1)), json!({"a": 1}));
        check(json!({"a": [1, 3]}), op("add", "/a/1", json!(2)), json!({"a": [1, 2, 3]}));
        check(json!({"a": [1]}), op("add", "/a/-", json!(2)), json!({"a": [1, 2]}));
        check(json!({"a": 1}), op("replace", "/a", json!(2)), json!({"a": 2}));
        check(json!({"a": 1}), json!([{"op": "remove", "path": "/a"}]), json!({}));
        check(json!({"a": [1, 2]}), json!([{"op": "remove", "path": "/a/0"}]), json!({"a": [2]}));
        check(
            json!({"a": 1}),
            json!([{"op": "move", "from": "/a", "path": "/b"}]),
            json!({"b": 1}),
        );
        check(
            json!({"a": 1}),
            json!([{"op": "copy", "from": "/a", "path": "/b"}]),
            json!({"a": 1, "b": 1}),
        );
        check(
            json!({"a/b": {"c~d": 1}}),
            op("test", "/a~1b/c~0d", json!(1.0)),
            json!({"a/b": {"c~d": 1}}),
        );
        check(json!({}), op("test", "/none", json!(null)), json!({}));
    }

    #[test]
    fn refused() {
        let check = |patch: Value, code: u16| {
            let error = apply(&json!({"a": {"b": 1}, "l": [1]}), &patch).unwrap_err();
            assert_eq!(error.code, code, "{patch}");
        };
        check(json!({}), 400);
        check(json!([1]), 400);
        check(json!([{"op": "remove", "path": "/none"}]), 422);
        check(json!([{"op": "replace", "path": "/none", "value": 1}]), 422);
        check(json!([{"op": "add", "path": "/x/y", "value": 1}]), 422);
        check(json!([{"op": "add", "path": "/l/5", "value": 1}]), 422);
        check(json!([{"op": "test", "path": "/a/b", "value": 2}]), 422);
        check(json!([{"op": "move", "from": "/a", "path": "/a/b/c"}]), 422);
        check(json!([{"op": "fly", "path": "/a"}]), 422);
    }
}
