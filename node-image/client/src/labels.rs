//! Label selectors applied to the labels that components hold.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use kd_api::selector::{Selector, SelectorError};
use serde_json::Value;

/// Whether a selector selects an object with these labels.
pub fn selects(selector: &Selector, labels: &BTreeMap<String, String>) -> bool {
    let holds =
        |r: &kd_api::selector::Requirement| r.matches(labels.get(&r.key).map(String::as_str));
    !selector.is_nothing() && selector.requirements().iter().all(holds)
}

/// The selector that an object's `selector` field means; an absent one selects nothing, an empty
/// one everything.
pub fn label_selector(selector: Option<&LabelSelector>) -> Result<Selector, SelectorError> {
    let Some(selector) = selector else { return Ok(Selector::nothing()) };
    let value = serde_json::to_value(selector).unwrap_or(Value::Null);
    Selector::from_object(&value)
}

/// Whether every pair of `selector` is among `labels`.
pub fn selects_all(selector: &BTreeMap<String, String>, labels: &BTreeMap<String, String>) -> bool {
    selector.iter().all(|(key, value)| labels.get(key) == Some(value))
}
