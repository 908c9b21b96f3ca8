//! ConfigMaps and Secrets.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::Value;

use super::check::{Errors, immutable, problems};
use super::names;
use crate::strategy::same;
use crate::walk::Walk;
use crate::{FieldError, Path};

/// Upstream's bound on the data of one object.
const DATA_BYTES_MAX: usize = 1024 * 1024;

/// Keys that a type of Secret must have.
const SECRET_KEYS: &[(&str, &[&str])] = &[
    ("kubernetes.io/dockercfg", &[".dockercfg"]),
    ("kubernetes.io/dockerconfigjson", &[".dockerconfigjson"]),
    ("kubernetes.io/ssh-auth", &["ssh-privatekey"]),
    ("kubernetes.io/tls", &["tls.crt", "tls.key"]),
];

pub(super) fn config_map(errors: &mut Errors, object: &Value) {
    let mut size = 0;
    for (key, value) in object.entries("data") {
        let path = Path::new("data").key(key);
        problems(errors, &path, key, names::config_key(key));
        if object["binaryData"].has(key) {
            let text = "duplicate of key present in binaryData";
            errors.push(FieldError::invalid(path, key, text));
        }
        size += value.as_str().map_or(0, str::len);
    }
    for (key, value) in object.entries("binaryData") {
        problems(errors, &Path::new("binaryData").key(key), key, names::config_key(key));
        size += decoded_length(value);
    }
    if size > DATA_BYTES_MAX {
        errors.push(FieldError::too_long(Path::new(""), DATA_BYTES_MAX));
    }
}

pub(super) fn config_map_update(errors: &mut Errors, new: &Value, old: &Value) {
    frozen(errors, new, old, &["data", "binaryData"]);
    config_map(errors, new);
}

fn decoded_length(value: &Value) -> usize {
    value.as_str().map_or(0, |text| text.len() / 4 * 3)
}

/// An object that was declared immutable stays so, and keeps its data.
fn frozen(errors: &mut Errors, new: &Value, old: &Value, fields: &[&str]) {
    if !old.flag("immutable") {
        return;
    }
    let text = "field is immutable when `immutable` is set";
    if !new.flag("immutable") {
        errors.push(FieldError::forbidden(Path::new("immutable"), text));
    }
    for field in fields {
        if !same(&new[*field], &old[*field]) {
            errors.push(FieldError::forbidden(Path::new(field), text));
        }
    }
}

pub(super) fn secret(errors: &mut Errors, object: &Value) {
    let data = Path::new("data");
    let mut size = 0;
    for (key, value) in object.entries("data") {
        problems(errors, &data.key(key), key, names::config_key(key));
        size += decoded_length(value);
    }
    if size > DATA_BYTES_MAX {
        errors.push(FieldError::too_long(data.clone(), DATA_BYTES_MAX));
    }
    let kind = object.text("type");
    if kind == "kubernetes.io/service-account-token" {
        let key = "kubernetes.io/service-account.name";
        if object["metadata"]["annotations"].text(key).is_empty() {
            let path = Path::new("metadata").child("annotations").key(key);
            errors.push(FieldError::required(path, ""));
        }
    }
    if kind == "kubernetes.io/basic-auth" {
        let has = |key: &str| object["data"].has(key);
        if !has("username") && !has("password") {
            for key in ["username", "password"] {
                errors.push(FieldError::required(data.key(key), ""));
            }
        }
    }
    let row = SECRET_KEYS.iter().find(|(known, _)| *known == kind);
    for key in row.map_or(&[][..], |(_, keys)| keys) {
        required_key(errors, object, key, &data);
    }
}

fn required_key(errors: &mut Errors, object: &Value, key: &str, data: &Path) {
    let path = data.key(key);
    let Some(encoded) = object["data"][key].as_str() else {
        errors.push(FieldError::required(path, ""));
        return;
    };
    if key.starts_with(".docker") {
        let bytes = STANDARD.decode(encoded).unwrap_or_default();
        let parsed: Result<serde_json::Map<String, Value>, _> = serde_json::from_slice(&bytes);
        if let Err(error) = parsed {
            errors.push(FieldError::invalid(path, "<secret contents redacted>", error.to_string()));
        }
    }
}

pub(super) fn secret_update(errors: &mut Errors, new: &Value, old: &Value) {
    immutable(errors, &new["type"], &old["type"], &Path::new("type"));
    frozen(errors, new, old, &["data"]);
    secret(errors, new);
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn texts(errors: &Errors) -> Vec<String> {
        errors.iter().map(FieldError::to_string).collect()
    }

    #[test]
    fn secrets() {
        let check = |object: Value, want: &[&str]| {
            let mut errors = Errors::new();
            secret(&mut errors, &object);
            assert_eq!(texts(&errors), want);
        };
        check(json!({"type": "Opaque", "data": {"a": "Yg=="}}), &[]);
        check(
            json!({"type": "kubernetes.io/tls"}),
            &["data[tls.crt]: Required value", "data[tls.key]: Required value"],
        );
        check(
            json!({"type": "kubernetes.io/service-account-token"}),
            &["metadata.annotations[kubernetes.io/service-account.name]: Required value"],
        );
    }

    #[test]
    fn immutable_data() {
        let old = json!({"immutable": true, "data": {"a": "1"}});
        let mut errors = Errors::new();
        config_map_update(&mut errors, &json!({"data": {"a": "2"}}), &old);
        assert_eq!(
            texts(&errors),
            [
                "immutable: Forbidden: field is immutable when `immutable` is set",
                "data: Forbidden: field is immutable when `immutable` is set"
            ]
        );
    }
}
