//! ObjectMeta: at a create, and what an update may not change.

use std::collections::BTreeSet;

use serde_json::Value;

use super::check::{Errors, immutable, labels, not_negative, problems};
use super::names::{self, Problems};
use crate::walk::{Shape, Walk};
use crate::{FieldError, Path};

/// Upstream's bound on the bytes of all annotations of an object.
const ANNOTATIONS_BYTES_MAX: usize = 256 * 1024;
const ORPHAN: &str = "orphan";
const FOREGROUND: &str = "foregroundDeletion";
/// Finalizers that need no domain.
const STANDARD_FINALIZERS: [&str; 3] = ["kubernetes", ORPHAN, FOREGROUND];

/// The metadata of a new object.
pub(super) fn create(
    errors: &mut Errors,
    metadata: &Value,
    namespaced: bool,
    name_rule: fn(&str) -> Problems,
) {
    let path = Path::new("metadata");
    let prefix = metadata.text("generateName");
    if !prefix.is_empty() {
        let wrong = name_rule(&names::mask_trailing_dash(prefix));
        problems(errors, &path.child("generateName"), prefix, wrong);
    }
    match metadata.text("name") {
        "" => {
            let text = "name or generateName is required";
            errors.push(FieldError::required(path.child("name"), text));
        }
        name => problems(errors, &path.child("name"), name, name_rule(name)),
    }
    let namespace = metadata.text("namespace");
    match (namespaced, namespace.is_empty()) {
        (true, true) => errors.push(FieldError::required(path.child("namespace"), "")),
        (true, false) => {
            problems(errors, &path.child("namespace"), namespace, names::dns_label(namespace));
        }
        (false, false) => {
            errors.push(FieldError::forbidden(path.child("namespace"), "not allowed on this type"));
        }
        (false, true) => {}
    }
    not_negative(errors, metadata, "generation", &path);
    labels(errors, metadata, "labels", &path);
    annotations(errors, metadata, &path);
    owners(errors, metadata, &path.child("ownerReferences"));
    finalizers(errors, metadata, &path.child("finalizers"));
}

/// The metadata of an object inside of another, whose name may be any.
pub(super) fn embedded(errors: &mut Errors, metadata: &Value, path: &Path) {
    let mut found = Errors::new();
    let mut metadata = metadata.clone();
    if metadata.text("name").is_empty() {
        metadata.set_default_text("name", "fakename");
    }
    let namespaced = !metadata.text("namespace").is_empty();
    create(&mut found, &metadata, namespaced, names::path_segment);
    allow_plain_finalizers(&mut found);
    let root = Path::new("metadata");
    errors.extend(found.into_iter().map(|error| {
        let rest = error.field.to_string();
        let rest = rest.strip_prefix(&root.to_string()).unwrap_or("").trim_start_matches('.');
        FieldError { field: path.join(&Path::new(rest)), ..error }
    }));
}

const UNQUALIFIED: &str = "name is neither a standard finalizer name nor is it fully qualified";

/// Custom resources may have finalizers without a domain.
pub(super) fn allow_plain_finalizers(errors: &mut Errors) {
    errors.retain(|error| error.detail != UNQUALIFIED);
}

/// The metadata of a changed object.
pub(super) fn update(errors: &mut Errors, new: &Value, old: &Value) {
    let path = Path::new("metadata");
    if old.has("deletionTimestamp") {
        no_new_finalizers(errors, new, old, &path.child("finalizers"));
    }
    let generation = |metadata: &Value| metadata.integer("generation").unwrap_or(0);
    if generation(new) < generation(old) {
        let text = "must not be decremented";
        errors.push(FieldError::invalid(path.child("generation"), generation(new), text));
    }
    for field in [
        "name",
        "namespace",
        "uid",
        "creationTimestamp",
        "deletionTimestamp",
        "deletionGracePeriodSeconds",
    ] {
        immutable(errors, &new[field], &old[field], &path.child(field));
    }
    labels(errors, new, "labels", &path);
    annotations(errors, new, &path);
    owners(errors, new, &path.child("ownerReferences"));
    finalizers(errors, new, &path.child("finalizers"));
}

/// Annotations of an object or of a pod template.
pub(super) fn annotations(errors: &mut Errors, metadata: &Value, path: &Path) {
    let path = path.child("annotations");
    let mut size = 0;
    for (key, value) in metadata.entries("annotations") {
        problems(errors, &path, key, names::qualified_name(&key.to_lowercase()));
        size += key.len() + value.as_str().map_or(0, str::len);
    }
    if size > ANNOTATIONS_BYTES_MAX {
        errors.push(FieldError::too_long(path, ANNOTATIONS_BYTES_MAX));
    }
}

fn owners(errors: &mut Errors, metadata: &Value, path: &Path) {
    let mut controller: Option<&Value> = None;
    for owner in metadata.list("ownerReferences") {
        owner_reference(errors, owner, path);
        if !owner.flag("controller") {
            continue;
        }
        if let Some(other) = controller {
            let text = format!(
                "Only one reference can have Controller set to true. Found \"true\" in references for {}/{} and {}/{}",
                other.text("kind"),
                other.text("name"),
                owner.text("kind"),
                owner.text("name")
            );
            errors.push(FieldError::invalid(
                path.clone(),
                metadata["ownerReferences"].clone(),
                text,
            ));
        }
        controller = Some(owner);
    }
}

fn owner_reference(errors: &mut Errors, owner: &Value, path: &Path) {
    let api_version = owner.text("apiVersion");
    let version = api_version.rsplit('/').next().unwrap_or("");
    for (field, text, empty) in [
        ("apiVersion", "version must not be empty", version.is_empty()),
        ("kind", "must not be empty", owner.text("kind").is_empty()),
        ("name", "must not be empty", owner.text("name").is_empty()),
        ("uid", "must not be empty", owner.text("uid").is_empty()),
    ] {
        if empty {
            errors.push(FieldError::invalid(path.child(field), owner.text(field), text));
        }
    }
    if api_version == "v1" && owner.text("kind") == "Event" {
        let text = "/v1, Kind=Event is disallowed from being an owner";
        errors.push(FieldError::invalid(path.clone(), owner.clone(), text));
    }
}

fn finalizers(errors: &mut Errors, metadata: &Value, path: &Path) {
    let all: Vec<&str> = metadata.list("finalizers").iter().filter_map(Value::as_str).collect();
    for name in &all {
        problems(errors, path, *name, names::qualified_name(name));
        if !name.contains('/') && !STANDARD_FINALIZERS.contains(name) {
            errors.push(FieldError::invalid(path.clone(), *name, UNQUALIFIED));
        }
    }
    if all.contains(&ORPHAN) && all.contains(&FOREGROUND) {
        let text = format!("finalizer {ORPHAN} and {FOREGROUND} cannot be both set");
        errors.push(FieldError::invalid(path.clone(), metadata["finalizers"].clone(), text));
    }
}

fn no_new_finalizers(errors: &mut Errors, new: &Value, old: &Value, path: &Path) {
    let names = |metadata: &Value| -> BTreeSet<String> {
        let list = metadata.list("finalizers").iter();
        list.filter_map(Value::as_str).map(str::to_owned).collect()
    };
    let extra: Vec<String> =
        names(new).difference(&names(old)).map(|name| format!("{name:?}")).collect();
    if !extra.is_empty() {
        let text = format!(
            "no new finalizers can be added if the object is being deleted, found new finalizers []string{{{}}}",
            extra.join(", ")
        );
        errors.push(FieldError::forbidden(path.clone(), text));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: Errors) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn creates() {
        let check = |metadata: Value, want: &[&str]| {
            let mut errors = Errors::new();
            create(&mut errors, &metadata, true, names::dns_subdomain);
            assert_eq!(texts(errors), want, "{metadata}");
        };
        check(json!({"name": "a", "namespace": "n"}), &[]);
        check(json!({"name": "a-1", "generateName": "a-", "namespace": "n"}), &[]);
        check(
            json!({"namespace": "n"}),
            &["metadata.name: Required value: name or generateName is required"],
        );
        check(
            json!({"name": "A", "namespace": "n"}),
            &[
                r#"metadata.name: Invalid value: "A": a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')"#,
            ],
        );
        check(
            json!({"name": "a", "namespace": "n", "finalizers": ["x"]}),
            &[
                r#"metadata.finalizers: Invalid value: "x": name is neither a standard finalizer name nor is it fully qualified"#,
            ],
        );
        check(
            json!({"name": "a", "namespace": "n", "ownerReferences": [{"apiVersion": "v1", "kind": "Pod", "name": "p"}]}),
            &[r#"metadata.ownerReferences.uid: Invalid value: "": must not be empty"#],
        );
    }

    #[test]
    fn updates() {
        let old = json!({"name": "a", "uid": "1", "deletionTimestamp": "t", "finalizers": ["x/y"]});
        let check = |new: Value, want: &[&str]| {
            let mut errors = Errors::new();
            update(&mut errors, &new, &old);
            assert_eq!(texts(errors), want, "{new}");
        };
        check(old.clone(), &[]);
        let mut renamed = old.clone();
        renamed["uid"] = json!("2");
        check(renamed, &[r#"metadata.uid: Invalid value: "2": field is immutable"#]);
        let mut more = old.clone();
        more["finalizers"] = json!(["x/y", "a/b"]);
        check(
            more,
            &[
                r#"metadata.finalizers: Forbidden: no new finalizers can be added if the object is being deleted, found new finalizers []string{"a/b"}"#,
            ],
        );
    }
}
