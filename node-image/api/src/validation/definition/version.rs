//! The versions of a definition: their names, and what each has of its own or all have in common.

use std::collections::BTreeSet;

use serde_json::Value;

use super::super::check::Errors;
use super::super::names;
use super::schema;
use crate::custom::{JsonPath, Structural, Type};
use crate::walk::Walk;
use crate::{FieldError, Path};

const COLUMN_TYPES: [&str; 5] = ["boolean", "date", "integer", "number", "string"];
const COLUMN_FORMATS: [&str; 8] =
    ["byte", "date", "date-time", "double", "float", "int32", "int64", "password"];
const SELECTABLE_MAX: usize = 8;
const DEPRECATION_LENGTH_MAX: usize = 256;

/// Names and flags.
pub(super) fn versions(errors: &mut Errors, spec: &Value, _: Option<&Value>) {
    let path = Path::new("spec").child("versions");
    let versions = spec.list("versions");
    for (index, version) in versions.iter().enumerate() {
        let place = path.index(index);
        if !version["schema"]["openAPIV3Schema"].is_object() {
            let path = place.child("schema").child("openAPIV3Schema");
            errors.push(FieldError::required(path, ""));
        }
        let name = version.text("name");
        let wrong = names::dns_1035_label(name).join(",");
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(place.child("name"), name, wrong));
        }
        deprecation(errors, version, &place.child("deprecationWarning"));
    }
    let unique: BTreeSet<&str> = versions.iter().map(|version| version.text("name")).collect();
    if unique.len() != versions.len() {
        let text = "must contain unique version names";
        errors.push(FieldError::invalid(path.clone(), versions, text));
    }
    if versions.iter().filter(|version| version.flag("storage")).count() != 1 {
        let text = "must have exactly one version marked as storage version";
        errors.push(FieldError::invalid(path, versions, text));
    }
}

fn deprecation(errors: &mut Errors, version: &Value, path: &Path) {
    if !version.has("deprecationWarning") {
        return;
    }
    let text = version.text("deprecationWarning");
    let mut refuse = |why: String| errors.push(FieldError::invalid(path.clone(), text, why));
    if !version.flag("deprecated") {
        return refuse("can only be set for deprecated versions".into());
    }
    if text.len() > DEPRECATION_LENGTH_MAX {
        refuse(format!("must be <= {DEPRECATION_LENGTH_MAX} characters long"));
    }
    if text.is_empty() {
        refuse("must not be an empty string".into());
    }
    if let Some(at) = text.find(char::is_control) {
        refuse(format!(
            "must only contain printable UTF-8 characters; non-printable character found at index {at}"
        ));
    }
}

/// What versions may have in common, as (field, field at the top).
const PARTS: &[(&str, &str)] = &[
    ("schema", "validation"),
    ("subresources", "subresources"),
    ("additionalPrinterColumns", "additionalPrinterColumns"),
    ("selectableFields", "selectableFields"),
];

/// Where the parts of the versions are, each with its version; once if all have the same.
fn places<'v>(spec: &'v Value, field: &str, top: &str) -> Vec<(Path, &'v Value)> {
    let versions = spec.list("versions");
    let path = Path::new("spec");
    let first = versions.first().filter(|version| version.has(field));
    if let Some(first) = first.filter(|first| versions.iter().all(|v| v[field] == first[field])) {
        return vec![(path.child(top), first)];
    }
    let own = versions.iter().enumerate().filter(|(_, version)| version.has(field));
    own.map(|(index, v)| (path.child("versions").index(index).child(field), v)).collect()
}

/// Schemas, subresources, columns and selectable fields.
pub(super) fn parts(errors: &mut Errors, spec: &Value, old: Option<&Value>) {
    for (field, top) in PARTS {
        for (path, version) in places(spec, field, top) {
            match *field {
                "schema" => {
                    let before = old.and_then(|old| {
                        let same = |v: &&Value| v["name"] == version["name"];
                        Some(&old.list("versions").iter().find(same)?["schema"])
                    });
                    // What was accepted once is not judged again.
                    if before != Some(&version["schema"]) {
                        let status = version["subresources"].has("status");
                        schema::validate(
                            errors,
                            &version["schema"]["openAPIV3Schema"],
                            status,
                            &path,
                        );
                    }
                }
                "subresources" => subresources(errors, &version["subresources"], &path),
                "additionalPrinterColumns" => columns(errors, version.list(field), &path),
                _ => selectable(errors, version, &path),
            }
        }
    }
}

fn subresources(errors: &mut Errors, subresources: &Value, path: &Path) {
    let scale = &subresources["scale"];
    if scale.is_null() {
        return;
    }
    for (field, root) in [("specReplicasPath", ".spec."), ("statusReplicasPath", ".status.")] {
        let place = path.child(&format!("scale.{field}"));
        let text = scale.text(field);
        if text.is_empty() {
            errors.push(FieldError::required(place, ""));
        } else if simple_path(errors, text, &place) && !text.starts_with(root) {
            let why = format!("should be a json path under {}", root.trim_end_matches('.'));
            errors.push(FieldError::invalid(place, text, why));
        }
    }
    let text = scale.text("labelSelectorPath");
    let place = path.child("scale.labelSelectorPath");
    let rooted = text.starts_with(".spec.") || text.starts_with(".status.");
    if !text.is_empty() && simple_path(errors, text, &place) && !rooted {
        let why = "should be a json path under either .spec or .status";
        errors.push(FieldError::invalid(place, text, why));
    }
}

fn simple_path(errors: &mut Errors, text: &str, path: &Path) -> bool {
    let good = text.starts_with('.');
    if !good {
        let why = "must be a simple json path starting with .";
        errors.push(FieldError::invalid(path.clone(), text, why));
    }
    good
}

fn columns(errors: &mut Errors, columns: &[Value], path: &Path) {
    for (index, column) in columns.iter().enumerate() {
        let path = path.index(index);
        if column.text("name").is_empty() {
            errors.push(FieldError::required(path.child("name"), ""));
        }
        let types = format!("must be one of {}", COLUMN_TYPES.join(","));
        match column.text("type") {
            "" => errors.push(FieldError::required(path.child("type"), types)),
            known if COLUMN_TYPES.contains(&known) => {}
            other => errors.push(FieldError::invalid(path.child("type"), other, types)),
        }
        let format = column.text("format");
        if !format.is_empty() && !COLUMN_FORMATS.contains(&format) {
            let text = format!("must be one of {}", COLUMN_FORMATS.join(","));
            errors.push(FieldError::invalid(path.child("format"), format, text));
        }
        // The name is upstream's own, not the field's.
        let place = path.child("JSONPath");
        match column.text("jsonPath") {
            "" => errors.push(FieldError::required(place, "")),
            text => {
                simple_path(errors, text, &place);
            }
        }
    }
}

fn selectable(errors: &mut Errors, version: &Value, path: &Path) {
    let schema = Structural::parse(&version["schema"]["openAPIV3Schema"]);
    let mut unique = BTreeSet::new();
    for (index, field) in version.list("selectableFields").iter().enumerate() {
        let place = path.index(index).child("jsonPath");
        let text = field.text("jsonPath");
        if text.is_empty() {
            errors.push(FieldError::required(place, ""));
            continue;
        }
        let found = match leads_to(&schema, text) {
            Ok(found) => found,
            Err(why) => {
                let text_of = format!("is an invalid path: {why}");
                errors.push(FieldError::invalid(place, text, text_of));
                continue;
            }
        };
        if text.starts_with(".metadata") {
            let why = "must not point to fields in metadata";
            errors.push(FieldError::invalid(place.clone(), text, why));
        }
        if !matches!(found.ty, Type::String | Type::Boolean | Type::Integer) {
            let why = "must point to a field of type string, boolean or integer. Enum string fields and strings with formats are allowed.";
            errors.push(FieldError::invalid(place.clone(), text, why));
        }
        if !unique.insert(text) {
            errors.push(FieldError::duplicate(place, text));
        }
    }
    if unique.len() > SELECTABLE_MAX {
        errors.push(FieldError::too_many(path.clone(), unique.len(), SELECTABLE_MAX));
    }
}

/// The schema of the field that a path of field names leads to.
fn leads_to<'s>(schema: &'s Structural, path: &str) -> Result<&'s Structural, String> {
    let rest = path.strip_prefix('.').ok_or("must start with .")?;
    JsonPath::parse(path)?;
    if path.contains('[') {
        return Err("array notation is not allowed".into());
    }
    rest.split('.').try_fold(schema, |schema, name| {
        schema.under(name).ok_or_else(|| format!("does not refer to a valid field: {path}"))
    })
}
