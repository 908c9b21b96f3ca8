//! CustomResourceDefinitions. As upstream keeps what all versions have in common at the top, errors
//! about it are told there: `spec.validation`, not `spec.versions[0].schema`.

mod approval;
mod conversion;
mod default;
mod rules;
mod schema;
mod structural;
mod version;

use serde_json::Value;

use super::check::{Errors, choice, immutable};
use super::names;
use crate::custom::is_established;
use crate::walk::Walk;
use crate::{FieldError, Object, Path};

pub(crate) use approval::approval_of;
pub use rules::field_path;
pub use schema::unrecognized_formats;
pub(crate) use structural::violations as structural_violations;

/// A new definition.
pub(super) fn definition(errors: &mut Errors, obj: &Value) {
    let spec = &obj["spec"];
    let name = obj.name();
    if name != format!("{}.{}", spec["names"].text("plural"), spec.text("group")) {
        let text = "must be spec.names.plural+\".\"+spec.group";
        errors.push(FieldError::invalid(Path::new("metadata").child("name"), name, text));
    }
    whole_spec(errors, spec, None);
    accepted_names(errors, obj);
    stored_versions(errors, obj);
    approval::validate(errors, obj, None);
    preserve_unknown_fields(errors, obj, None);
}

/// A changed definition.
pub(super) fn definition_update(errors: &mut Errors, new: &Value, old: &Value) {
    let (spec, before) = (&new["spec"], &old["spec"]);
    whole_spec(errors, spec, Some(before));
    let path = Path::new("spec");
    if is_established(old) {
        immutable(errors, &spec["scope"], &before["scope"], &path.child("scope"));
        let kind = path.child("names").child("kind");
        immutable(errors, &spec["names"]["kind"], &before["names"]["kind"], &kind);
    }
    immutable(errors, &spec["group"], &before["group"], &path.child("group"));
    let plural = path.child("names").child("plural");
    immutable(errors, &spec["names"]["plural"], &before["names"]["plural"], &plural);
    accepted_names(errors, new);
    stored_versions(errors, new);
    approval::validate(errors, new, Some(old));
    preserve_unknown_fields(errors, new, Some(old));
}

/// A changed status.
pub(super) fn definition_status(errors: &mut Errors, new: &Value, _: &Value) {
    accepted_names(errors, new);
}

fn whole_spec(errors: &mut Errors, spec: &Value, old: Option<&Value>) {
    let path = Path::new("spec");
    group(errors, spec.text("group"), &path.child("group"));
    match spec.text("scope") {
        "" => errors.push(FieldError::required(path.child("scope"), "")),
        _ => choice(errors, spec, "scope", &path, &["Cluster", "Namespaced"]),
    }
    version::versions(errors, spec, old);
    for field in ["plural", "singular", "kind", "listKind"] {
        if spec["names"].text(field).is_empty() {
            errors.push(FieldError::required(path.child("names").child(field), ""));
        }
    }
    all_names(errors, &spec["names"], &path.child("names"));
    version::parts(errors, spec, old);
    conversion::validate(errors, spec, old);
}

fn group(errors: &mut Errors, group: &str, path: &Path) {
    if group.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
        return;
    }
    let wrong = names::dns_subdomain(group).join(",");
    if !wrong.is_empty() {
        errors.push(FieldError::invalid(path.clone(), group, wrong));
    } else if !group.contains('.') {
        let text = "should be a domain with at least one dot";
        errors.push(FieldError::invalid(path.clone(), group, text));
    }
}

fn all_names(errors: &mut Errors, all: &Value, path: &Path) {
    for field in ["plural", "singular"] {
        label(errors, all.text(field), &path.child(field));
    }
    for field in ["kind", "listKind"] {
        let text = all.text(field);
        let wrong = names::dns_1035_label(&text.to_lowercase()).join(",");
        if !text.is_empty() && !wrong.is_empty() {
            let why = format!("may have mixed case, but should otherwise match: {wrong}");
            errors.push(FieldError::invalid(path.child(field), text, why));
        }
    }
    labels(errors, all, "shortNames", path);
    if !all.text("kind").is_empty() && all.text("kind") == all.text("listKind") {
        let text = "kind and listKind may not be the same";
        errors.push(FieldError::invalid(path.child("listKind"), all.text("listKind"), text));
    }
    labels(errors, all, "categories", path);
}

fn labels(errors: &mut Errors, owner: &Value, field: &str, path: &Path) {
    for (index, name) in owner.list(field).iter().enumerate() {
        let name = name.as_str().unwrap_or("");
        let wrong = names::dns_1035_label(name).join(",");
        if !wrong.is_empty() {
            errors.push(FieldError::invalid(path.child(field).index(index), name, wrong));
        }
    }
}

fn label(errors: &mut Errors, text: &str, path: &Path) {
    let wrong = names::dns_1035_label(text).join(",");
    if !text.is_empty() && !wrong.is_empty() {
        errors.push(FieldError::invalid(path.clone(), text, wrong));
    }
}

fn accepted_names(errors: &mut Errors, obj: &Value) {
    let path = Path::new("status").child("acceptedNames");
    all_names(errors, &obj["status"]["acceptedNames"], &path);
}

fn stored_versions(errors: &mut Errors, obj: &Value) {
    let path = Path::new("status").child("storedVersions");
    let stored = obj["status"].list("storedVersions");
    if stored.is_empty() {
        let text = "must have at least one stored version";
        errors.push(FieldError::invalid(path, obj["status"]["storedVersions"].clone(), text));
        return;
    }
    let versions = obj["spec"].list("versions");
    for version in versions.iter().filter(|version| version.flag("storage")) {
        if !stored.contains(&version["name"]) {
            let text = format!("must have the storage version {}", version.text("name"));
            errors.push(FieldError::invalid(path.clone(), stored, text));
        }
    }
    for (index, name) in stored.iter().enumerate() {
        if !versions.iter().any(|version| version["name"] == *name) {
            let name = name.as_str().unwrap_or("");
            let text = format!(
                "missing from spec.versions; {name} was previously a storage version, and must remain in spec.versions until a storage migration ensures no data remains persisted in {name} and removes {name} from status.storedVersions"
            );
            errors.push(FieldError::invalid(path.index(index), name, text));
        }
    }
}

fn preserve_unknown_fields(errors: &mut Errors, new: &Value, old: Option<&Value>) {
    let keeps = |definition: &Value| definition["spec"].flag("preserveUnknownFields");
    if keeps(new) && !old.is_some_and(keeps) {
        let text = "cannot set to true, set x-kubernetes-preserve-unknown-fields to true in spec.versions[*].schema instead";
        let path = Path::new("spec").child("preserveUnknownFields");
        errors.push(FieldError::invalid(path, true, text));
    }
}

#[cfg(test)]
mod tests;
