//! Configuration files of a server (audit policy, encryption, authentication, authorization): YAML or
//! JSON, read strictly, so that a misspelt word is told and not ignored.

use kd_api::FieldError;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// Why a configuration file is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{kind}: {why}")]
pub struct ConfigurationError {
    kind: &'static str,
    why: String,
}

impl ConfigurationError {
    pub(crate) fn new(kind: &'static str, why: impl Into<String>) -> ConfigurationError {
        ConfigurationError { kind, why: why.into() }
    }

    /// Unless there are no errors.
    pub(crate) fn unless_none(
        kind: &'static str,
        errors: &[FieldError],
    ) -> Result<(), ConfigurationError> {
        let texts: Vec<String> = errors.iter().map(FieldError::to_string).collect();
        match texts.as_slice() {
            [] => Ok(()),
            [one] => Err(ConfigurationError::new(kind, one.as_str())),
            all => Err(ConfigurationError::new(kind, format!("[{}]", all.join(", ")))),
        }
    }
}

/// Reads a file of a kind in one of the versions of its group.
pub(crate) fn read<T: DeserializeOwned>(
    kind: &'static str,
    group: &str,
    versions: &[&str],
    text: &str,
) -> Result<T, ConfigurationError> {
    let refuse = |why: String| ConfigurationError::new(kind, why);
    let document: Value = serde_yaml::from_str(text).map_err(|error| refuse(error.to_string()))?;
    let mut fields = match document {
        Value::Object(fields) => fields,
        _ => return Err(refuse("the file holds no object".into())),
    };
    let version = fields.remove("apiVersion").unwrap_or_default();
    let found = fields.remove("kind").unwrap_or_default();
    let version = version.as_str().unwrap_or_default();
    let known = version.split_once('/').is_some_and(|(of, v)| of == group && versions.contains(&v));
    if found != kind || !known {
        let all: Vec<String> = versions.iter().map(|v| format!("{group}/{v}")).collect();
        let found = found.as_str().unwrap_or_default();
        return Err(refuse(format!(
            "no kind {found:?} is registered for version {version:?}: expected kind {kind:?} of {}",
            all.join(" or ")
        )));
    }
    fields.remove("metadata");
    serde_json::from_value(Value::Object(fields))
        .map_err(|error| refuse(format!("strict decoding error: {error}")))
}
