//! What patches need to know of a field's type.

/// A place in a schema.
pub trait PatchSchema: Sized + Clone {
    /// The schema of a field of this object.
    fn property(&self, name: &str) -> Option<Self>;
    /// The schema of this list's elements.
    fn items(&self) -> Option<Self>;
    /// The schema of this map's values.
    fn values(&self) -> Option<Self>;
    /// `x-kubernetes-patch-merge-key`
    fn patch_merge_key(&self) -> Option<&str>;
    /// `x-kubernetes-patch-strategy`: `merge`, `replace`, `retainKeys`, or two with a comma.
    fn patch_strategy(&self) -> Option<&str>;
    /// `x-kubernetes-list-type`: `atomic`, `set` or `map`.
    fn list_type(&self) -> Option<&str>;
    /// `x-kubernetes-list-map-keys`
    fn list_map_keys(&self) -> Vec<String>;
    /// `x-kubernetes-map-type`: `atomic` or `granular`.
    fn map_type(&self) -> Option<&str>;
    /// The default of a field, which a list's map key may leave out.
    fn default_value(&self) -> Option<serde_json::Value>;

    /// The schema under `key`, be this an object with fields or a map.
    fn under(&self, key: &str) -> Option<Self> {
        self.property(key).or_else(|| self.values())
    }
}

/// JSON schemas as they stand in an OpenAPI document, for tests.
#[cfg(test)]
pub(crate) mod json_schema {
    use serde_json::Value;

    use super::PatchSchema;
    use crate::walk::Walk;

    #[derive(Clone)]
    pub(crate) struct JsonSchema<'a>(pub &'a Value);

    impl<'a> JsonSchema<'a> {
        fn part(&self, value: &'a Value) -> Option<Self> {
            (!value.is_null()).then_some(JsonSchema(value))
        }
    }

    impl PatchSchema for JsonSchema<'_> {
        fn property(&self, name: &str) -> Option<Self> {
            self.part(&self.0["properties"][name])
        }

        fn items(&self) -> Option<Self> {
            self.part(&self.0["items"])
        }

        fn values(&self) -> Option<Self> {
            self.part(&self.0["additionalProperties"])
        }

        fn patch_merge_key(&self) -> Option<&str> {
            self.0["x-kubernetes-patch-merge-key"].as_str()
        }

        fn patch_strategy(&self) -> Option<&str> {
            self.0["x-kubernetes-patch-strategy"].as_str()
        }

        fn list_type(&self) -> Option<&str> {
            self.0["x-kubernetes-list-type"].as_str()
        }

        fn list_map_keys(&self) -> Vec<String> {
            let keys = self.0.list("x-kubernetes-list-map-keys");
            keys.iter().filter_map(Value::as_str).map(str::to_owned).collect()
        }

        fn map_type(&self) -> Option<&str> {
            self.0["x-kubernetes-map-type"].as_str()
        }

        fn default_value(&self) -> Option<Value> {
            self.0.get("default").cloned()
        }
    }
}
