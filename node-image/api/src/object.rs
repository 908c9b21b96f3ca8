//! Access to the parts that all objects have, on plain JSON values. Reads of what is absent or of
//! another type give the empty value, as Go's zero values do.

use jiff::Timestamp;
use serde_json::{Map, Value};

/// Accessors of `metadata` and by path.
pub trait Object {
    /// The value at a path of field names; `None` when absent or null.
    fn at(&self, path: &[&str]) -> Option<&Value>;
    /// The string at a path, or "".
    fn str_at(&self, path: &[&str]) -> &str;
    /// The integer at a path.
    fn i64_at(&self, path: &[&str]) -> Option<i64>;
    /// The boolean at a path, or false.
    fn bool_at(&self, path: &[&str]) -> bool;
    /// The list at a path, or the empty list.
    fn list_at(&self, path: &[&str]) -> &[Value];
    /// The map at a path.
    fn map_at(&self, path: &[&str]) -> Option<&Map<String, Value>>;
    /// Sets the value at a path, making the maps on the way; what is in the way is replaced.
    fn set_at(&mut self, path: &[&str], value: Value);
    /// Takes the value at a path away and returns it.
    fn remove_at(&mut self, path: &[&str]) -> Option<Value>;

    /// `apiVersion`, or "".
    fn api_version(&self) -> &str {
        self.str_at(&["apiVersion"])
    }
    /// `kind`, or "".
    fn kind(&self) -> &str {
        self.str_at(&["kind"])
    }
    /// `metadata`, made if absent.
    fn metadata_mut(&mut self) -> &mut Map<String, Value>;
    /// `metadata.name`, or "".
    fn name(&self) -> &str {
        self.str_at(&["metadata", "name"])
    }
    /// `metadata.generateName`, or "".
    fn generate_name(&self) -> &str {
        self.str_at(&["metadata", "generateName"])
    }
    /// `metadata.namespace`, or "".
    fn namespace(&self) -> &str {
        self.str_at(&["metadata", "namespace"])
    }
    /// `metadata.uid`, or "".
    fn uid(&self) -> &str {
        self.str_at(&["metadata", "uid"])
    }
    /// `metadata.resourceVersion`, or "".
    fn resource_version(&self) -> &str {
        self.str_at(&["metadata", "resourceVersion"])
    }
    /// `metadata.generation`, or 0.
    fn generation(&self) -> i64 {
        self.i64_at(&["metadata", "generation"]).unwrap_or(0)
    }
    /// A label's value.
    fn label(&self, key: &str) -> Option<&str> {
        self.labels()?.get(key)?.as_str()
    }
    /// An annotation's value.
    fn annotation(&self, key: &str) -> Option<&str> {
        self.annotations()?.get(key)?.as_str()
    }
    /// `metadata.labels`.
    fn labels(&self) -> Option<&Map<String, Value>> {
        self.map_at(&["metadata", "labels"])
    }
    /// `metadata.annotations`.
    fn annotations(&self) -> Option<&Map<String, Value>> {
        self.map_at(&["metadata", "annotations"])
    }
    /// `metadata.finalizers`.
    fn finalizers(&self) -> Vec<&str> {
        self.list_at(&["metadata", "finalizers"]).iter().filter_map(Value::as_str).collect()
    }
    /// `metadata.ownerReferences`.
    fn owner_references(&self) -> Vec<OwnerReference<'_>> {
        let list = self.list_at(&["metadata", "ownerReferences"]);
        list.iter().map(OwnerReference::of).collect()
    }
    /// The owner whose `controller` is true.
    fn controller(&self) -> Option<OwnerReference<'_>> {
        self.owner_references().into_iter().find(|owner| owner.controller)
    }
    /// `metadata.creationTimestamp`.
    fn creation_timestamp(&self) -> Option<Timestamp> {
        self.str_at(&["metadata", "creationTimestamp"]).parse().ok()
    }
    /// `metadata.deletionTimestamp`.
    fn deletion_timestamp(&self) -> Option<Timestamp> {
        self.str_at(&["metadata", "deletionTimestamp"]).parse().ok()
    }
    /// Whether `metadata.deletionTimestamp` is set.
    fn is_terminating(&self) -> bool {
        self.at(&["metadata", "deletionTimestamp"]).is_some()
    }
    /// `metadata.deletionGracePeriodSeconds`.
    fn deletion_grace_period_seconds(&self) -> Option<i64> {
        self.i64_at(&["metadata", "deletionGracePeriodSeconds"])
    }

    /// Sets `apiVersion` and `kind`.
    fn set_type(&mut self, api_version: &str, kind: &str) {
        self.set_at(&["apiVersion"], api_version.into());
        self.set_at(&["kind"], kind.into());
    }
    /// Sets `metadata.name`.
    fn set_name(&mut self, name: &str) {
        self.set_metadata("name", name);
    }
    /// Sets `metadata.namespace`; "" takes it away.
    fn set_namespace(&mut self, namespace: &str) {
        self.set_metadata("namespace", namespace);
    }
    /// Sets `metadata.uid`.
    fn set_uid(&mut self, uid: &str) {
        self.set_metadata("uid", uid);
    }
    /// Sets `metadata.resourceVersion`; "" takes it away.
    fn set_resource_version(&mut self, resource_version: &str) {
        self.set_metadata("resourceVersion", resource_version);
    }
    /// Sets `metadata.generation`; 0 takes it away.
    fn set_generation(&mut self, generation: i64) {
        match generation {
            0 => drop(self.metadata_mut().remove("generation")),
            _ => drop(self.metadata_mut().insert("generation".into(), generation.into())),
        }
    }
    /// Sets `metadata.creationTimestamp`, to the second.
    fn set_creation_timestamp(&mut self, time: Timestamp) {
        self.set_metadata("creationTimestamp", &format_time(time));
    }
    /// Sets `metadata.deletionTimestamp` (to the second) and `deletionGracePeriodSeconds`.
    fn set_deletion(&mut self, time: Timestamp, grace_period_seconds: i64) {
        self.set_metadata("deletionTimestamp", &format_time(time));
        self.metadata_mut()
            .insert("deletionGracePeriodSeconds".into(), grace_period_seconds.into());
    }
    /// Sets `metadata.finalizers`; the empty list takes it away.
    fn set_finalizers(&mut self, finalizers: Vec<String>) {
        match finalizers.is_empty() {
            true => drop(self.metadata_mut().remove("finalizers")),
            false => drop(self.metadata_mut().insert("finalizers".into(), finalizers.into())),
        }
    }
    /// Sets a label.
    fn set_label(&mut self, key: &str, value: &str) {
        self.set_at(&["metadata", "labels", key], value.into());
    }
    /// Sets an annotation.
    fn set_annotation(&mut self, key: &str, value: &str) {
        self.set_at(&["metadata", "annotations", key], value.into());
    }
    /// Sets a string of `metadata`; "" takes it away.
    fn set_metadata(&mut self, field: &str, value: &str) {
        match value {
            "" => drop(self.metadata_mut().remove(field)),
            _ => drop(self.metadata_mut().insert(field.to_owned(), value.into())),
        }
    }
}

impl Object for Value {
    fn at(&self, path: &[&str]) -> Option<&Value> {
        let found = path.iter().try_fold(self, |value, field| value.as_object()?.get(*field))?;
        (!found.is_null()).then_some(found)
    }

    fn str_at(&self, path: &[&str]) -> &str {
        self.at(path).and_then(Value::as_str).unwrap_or("")
    }

    fn i64_at(&self, path: &[&str]) -> Option<i64> {
        self.at(path)?.as_i64()
    }

    fn bool_at(&self, path: &[&str]) -> bool {
        self.at(path).and_then(Value::as_bool).unwrap_or(false)
    }

    fn list_at(&self, path: &[&str]) -> &[Value] {
        self.at(path).and_then(Value::as_array).map_or(&[], Vec::as_slice)
    }

    fn map_at(&self, path: &[&str]) -> Option<&Map<String, Value>> {
        self.at(path)?.as_object()
    }

    fn set_at(&mut self, path: &[&str], value: Value) {
        let slot = path
            .iter()
            .fold(self, |parent, field| map_of(parent).entry(*field).or_insert(Value::Null));
        *slot = value;
    }

    fn remove_at(&mut self, path: &[&str]) -> Option<Value> {
        let (last, parents) = path.split_last()?;
        let parent = parents.iter().try_fold(self, |value, field| value.get_mut(*field))?;
        parent.as_object_mut()?.remove(*last)
    }

    fn metadata_mut(&mut self) -> &mut Map<String, Value> {
        map_of(map_of(self).entry("metadata").or_insert(Value::Null))
    }
}

/// The value as a map, which it becomes if it is none.
fn map_of(value: &mut Value) -> &mut Map<String, Value> {
    if !value.is_object() {
        *value = Value::Object(Map::new());
    }
    match value {
        Value::Object(map) => map,
        _ => unreachable!("made a map above"),
    }
}

/// One entry of `metadata.ownerReferences`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OwnerReference<'a> {
    /// `apps/v1`.
    pub api_version: &'a str,
    /// `ReplicaSet`.
    pub kind: &'a str,
    /// The owner's name.
    pub name: &'a str,
    /// The owner's uid.
    pub uid: &'a str,
    /// Whether the owner manages this object.
    pub controller: bool,
    /// Whether foreground deletion of the owner waits for this object.
    pub block_owner_deletion: bool,
}

impl<'a> OwnerReference<'a> {
    fn of(value: &'a Value) -> OwnerReference<'a> {
        OwnerReference {
            api_version: value.str_at(&["apiVersion"]),
            kind: value.str_at(&["kind"]),
            name: value.str_at(&["name"]),
            uid: value.str_at(&["uid"]),
            controller: value.bool_at(&["controller"]),
            block_owner_deletion: value.bool_at(&["blockOwnerDeletion"]),
        }
    }
}

/// A time as `meta/v1` Time is written: RFC 3339, UTC, to the second.
pub fn format_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// A time as `meta/v1` MicroTime is written: always six digits of the second.
pub fn format_micro_time(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// The letters of generated names: no vowels, nothing that looks like another.
const SUFFIX_ALPHABET: &[u8; 27] = b"bcdfghjklmnpqrstvwxz2456789";
const SUFFIX_LEN: usize = 5;
const NAME_LEN_MAX: usize = 63;

/// The name that `generateName` stands for: the base, cut so that the name fits into 63 characters,
/// and five letters chosen by `random`.
pub fn generated_name(base: &str, mut random: u64) -> String {
    let mut name = base[..base.floor_char_boundary(NAME_LEN_MAX - SUFFIX_LEN)].to_owned();
    for _ in 0..SUFFIX_LEN {
        let letters = SUFFIX_ALPHABET.len() as u64;
        name.push(SUFFIX_ALPHABET[(random % letters) as usize] as char);
        random /= letters;
    }
    name
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn reads() {
        let pod = json!({"metadata": {"name": "a", "generation": 3, "labels": {"x": "y"}, "uid": null,
            "ownerReferences": [{"kind": "Node", "name": "n"}, {"kind": "ReplicaSet", "controller": true}],
            "deletionTimestamp": "2026-01-02T03:04:05Z", "finalizers": ["f"]}});
        assert_eq!((pod.name(), pod.namespace(), pod.uid()), ("a", "", ""));
        assert_eq!(pod.generation(), 3);
        assert_eq!(pod.label("x"), Some("y"));
        assert_eq!(pod.controller().map(|owner| owner.kind), Some("ReplicaSet"));
        assert_eq!(pod.finalizers(), ["f"]);
        assert!(pod.is_terminating());
        assert_eq!(format_time(pod.deletion_timestamp().unwrap()), "2026-01-02T03:04:05Z");
        assert_eq!(json!("no object").name(), "");
    }

    #[test]
    fn writes() {
        let mut value = json!({"spec": 1});
        value.set_name("a");
        value.set_label("x", "y");
        value.set_generation(2);
        value.set_at(&["spec", "nodeName"], "n".into());
        value.set_finalizers(vec![]);
        let expected = json!({"metadata": {"name": "a", "generation": 2, "labels": {"x": "y"}},
            "spec": {"nodeName": "n"}});
        assert_eq!(value, expected);
        assert_eq!(value.remove_at(&["spec", "nodeName"]), Some("n".into()));
        assert_eq!(value.remove_at(&["no", "such"]), None);
    }

    #[test]
    fn times() {
        let time: Timestamp = "2026-01-02T03:04:05.678901234Z".parse().unwrap();
        assert_eq!(format_time(time), "2026-01-02T03:04:05Z");
        assert_eq!(format_micro_time(time), "2026-01-02T03:04:05.678901Z");
    }

    #[test]
    fn generated_names() {
        assert_eq!(generated_name("web-", 0), "web-bbbbb");
        assert_eq!(generated_name("web-", u64::MAX).len(), 9);
        assert_eq!(generated_name(&"a".repeat(80), 1).len(), 63);
    }
}
