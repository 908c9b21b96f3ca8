//! Events of `v1` and of `events.k8s.io/v1`.

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

/// Turns an Event of `v1` into one of `events.k8s.io/v1`, or back (`to_core`).
pub(super) fn convert(object: &mut Value, to_core: bool) {
    if let Some(fields) = object.as_object_mut() {
        for (core, other) in EVENT_FIELDS {
            let (old, new) = if to_core { (other, core) } else { (core, other) };
            if let Some(value) = fields.remove(*old) {
                fields.insert((*new).to_owned(), value);
            }
        }
        // Both are never without what they are about.
        let required = if to_core { "involvedObject" } else { "regarding" };
        fields.entry(required).or_insert_with(|| Value::Object(Default::default()));
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use crate::Kinds;
    use crate::conversion::convert;

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
