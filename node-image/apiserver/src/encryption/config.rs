//! The file, and what is refused of it.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kd_api::{FieldError, Path};
use serde::Deserialize;
use serde_json::Value;

use super::providers::{Provider, Sort};
use crate::configuration::{self, ConfigurationError};

const KIND: &str = "EncryptionConfiguration";
const NAMES: [&str; 4] = ["aescbc", "aesgcm", "identity", "secretbox"];

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    #[serde(default)]
    resources: Vec<Entry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Entry {
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    providers: Vec<serde_json::Map<String, Value>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Keys {
    #[serde(default)]
    keys: Vec<NamedKey>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NamedKey {
    #[serde(default)]
    name: String,
    #[serde(default)]
    secret: String,
}

/// An entry of the file.
#[derive(Clone, Debug)]
pub(super) struct Resource {
    names: Vec<String>,
    pub(super) providers: Vec<Provider>,
}

impl Resource {
    /// Whether it names a resource (`secrets`, `deployments.apps`), or means it by `*.apps`, `*.`
    /// (the core group) or `*.*`.
    pub(super) fn covers(&self, resource: &str) -> bool {
        let (_, group) = resource.split_once('.').unwrap_or((resource, ""));
        self.names.iter().any(|name| match name.strip_prefix("*.") {
            Some("*") => true,
            Some(wanted) => wanted == group,
            None => name == resource,
        })
    }
}

/// The entries of a file.
pub(super) fn resources(text: &str) -> Result<Vec<Resource>, ConfigurationError> {
    let group = "apiserver.config.k8s.io";
    let file: File = configuration::read(KIND, group, &["v1"], text)?;
    let (mut errors, mut resources) = (Vec::new(), Vec::new());
    let path = Path::new("resources");
    if file.resources.is_empty() {
        errors.push(FieldError::required(path.clone(), "at least one resource configuration"));
    }
    for (index, entry) in file.resources.into_iter().enumerate() {
        let path = path.index(index);
        check_names(&mut errors, &entry.resources, &path.child("resources"));
        let listed = path.child("providers");
        if entry.providers.is_empty() {
            errors.push(FieldError::required(listed.clone(), "provider must be specified"));
        }
        let read = |(index, fields)| provider(&mut errors, fields, &listed.index(index));
        let providers = entry.providers.into_iter().enumerate().filter_map(read).collect();
        resources.push(Resource { names: entry.resources, providers });
    }
    ConfigurationError::unless_none(KIND, &errors)?;
    Ok(resources)
}

fn check_names(errors: &mut Vec<FieldError>, names: &[String], path: &Path) {
    if names.is_empty() {
        errors.push(FieldError::required(path.clone(), "at least one resource"));
    }
    for (index, name) in names.iter().enumerate() {
        let path = path.index(index);
        if name.contains('*') && !(name.starts_with("*.") && name.matches('*').count() <= 2) {
            let why = "use '*.<group>' for all resources of a group or '*.*' for all resources";
            errors.push(FieldError::invalid(path, name.as_str(), why));
        } else if names[..index].contains(name) {
            errors.push(FieldError::duplicate(path, name.as_str()));
        } else if name.to_lowercase() != *name {
            let why = "resource name should be lowercase";
            errors.push(FieldError::invalid(path, name.as_str(), why));
        }
    }
}

/// One provider; None for what was refused.
fn provider(
    errors: &mut Vec<FieldError>,
    fields: serde_json::Map<String, Value>,
    path: &Path,
) -> Option<Provider> {
    let given: Vec<&str> = fields.keys().map(String::as_str).collect();
    if given.len() > 1 {
        let why = "more than one provider specified in a single element, should split into \
                   different list elements";
        errors.push(FieldError::invalid(path.clone(), given.join(" "), why));
        return None;
    }
    let Some((name, value)) = fields.into_iter().next() else {
        let why = "provider does not contain any of the expected providers";
        errors.push(FieldError::invalid(path.clone(), "{}", why));
        return None;
    };
    let path = path.child(&name);
    let sort = match name.as_str() {
        "identity" => return Some(Provider::Identity),
        "aescbc" => Sort::AesCbc,
        "aesgcm" => Sort::AesGcm,
        "secretbox" => Sort::SecretBox,
        other => {
            errors.push(FieldError::not_supported(path, other, &NAMES));
            return None;
        }
    };
    let listed = path.child("keys");
    let keys = match serde_json::from_value::<Keys>(value) {
        Ok(keys) => keys.keys,
        Err(error) => {
            errors.push(FieldError::invalid(path, "", error.to_string()));
            return None;
        }
    };
    if keys.is_empty() {
        let why = format!("no keys found for {name}");
        errors.push(FieldError::required(listed.clone(), why));
    }
    let mut read: Vec<(String, Vec<u8>)> = Vec::new();
    for (index, key) in keys.into_iter().enumerate() {
        let path = listed.index(index);
        check_name(errors, &key.name, &read, &path.child("name"));
        let secret = secret(errors, sort, &key.secret, &path.child("secret"));
        read.push((key.name, secret.unwrap_or_default()));
    }
    Provider::new(sort, read)
}

fn check_name(errors: &mut Vec<FieldError>, name: &str, others: &[(String, Vec<u8>)], path: &Path) {
    if name.is_empty() {
        errors.push(FieldError::required(path.clone(), "must be specified"));
    } else if name.contains(':') {
        errors.push(FieldError::invalid(path.clone(), name, "must not contain a colon"));
    } else if others.iter().any(|(other, _)| other == name) {
        errors.push(FieldError::duplicate(path.clone(), name));
    }
}

fn secret(errors: &mut Vec<FieldError>, sort: Sort, text: &str, path: &Path) -> Option<Vec<u8>> {
    let mut refuse = |why: String| errors.push(FieldError::invalid(path.clone(), "REDACTED", why));
    let Ok(secret) = BASE64_STANDARD.decode(text) else {
        refuse("secrets must be base64 encoded".into());
        return None;
    };
    let lengths = sort.key_lengths();
    if !lengths.contains(&secret.len()) {
        let shown: Vec<String> = lengths.iter().map(usize::to_string).collect();
        refuse(format!(
            "secret is not of the expected length, got {}, expected one of [{}]",
            secret.len(),
            shown.join(" ")
        ));
        return None;
    }
    Some(secret)
}
