//! The objects that expressions of MutatingAdmissionPolicies make: `Object`, whose parts are named by
//! their place (`Object.spec`), and `JSONPatch`.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::Value as Json;

use crate::error::Error;
use crate::types::{ObjectType, Type};
use crate::value::{Key, Value};

/// Which objects an environment lets expressions make.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Structs {
    #[default]
    None,
    Mutation,
}

/// The root of what a mutation applies.
const OBJECT: &str = "Object";
/// One operation of a JSON patch.
pub(crate) const JSON_PATCH: &str = "JSONPatch";

/// The type of that name.
pub(crate) fn named(structs: Structs, name: &str) -> Option<Type> {
    if structs == Structs::None {
        return None;
    }
    let object = |fields, open| {
        Some(Type::Object(Arc::new(ObjectType { name: name.to_owned(), fields, open })))
    };
    let texts = ["op", "path", "from"].map(|field| (field.to_owned(), Type::String));
    match name {
        JSON_PATCH => {
            object(texts.into_iter().chain([("value".to_owned(), Type::Dyn)]).collect(), false)
        }
        _ if name == OBJECT || name.starts_with("Object.") => object(BTreeMap::new(), true),
        _ => None,
    }
}

/// The object that an expression of type `Object` made, as JSON.
///
/// # Errors
/// If it is none, or a part of it does not have the name of its place.
pub fn applied_object(value: &Value) -> Result<Json, Error> {
    let Value::Map(map) = value else {
        return Err(Error::other(format!(
            "unsupported return type from ApplyConfiguration expression: {}",
            value.type_of().name()
        )));
    };
    match &map.type_name {
        Some(name) if **name == *OBJECT => {
            check_names(value, OBJECT)?;
            value.to_json()
        }
        _ => Err(Error::other("must evaluate to Object but got map".to_owned())),
    }
}

/// Parts of an object are made with the type of their place.
fn check_names(value: &Value, place: &str) -> Result<(), Error> {
    match value {
        Value::Map(map) => {
            if let Some(name) = &map.type_name
                && **name != *place
            {
                return Err(Error::other(format!(
                    "unexpected type name {name:?}, expected {place:?}, which matches field name path from root Object type"
                )));
            }
            for (key, value) in &map.entries {
                check_names(value, &format!("{place}.{key}"))?;
            }
            Ok(())
        }
        Value::List(list) => list.items.iter().try_for_each(|item| check_names(item, place)),
        Value::Optional(Some(value)) => check_names(value, place),
        _ => Ok(()),
    }
}

/// The operations of a JSON patch that an expression of type `list(JSONPatch)` made, as JSON.
///
/// # Errors
/// If it is no such list, or a value of it is not JSON.
pub fn json_patch(value: &Value) -> Result<Json, Error> {
    let items = value.as_list().ok_or_else(|| {
        Error::other("type mismatch: JSONPatchType.expression should evaluate to array")
    })?;
    let mut operations = Vec::with_capacity(items.len());
    for item in items {
        let Value::Map(map) = item else { return Err(not_a_patch()) };
        if map.type_name.as_deref() != Some(JSON_PATCH) {
            return Err(not_a_patch());
        }
        let mut operation = serde_json::Map::new();
        for (key, value) in &map.entries {
            operation.insert(key.to_string(), value.to_json()?);
        }
        let needs_value =
            matches!(map.get("op").and_then(Value::as_str), Some("add" | "replace" | "test"));
        if needs_value && !map.entries.contains_key(&Key::String("value".into())) {
            operation.insert("value".into(), Json::Null);
        }
        operations.push(Json::Object(operation));
    }
    Ok(Json::Array(operations))
}

fn not_a_patch() -> Error {
    Error::other("type mismatch: JSONPatchType.expression should evaluate to array of JSONPatch")
}
