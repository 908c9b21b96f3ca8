//! Quantities in canonical form, wherever a map or field of a built-in kind holds them.

use serde_json::Value;

use crate::quantity::{Quantity, canonicalize};
use crate::walk::Shape;

/// The values of the map under `key`, rounded up to thousandths as upstream's defaulting does.
pub(super) fn resource_list(owner: &mut Value, key: &str) {
    let Some(Value::Object(amounts)) = owner.get_mut(key) else { return };
    for amount in amounts.values_mut() {
        match Quantity::from_json(amount) {
            Ok(quantity) if !quantity.is_whole_milli() => {
                let rounded = Quantity::from_milli(quantity.milli_value(), quantity.format());
                *amount = Value::String(rounded.to_string());
            }
            _ => canonicalize(amount),
        }
    }
}

/// The quantity under `key`.
pub(super) fn single(owner: &mut Value, key: &str) {
    if let Some(amount) = owner.get_mut(key) {
        canonicalize(amount);
    }
}

/// `limits` and `requests` of the resource requirements under `key`.
pub(super) fn requirements(owner: &mut Value, key: &str) {
    if let Some(resources) = owner.existing_mut(key) {
        resource_list(resources, "limits");
        resource_list(resources, "requests");
    }
}
