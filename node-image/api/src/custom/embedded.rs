//! Whole objects inside of custom resources: their metadata has a type, and says what they are.

use serde_json::{Map, Value};

use super::structural::Structural;
use crate::decode::typed_metadata;
use crate::validation::{metadata_of_embedded, names};
use crate::{FieldError, Path};

/// Gives the metadata of embedded objects its form; the error is the first that has none.
pub(super) fn coerce(
    value: &mut Value,
    schema: &Structural,
    path: &Path,
    unknown: &mut Vec<String>,
) -> Result<(), FieldError> {
    match value {
        Value::Object(map) => {
            if schema.embedded {
                coerce_object(map, path, unknown)?;
            }
            for (name, inner) in map {
                let (field, place) = match (schema.property(name), schema.values()) {
                    (Some(field), _) => (field, path.child(name)),
                    (None, Some(values)) => (values, path.key(name)),
                    (None, None) => continue,
                };
                coerce(inner, field, &place, unknown)?;
            }
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return Ok(()) };
            for (index, item) in list.iter_mut().enumerate() {
                coerce(item, items, &path.index(index), unknown)?;
            }
        }
        _ => {}
    }
    Ok(())
}

fn coerce_object(
    map: &mut Map<String, Value>,
    path: &Path,
    unknown: &mut Vec<String>,
) -> Result<(), FieldError> {
    for field in ["apiVersion", "kind"] {
        if let Some(value) = map.get(field).filter(|value| !value.is_string()) {
            return Err(FieldError::invalid(path.child(field), value.clone(), "must be a string"));
        }
    }
    let Some(metadata) = map.get_mut("metadata") else { return Ok(()) };
    let place = path.child("metadata");
    match typed_metadata(metadata) {
        Ok((typed, fields)) => {
            unknown.extend(fields.iter().map(|field| place.child(field).to_string()));
            *metadata = typed;
            Ok(())
        }
        Err(why) => Err(FieldError::invalid(place, metadata.clone(), why)),
    }
}

/// What is wrong with the embedded objects of an object, its own root aside.
pub(super) fn validate(errors: &mut Vec<FieldError>, schema: &Structural, object: &Value) {
    value(errors, &Path::new(""), schema, object);
}

fn value(errors: &mut Vec<FieldError>, path: &Path, schema: &Structural, found: &Value) {
    match found {
        Value::Object(map) => {
            if schema.embedded {
                embedded(errors, path, map);
            }
            for (name, inner) in map {
                match (schema.property(name), schema.values()) {
                    (Some(field), _) => value(errors, &path.child(name), field, inner),
                    (None, Some(values)) => value(errors, &path.key(name), values, inner),
                    (None, None) => {}
                }
            }
        }
        Value::Array(list) => {
            let Some(items) = &schema.items else { return };
            for (index, item) in list.iter().enumerate() {
                value(errors, &path.index(index), items, item);
            }
        }
        _ => {}
    }
}

fn embedded(errors: &mut Vec<FieldError>, path: &Path, map: &Map<String, Value>) {
    for field in ["apiVersion", "kind"] {
        let place = path.child(field);
        match map.get(field) {
            None => errors.push(FieldError::required(place, "")),
            Some(Value::String(text)) if text.is_empty() => {
                errors.push(FieldError::invalid(place, "", "must not be empty"));
            }
            Some(Value::String(kind)) if field == "kind" => {
                let wrong = names::dns_1035_label(&kind.to_lowercase()).join(",");
                if !wrong.is_empty() {
                    let text = format!("may have mixed case, but should otherwise match: {wrong}");
                    errors.push(FieldError::invalid(place, kind.as_str(), text));
                }
            }
            Some(Value::String(version)) if version.matches('/').count() > 1 => {
                let text = format!("unexpected GroupVersion string: {version}");
                errors.push(FieldError::invalid(place, version.as_str(), text));
            }
            Some(Value::String(_)) => {}
            Some(other) => {
                errors.push(FieldError::invalid(place, other.clone(), "must be a string"));
            }
        }
    }
    if let Some(metadata) = map.get("metadata") {
        metadata_of_embedded(errors, metadata, &path.child("metadata"));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn schema() -> Structural {
        Structural::parse(&json!({"type": "object", "properties": {"pod": {"type": "object",
            "x-kubernetes-embedded-resource": true, "x-kubernetes-preserve-unknown-fields": true}}}))
    }

    #[test]
    fn metadata_gets_its_form() {
        let check = |pod: Value, want: Result<&[&str], &str>| {
            let mut object = json!({"pod": pod});
            let mut unknown = Vec::new();
            let outcome = coerce(&mut object, &schema(), &Path::new(""), &mut unknown);
            let got = outcome.map(|()| unknown).map_err(|error| error.to_string());
            assert_eq!(
                got,
                want.map(|w| w.iter().map(|s| (*s).to_owned()).collect()).map_err(str::to_owned)
            );
        };
        check(json!({"metadata": {"name": "a", "odd": 1}}), Ok(&["pod.metadata.odd"]));
        check(json!({"kind": 1}), Err("pod.kind: Invalid value: 1: must be a string"));
        check(
            json!({"metadata": {"name": 1}}),
            Err(
                "pod.metadata: Invalid value: {\"name\":1}: json: cannot unmarshal number into Go struct field ObjectMeta.name of type string",
            ),
        );
    }

    #[test]
    fn embedded_objects_say_what_they_are() {
        let check = |pod: Value, want: &[&str]| {
            let mut errors = Vec::new();
            validate(&mut errors, &schema(), &json!({"pod": pod}));
            let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
            assert_eq!(texts, want);
        };
        check(json!({"apiVersion": "v1", "kind": "Pod"}), &[]);
        check(json!({}), &["pod.apiVersion: Required value", "pod.kind: Required value"]);
        check(
            json!({"apiVersion": "", "kind": "Pod"}),
            &["pod.apiVersion: Invalid value: \"\": must not be empty"],
        );
    }
}
