//! The schema of a kind's objects as patches see it, be the kind built in or custom.

use serde_json::Value;

use super::SchemaRef;
use crate::custom::Structural;
use crate::patch::PatchSchema;

const OBJECT_META: &str = "io.k8s.apimachinery.pkg.apis.meta.v1.ObjectMeta";

/// A place in the schema of a kind.
#[derive(Clone, Copy, Debug)]
pub enum KindSchema<'a> {
    /// In a built-in type.
    BuiltIn(SchemaRef<'a>),
    /// In a structural schema; whether an object begins here.
    Custom(&'a Structural, bool),
    /// A text that every object has.
    Text,
}

impl<'a> KindSchema<'a> {
    /// The schema of custom resources.
    pub(super) fn custom(schema: &'a Structural) -> KindSchema<'a> {
        KindSchema::Custom(schema, true)
    }
}

impl PatchSchema for KindSchema<'_> {
    fn property(&self, name: &str) -> Option<Self> {
        match self {
            KindSchema::BuiltIn(place) => place.property(name).map(KindSchema::BuiltIn),
            KindSchema::Custom(schema, is_object) => match name {
                "metadata" if *is_object || schema.embedded => {
                    super::built_in().by_name(OBJECT_META).map(KindSchema::BuiltIn)
                }
                "apiVersion" | "kind" if *is_object || schema.embedded => Some(KindSchema::Text),
                _ => schema.property(name).map(|field| KindSchema::Custom(field, false)),
            },
            KindSchema::Text => None,
        }
    }

    fn items(&self) -> Option<Self> {
        match self {
            KindSchema::BuiltIn(place) => place.items().map(KindSchema::BuiltIn),
            KindSchema::Custom(schema, _) => {
                schema.items.as_deref().map(|items| KindSchema::Custom(items, false))
            }
            KindSchema::Text => None,
        }
    }

    fn values(&self) -> Option<Self> {
        match self {
            KindSchema::BuiltIn(place) => place.values().map(KindSchema::BuiltIn),
            KindSchema::Custom(schema, _) => {
                schema.values().map(|values| KindSchema::Custom(values, false))
            }
            KindSchema::Text => None,
        }
    }

    fn patch_merge_key(&self) -> Option<&str> {
        match self {
            KindSchema::BuiltIn(place) => place.patch_merge_key(),
            _ => None,
        }
    }

    fn patch_strategy(&self) -> Option<&str> {
        match self {
            KindSchema::BuiltIn(place) => place.patch_strategy(),
            _ => None,
        }
    }

    fn list_type(&self) -> Option<&str> {
        match self {
            KindSchema::BuiltIn(place) => place.list_type(),
            KindSchema::Custom(schema, _) => Some(schema.list_type?.as_str()),
            KindSchema::Text => None,
        }
    }

    fn list_map_keys(&self) -> Vec<String> {
        match self {
            KindSchema::BuiltIn(place) => place.list_map_keys().to_vec(),
            KindSchema::Custom(schema, _) => schema.checks().list_map_keys.clone(),
            KindSchema::Text => Vec::new(),
        }
    }

    fn map_type(&self) -> Option<&str> {
        match self {
            KindSchema::BuiltIn(place) => place.map_type(),
            KindSchema::Custom(schema, _) => schema.atomic_map.then_some("atomic"),
            KindSchema::Text => None,
        }
    }

    fn default_value(&self) -> Option<Value> {
        match self {
            KindSchema::BuiltIn(place) => place.default_value(),
            KindSchema::Custom(schema, _) => schema.default.as_deref().cloned(),
            KindSchema::Text => None,
        }
    }
}
