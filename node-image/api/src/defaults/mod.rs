//! The values that fields take when a client leaves them out, per kind.

use serde_json::Value;

use crate::Kind;

/// Fills what `obj` leaves out.
pub fn apply_defaults(kind: &Kind, obj: &mut Value) {
    let _ = (kind, obj);
}
