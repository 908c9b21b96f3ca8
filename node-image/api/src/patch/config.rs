//! A configuration merged into an object without owners, as MutatingAdmissionPolicies do it.

use serde_json::Value;

use super::PatchSchema;
use super::apply::merge;
use super::fields::{ListKind, is_atomic_map};

/// Merges `config` into `live` as an apply does, without owners.
///
/// # Errors
/// The paths of the lists and maps in `config` that could only be replaced as a whole.
pub fn merge_config<S: PatchSchema>(
    live: &Value,
    config: &Value,
    schema: &S,
) -> Result<Value, Vec<String>> {
    let mut atomics = Vec::new();
    find_atomics(config, Some(schema), "", &mut atomics);
    if atomics.is_empty() { Ok(merge(live, config, Some(schema))) } else { Err(atomics) }
}

fn find_atomics<S: PatchSchema>(
    config: &Value,
    schema: Option<&S>,
    path: &str,
    found: &mut Vec<String>,
) {
    match config {
        Value::Object(fields) => {
            if is_atomic_map(schema) {
                found.push(path.to_owned());
            }
            for (name, value) in fields {
                let field = schema.and_then(|s| s.under(name));
                find_atomics(value, field.as_ref(), &format!("{path}.{name}"), found);
            }
        }
        Value::Array(elements) => {
            if schema.is_some() && ListKind::of(schema) == ListKind::Atomic {
                found.push(path.to_owned());
            }
            let items = schema.and_then(|s| s.items());
            for (index, element) in elements.iter().enumerate() {
                find_atomics(element, items.as_ref(), &format!("{path}[{index}]"), found);
            }
        }
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::schema;
    use crate::testing::kind;

    #[test]
    fn only_what_can_be_merged_is() {
        let kind = kind("", "v1", "Pod");
        let schema = schema::for_kind(&kind).unwrap();
        let pod = json!({"spec": {"containers": [{"name": "a", "image": "1"}]}});
        let check = |config: Value, expect: Result<Value, Vec<String>>| {
            assert_eq!(merge_config(&pod, &config, &schema), expect, "{config}");
        };
        check(
            json!({"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "b"}]}}),
            Ok(json!({"spec": {"containers": [{"name": "a", "image": "2"}, {"name": "b"}]}})),
        );
        let args = json!({"spec": {"containers": [{"name": "a", "args": ["x"]}]}});
        check(args, Err(vec![".spec.containers[0].args".into()]));
        let selector = json!({"spec": {"nodeSelector": {"a": "b"}}});
        check(selector, Err(vec![".spec.nodeSelector".into()]));
    }
}
