//! Sets of fields in the form in which managedFields record them (`FieldsV1`): a tree of path
//! elements, `f:name` for a field, `k:{...}` for an element by its keys, `v:...` for one by value.
//! A place without anything below it is in the set; one with something below it is when it has `.`.

use serde_json::{Map, Value};

/// A path: elements from the root on.
pub(super) type FieldPath = Vec<String>;

/// What says that a place with something below it is itself in the set.
const SELF: &str = ".";

/// A set of fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct FieldSet(Map<String, Value>);

/// A place while a set is made: what is below it, and whether it is in the set itself.
#[derive(Debug, Default)]
pub(super) struct Place {
    pub(super) below: FieldSet,
    pub(super) is_member: bool,
}

impl FieldSet {
    /// Reads `fieldsV1`; what is no set is an empty one.
    pub(super) fn from_json(fields: Value) -> FieldSet {
        match fields {
            Value::Object(places) => FieldSet(places),
            _ => FieldSet::default(),
        }
    }

    /// `fieldsV1`
    pub(super) fn into_json(self) -> Value {
        Value::Object(self.0)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Adds a place under the root, unless nothing of it is in the set.
    pub(super) fn attach(&mut self, element: impl FnOnce() -> String, mut place: Place) {
        if place.below.is_empty() && !place.is_member {
            return;
        }
        if place.is_member && !place.below.is_empty() {
            place.below.0.insert(SELF.into(), Value::Object(Map::new()));
        }
        self.0.insert(element(), place.below.into_json());
    }

    /// Removes an element of the root with all that is below it.
    pub(super) fn detach(&mut self, element: &str) {
        self.0.remove(element);
    }

    /// What is below an element of the root, to be changed; it goes when nothing is left.
    pub(super) fn change_below(&mut self, element: &str, change: impl FnOnce(&mut FieldSet)) {
        let Some(Value::Object(places)) = self.0.get_mut(element) else { return };
        let mut below = FieldSet(std::mem::take(places));
        change(&mut below);
        below.0.remove(SELF);
        if below.is_empty() {
            self.0.remove(element);
        } else {
            *places = below.0;
        }
    }

    /// Adds all fields of another set.
    pub(super) fn unite(&mut self, other: &FieldSet) {
        unite(&mut self.0, &other.0);
    }

    /// Removes all fields of another set.
    pub(super) fn subtract(&mut self, other: &FieldSet) {
        subtract(&mut self.0, &other.0);
    }

    /// The fields that both sets have.
    pub(super) fn common(&self, other: &FieldSet) -> Vec<FieldPath> {
        let mut found = Vec::new();
        common(&self.0, &other.0, &mut Vec::new(), &mut found);
        found
    }

    /// All fields; a place comes before those below it.
    pub(super) fn paths(&self) -> Vec<FieldPath> {
        self.common(self)
    }

    /// Whether the set has `path` or something below it.
    pub(super) fn reaches(&self, path: &[String]) -> bool {
        let mut places = Some(&self.0);
        for element in path {
            let Some(found) = places.and_then(|places| places.get(element)) else { return false };
            places = found.as_object();
        }
        true
    }
}

fn is_member(place: &Value) -> bool {
    match place {
        Value::Object(below) => below.is_empty() || below.contains_key(SELF),
        _ => false,
    }
}

fn unite(places: &mut Map<String, Value>, others: &Map<String, Value>) {
    for (element, other) in others.iter().filter(|(element, _)| *element != SELF) {
        let Some(place) = places.get_mut(element) else {
            places.insert(element.clone(), other.clone());
            continue;
        };
        let stays_member = is_member(place) || is_member(other);
        if let (Value::Object(below), Value::Object(others)) = (place, other) {
            unite(below, others);
            if stays_member && !below.is_empty() {
                below.insert(SELF.into(), Value::Object(Map::new()));
            }
        }
    }
}

fn subtract(places: &mut Map<String, Value>, others: &Map<String, Value>) {
    for (element, other) in others.iter().filter(|(element, _)| *element != SELF) {
        let Some(place) = places.get_mut(element) else { continue };
        let stays_member = is_member(place) && !is_member(other);
        if let (Value::Object(below), Value::Object(others)) = (place, other) {
            below.remove(SELF);
            subtract(below, others);
            match (below.is_empty(), stays_member) {
                (true, false) => drop(places.remove(element)),
                (false, true) => drop(below.insert(SELF.into(), Value::Object(Map::new()))),
                _ => {}
            }
        }
    }
}

fn common(
    one: &Map<String, Value>,
    other: &Map<String, Value>,
    path: &mut FieldPath,
    found: &mut Vec<FieldPath>,
) {
    for (element, place) in one.iter().filter(|(element, _)| *element != SELF) {
        let Some(twin) = other.get(element) else { continue };
        path.push(element.clone());
        if is_member(place) && is_member(twin) {
            found.push(path.clone());
        }
        if let (Value::Object(below), Value::Object(others)) = (place, twin) {
            common(below, others, path, found);
        }
        path.pop();
    }
}

/// `.spec.containers[name="a"].image`
pub(super) fn shown(path: &[String]) -> String {
    let mut text = String::new();
    for element in path {
        match element.split_at_checked(2).unwrap_or((element, "")) {
            ("f:", name) => text.push_str(&format!(".{name}")),
            ("k:", keys) => {
                let keys: Map<String, Value> = serde_json::from_str(keys).unwrap_or_default();
                let pairs: Vec<String> = keys.iter().map(|(k, v)| format!("{k}={v}")).collect();
                text.push_str(&format!("[{}]", pairs.join(",")));
            }
            ("v:", value) => text.push_str(&format!("[={value}]")),
            _ => text.push_str(element),
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn set(json: Value) -> FieldSet {
        FieldSet::from_json(json)
    }

    #[test]
    fn unions() {
        let check = |one: Value, other: Value, expect: Value| {
            let mut united = set(one);
            united.unite(&set(other));
            assert_eq!(united.into_json(), expect);
        };
        check(json!({}), json!({"f:a": {}}), json!({"f:a": {}}));
        check(
            json!({"f:a": {}}),
            json!({"f:a": {"f:b": {}}}),
            json!({"f:a": {".": {}, "f:b": {}}}),
        );
        check(
            json!({"f:a": {"f:b": {}}}),
            json!({"f:a": {}}),
            json!({"f:a": {".": {}, "f:b": {}}}),
        );
        check(
            json!({"f:a": {"f:b": {}}}),
            json!({"f:a": {"f:c": {}}}),
            json!({"f:a": {"f:b": {}, "f:c": {}}}),
        );
    }

    #[test]
    fn differences() {
        let check = |one: Value, other: Value, expect: Value| {
            let mut left = set(one);
            left.subtract(&set(other));
            assert_eq!(left.into_json(), expect);
        };
        check(json!({"f:a": {}}), json!({"f:a": {}}), json!({}));
        check(json!({"f:a": {"f:b": {}}}), json!({"f:a": {"f:b": {}}}), json!({}));
        check(json!({"f:a": {"f:b": {}}}), json!({"f:a": {}}), json!({"f:a": {"f:b": {}}}));
        check(
            json!({"f:a": {".": {}, "f:b": {}}}),
            json!({"f:a": {"f:b": {}}}),
            json!({"f:a": {}}),
        );
        check(
            json!({"f:a": {".": {}, "f:b": {}}}),
            json!({"f:a": {}}),
            json!({"f:a": {"f:b": {}}}),
        );
        check(json!({"f:a": {}}), json!({"f:a": {"f:b": {}}}), json!({"f:a": {}}));
        check(json!({"f:a": 1, "x": []}), json!({"f:a": {}}), json!({"f:a": 1, "x": []}));
    }

    #[test]
    fn what_two_sets_share() {
        let one = set(json!({"f:a": {".": {}, "f:b": {}}, "f:c": {}}));
        let other = set(json!({"f:a": {"f:b": {}}, "f:c": {}, "f:d": {}}));
        assert_eq!(one.common(&other), [vec!["f:a", "f:b"], vec!["f:c"]]);
        assert_eq!(one.paths().len(), 3);
        assert!(one.reaches(&["f:a".into()]) && !other.reaches(&["f:a".into(), "f:x".into()]));
        assert_eq!(shown(&["f:a".into(), "k:{\"n\":\"x\"}".into(), "é".into()]), ".a[n=\"x\"]é");
    }
}
