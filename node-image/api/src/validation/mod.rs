//! What makes an object valid, per kind, in upstream's words and order.

pub mod names;

use serde_json::Value;

use crate::{FieldError, Kind};

/// What is wrong with a new object; nothing when it may be stored.
pub fn validate_create(kind: &Kind, obj: &Value) -> Vec<FieldError> {
    let _ = (kind, obj);
    Vec::new()
}

/// What is wrong with a change of `old` into `new`, through the main resource (`subresource` "") or
/// one of its subresources.
pub fn validate_update(
    kind: &Kind,
    subresource: &str,
    new: &Value,
    old: &Value,
) -> Vec<FieldError> {
    let _ = (kind, subresource, new, old);
    Vec::new()
}
