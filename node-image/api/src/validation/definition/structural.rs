//! Whether a schema is structural: every field has one type, said outside of junctors.

use serde_json::Value;

use super::super::check::Errors;
use crate::custom::compile_pattern;
use crate::walk::Walk;
use crate::{FieldError, Path};

/// What keeps the schemas of a definition from being structural.
pub(crate) fn violations(definition: &Value) -> Errors {
    let mut errors = Errors::new();
    let path = Path::new("spec");
    if definition["spec"].flag("preserveUnknownFields") {
        let place = path.child("preserveUnknownFields");
        errors.push(FieldError::invalid(place, true, "must be false"));
    }
    for (index, version) in definition["spec"].list("versions").iter().enumerate() {
        let schema = &version["schema"]["openAPIV3Schema"];
        let place = path.child("versions").index(index).child("schema").child("openAPIV3Schema");
        validate(&mut errors, schema, &place);
    }
    errors
}

/// What keeps a schema from being structural, ordered by text.
pub(super) fn validate(errors: &mut Errors, schema: &Value, path: &Path) {
    if !schema.is_object() {
        return;
    }
    let mut found = Errors::new();
    node(&mut found, schema, Level::Root, path);
    complete(&mut found, schema, schema, path, path);
    found.sort_by_key(ToString::to_string);
    errors.append(&mut found);
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Root,
    Item,
    Field,
}

impl Level {
    fn needs_type(self) -> &'static str {
        match self {
            Level::Root => "must not be empty at the root",
            Level::Item => "must not be empty for specified array items",
            Level::Field => "must not be empty for specified object fields",
        }
    }
}

const KEEPS: &str = "x-kubernetes-preserve-unknown-fields";
const EMBEDDED: &str = "x-kubernetes-embedded-resource";
const EITHER: &str = "x-kubernetes-int-or-string";

fn node(errors: &mut Errors, schema: &Value, level: Level, path: &Path) {
    let kind = schema.text("type");
    if kind == "array" && schema["items"].is_null() {
        errors.push(FieldError::required(path.child("items"), "must be specified"));
    }
    if schema["items"].is_object() {
        node(errors, &schema["items"], Level::Item, &path.child("items"));
    }
    for (name, field) in schema.entries("properties") {
        node(errors, field, Level::Field, &path.child("properties").key(name));
    }
    let additional = &schema["additionalProperties"];
    if !additional.is_null() && level == Level::Root {
        let place = path.child("additionalProperties");
        errors.push(FieldError::forbidden(place, "must not be used at the root"));
    }
    if additional.is_object() {
        node(errors, additional, Level::Field, &path.child("additionalProperties"));
    }
    extensions(errors, schema, path);
    values(
        errors,
        schema,
        is_either(&schema["anyOf"]),
        is_either(&schema["allOf"][0]["anyOf"]),
        path,
    );
    type_of(errors, schema, level, path);
    meta(errors, schema, level, path);
}

/// Whether a junctor is what stands beside `x-kubernetes-int-or-string`.
fn is_either(any_of: &Value) -> bool {
    let is = |value: &Value, kind: &str| {
        value.as_object().is_some_and(|fields| fields.len() == 1) && value.text("type") == kind
    };
    matches!(any_of.as_array().map(Vec::as_slice), Some([a, b]) if is(a, "integer") && is(b, "string"))
}

fn extensions(errors: &mut Errors, schema: &Value, path: &Path) {
    for key in [KEEPS, EMBEDDED] {
        if schema.flag(EITHER) && schema.flag(key) {
            let text = "must be false if x-kubernetes-int-or-string is true";
            errors.push(FieldError::invalid(path.child(key), true, text));
        }
    }
}

fn type_of(errors: &mut Errors, schema: &Value, level: Level, path: &Path) {
    let kind = schema.text("type");
    let place = path.child("type");
    let embedded = schema.flag(EMBEDDED);
    if embedded && kind != "object" {
        let text = "must be object if x-kubernetes-embedded-resource is true";
        errors.push(match kind {
            "" => FieldError::required(place, text),
            kind => FieldError::invalid(place, kind, text),
        });
    } else if kind.is_empty() && !schema.flag(EITHER) && !schema.flag(KEEPS) {
        errors.push(FieldError::required(place, level.needs_type()));
    } else if level == Level::Root && !kind.is_empty() && kind != "object" {
        errors.push(FieldError::invalid(place, kind, "must be object at the root"));
    }
    if embedded && schema.has("additionalProperties") {
        let text = "must not be used if x-kubernetes-embedded-resource is set";
        errors.push(FieldError::forbidden(path.child("additionalProperties"), text));
    }
    let named = schema["properties"].as_object().is_some_and(|fields| !fields.is_empty());
    if embedded && !schema.flag(KEEPS) && !named {
        let text = "must not be empty if x-kubernetes-embedded-resource is true without x-kubernetes-preserve-unknown-fields";
        errors.push(FieldError::required(path.child("properties"), text));
    }
}

/// Metadata is given; a schema may only restrict names.
fn meta(errors: &mut Errors, schema: &Value, level: Level, path: &Path) {
    let is_object = level == Level::Root || schema.flag(EMBEDDED);
    let fields = path.child("properties");
    for name in ["kind", "apiVersion"] {
        let field = &schema["properties"][name];
        if is_object && field.is_object() && field.text("type") != "string" {
            let place = fields.key(name).child("type");
            errors.push(FieldError::invalid(place, field.text("type"), "must be string"));
        }
    }
    let metadata = &schema["properties"]["metadata"];
    if !metadata.is_object() {
        return;
    }
    let place = fields.key("metadata");
    if is_object && metadata.text("type") != "object" {
        let kind = metadata.text("type");
        errors.push(FieldError::invalid(place.child("type"), kind, "must be object"));
    }
    if level == Level::Root && !restricts_names_only(metadata) {
        let text = "must not specify anything other than name and generateName, but metadata is implicitly specified";
        errors.push(FieldError::forbidden(place, text));
    }
}

fn restricts_names_only(metadata: &Value) -> bool {
    let names = |fields: &Value| {
        let fields = fields.as_object();
        fields.is_some_and(|f| f.keys().all(|key| matches!(key.as_str(), "name" | "generateName")))
    };
    metadata.as_object().into_iter().flatten().all(|(key, value)| match key.as_str() {
        "type" | "default" => true,
        "properties" => names(value),
        // Upstream takes a description for more than a restriction of names.
        _ => value.is_null(),
    })
}

/// The junctors of a schema, and its pattern.
fn values(errors: &mut Errors, schema: &Value, skip_any: bool, skip_first: bool, path: &Path) {
    for junctor in ["anyOf", "allOf", "oneOf"] {
        if junctor == "anyOf" && skip_any {
            continue;
        }
        for (index, inner) in schema.list(junctor).iter().enumerate() {
            let skips = junctor == "allOf" && index == 0 && skip_first;
            nested(errors, inner, skips, &path.child(junctor).index(index));
        }
    }
    if schema["not"].is_object() {
        nested(errors, &schema["not"], false, &path.child("not"));
    }
    let pattern = schema.text("pattern");
    if !pattern.is_empty()
        && let Err(error) = compile_pattern(pattern)
    {
        let text = format!("must be a valid regular expression, but isn't: {error}");
        errors.push(FieldError::invalid(path.child("pattern"), pattern, text));
    }
}

/// What a schema in a junctor must not say: key, is it there, text.
const NESTED: &[(&str, &str)] = &[
    ("type", "must be empty to be structural"),
    ("additionalProperties", "must be undefined to be structural"),
    ("default", "must be undefined to be structural"),
    ("title", "must be empty to be structural"),
    ("description", "must be empty to be structural"),
    ("nullable", "must be false to be structural"),
    ("externalDocs", "must be undefined to be structural"),
    (KEEPS, "must be false to be structural"),
    (EMBEDDED, "must be false to be structural"),
    (EITHER, "must be false to be structural"),
    ("x-kubernetes-list-map-keys", "must be empty to be structural"),
    ("x-kubernetes-list-type", "must be undefined to be structural"),
    ("x-kubernetes-map-type", "must be undefined to be structural"),
    ("x-kubernetes-validations", "must be empty to be structural"),
];

fn nested(errors: &mut Errors, schema: &Value, skip_any: bool, path: &Path) {
    values(errors, schema, skip_any, false, path);
    if schema["items"].is_object() {
        nested(errors, &schema["items"], false, &path.child("items"));
    }
    for (name, field) in schema.entries("properties") {
        nested(errors, field, false, &path.child("properties").key(name));
    }
    for (key, text) in NESTED {
        let said = match &schema[key] {
            Value::Null | Value::Bool(false) => false,
            Value::String(text) => !text.is_empty(),
            Value::Array(list) => !list.is_empty(),
            _ => true,
        };
        if said {
            errors.push(FieldError::forbidden(path.child(key), *text));
        }
    }
    if schema["properties"].get("metadata").is_some() {
        let text = "must not be specified in a nested context";
        errors.push(FieldError::forbidden(path.child("properties").key("metadata"), text));
    }
}

/// What a junctor speaks of must be specified outside of junctors, too.
fn complete(errors: &mut Errors, checks: &Value, schema: &Value, place: &Path, from: &Path) {
    if checks["not"].is_object() {
        complete_nested(errors, &checks["not"], schema, place, &from.child("not"));
    }
    for junctor in ["allOf", "anyOf", "oneOf"] {
        for (index, inner) in checks.list(junctor).iter().enumerate() {
            complete_nested(errors, inner, schema, place, &from.child(junctor).index(index));
        }
    }
    if std::ptr::eq(checks, schema) {
        for (name, field) in schema.entries("properties") {
            let path = place.child("properties").key(name);
            complete(errors, field, field, &path, &path);
        }
        for key in ["items", "additionalProperties"] {
            if schema[key].is_object() {
                let path = place.child(key);
                complete(errors, &schema[key], &schema[key], &path, &path);
            }
        }
    }
}

fn complete_nested(errors: &mut Errors, checks: &Value, schema: &Value, place: &Path, from: &Path) {
    let absent = |place: &Path, from: &Path| {
        FieldError::required(place.clone(), format!("because it is defined in {from}"))
    };
    complete(errors, checks, schema, place, from);
    if checks["items"].is_object() {
        let (place, from) = (place.child("items"), from.child("items"));
        match schema["items"].is_object() {
            true => complete_nested(errors, &checks["items"], &schema["items"], &place, &from),
            false => errors.push(absent(&place, &from)),
        }
    }
    for (name, field) in checks.entries("properties") {
        let place = place.child("properties").key(name);
        let from = from.child("properties").key(name);
        match &schema["properties"][name] {
            found @ Value::Object(_) => complete_nested(errors, field, found, &place, &from),
            _ => errors.push(absent(&place, &from)),
        }
    }
}
