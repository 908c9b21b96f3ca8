//! Types as OpenAPI schemas.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use serde_json::{Map, Value, json};

use super::{Dialect, metrics};
use crate::custom::{self, definition_name};
use crate::kind::is_built_in_group;
use crate::schema::{self, Extra, Field, Form, Node, NodeId, Scalar, Schema, Struct};
use crate::{Kind, Kinds};

pub(super) const META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1";
/// The type of any patch's body.
pub(super) const PATCH: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.Patch";
/// A type with texts for what all objects have.
const EXAMPLE: &str = "io.k8s.api.core.v1.Pod";
/// The types that every group and version has.
const EVERYWHERE: [&str; 2] = ["DeleteOptions", "WatchEvent"];

/// The name of a type: of a built-in group its own or, if it has none, that of `meta/v1`; of any
/// other group that of a custom kind.
pub(super) fn name_of(group: &str, version: &str, kind: &str) -> String {
    if let Some(name) = metrics::name_of(group, kind) {
        return name;
    }
    if schema::is_registered(group, version, kind) {
        return schema::type_name(group, version, kind);
    }
    match is_built_in_group(group) {
        true => format!("{META}.{kind}"),
        false => definition_name(group, version, kind),
    }
}

/// Renders types in one dialect.
pub(super) struct Definitions {
    schema: &'static Schema,
    texts: HashMap<String, BTreeMap<String, String>>,
    /// Which groups, versions and kinds a type is.
    identities: HashMap<String, Vec<Value>>,
    /// The custom kinds, and whether a list of them is meant.
    custom: HashMap<String, (Arc<Kind>, bool)>,
    dialect: Dialect,
}

impl Definitions {
    pub(super) fn new(kinds: &Kinds, dialect: Dialect) -> Definitions {
        Definitions {
            schema: schema::built_in(),
            texts: serde_json::from_str(&schema::texts()).unwrap_or_default(),
            identities: identities(kinds),
            custom: custom_types(kinds),
            dialect,
        }
    }

    /// The types that `roots` lead to, and they themselves, by name.
    pub(super) fn reachable(&self, roots: impl IntoIterator<Item = String>) -> Vec<String> {
        let mut names = BTreeSet::new();
        let mut waiting: Vec<String> = roots.into_iter().collect();
        while let Some(name) = waiting.pop() {
            if let Some(structure) = self.structure(&name) {
                if names.contains(&name) {
                    continue;
                }
                let fields = structure.fields.iter();
                waiting.extend(fields.filter_map(|field| self.named(field.node)));
            }
            if let Some((kind, is_list)) = self.custom.get(&name)
                && !names.contains(&name)
            {
                let meta = if *is_list { "ListMeta" } else { "ObjectMeta" };
                waiting.push(format!("{META}.{meta}"));
                if *is_list {
                    waiting.push(definition_name(&kind.group, &kind.version, &kind.kind));
                }
            }
            if let Some(found) = metrics::find(&name)
                && !names.contains(&name)
            {
                waiting.extend(found.references());
            }
            names.insert(name);
        }
        names.into_iter().collect()
    }

    /// The schema of a type.
    pub(super) fn render(&self, name: &str) -> Value {
        if let Some((kind, is_list)) = self.custom.get(name) {
            return self.custom_schema(kind, *is_list);
        }
        let mut schema = match (self.structure(name), metrics::find(name)) {
            (Some(structure), _) => self.structure_schema(structure),
            (None, Some(found)) => found.schema(self.dialect),
            (None, None) => leaf_schema(name, self.dialect),
        };
        if let Some(text) = self.text(name, "") {
            schema.insert("description".into(), text.into());
        }
        if let Some(identities) = self.identities.get(name) {
            let identities = identities.as_slice().into();
            schema.insert("x-kubernetes-group-version-kind".into(), identities);
        }
        schema.into()
    }

    fn custom_schema(&self, kind: &Kind, is_list: bool) -> Value {
        let texts = custom::Texts {
            prefix: self.dialect.reference_prefix(),
            is_v2: self.dialect == Dialect::V2,
            api_version: self.text(EXAMPLE, "apiVersion").unwrap_or(""),
            kind: self.text(EXAMPLE, "kind").unwrap_or(""),
        };
        match is_list {
            true => texts.list(kind),
            false => texts.object(kind),
        }
    }

    fn structure(&self, name: &str) -> Option<&'static Struct> {
        match self.schema.node(self.schema.by_name(name)?.node_id()).form {
            Form::Struct(index) => Some(self.schema.structure(index)),
            _ => None,
        }
    }

    fn text(&self, name: &str, property: &str) -> Option<&str> {
        let own = self.texts.get(name).and_then(|texts| texts.get(property));
        own.map(String::as_str).or_else(|| self.list_text(name, property))
    }

    /// The lists of kinds have no texts of their own.
    fn list_text(&self, name: &str, property: &str) -> Option<&str> {
        if !name.ends_with("List") {
            return None;
        }
        match property {
            "" => Some("A list of objects."),
            "items" => Some("The objects of the list."),
            "metadata" => Some("Standard list metadata."),
            "apiVersion" | "kind" => self.texts.get(EXAMPLE)?.get(property).map(String::as_str),
            _ => None,
        }
    }

    /// The named type that a field's type is, or is made of.
    fn named(&self, id: NodeId) -> Option<String> {
        match self.schema.node(id).form {
            Form::List(inner) | Form::Map(inner) => self.named(inner),
            Form::Struct(index) => Some(self.schema.structure(index).name.as_ref().to_owned()),
            Form::Scalar(scalar) => leaf_name(scalar).map(str::to_owned),
        }
    }

    fn structure_schema(&self, structure: &Struct) -> Map<String, Value> {
        let mut schema = Map::new();
        schema.insert("type".into(), "object".into());
        let properties = structure.fields.iter().map(|field| {
            let text = self.text(&structure.name, &field.name);
            (field.name.as_ref().to_owned(), self.property(field, text))
        });
        let properties: Map<String, Value> = properties.collect();
        if !properties.is_empty() {
            schema.insert("properties".into(), properties.into());
        }
        let required = structure.fields.iter().filter(|field| field.required);
        let required: Vec<&str> = required.map(|field| field.name.as_ref()).collect();
        if !required.is_empty() {
            schema.insert("required".into(), required.into());
        }
        if structure.atomic {
            schema.insert("x-kubernetes-map-type".into(), "atomic".into());
        }
        schema
    }

    fn property(&self, field: &Field, text: Option<&str>) -> Value {
        let node = self.schema.node(field.node);
        let mut schema = self.use_of(field.node, text.is_some());
        if let Some(text) = text {
            let text = format!("{text}{}", self.enumeration_text(node));
            schema.insert("description".into(), text.into());
        }
        if self.dialect == Dialect::V3
            && let Some(default) = implied_default(field, node)
        {
            schema.insert("default".into(), default);
        }
        if let Some(extra) = &field.extra {
            put_extra(&mut schema, extra);
        }
        schema.into()
    }

    /// A type where it is used. Version 3 allows nothing beside a reference, so what is `described`
    /// wraps it.
    fn use_of(&self, id: NodeId, described: bool) -> Map<String, Value> {
        let node = self.schema.node(id);
        let name = match node.form {
            Form::Struct(index) => Some(self.schema.structure(index).name.as_ref()),
            Form::Scalar(scalar) => leaf_name(scalar),
            Form::List(_) | Form::Map(_) => None,
        };
        let mut schema = Map::new();
        if let Some(name) = name {
            let reference = format!("{}{name}", self.dialect.reference_prefix());
            if self.dialect == Dialect::V3 && described {
                schema.insert("allOf".into(), json!([{ "$ref": reference }]));
            } else {
                schema.insert("$ref".into(), reference.into());
            }
            return schema;
        }
        match node.form {
            Form::List(item) => {
                schema.insert("type".into(), "array".into());
                schema.insert("items".into(), self.use_of(item, false).into());
            }
            Form::Map(value) => {
                schema.insert("type".into(), "object".into());
                schema.insert("additionalProperties".into(), self.use_of(value, false).into());
            }
            Form::Scalar(scalar) => put_scalar(&mut schema, scalar),
            Form::Struct(_) => {}
        }
        if let Some(values) = self.enumeration(node) {
            let values: Vec<&str> = values.iter().map(|value| value.as_ref()).collect();
            schema.insert("enum".into(), values.into());
        }
        schema
    }

    /// The values of a type that has no others.
    fn enumeration(&self, node: &Node) -> Option<&[Box<str>]> {
        let alias = node.alias.as_ref().filter(|_| node.form == Form::Scalar(Scalar::String))?;
        self.schema.enumeration(alias)
    }

    /// The paragraph that upstream adds to the text of such a field.
    fn enumeration_text(&self, node: &Node) -> String {
        let Some(values) = self.enumeration(node) else { return String::new() };
        let lines: String =
            values.iter().map(|value| format!("\n - `{:?}`", value.as_ref())).collect();
        format!("\n\nPossible enum values:{lines}")
    }
}

/// The types of custom kinds and of their lists, by name.
fn custom_types(kinds: &Kinds) -> HashMap<String, (Arc<Kind>, bool)> {
    let custom = kinds.iter().filter(|kind| kind.custom.is_some());
    let types = custom.flat_map(|kind| {
        [(&kind.kind, false), (&kind.list_kind, true)].map(|(name, is_list)| {
            (definition_name(&kind.group, &kind.version, name), (kind.clone(), is_list))
        })
    });
    types.collect()
}

/// What the kinds and the bodies of their subresources are, by type name.
fn identities(kinds: &Kinds) -> HashMap<String, Vec<Value>> {
    let mut identities: HashMap<String, Vec<Value>> = HashMap::new();
    let mut add = |name: String, group: &str, version: &str, kind: &str| {
        let identity = json!({"group": group, "version": version, "kind": kind});
        let known = identities.entry(name).or_default();
        if !known.contains(&identity) {
            known.push(identity);
        }
    };
    for kind in kinds.iter() {
        let (group, version) = (kind.group.as_str(), kind.version.as_str());
        for name in [&kind.kind, &kind.list_kind] {
            add(name_of(group, version, name), group, version, name);
        }
        for sub in &kind.subresources {
            let (group, version, body) = &sub.body;
            add(name_of(group, version, body), group, version, body);
        }
    }
    for group in kinds.groups() {
        for version in &group.versions {
            for kind in EVERYWHERE {
                add(format!("{META}.{kind}"), &group.name, version, kind);
            }
        }
    }
    add(format!("{META}.Status"), "", "v1", "Status");
    identities
}

fn put_extra(schema: &mut Map<String, Value>, extra: &Extra) {
    let mut put = |key: &str, value: Option<Value>| {
        if let Some(value) = value {
            schema.insert(key.to_owned(), value);
        }
    };
    let keys = (!extra.list_map_keys.is_empty()).then(|| extra.list_map_keys.as_slice().into());
    put("x-kubernetes-list-type", extra.list_type.map(|kind| kind.as_str().into()));
    put("x-kubernetes-list-map-keys", keys);
    put("x-kubernetes-map-type", extra.map_type.as_deref().map(Value::from));
    put("x-kubernetes-patch-strategy", extra.patch_strategy.as_deref().map(Value::from));
    put("x-kubernetes-patch-merge-key", extra.patch_merge_key.as_deref().map(Value::from));
}

/// The default that is said, or the empty value of what Go always has.
fn implied_default(field: &Field, node: &Node) -> Option<Value> {
    let said = field.extra.as_ref().and_then(|extra| extra.default.clone());
    if said.is_some() || node.pointer {
        return said;
    }
    match node.form {
        Form::Struct(_) if !field.omit_zero => Some(json!({})),
        Form::Scalar(_) if field.omit_empty || field.omit_zero => None,
        Form::Scalar(Scalar::String) => Some("".into()),
        Form::Scalar(Scalar::Bool) => Some(false.into()),
        Form::Scalar(Scalar::Int32 | Scalar::Int64) => Some(0.into()),
        _ => None,
    }
}

fn put_scalar(schema: &mut Map<String, Value>, scalar: Scalar) {
    let (kind, format) = match scalar {
        Scalar::Bool => ("boolean", ""),
        Scalar::Int32 => ("integer", "int32"),
        Scalar::Int64 => ("integer", "int64"),
        Scalar::Double => ("number", "double"),
        Scalar::Bytes => ("string", "byte"),
        _ => ("string", ""),
    };
    schema.insert("type".into(), kind.into());
    if !format.is_empty() {
        schema.insert("format".into(), format.into());
    }
}

/// Values without fields whose type has a name.
const LEAVES: [(Scalar, &str); 8] = [
    (Scalar::Time, "io.k8s.apimachinery.pkg.apis.meta.v1.Time"),
    (Scalar::MicroTime, "io.k8s.apimachinery.pkg.apis.meta.v1.MicroTime"),
    (Scalar::Duration, "io.k8s.apimachinery.pkg.apis.meta.v1.Duration"),
    (Scalar::Fields, "io.k8s.apimachinery.pkg.apis.meta.v1.FieldsV1"),
    (Scalar::Quantity, "io.k8s.apimachinery.pkg.api.resource.Quantity"),
    (Scalar::IntOrString, "io.k8s.apimachinery.pkg.util.intstr.IntOrString"),
    (Scalar::Raw, "io.k8s.apimachinery.pkg.runtime.RawExtension"),
    (Scalar::Json, "io.k8s.apiextensions-apiserver.pkg.apis.apiextensions.v1.JSON"),
];

fn leaf_name(scalar: Scalar) -> Option<&'static str> {
    LEAVES.iter().find(|(leaf, _)| *leaf == scalar).map(|(_, name)| *name)
}

fn leaf_schema(name: &str, dialect: Dialect) -> Map<String, Value> {
    let leaf = LEAVES.iter().find(|(_, leaf)| *leaf == name).map(|(scalar, _)| *scalar);
    let v3 = dialect == Dialect::V3;
    let schema = match leaf {
        Some(Scalar::Time | Scalar::MicroTime) => json!({"type": "string", "format": "date-time"}),
        Some(Scalar::Quantity) if v3 => json!({"oneOf": [{"type": "string"}, {"type": "number"}]}),
        Some(Scalar::IntOrString) if v3 => {
            json!({"format": "int-or-string", "oneOf": [{"type": "integer"}, {"type": "string"}]})
        }
        Some(Scalar::IntOrString) => json!({"type": "string", "format": "int-or-string"}),
        Some(Scalar::Json) => json!({}),
        Some(Scalar::Raw | Scalar::Fields) | None => json!({"type": "object"}),
        Some(_) => json!({"type": "string"}),
    };
    match schema {
        Value::Object(schema) => schema,
        _ => Map::new(),
    }
}
