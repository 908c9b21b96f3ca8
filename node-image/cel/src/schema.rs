//! What an OpenAPI schema says of a value: its type, how large it may be, how it is compared, and how
//! JSON becomes it. Properties that have no type here cannot be selected.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock};

use serde_json::Value as Json;

use crate::cost::Range;
use crate::escape::escape;
use crate::types::{ObjectType, Type};
use crate::value::ListKind;

/// The largest request, in bytes; nothing in it is larger.
const REQUEST_MAX: u64 = 3 << 20;
/// How deep schemas are read; deeper values are `dyn`.
const DEPTH_MAX: usize = 60;
/// Keys of maps. Upstream's estimates take them for empty, and definitions are written for that.
static KEY: LazyLock<Schema> =
    LazyLock::new(|| Schema::simple(Type::String, Form::String(Text::Plain), 0, 2));
const NULL: &Json = &Json::Null;

/// A schema, read for expressions.
#[derive(Debug)]
pub struct Schema {
    /// The type of values.
    pub(crate) type_: Type,
    pub(crate) form: Form,
    pub(crate) nullable: bool,
    /// The most characters, bytes, elements or entries.
    size_max: u64,
    /// The least bytes of a value as JSON.
    bytes_min: u64,
}

/// What JSON must look like.
#[derive(Debug)]
pub(crate) enum Form {
    /// Anything, as it is.
    Any,
    /// Anything; the type is not known, and only equality works.
    Unknown,
    IntOrString,
    Boolean,
    Integer,
    Number,
    String(Text),
    List {
        element: Arc<Schema>,
        kind: ListKind,
    },
    Map(Arc<Schema>),
    Object(BTreeMap<String, Property>),
}

/// What a string is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Text {
    Plain,
    Bytes,
    Date,
    DateTime,
    Duration,
}

/// A property of an object.
#[derive(Debug)]
pub(crate) struct Property {
    /// How expressions name it; `None` if they cannot.
    pub escaped: Option<String>,
    /// Whether it has a type that expressions know.
    pub typed: bool,
    pub schema: Schema,
}

impl Schema {
    /// Reads a structural schema (the OpenAPI v3 form of CustomResourceDefinitions). `root` says that it
    /// is the whole of a resource, which has `apiVersion`, `kind` and the names of `metadata` in any case.
    /// `None` if values of this schema cannot be used in expressions.
    pub fn new(schema: &Json, root: bool) -> Option<Schema> {
        Schema::read(schema, root, "selfType", 0)
    }

    /// A schema that knows nothing: JSON as it is.
    pub fn any() -> Schema {
        Schema::simple(Type::Dyn, Form::Any, REQUEST_MAX, 1)
    }

    /// The type of values, for [`Environment::variable`](crate::Environment::variable).
    pub fn value_type(&self) -> Type {
        self.type_.clone()
    }

    /// The most values of this schema that one request can hold.
    pub fn count_max(&self) -> u64 {
        REQUEST_MAX / self.bytes_min.saturating_add(1)
    }

    /// The schema of a list's or map's elements.
    pub fn element(&self) -> Option<&Arc<Schema>> {
        match &self.form {
            Form::List { element, .. } | Form::Map(element) => Some(element),
            _ => None,
        }
    }

    /// The schema of a property, by its own name.
    pub fn property(&self, name: &str) -> Option<&Schema> {
        match &self.form {
            Form::Object(properties) => properties.get(name).map(|property| &property.schema),
            _ => None,
        }
    }

    /// The schema at the end of a path of the estimator.
    pub(crate) fn at(&self, path: &[Step]) -> Option<&Schema> {
        let Some((step, rest)) = path.split_first() else { return Some(self) };
        let next = match (step, &self.form) {
            (Step::Element, _) => self.element()?.as_ref(),
            (Step::Key, Form::Map(_)) => &KEY,
            (Step::Field(name), Form::Object(properties)) => {
                let named =
                    |property: &&Property| property.escaped.as_deref() == Some(name.as_str());
                &properties.values().find(named).filter(|property| property.typed)?.schema
            }
            _ => return None,
        };
        next.at(rest)
    }

    /// How large values may be.
    pub(crate) fn size(&self) -> Range {
        Range { min: 0, max: self.size_max }
    }

    fn simple(type_: Type, form: Form, size_max: u64, bytes_min: u64) -> Schema {
        Schema { type_, form, nullable: false, size_max, bytes_min }
    }

    fn read(schema: &Json, root: bool, name: &str, depth: usize) -> Option<Schema> {
        let embedded = flag(schema, "x-kubernetes-embedded-resource");
        let mut read = Schema::read_form(schema, root || embedded, name, depth)?;
        read.nullable = flag(schema, "nullable");
        Some(read)
    }

    fn read_form(schema: &Json, root: bool, name: &str, depth: usize) -> Option<Schema> {
        if depth > DEPTH_MAX {
            return Some(Schema::any());
        }
        if flag(schema, "x-kubernetes-int-or-string") {
            let longest = number(schema, "maxLength").map_or(REQUEST_MAX - 2, |length| length * 4);
            return Some(Schema::simple(Type::Dyn, Form::IntOrString, longest, 1));
        }
        let type_ = schema.get("type").and_then(Json::as_str);
        match type_ {
            Some("array") => Schema::read_list(schema, name, depth),
            Some("object") => Schema::read_object(schema, root, name, depth),
            None if root => Schema::read_object(schema, root, name, depth),
            Some("string") => Some(Schema::read_string(schema)),
            Some("boolean") => Some(Schema::simple(Type::Bool, Form::Boolean, 1, 4)),
            Some("number") => Some(Schema::simple(Type::Double, Form::Number, 1, 1)),
            Some("integer") => Some(Schema::simple(Type::Int, Form::Integer, 1, 1)),
            _ => None,
        }
    }

    fn read_list(schema: &Json, name: &str, depth: usize) -> Option<Schema> {
        let element =
            Schema::read(schema.get("items")?, false, &format!("{name}.@idx"), depth + 1)?;
        let most = (REQUEST_MAX - 2) / (element.bytes_min + 1);
        let kind = match schema.get("x-kubernetes-list-type").and_then(Json::as_str) {
            Some("set") => ListKind::Set,
            Some("map") => {
                let keys = schema.get("x-kubernetes-list-map-keys").and_then(Json::as_array);
                let keys = keys.into_iter().flatten().filter_map(Json::as_str);
                ListKind::Map(
                    keys.map(|key| escape(key).unwrap_or_else(|| key.to_owned())).collect(),
                )
            }
            _ => ListKind::Atomic,
        };
        let type_ = Type::list(element.type_.clone());
        let form = Form::List { element: Arc::new(element), kind };
        let size_max = number(schema, "maxItems").unwrap_or(most);
        Some(Schema::simple(type_, form, size_max, 2))
    }

    fn read_object(schema: &Json, root: bool, name: &str, depth: usize) -> Option<Schema> {
        let additional = schema.get("additionalProperties").filter(|schema| schema.is_object());
        if let Some(additional) = additional {
            let element = Schema::read(additional, false, &format!("{name}.@elem"), depth + 1)?;
            let most = (REQUEST_MAX - 2) / (element.bytes_min + 6);
            let type_ = Type::map(Type::String, element.type_.clone());
            let size_max = number(schema, "maxProperties").unwrap_or(most);
            return Some(Schema::simple(type_, Form::Map(Arc::new(element)), size_max, 2));
        }
        let mut declared: BTreeMap<&str, &Json> = BTreeMap::new();
        let properties = schema.get("properties").and_then(Json::as_object);
        declared
            .extend(properties.into_iter().flatten().map(|(name, schema)| (name.as_str(), schema)));
        let mut properties: BTreeMap<String, Property> = declared
            .into_iter()
            .map(|(key, schema)| (key.to_owned(), Property::read(key, schema, name, depth)))
            .collect();
        if root {
            add_resource_properties(&mut properties, name);
        }
        let required = schema.get("required").and_then(Json::as_array);
        let required: Vec<&str> = required.into_iter().flatten().filter_map(Json::as_str).collect();
        let declared =
            |name: &str| schema.get("properties").and_then(|all| all.get(name)).unwrap_or(NULL);
        let needed = |(name, property): (&String, &Property)| {
            let counts = required.contains(&name.as_str())
                && property.typed
                && declared(name).get("default").is_none();
            if counts { name.len() as u64 + property.schema.bytes_min + 4 } else { 0 }
        };
        let bytes_min = 2 + properties.iter().map(needed).sum::<u64>();
        let fields = properties.values().filter(|property| property.typed);
        let fields = fields.filter_map(|property| {
            Some((property.escaped.clone()?, property.schema.type_.clone()))
        });
        let object = ObjectType { name: name.to_owned(), fields: fields.collect(), open: false };
        let type_ = Type::Object(Arc::new(object));
        Some(Schema::simple(type_, Form::Object(properties), u64::MAX, bytes_min))
    }

    fn read_string(schema: &Json) -> Schema {
        let limit = number(schema, "maxLength");
        let text = |type_, text, size_max, bytes_min| {
            Schema::simple(type_, Form::String(text), size_max, bytes_min)
        };
        match schema.get("format").and_then(Json::as_str) {
            Some("byte") => text(Type::Bytes, Text::Bytes, limit.unwrap_or(REQUEST_MAX - 2), 2),
            Some("duration") => text(Type::Duration, Text::Duration, 32, 3),
            Some("date") => text(Type::Timestamp, Text::Date, 12, 12),
            Some("date-time") => text(Type::Timestamp, Text::DateTime, 32, 21),
            _ => {
                let values =
                    schema.get("enum").and_then(Json::as_array).filter(|all| !all.is_empty());
                let longest = values.map(|values| {
                    values.iter().filter_map(Json::as_str).map(str::len).max().unwrap_or(0) as u64
                });
                let limit = limit.map(|length| length.saturating_mul(4)).or(longest);
                text(Type::String, Text::Plain, limit.unwrap_or(REQUEST_MAX - 2), 2)
            }
        }
    }
}

impl Property {
    fn read(name: &str, schema: &Json, parent: &str, depth: usize) -> Property {
        let escaped = escape(name);
        let path = format!("{parent}.{}", escaped.as_deref().unwrap_or(name));
        match Schema::read(schema, false, &path, depth + 1) {
            Some(schema) => Property { escaped, typed: true, schema },
            None => {
                let mut unknown = Schema::simple(Type::Dyn, Form::Unknown, u64::MAX, 1);
                unknown.nullable = flag(schema, "nullable");
                Property { escaped, typed: false, schema: unknown }
            }
        }
    }
}

/// What every resource has.
fn add_resource_properties(properties: &mut BTreeMap<String, Property>, name: &str) {
    let text = || Schema::read_string(NULL);
    let property = |name: &str, schema: Schema| {
        (name.to_owned(), Property { escaped: escape(name), typed: true, schema })
    };
    let names = ["name", "generateName"];
    let has_names = properties
        .get("metadata")
        .is_some_and(|metadata| names.iter().all(|name| metadata.schema.property(name).is_some()));
    if !has_names {
        let fields: BTreeMap<String, Property> =
            names.iter().map(|name| property(name, text())).collect();
        let types = names.iter().map(|name| ((*name).to_owned(), Type::String)).collect();
        let object = ObjectType { name: format!("{name}.metadata"), fields: types, open: false };
        let type_ = Type::Object(Arc::new(object));
        let schema = Schema::simple(type_, Form::Object(fields), u64::MAX, 2);
        properties.extend([property("metadata", schema)]);
    }
    for name in ["apiVersion", "kind"] {
        if properties.get(name).is_none_or(|found| found.schema.type_ != Type::String) {
            properties.extend([property(name, text())]);
        }
    }
}

/// A step from a value to one in it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// A field, by its escaped name.
    Field(String),
    /// Any element of a list or value of a map.
    Element,
    /// Any key of a map, or index of a list.
    Key,
}

fn flag(schema: &Json, name: &str) -> bool {
    schema.get(name).and_then(Json::as_bool).unwrap_or(false)
}

/// A limit; a negative one is zero.
fn number(schema: &Json, name: &str) -> Option<u64> {
    let limit = schema.get(name)?;
    limit.as_u64().or_else(|| limit.as_f64().map(|limit| limit.max(0.0) as u64))
}
