//! A place in a schema, as patches and apply walk it.

use serde_json::Value;

use super::arena::{Extra, Field, Form, NodeId, Schema};
use crate::patch::PatchSchema;

/// A type in a schema, and how the field that leads there merges.
#[derive(Clone, Copy, Debug)]
pub struct SchemaRef<'a> {
    schema: &'a Schema,
    node: NodeId,
    field: Option<&'a Field>,
}

impl<'a> SchemaRef<'a> {
    pub(super) fn new(schema: &'a Schema, node: NodeId) -> SchemaRef<'a> {
        SchemaRef { schema, node, field: None }
    }

    pub(crate) fn schema(&self) -> &'a Schema {
        self.schema
    }

    pub(crate) fn node_id(&self) -> NodeId {
        self.node
    }

    /// The schema of a field of this object.
    pub fn property(&self, name: &str) -> Option<SchemaRef<'a>> {
        let Form::Struct(index) = self.schema.node(self.node).form else { return None };
        let field = self.schema.structure(index).field(name)?;
        Some(SchemaRef { schema: self.schema, node: field.node, field: Some(field) })
    }

    /// The schema of this list's elements.
    pub fn items(&self) -> Option<SchemaRef<'a>> {
        match self.schema.node(self.node).form {
            Form::List(item) => Some(SchemaRef::new(self.schema, item)),
            _ => None,
        }
    }

    /// The schema of this map's values.
    pub fn values(&self) -> Option<SchemaRef<'a>> {
        match self.schema.node(self.node).form {
            Form::Map(value) => Some(SchemaRef::new(self.schema, value)),
            _ => None,
        }
    }

    /// `x-kubernetes-patch-merge-key`
    pub fn patch_merge_key(&self) -> Option<&'a str> {
        self.extra()?.patch_merge_key.as_deref()
    }

    /// `x-kubernetes-patch-strategy`
    pub fn patch_strategy(&self) -> Option<&'a str> {
        self.extra()?.patch_strategy.as_deref()
    }

    /// `x-kubernetes-list-type`
    pub fn list_type(&self) -> Option<&'static str> {
        Some(self.extra()?.list_type?.as_str())
    }

    /// `x-kubernetes-list-map-keys`
    pub fn list_map_keys(&self) -> &'a [String] {
        self.extra().map_or(&[], |extra| extra.list_map_keys.as_slice())
    }

    /// `x-kubernetes-map-type`, of the field or of its type.
    pub fn map_type(&self) -> Option<&'a str> {
        let of_field = self.extra().and_then(|extra| extra.map_type.as_deref());
        of_field.or_else(|| match self.schema.node(self.node).form {
            Form::Struct(index) if self.schema.structure(index).atomic => Some("atomic"),
            _ => None,
        })
    }

    /// The default of a field.
    pub fn default_value(&self) -> Option<Value> {
        self.extra()?.default.clone()
    }

    fn extra(&self) -> Option<&'a Extra> {
        self.field?.extra.as_deref()
    }
}

impl PatchSchema for SchemaRef<'_> {
    fn property(&self, name: &str) -> Option<Self> {
        SchemaRef::property(self, name)
    }

    fn items(&self) -> Option<Self> {
        SchemaRef::items(self)
    }

    fn values(&self) -> Option<Self> {
        SchemaRef::values(self)
    }

    fn patch_merge_key(&self) -> Option<&str> {
        SchemaRef::patch_merge_key(self)
    }

    fn patch_strategy(&self) -> Option<&str> {
        SchemaRef::patch_strategy(self)
    }

    fn list_type(&self) -> Option<&str> {
        SchemaRef::list_type(self)
    }

    fn list_map_keys(&self) -> Vec<String> {
        SchemaRef::list_map_keys(self).to_vec()
    }

    fn map_type(&self) -> Option<&str> {
        SchemaRef::map_type(self)
    }

    fn default_value(&self) -> Option<Value> {
        SchemaRef::default_value(self)
    }
}
