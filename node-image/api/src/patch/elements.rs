//! Lists of a configuration whose elements have owners: each must be one that can be told from the others.

use std::collections::BTreeSet;

use serde_json::Value;

use super::PatchSchema;
use super::field_set::shown;
use super::fields::ListKind;

/// Why elements of a configuration's lists cannot have owners; None when they can.
pub fn ambiguous<S: PatchSchema>(config: &Value, schema: &S) -> Option<String> {
    let mut found = Vec::new();
    look(config, Some(schema), &mut Vec::new(), &mut found);
    match found.len() {
        0 | 1 => found.pop(),
        _ => Some(format!("errors:\n  {}", found.join("\n  "))),
    }
}

fn look<S: PatchSchema>(
    value: &Value,
    schema: Option<&S>,
    path: &mut Vec<String>,
    found: &mut Vec<String>,
) {
    match value {
        Value::Object(fields) => {
            for (name, value) in fields {
                let field = schema.and_then(|s| s.under(name));
                path.push(format!("f:{name}"));
                look(value, field.as_ref(), path, found);
                path.pop();
            }
        }
        Value::Array(list) => look_at_list(list, schema, path, found),
        _ => {}
    }
}

fn look_at_list<S: PatchSchema>(
    list: &[Value],
    schema: Option<&S>,
    path: &mut Vec<String>,
    found: &mut Vec<String>,
) {
    let kind = ListKind::of(schema);
    let items = schema.and_then(|s| s.items());
    let mut seen = BTreeSet::new();
    for (index, item) in list.iter().enumerate() {
        let element = match &kind {
            ListKind::Atomic => format!("[{index}]"),
            _ => kind.element(item, items.as_ref()),
        };
        if let Some(key) = absent_key(&kind, item, items.as_ref()) {
            found.push(format!(
                "{}: element {index}: associative list with keys has an element that omits key field {key:?} (and doesn't have default value)",
                shown(path)
            ));
            return;
        }
        if !seen.insert(element.clone()) {
            let element = shown(&[element]);
            found.push(format!("{}: duplicate entries for key {element}", shown(path)));
            continue;
        }
        path.push(element);
        look(item, items.as_ref(), path, found);
        path.pop();
    }
}

/// A key of a list's elements that this one does not have.
fn absent_key<'k, S: PatchSchema>(
    kind: &'k ListKind,
    item: &Value,
    items: Option<&S>,
) -> Option<&'k str> {
    let ListKind::Map(keys) = kind else { return None };
    let has_default =
        |key: &str| items.and_then(|s| s.property(key)).and_then(|s| s.default_value()).is_some();
    let is_absent = |key: &&String| item.get(key.as_str()).is_none() && !has_default(key);
    keys.iter().find(is_absent).map(String::as_str)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema;
    use crate::testing::kind;

    #[test]
    fn elements_that_cannot_be_told_apart() {
        let pod = kind("", "v1", "Pod");
        let schema = schema::for_kind(&pod).unwrap();
        let check = |config: Value, expect: Option<&str>| {
            assert_eq!(ambiguous(&config, &schema).as_deref(), expect, "{config}");
        };
        let containers = |list: Value| json!({"spec": {"containers": list}});
        check(containers(json!([{"name": "a"}, {"name": "b"}])), None);
        check(
            containers(json!([{"name": "a"}, {"name": "a"}])),
            Some(r#".spec.containers: duplicate entries for key [name="a"]"#),
        );
        check(
            containers(json!([{"image": "a"}])),
            Some(
                r#".spec.containers: element 0: associative list with keys has an element that omits key field "name" (and doesn't have default value)"#,
            ),
        );
        let ports = json!([{"containerPort": 80}, {"containerPort": 80, "protocol": "TCP"},
            {"containerPort": 80, "protocol": "UDP"}]);
        check(
            containers(json!([{"name": "a", "ports": ports}])),
            Some(
                r#".spec.containers[name="a"].ports: duplicate entries for key [containerPort=80,protocol="TCP"]"#,
            ),
        );
        check(
            json!({"metadata": {"finalizers": ["x", "x"]}, "spec": {"containers": [{}]}}),
            Some(
                "errors:\n  .metadata.finalizers: duplicate entries for key [=\"x\"]\n  .spec.containers: element 0: associative list with keys has an element that omits key field \"name\" (and doesn't have default value)",
            ),
        );
        check(json!({"spec": {"tolerations": [{"key": "a"}, {"key": "a"}]}}), None);
    }
}
