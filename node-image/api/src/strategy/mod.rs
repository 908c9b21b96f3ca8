//! What the server itself does to an object at a write, before it is validated: the parts a client
//! may not touch here are reset, generations count, derived fields are filled.

use serde_json::Value;

use crate::Kind;

/// Prepares a new object for its create.
pub fn prepare_create(kind: &Kind, obj: &mut Value) {
    let _ = (kind, obj);
}

/// Prepares `new` for the update of `old` through the main resource (`subresource` "") or one of
/// its subresources.
pub fn prepare_update(kind: &Kind, subresource: &str, new: &mut Value, old: &Value) {
    let _ = (kind, subresource, new, old);
}
