//! What a schema may say: the part of OpenAPI that custom resources have, list and map types, and
//! the outer form of validation rules.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::check::Errors;
use super::{default, rules, structural};
use crate::custom::{Structural, format, visit};
use crate::walk::Walk;
use crate::{FieldError, Path};

const TYPES: [&str; 6] = ["array", "boolean", "integer", "number", "object", "string"];
const META: [&str; 3] = ["metadata", "kind", "apiVersion"];
/// Schemas in schemas, at most.
const DEPTH_MAX: usize = 100;

/// A key of a schema, and its name as upstream's errors list it.
type Named = (&'static str, &'static str);

/// What the root may have beside a status subresource.
const AT_ROOT: &[Named] = &[
    ("description", "Description"),
    ("type", "Type"),
    ("format", "Format"),
    ("title", "Title"),
    ("maximum", "Maximum"),
    ("exclusiveMaximum", "ExclusiveMaximum"),
    ("minimum", "Minimum"),
    ("exclusiveMinimum", "ExclusiveMinimum"),
    ("maxLength", "MaxLength"),
    ("minLength", "MinLength"),
    ("pattern", "Pattern"),
    ("maxItems", "MaxItems"),
    ("minItems", "MinItems"),
    ("uniqueItems", "UniqueItems"),
    ("multipleOf", "MultipleOf"),
    ("required", "Required"),
    ("items", "Items"),
    ("properties", "Properties"),
    ("externalDocs", "ExternalDocs"),
    ("example", "Example"),
    ("x-kubernetes-preserve-unknown-fields", "XPreserveUnknownFields"),
    ("x-kubernetes-validations", "XValidations"),
];

/// What no schema may have.
const UNSUPPORTED: &[(&str, &str)] = &[
    ("id", "id is not supported"),
    ("additionalItems", "additionalItems is not supported"),
    ("patternProperties", "patternProperties is not supported"),
    ("definitions", "definitions is not supported"),
    ("dependencies", "dependencies is not supported"),
    ("$ref", "$ref is not supported"),
];

/// The schema of a version; `path` is where `openAPIV3Schema` is.
pub(super) fn validate(errors: &mut Errors, schema: &Value, status: bool, path: &Path) {
    if !schema.is_object() {
        return;
    }
    let root = path.child("openAPIV3Schema");
    if depth(schema) > DEPTH_MAX {
        let text = format!("must not be nested deeper than {DEPTH_MAX} levels");
        errors.push(FieldError::forbidden(root, text));
        return;
    }
    if status {
        beside_status(errors, schema, path, &root);
    }
    if schema.flag("nullable") {
        let path = path.child("openAPIV3Schema.nullable");
        errors.push(FieldError::forbidden(path, "nullable cannot be true at the root"));
    }
    let before = errors.len();
    structural::validate(errors, schema, &root);
    if errors.len() == before {
        default::validate(errors, &Structural::parse(schema), &root);
    }
    Place { path: root, is_root: true, in_meta: false, no_defaults: None }.schema(errors, schema);
}

fn depth(schema: &Value) -> usize {
    match schema {
        Value::Object(map) => 1 + map.values().map(depth).max().unwrap_or(0),
        Value::Array(list) => 1 + list.iter().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

fn beside_status(errors: &mut Errors, schema: &Value, path: &Path, root: &Path) {
    let kind = schema.text("type");
    if !kind.is_empty() && kind != "object" {
        let text = "only \"object\" is allowed as the type at the root of the schema if the status subresource is enabled";
        errors.push(FieldError::invalid(path.child("openAPIV3Schema.type"), kind, text));
        return;
    }
    let keys = schema.as_object().into_iter().flatten().filter(|(_, value)| !is_zero(value));
    let mut odd = keys.filter(|(key, _)| !AT_ROOT.iter().any(|(known, _)| known == key));
    if odd.next().is_some() {
        let names: Vec<&str> = AT_ROOT.iter().map(|(_, name)| *name).collect();
        let text = format!(
            "only [{}] fields are allowed at the root of the schema if the status subresource is enabled",
            names.join(" ")
        );
        errors.push(FieldError::invalid(root.clone(), schema.clone(), text));
    }
}

fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) => true,
        Value::String(text) => text.is_empty(),
        Value::Array(list) => list.is_empty(),
        Value::Object(map) => map.is_empty(),
        _ => false,
    }
}

/// A place in a schema.
#[derive(Clone)]
struct Place {
    path: Path,
    is_root: bool,
    /// Inside of what types metadata.
    in_meta: bool,
    /// Why there may be no defaults.
    no_defaults: Option<String>,
}

impl Place {
    fn at(&self, path: Path) -> Place {
        Place { path, is_root: false, ..self.clone() }
    }

    fn schema(&self, errors: &mut Errors, schema: &Value) {
        if !schema.is_object() {
            return;
        }
        self.words(errors, schema);
        self.inner(errors, schema);
        self.extensions(errors, schema);
        list_type(errors, schema, &self.path);
        map_list(errors, schema, &self.path);
        keys(errors, schema, &self.path);
        rules::validate(errors, schema, &self.path);
    }

    fn words(&self, errors: &mut Errors, schema: &Value) {
        let path = &self.path;
        let kind = schema.text("type");
        if !kind.is_empty() && !TYPES.contains(&kind) {
            errors.push(FieldError::not_supported(path.child("type"), kind, &TYPES));
        }
        if schema.has("default")
            && let Some(reason) = &self.no_defaults
        {
            let text = format!("must not be set {reason}");
            errors.push(FieldError::forbidden(path.child("default"), text));
        }
        for (key, text) in UNSUPPORTED {
            if !is_zero(&schema[key]) {
                errors.push(FieldError::forbidden(path.child(key), *text));
            }
        }
        if kind == "null" {
            let text = "type cannot be set to null, use nullable as an alternative";
            errors.push(FieldError::forbidden(path.child("type"), text));
        }
        if schema["items"].is_array() {
            let text = "items must be a schema object and not an array";
            errors.push(FieldError::forbidden(path.child("items"), text));
        }
        if self.in_meta && schema.flag("x-kubernetes-embedded-resource") {
            let path = path.child("x-kubernetes-embedded-resource");
            errors.push(FieldError::forbidden(path, "must not be used inside of resource meta"));
        }
        if schema.flag("uniqueItems") {
            let text =
                "uniqueItems cannot be set to true since the runtime complexity becomes quadratic";
            errors.push(FieldError::forbidden(path.child("uniqueItems"), text));
        }
        let additional = &schema["additionalProperties"];
        let named = schema["properties"].as_object().is_some_and(|fields| !fields.is_empty());
        if named && !matches!(additional, Value::Null | Value::Bool(true)) {
            let text = "additionalProperties and properties are mutual exclusive";
            errors.push(FieldError::forbidden(path.child("additionalProperties"), text));
        }
    }

    fn inner(&self, errors: &mut Errors, schema: &Value) {
        let path = &self.path;
        let mut values = self.at(path.child("additionalProperties"));
        if self.in_meta {
            let reason = "inside additionalProperties applying to object metadata";
            values.no_defaults = Some(reason.into());
        }
        values.schema(errors, &schema["additionalProperties"]);
        let is_object = self.is_root || schema.flag("x-kubernetes-embedded-resource");
        for (name, field) in schema.entries("properties") {
            let mut place = self.at(path.child("properties").key(name));
            if is_object && META.contains(&name) {
                place.in_meta = true;
                if self.is_root {
                    place.no_defaults = Some(format!("in top-level {name}"));
                }
            }
            place.schema(errors, field);
        }
        self.at(path.child("not")).schema(errors, &schema["not"]);
        for junctor in ["allOf", "oneOf", "anyOf"] {
            for (index, inner) in schema.list(junctor).iter().enumerate() {
                self.at(path.child(junctor).index(index)).schema(errors, inner);
            }
        }
        self.at(path.child("items")).schema(errors, &schema["items"]);
    }

    fn extensions(&self, errors: &mut Errors, schema: &Value) {
        let path = &self.path;
        let keeps = "x-kubernetes-preserve-unknown-fields";
        if schema[keeps] == false {
            errors.push(FieldError::invalid(path.child(keeps), false, "must be true or undefined"));
        }
        let kind = schema.text("type");
        if schema.has("x-kubernetes-map-type") {
            needs_type(errors, path, (kind, "object"), "x-kubernetes-map-type");
            let map_type = schema.text("x-kubernetes-map-type");
            let known = ["atomic", "granular"];
            if !known.contains(&map_type) {
                let path = path.child("x-kubernetes-map-type");
                errors.push(FieldError::not_supported(path, map_type, &known));
            }
        }
    }
}

fn needs_type(errors: &mut Errors, path: &Path, (found, wanted): (&str, &str), key: &str) {
    let text = format!("must be {wanted} if {key} is specified");
    match found {
        "" => errors.push(FieldError::required(path.child("type"), text)),
        found if found != wanted => {
            errors.push(FieldError::invalid(path.child("type"), found, text));
        }
        _ => {}
    }
}

fn list_type(errors: &mut Errors, schema: &Value, path: &Path) {
    const KEY: &str = "x-kubernetes-list-type";
    if !schema.has(KEY) {
        return;
    }
    let list_type = schema.text(KEY);
    let before = errors.len();
    needs_type(errors, path, (schema.text("type"), "array"), KEY);
    let items = &schema["items"];
    if errors.len() == before && list_type == "set" {
        let text = "must be atomic as item of a list with x-kubernetes-list-type=set";
        let place = path.child("items");
        let inner = &items[KEY];
        match items.text("type") {
            "array" if !matches!(inner.as_str(), None | Some("atomic")) => {
                errors.push(FieldError::invalid(place.child(KEY), inner.clone(), text));
            }
            "object" if items.text("x-kubernetes-map-type") != "atomic" => {
                let place = place.child("x-kubernetes-map-type");
                errors.push(FieldError::invalid(place, inner.clone(), text));
            }
            _ => {}
        }
    }
    let known = ["atomic", "set", "map"];
    if !known.contains(&list_type) {
        errors.push(FieldError::not_supported(path.child(KEY), list_type, &known));
    }
}

/// Lists of type map, and keys without one.
fn map_list(errors: &mut Errors, schema: &Value, path: &Path) {
    const TYPE: &str = "x-kubernetes-list-type";
    const KEYS: &str = "x-kubernetes-list-map-keys";
    let names = schema.list(KEYS);
    let is_map = schema.text(TYPE) == "map";
    if !names.is_empty() && !is_map {
        let text = "must be map if x-kubernetes-list-map-keys is non-empty";
        let place = path.child(TYPE);
        errors.push(match schema.text(TYPE) {
            "" => FieldError::required(place, text),
            other => FieldError::invalid(place, other, text),
        });
    }
    if !is_map {
        return;
    }
    if names.is_empty() {
        let text = "must not be empty if x-kubernetes-list-type is map";
        errors.push(FieldError::required(path.child(KEYS), text));
    }
    let items = &schema["items"];
    if items.is_null() {
        let text = "must have a schema if x-kubernetes-list-type is map";
        errors.push(FieldError::required(path.child("items"), text));
        return;
    }
    if items.text("type") != "object" {
        let text = "must be object if parent array's x-kubernetes-list-type is map";
        let place = path.child("items").child("type");
        errors.push(FieldError::invalid(place, items.text("type"), text));
        return;
    }
    for (index, name) in names.iter().enumerate() {
        let field = &items["properties"][name.as_str().unwrap_or("")];
        let mut refuse = |place: Path, text: &str| {
            errors.push(FieldError::invalid(place, names, text));
        };
        if field.is_null() {
            refuse(path.child(KEYS), "entries must all be names of item properties");
        }
        if names[..index].contains(name) {
            refuse(path.child(KEYS), "must not contain duplicate entries");
        }
        if matches!(field.text("type"), "array" | "object") {
            let place = path.child("items").child("properties").key(name.as_str().unwrap_or(""));
            let text = "must be a scalar type if parent array's x-kubernetes-list-type is map";
            errors.push(FieldError::invalid(place.child("type"), items.text("type"), text));
        }
    }
}

/// Elements that are told apart are there, and so are their keys.
fn keys(errors: &mut Errors, schema: &Value, path: &Path) {
    let list_type = schema.text("x-kubernetes-list-type");
    let items = &schema["items"];
    if !matches!(list_type, "set" | "map") || !items.is_object() {
        return;
    }
    let path = path.child("items");
    if items.flag("nullable") {
        let text = format!("cannot be nullable when x-kubernetes-list-type is {list_type}");
        errors.push(FieldError::forbidden(path.child("nullable"), text));
    }
    if list_type != "map" {
        return;
    }
    for key in schema.list("x-kubernetes-list-map-keys") {
        let name = key.as_str().unwrap_or("");
        let field = &items["properties"][name];
        let place = path.child("properties").key(name);
        if field.is_object() && !items.list("required").contains(key) && !field.has("default") {
            let text = "this property is in x-kubernetes-list-map-keys, so it must have a default or be a required property";
            errors.push(FieldError::required(place.child("default"), text));
        }
        if field.flag("nullable") {
            let text = "this property is in x-kubernetes-list-map-keys, so it cannot be nullable";
            errors.push(FieldError::forbidden(place.child("nullable"), text));
        }
    }
}

/// Formats in a definition that nothing checks, each once.
pub fn unrecognized_formats(definition: &Value) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for version in definition["spec"].list("versions") {
        visit(&version["schema"]["openAPIV3Schema"], &mut |schema| {
            let text = |key: &str| schema.get(key).and_then(Value::as_str).unwrap_or("");
            let name = text("format");
            if !name.is_empty() && !format::is_known(text("type"), name) {
                found.insert(name.to_owned());
            }
        });
    }
    found
}
