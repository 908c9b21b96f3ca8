//! Objects of one kind shown as another that shares its storage: Events of `v1` and of
//! `events.k8s.io/v1`.

use kd_api::{Kind, Object};
use serde_json::Value;

/// (field in core/v1, field in events.k8s.io/v1).
const EVENT_FIELDS: &[(&str, &str)] = &[
    ("involvedObject", "regarding"),
    ("message", "note"),
    ("reportingComponent", "reportingController"),
    ("source", "deprecatedSource"),
    ("firstTimestamp", "deprecatedFirstTimestamp"),
    ("lastTimestamp", "deprecatedLastTimestamp"),
    ("count", "deprecatedCount"),
];

/// Turns an object of `from` into one of `to`.
pub(crate) fn convert(mut object: Value, from: &Kind, to: &Kind) -> Value {
    if from.kind == "Event" && from.group != to.group {
        let to_core = to.group.is_empty();
        if let Some(fields) = object.as_object_mut() {
            for (core, other) in EVENT_FIELDS {
                let (old, new) = if to_core { (other, core) } else { (core, other) };
                if let Some(value) = fields.remove(*old) {
                    fields.insert((*new).to_owned(), value);
                }
            }
        }
        rename(&mut object, to_core);
    }
    object.set_type(&to.api_version(), &to.kind);
    object
}

/// `reportingInstance` and `series` have one name in both; the series' count and time too.
fn rename(object: &mut Value, to_core: bool) {
    let required = if to_core { "involvedObject" } else { "regarding" };
    if object.get(required).is_none() {
        object[required] = Value::Object(Default::default());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kd_api::Kinds;
    use serde_json::json;

    #[test]
    fn events_there_and_back() {
        let kinds = Kinds::built_in();
        let core = kinds.get("", "v1", "events").unwrap();
        let new = kinds.get("events.k8s.io", "v1", "events").unwrap();
        let event = json!({"apiVersion": "v1", "kind": "Event", "metadata": {"name": "a"},
            "involvedObject": {"name": "p"}, "message": "m", "count": 2, "type": "Normal"});
        let other = convert(event.clone(), core, new);
        assert_eq!(
            other,
            json!({"apiVersion": "events.k8s.io/v1", "kind": "Event", "metadata": {"name": "a"},
                "regarding": {"name": "p"}, "note": "m", "deprecatedCount": 2, "type": "Normal"})
        );
        assert_eq!(convert(other, new, core), event);
    }
}
