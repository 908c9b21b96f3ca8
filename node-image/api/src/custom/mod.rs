//! Custom resources: the kinds that a CustomResourceDefinition adds at run time, and what its
//! structural schema does with their objects.

mod conditions;
mod defaulting;
mod definition;
mod embedded;
pub(crate) mod format;
mod json_path;
mod list_type;
mod openapi;
mod pattern;
mod prune;
mod structural;
mod value;

use std::any::Any;
use std::fmt;
use std::sync::{Arc, OnceLock};

use serde_json::{Value, json};

use crate::validation::unrecognized_formats;
use crate::walk::{Shape, Walk};
use crate::{FieldError, Object, Path};

pub use crate::validation::field_path;
pub use conditions::{CLEANUP_FINALIZER, is_established, mark_deleted, set_condition, status_of};
pub use definition::kinds_of;
pub(crate) use definition::{prepare_create, prepare_update};
pub use json_path::JsonPath;
pub(crate) use openapi::{Texts, definition_name};
pub use structural::{Additional, Checks, Pattern, Structural, Type, visit};

pub(crate) use pattern::compile as compile_pattern;

/// What a definition says of one version of its kind.
pub struct CustomKind {
    /// The definition's name, `crontabs.example.com`.
    pub definition: String,
    /// The schema of its objects; one that keeps everything if none is said.
    pub schema: Structural,
    /// The version in which objects are stored.
    pub storage_version: String,
    /// The webhook that converts between versions (`spec.conversion.webhook`), if that takes more
    /// than another `apiVersion`.
    pub conversion_webhook: Option<Value>,
    /// `additionalPrinterColumns` and their compiled paths.
    pub columns: Vec<(Value, JsonPath)>,
    /// The fields by which objects may be selected, as selectors write them.
    pub selectable: Vec<String>,
    /// The paths of the scale subresource.
    pub scale: Option<ScalePaths>,
    /// Whether the definition is being deleted: no object is made any more.
    pub terminating: bool,
    /// What clients of the version are told.
    pub deprecation: Option<String>,
    /// The revision of the definition: what was written later was shaped by it already.
    pub since: u64,
    /// `openAPIV3Schema` as JSON, compressed.
    schema_text: Vec<u8>,
    /// Differs when anything does that clients see.
    digest: String,
    /// What the server makes of the schema when it first needs it.
    compiled: OnceLock<Box<dyn Any + Send + Sync>>,
}

/// Where the replicas of a custom resource are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScalePaths {
    /// `spec.replicas`, as field names.
    pub spec_replicas: Vec<String>,
    /// `status.replicas`, as field names.
    pub status_replicas: Vec<String>,
    /// The selector as text, if there is one.
    pub label_selector: Option<Vec<String>>,
}

impl fmt::Debug for CustomKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.digest)
    }
}

impl PartialEq for CustomKind {
    fn eq(&self, other: &CustomKind) -> bool {
        self.digest == other.digest
    }
}

impl CustomKind {
    /// Types the metadata of embedded objects and drops unknown fields; returns their paths.
    pub(crate) fn shape(&self, object: &mut Value) -> Result<Vec<String>, FieldError> {
        let mut unknown = Vec::new();
        if let Some(map) = object.as_object_mut() {
            for (name, value) in map.iter_mut() {
                if let Some(schema) = self.schema.under(name).filter(|_| name != "metadata") {
                    embedded::coerce(value, schema, &Path::new(name), &mut unknown)?;
                }
            }
        }
        unknown.extend(prune::prune(object, &self.schema));
        Ok(unknown)
    }

    /// Fills in what an object leaves out.
    pub fn apply_defaults(&self, object: &mut Value) {
        let metadata = object.take_key("metadata");
        defaulting::default(object, &self.schema);
        if let Some(metadata) = metadata {
            object.put("metadata", metadata);
        }
    }

    /// A stored object as this version shows it: in its version, and shaped by the schema of now.
    pub fn read(&self, mut object: Value, api_version: &str) -> Value {
        object.put("apiVersion", api_version);
        if self.shape(&mut object).is_ok() {
            self.apply_defaults(&mut object);
        }
        object
    }

    /// What the schema says is wrong with an object that is created, or (`old`) replaced.
    pub(crate) fn validate(&self, errors: &mut Vec<FieldError>, new: &Value, old: Option<&Value>) {
        value::validate(errors, "", &self.schema, new, old);
        self.validate_scale(errors, new, true);
        embedded::validate(errors, &self.schema, new);
        self.validate_lists(errors, new, old);
    }

    /// What is wrong with a status that is replaced.
    pub(crate) fn validate_status(&self, errors: &mut Vec<FieldError>, new: &Value, old: &Value) {
        if let (Some(status), Some(schema)) = (new.get("status"), self.schema.under("status")) {
            value::validate(errors, "status", schema, status, old.get("status"));
        }
        self.validate_scale(errors, new, false);
        self.validate_lists(errors, new, Some(old));
    }

    /// Lists that were wrong before may stay so.
    fn validate_lists(&self, errors: &mut Vec<FieldError>, new: &Value, old: Option<&Value>) {
        let mut before = Vec::new();
        if let Some(old) = old {
            list_type::validate(&mut before, &self.schema, old);
        }
        if before.is_empty() {
            list_type::validate(errors, &self.schema, new);
        }
    }

    fn validate_scale(&self, errors: &mut Vec<FieldError>, object: &Value, with_spec: bool) {
        let Some(scale) = &self.scale else { return };
        let spec = with_spec.then_some(&scale.spec_replicas);
        for path in spec.into_iter().chain([&scale.status_replicas]) {
            replicas(errors, path, follow(object, path));
        }
        if let Some(path) = &scale.label_selector
            && let Some(odd) = follow(object, path).filter(|v| !v.is_string() && !v.is_null())
        {
            errors.push(FieldError::invalid(dotted(path), "", accessor(path, odd, "string")));
        }
    }

    /// `meta.k8s.io/v1` columns.
    pub(crate) fn column_definitions(&self) -> Vec<Value> {
        let definition = |(column, _): &(Value, JsonPath)| {
            let path = column.text("jsonPath");
            let description = match column.text("description") {
                "" => format!("Custom resource definition column (in JSONPath format): {path}"),
                text => text.to_owned(),
            };
            json!({
                "name": column.text("name"),
                "type": column.text("type"),
                "format": column.text("format"),
                "description": description,
                "priority": column.integer("priority").unwrap_or(0),
            })
        };
        self.columns.iter().map(definition).collect()
    }

    /// What `make` made of the kind, once.
    pub fn compiled<T: Any + Send + Sync>(&self, make: impl FnOnce(&Self) -> T) -> Option<&T> {
        self.compiled.get_or_init(|| Box::new(make(self))).downcast_ref()
    }

    /// The version's `openAPIV3Schema`, null if there is none.
    pub fn schema_json(&self) -> Value {
        let mut text = String::new();
        let mut decoder = flate2::read::ZlibDecoder::new(self.schema_text.as_slice());
        match std::io::Read::read_to_string(&mut decoder, &mut text) {
            Ok(_) => serde_json::from_str(&text).unwrap_or_default(),
            Err(_) => Value::Null,
        }
    }
}

/// Whether a default holds what its schema does not know, and what else is wrong with it.
pub(crate) fn default_errors(schema: &Structural, value: &Value) -> (bool, Vec<FieldError>) {
    let mut pruned = value.clone();
    let unknown = prune::prune_value(&mut pruned, schema);
    let mut errors = Vec::new();
    value::validate(&mut errors, "", schema, value, None);
    (unknown, errors)
}

/// What a client is told about an object that it wrote; `old` is null for a new one.
pub fn warnings(kind: &crate::Kind, new: &Value, old: &Value) -> Vec<String> {
    if kind.group == "apiextensions.k8s.io" && kind.kind == "CustomResourceDefinition" {
        let before = unrecognized_formats(old);
        let found = unrecognized_formats(new).into_iter().filter(|name| !before.contains(name));
        return found.map(|name| format!("unrecognized format {name:?}")).collect();
    }
    if kind.custom.is_none() {
        return Vec::new();
    }
    let before = old.finalizers();
    let plain = new.finalizers().into_iter().filter(|name| {
        !before.contains(name)
            && !name.contains('/')
            && !["kubernetes", "orphan", "foregroundDeletion"].contains(name)
    });
    let text = |name: &str| {
        let path = if name.contains('.') { " including a path (/)" } else { "" };
        format!(
            "metadata.finalizers: {name:?}: prefer a domain-qualified finalizer name{path} to avoid accidental conflicts with other finalizer writers"
        )
    };
    plain.map(text).collect()
}

fn replicas(errors: &mut Vec<FieldError>, path: &[String], found: Option<&Value>) {
    const REPLICAS_MAX: i64 = i32::MAX as i64;
    let Some(found) = found else { return };
    let text = match found.as_i64() {
        Some(0..=REPLICAS_MAX) => return,
        Some(..0) => "should be a non-negative integer".to_owned(),
        Some(_) => format!("should be less than or equal to {REPLICAS_MAX}"),
        None => {
            let text = accessor(path, found, "int64");
            return errors.push(FieldError::invalid(dotted(path), 0, text));
        }
    };
    errors.push(FieldError::invalid(dotted(path), found.clone(), text));
}

/// What Go says of a value of another type.
fn accessor(path: &[String], found: &Value, expected: &str) -> String {
    let (shown, kind) = match found {
        Value::String(text) => (text.clone(), "string"),
        Value::Bool(flag) => (flag.to_string(), "bool"),
        Value::Number(number) if number.is_f64() => (number.to_string(), "float64"),
        Value::Number(number) => (number.to_string(), "int64"),
        Value::Array(_) => (found.to_string(), "[]interface {}"),
        Value::Object(_) => (found.to_string(), "map[string]interface {}"),
        Value::Null => ("<nil>".to_owned(), "<nil>"),
    };
    let path = path.join(".");
    format!(".{path} accessor error: {shown} is of the type {kind}, expected {expected}")
}

fn dotted(path: &[String]) -> Path {
    Path::new(&format!(".{}", path.join(".")))
}

/// What a chain of field names leads to.
pub fn follow<'v>(object: &'v Value, path: &[String]) -> Option<&'v Value> {
    path.iter().try_fold(object, |value, field| value.get(field))
}

/// The kind's objects in the version in which they are stored.
pub fn stored_api_version(kind: &crate::Kind, custom: &Arc<CustomKind>) -> String {
    format!("{}/{}", kind.group, custom.storage_version)
}

/// What a refused object's kind and version should have been.
pub(crate) fn validate_type(errors: &mut Vec<FieldError>, kind: &crate::Kind, object: &Value) {
    for (field, found, want) in [
        ("kind", object.kind(), kind.kind.clone()),
        ("apiVersion", object.api_version(), kind.api_version()),
    ] {
        if found != want {
            errors.push(FieldError::invalid(Path::new(field), found, format!("must be {want}")));
        }
    }
}
