//! Schemas of custom resources as OpenAPI documents show them.

use serde_json::{Map, Value, json};

use crate::Kind;
use crate::walk::{Shape, Walk};

/// The name under which a custom type is shown: the group's words come in reverse.
pub(crate) fn definition_name(group: &str, version: &str, kind: &str) -> String {
    let words: Vec<&str> = group.rsplit('.').collect();
    format!("{}.{version}.{kind}", words.join("."))
}

/// What every object has, in words and references.
pub(crate) struct Texts<'a> {
    /// What precedes a type's name in a reference.
    pub(crate) prefix: &'static str,
    /// Whether the document is of version 2, which knows less.
    pub(crate) is_v2: bool,
    pub(crate) api_version: &'a str,
    pub(crate) kind: &'a str,
}

const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
const METADATA_TEXT: &str = "Standard object's metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#metadata";
const LIST_METADATA_TEXT: &str = "Standard list metadata. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md#types-kinds";

impl Texts<'_> {
    /// The type of a custom kind.
    pub(crate) fn object(&self, kind: &Kind) -> Value {
        let mut schema = self.bare_object(kind);
        schema.put("x-kubernetes-group-version-kind", json!([identity(kind, &kind.kind)]));
        self.put_selectable(&mut schema, kind);
        schema
    }

    fn bare_object(&self, kind: &Kind) -> Value {
        let declared = kind.custom.as_ref().map(|custom| custom.schema_json()).unwrap_or_default();
        let keeps = declared.flag("x-kubernetes-preserve-unknown-fields");
        // A client of version 2 would refuse unknown fields beside those that are named.
        if !declared.is_object() || (self.is_v2 && keeps) {
            return json!({"type": "object"});
        }
        let mut schema = declared;
        self.rewrite(&mut schema);
        if let Some(properties) = schema.object_mut("properties") {
            self.put_meta(properties, METADATA_TEXT, "ObjectMeta");
        }
        schema
    }

    /// The type of its lists.
    pub(crate) fn list(&self, kind: &Kind) -> Value {
        let own = definition_name(&kind.group, &kind.version, &kind.kind);
        let mut schema = json!({
            "type": "object",
            "description": format!("{} is a list of {}", kind.list_kind, kind.kind),
            "required": ["items"],
            "properties": {"items": {
                "type": "array",
                "description": format!("List of {}. More info: https://git.k8s.io/community/contributors/devel/sig-architecture/api-conventions.md", kind.plural),
                "items": {"$ref": format!("{}{own}", self.prefix)},
            }},
            "x-kubernetes-group-version-kind": [identity(kind, &kind.list_kind)],
        });
        if let Some(properties) = schema.object_mut("properties") {
            self.put_meta(properties, LIST_METADATA_TEXT, "ListMeta");
        }
        self.put_selectable(&mut schema, kind);
        schema
    }

    fn put_selectable(&self, schema: &mut Value, kind: &Kind) {
        let fields = kind.custom.as_ref().map_or(&[][..], |custom| &custom.selectable);
        if !fields.is_empty() && !self.is_v2 {
            let paths: Vec<Value> =
                fields.iter().map(|field| json!({"fieldPath": field})).collect();
            schema.put("x-kubernetes-selectable-fields", paths);
        }
    }

    fn put_meta(&self, properties: &mut Value, text: &str, meta: &str) {
        properties.put("apiVersion", json!({"type": "string", "description": self.api_version}));
        properties.put("kind", json!({"type": "string", "description": self.kind}));
        let reference = format!("{}{META}.{meta}", self.prefix);
        let metadata = match self.is_v2 {
            true => json!({"$ref": reference, "description": text}),
            false => json!({"allOf": [{"$ref": reference}], "description": text}),
        };
        properties.put("metadata", metadata);
    }

    /// Brings a schema into the form of the version, from the inside out.
    fn rewrite(&self, schema: &mut Value) {
        if let Some(Value::Object(fields)) = schema.get_mut("properties") {
            fields.values_mut().for_each(|field| self.rewrite(field));
        }
        for key in ["items", "additionalProperties"] {
            if let Some(inner) = schema.existing_mut(key) {
                self.rewrite(inner);
            }
        }
        match self.is_v2 {
            true => reduce(schema),
            false => unfold(schema),
        }
        let keeps = schema.flag("x-kubernetes-preserve-unknown-fields");
        if schema.flag("x-kubernetes-embedded-resource") && !(self.is_v2 && keeps) {
            self.put_embedded(schema);
        }
    }

    fn put_embedded(&self, schema: &mut Value) {
        if let Some(properties) = schema.object_mut("properties") {
            self.put_meta(properties, METADATA_TEXT, "ObjectMeta");
        }
        let mut required = schema.list("required").to_vec();
        for field in ["kind", "apiVersion"] {
            if !required.iter().any(|known| known == field) {
                required.push(field.into());
            }
        }
        schema.put("required", required);
    }
}

fn identity(kind: &Kind, name: &str) -> Value {
    json!({"group": kind.group, "version": kind.version, "kind": name})
}

/// A number or a text is said in the words of OpenAPI, too.
fn unfold(schema: &mut Value) {
    if !schema.flag("x-kubernetes-int-or-string") {
        return;
    }
    let either = json!([{"type": "integer"}, {"type": "string"}]);
    if !schema.has("anyOf") {
        schema.put("anyOf", either);
        return;
    }
    let is_said = schema["anyOf"] == either || schema["allOf"][0]["anyOf"] == either;
    if !is_said {
        let mut all = vec![json!({ "anyOf": either })];
        all.extend(schema.list("allOf").to_vec());
        schema.put("allOf", all);
    }
}

/// Takes away what version 2, or kubectl when it reads that, cannot have.
fn reduce(schema: &mut Value) {
    let nullable: Vec<String> = schema
        .entries("properties")
        .filter(|(_, field)| field["nullable"] == true)
        .map(|(name, _)| name.to_owned())
        .collect();
    let keeps = schema.flag("x-kubernetes-preserve-unknown-fields");
    let is_nullable = schema.flag("nullable");
    let Some(fields) = schema.as_object_mut() else { return };
    for key in ["allOf", "anyOf", "oneOf", "not"] {
        fields.remove(key);
    }
    if is_nullable || keeps {
        fields.remove("items");
        fields.remove("properties");
    }
    let object = fields.get("type").is_some_and(|t| t == "object");
    let list = fields.get("type").is_some_and(|t| t == "array");
    if is_nullable || (keeps && object) || (list && !fields.contains_key("items")) {
        fields.remove("type");
    }
    drop_required(fields, &nullable);
}

/// A field that may be null is not required in words that know no null. `nullable` itself stays
/// until the parent has seen it.
fn drop_required(fields: &mut Map<String, Value>, nullable: &[String]) {
    if let Some(Value::Array(required)) = fields.get_mut("required") {
        required.retain(|name| !nullable.iter().any(|n| name == n));
        if required.is_empty() {
            fields.remove("required");
        }
    }
    if let Some(Value::Object(properties)) = fields.get_mut("properties") {
        properties.values_mut().for_each(|field| drop(field.take_key("nullable")));
    }
    for key in ["items", "additionalProperties"] {
        if let Some(inner) = fields.get_mut(key) {
            inner.take_key("nullable");
        }
    }
}
