//! A structural schema, compiled from a version's `openAPIV3Schema`: a tree whose nodes are small,
//! because the definitions of an operator have tens of thousands of them.

use std::fmt;
use std::sync::OnceLock;

use regex::Regex;
use serde_json::{Map, Value};

use super::pattern;
use crate::schema::ListType;
use crate::walk::Walk;

/// What JSON a node is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Type {
    /// Not said.
    #[default]
    Any,
    /// A map with fields or with values of one type.
    Object,
    /// A list.
    Array,
    /// Text.
    String,
    /// A whole number.
    Integer,
    /// Any number.
    Number,
    /// true or false.
    Boolean,
}

impl Type {
    fn parse(text: &str) -> Type {
        match text {
            "object" => Type::Object,
            "array" => Type::Array,
            "string" => Type::String,
            "integer" => Type::Integer,
            "number" => Type::Number,
            "boolean" => Type::Boolean,
            _ => Type::Any,
        }
    }

    /// As schemas write it; "" when it is not said.
    pub fn as_str(self) -> &'static str {
        match self {
            Type::Any => "",
            Type::Object => "object",
            Type::Array => "array",
            Type::String => "string",
            Type::Integer => "integer",
            Type::Number => "number",
            Type::Boolean => "boolean",
        }
    }
}

/// A node of a structural schema.
#[derive(Debug, Default)]
pub struct Structural {
    /// What it is.
    pub ty: Type,
    /// Whether null is a value.
    pub nullable: bool,
    /// `x-kubernetes-preserve-unknown-fields`
    pub preserves_unknown: bool,
    /// `x-kubernetes-embedded-resource`
    pub embedded: bool,
    /// `x-kubernetes-int-or-string`
    pub int_or_string: bool,
    /// `x-kubernetes-map-type` is `atomic`.
    pub atomic_map: bool,
    /// `x-kubernetes-list-type`
    pub list_type: Option<ListType>,
    /// The fields, ordered by name.
    pub properties: Box<[(Box<str>, Structural)]>,
    /// The values of other fields.
    pub additional: Option<Box<Additional>>,
    /// The elements.
    pub items: Option<Box<Structural>>,
    /// What is filled in when nothing is said.
    pub default: Option<Box<Value>>,
    /// What values must obey.
    pub checks: Option<Box<Checks>>,
}

/// `additionalProperties`
#[derive(Debug)]
pub enum Additional {
    /// `true`: anything; `false`: nothing.
    Any(bool),
    /// Values of one type.
    Schema(Structural),
}

/// The validation of values. Numbers of items, bytes and so on are as schemas say them.
#[derive(Debug, Default)]
pub struct Checks {
    /// Fields that must be there.
    pub required: Vec<String>,
    /// `date-time`, ...; "" for none.
    pub format: String,
    /// What texts must match.
    pub pattern: Option<Pattern>,
    /// All values that are allowed, if not empty.
    pub enumeration: Vec<Value>,
    /// The largest number, and whether it is itself excluded.
    pub maximum: Option<(f64, bool)>,
    /// The smallest number, and whether it is itself excluded.
    pub minimum: Option<(f64, bool)>,
    /// What numbers must be a multiple of.
    pub multiple_of: Option<f64>,
    /// Characters at most.
    pub max_length: Option<i64>,
    /// Characters at least.
    pub min_length: Option<i64>,
    /// Elements at most.
    pub max_items: Option<i64>,
    /// Elements at least.
    pub min_items: Option<i64>,
    /// Fields at most.
    pub max_properties: Option<i64>,
    /// Fields at least.
    pub min_properties: Option<i64>,
    /// `x-kubernetes-list-map-keys`
    pub list_map_keys: Vec<String>,
    /// Schemas that must all hold.
    pub all_of: Vec<Structural>,
    /// Schemas of which one must hold.
    pub any_of: Vec<Structural>,
    /// Schemas of which exactly one must hold.
    pub one_of: Vec<Structural>,
    /// A schema that must not hold.
    pub not: Option<Structural>,
    /// `x-kubernetes-validations`
    pub rules: Vec<Value>,
}

/// A regular expression in Go's syntax, compiled when it is first needed.
pub struct Pattern {
    /// As it was written.
    pub text: String,
    compiled: OnceLock<Option<Regex>>,
}

impl Pattern {
    /// Whether a text matches anywhere; yes for an expression that does not compile, which no
    /// definition has.
    pub fn matches(&self, text: &str) -> bool {
        let compiled = self.compiled.get_or_init(|| pattern::compile(&self.text).ok());
        compiled.as_ref().is_none_or(|regex| regex.is_match(text))
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

static NO_CHECKS: Checks = Checks {
    required: Vec::new(),
    format: String::new(),
    pattern: None,
    enumeration: Vec::new(),
    maximum: None,
    minimum: None,
    multiple_of: None,
    max_length: None,
    min_length: None,
    max_items: None,
    min_items: None,
    max_properties: None,
    min_properties: None,
    list_map_keys: Vec::new(),
    all_of: Vec::new(),
    any_of: Vec::new(),
    one_of: Vec::new(),
    not: None,
    rules: Vec::new(),
};

impl Structural {
    /// Compiles a schema. What is of a wrong type reads as absent: definitions are validated before.
    pub fn parse(schema: &Value) -> Structural {
        let mut properties: Vec<(Box<str>, Structural)> =
            schema.entries("properties").map(|(k, v)| (k.into(), Structural::parse(v))).collect();
        properties.sort_by(|(a, _), (b, _)| a.cmp(b));
        let additional = match &schema["additionalProperties"] {
            Value::Bool(allows) => Some(Additional::Any(*allows)),
            inner @ Value::Object(_) => Some(Additional::Schema(Structural::parse(inner))),
            _ => None,
        };
        let items = schema["items"].is_object().then(|| Structural::parse(&schema["items"]));
        Structural {
            ty: Type::parse(schema.text("type")),
            nullable: schema.flag("nullable"),
            preserves_unknown: schema.flag("x-kubernetes-preserve-unknown-fields"),
            embedded: schema.flag("x-kubernetes-embedded-resource"),
            int_or_string: schema.flag("x-kubernetes-int-or-string"),
            atomic_map: schema.text("x-kubernetes-map-type") == "atomic",
            list_type: list_type(schema.text("x-kubernetes-list-type")),
            properties: properties.into(),
            additional: additional.map(Box::new),
            items: items.map(Box::new),
            default: schema.has("default").then(|| Box::new(schema["default"].clone())),
            checks: checks(schema),
        }
    }

    /// The schema of a field that is named.
    pub fn property(&self, name: &str) -> Option<&Structural> {
        let at = self.properties.binary_search_by(|(field, _)| field.as_ref().cmp(name)).ok()?;
        Some(&self.properties[at].1)
    }

    /// The schema of the values of fields that are not named.
    pub fn values(&self) -> Option<&Structural> {
        match self.additional.as_deref()? {
            Additional::Schema(schema) => Some(schema),
            Additional::Any(_) => None,
        }
    }

    /// The schema of a field, be it named or not.
    pub fn under(&self, name: &str) -> Option<&Structural> {
        self.property(name).or_else(|| self.values())
    }

    /// What values must obey.
    pub fn checks(&self) -> &Checks {
        self.checks.as_deref().unwrap_or(&NO_CHECKS)
    }

    /// Whether a node of the tree satisfies `test`; junctors are not looked at.
    pub fn any(&self, test: &dyn Fn(&Structural) -> bool) -> bool {
        test(self)
            || self.properties.iter().any(|(_, schema)| schema.any(test))
            || self.values().is_some_and(|schema| schema.any(test))
            || self.items.as_ref().is_some_and(|schema| schema.any(test))
    }
}

fn list_type(text: &str) -> Option<ListType> {
    match text {
        "atomic" => Some(ListType::Atomic),
        "set" => Some(ListType::Set),
        "map" => Some(ListType::Map),
        _ => None,
    }
}

/// The keys of a schema that make checks.
const CHECKED: &[&str] = &[
    "required",
    "format",
    "pattern",
    "enum",
    "maximum",
    "minimum",
    "multipleOf",
    "maxLength",
    "minLength",
    "maxItems",
    "minItems",
    "maxProperties",
    "minProperties",
    "x-kubernetes-list-map-keys",
    "allOf",
    "anyOf",
    "oneOf",
    "not",
    "x-kubernetes-validations",
];

fn checks(schema: &Value) -> Option<Box<Checks>> {
    if !CHECKED.iter().any(|key| schema.has(key)) {
        return None;
    }
    let texts = |key: &str| -> Vec<String> {
        schema.list(key).iter().filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let all = |key: &str| schema.list(key).iter().map(Structural::parse).collect();
    let bound = |key: &str, exclusive: &str| Some((schema[key].as_f64()?, schema.flag(exclusive)));
    let pattern = schema.text("pattern");
    let pattern = (!pattern.is_empty())
        .then(|| Pattern { text: pattern.to_owned(), compiled: OnceLock::new() });
    Some(Box::new(Checks {
        required: texts("required"),
        format: format(schema).to_owned(),
        pattern,
        enumeration: schema.list("enum").to_vec(),
        maximum: bound("maximum", "exclusiveMaximum"),
        minimum: bound("minimum", "exclusiveMinimum"),
        multiple_of: schema["multipleOf"].as_f64(),
        max_length: schema.integer("maxLength"),
        min_length: schema.integer("minLength"),
        max_items: schema.integer("maxItems"),
        min_items: schema.integer("minItems"),
        max_properties: schema.integer("maxProperties"),
        min_properties: schema.integer("minProperties"),
        list_map_keys: texts("x-kubernetes-list-map-keys"),
        all_of: all("allOf"),
        any_of: all("anyOf"),
        one_of: all("oneOf"),
        not: schema["not"].is_object().then(|| Structural::parse(&schema["not"])),
        rules: schema.list("x-kubernetes-validations").to_vec(),
    }))
}

/// The format that is checked; others are only words.
fn format(schema: &Value) -> &str {
    let format = schema.text("format");
    match super::format::is_known(schema.text("type"), format) {
        true => format,
        false => "",
    }
}

/// Every schema in a schema, itself first, junctors included.
pub fn visit<'v>(schema: &'v Value, see: &mut dyn FnMut(&'v Map<String, Value>)) {
    let Value::Object(fields) = schema else { return };
    see(fields);
    for (key, value) in fields {
        match (key.as_str(), value) {
            ("items" | "additionalProperties" | "not" | "additionalItems", inner) => {
                visit(inner, see);
                inner.as_array().into_iter().flatten().for_each(|inner| visit(inner, see));
            }
            ("properties" | "patternProperties" | "definitions" | "dependencies", inner) => {
                inner.as_object().into_iter().flatten().for_each(|(_, inner)| visit(inner, see));
            }
            ("allOf" | "anyOf" | "oneOf", inner) => {
                inner.as_array().into_iter().flatten().for_each(|inner| visit(inner, see));
            }
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn schemas_are_compiled() {
        let schema = Structural::parse(&json!({"type": "object", "properties": {
            "spec": {"type": "object", "required": ["a"], "properties": {
                "list": {"type": "array", "x-kubernetes-list-type": "map", "x-kubernetes-list-map-keys": ["k"],
                    "items": {"type": "object", "properties": {"k": {"type": "string", "default": "x"}}}},
                "labels": {"type": "object", "additionalProperties": {"type": "string", "pattern": "^a"}}}}}}));
        let spec = schema.property("spec").unwrap();
        assert_eq!(spec.checks().required, ["a"]);
        let list = spec.property("list").unwrap();
        assert_eq!(list.list_type, Some(ListType::Map));
        let key = list.items.as_ref().unwrap().property("k").unwrap();
        assert_eq!(key.default.as_deref(), Some(&json!("x")));
        let label = spec.property("labels").unwrap().under("any").unwrap();
        assert!(label.checks().pattern.as_ref().unwrap().matches("abc"));
        assert!(schema.any(&|node| node.default.is_some()));
        assert!(size_of::<Structural>() <= 80);
    }
}
