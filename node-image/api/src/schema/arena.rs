//! The arena: types refer to each other by index, so that a whole API is a few flat vectors.

use std::collections::HashMap;

use serde_json::Value;

use super::SchemaRef;

/// A set of types that refer to each other.
#[derive(Debug, Default)]
pub struct Schema {
    pub(super) nodes: Vec<Node>,
    pub(super) structs: Vec<Struct>,
    pub(super) by_name: HashMap<Box<str>, NodeId>,
    pub(super) enums: HashMap<Box<str>, Box<[Box<str>]>>,
}

/// The index of a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(pub(super) u32);

impl NodeId {
    pub(super) const FIRST: NodeId = NodeId(0);
}

/// A type as a field, a list or a map uses it.
#[derive(Debug)]
pub(crate) struct Node {
    /// What it is.
    pub(crate) form: Form,
    /// Whether Go holds a pointer, so that the empty value and absence differ.
    pub(crate) pointer: bool,
    /// The Go name of an alias (`core.v1.RestartPolicy`).
    pub(crate) alias: Option<Box<str>>,
}

/// What a type is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Form {
    /// A value without structure of its own.
    Scalar(Scalar),
    /// A list of elements.
    List(NodeId),
    /// A map of values by string.
    Map(NodeId),
    /// A struct, by index.
    Struct(u32),
}

/// Values without fields, named by their encoding.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Scalar {
    String,
    Bool,
    Int32,
    Int64,
    Double,
    /// Base64.
    Bytes,
    /// RFC 3339, to the second.
    Time,
    /// RFC 3339, to the microsecond.
    MicroTime,
    /// Go's notation, `1h2m`.
    Duration,
    Quantity,
    IntOrString,
    /// An object of any kind.
    Raw,
    /// The fields of managedFields.
    Fields,
    /// Any JSON.
    Json,
}

/// A type with fields.
#[derive(Debug)]
pub(crate) struct Struct {
    /// `io.k8s.api.core.v1.Pod`.
    pub(crate) name: Box<str>,
    /// Whether apply treats it as one value.
    pub(crate) atomic: bool,
    /// Ordered by name; those of inlined structs among them.
    pub(crate) fields: Box<[Field]>,
    /// What protobuf numbers, ordered by number.
    pub(crate) wire: Box<[(u16, Wire)]>,
}

/// What a protobuf number of a message stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wire {
    /// A field, by its position.
    Field(u16),
    /// A message whose fields are inlined in JSON, by the index of its struct.
    Inlined(u32),
}

/// A field of a struct.
#[derive(Clone, Debug)]
pub(crate) struct Field {
    pub(crate) name: Box<str>,
    pub(crate) node: NodeId,
    /// OpenAPI's `required`.
    pub(crate) required: bool,
    /// Whether Go leaves an empty value out.
    pub(crate) omit_empty: bool,
    /// Whether Go leaves an empty struct or time out.
    pub(crate) omit_zero: bool,
    pub(crate) extra: Option<Box<Extra>>,
}

/// How a field merges, where that is said.
#[derive(Clone, Debug, Default)]
pub(crate) struct Extra {
    pub(crate) list_type: Option<ListType>,
    pub(crate) list_map_keys: Vec<String>,
    pub(crate) map_type: Option<Box<str>>,
    pub(crate) patch_strategy: Option<Box<str>>,
    pub(crate) patch_merge_key: Option<Box<str>>,
    pub(crate) default: Option<Value>,
}

/// How a list merges.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ListType {
    /// As one value.
    Atomic,
    /// By element.
    Set,
    /// By the elements' keys.
    Map,
}

impl ListType {
    /// `atomic`, `set`, `map`.
    pub fn as_str(self) -> &'static str {
        match self {
            ListType::Atomic => "atomic",
            ListType::Set => "set",
            ListType::Map => "map",
        }
    }
}

impl Schema {
    /// One node that takes any JSON.
    pub(super) fn any() -> Schema {
        let node = Node { form: Form::Scalar(Scalar::Json), pointer: false, alias: None };
        Schema { nodes: vec![node], ..Schema::default() }
    }

    /// A type by its full name.
    pub fn by_name(&self, name: &str) -> Option<SchemaRef<'_>> {
        self.by_name.get(name).map(|&node| SchemaRef::new(self, node))
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        &self.nodes[id.0 as usize]
    }

    pub(crate) fn structure(&self, index: u32) -> &Struct {
        &self.structs[index as usize]
    }

    #[cfg(test)]
    pub(crate) fn structs(&self) -> impl Iterator<Item = &Struct> {
        self.structs.iter()
    }

    /// The values of an alias that is an enumeration.
    pub(crate) fn enumeration(&self, alias: &str) -> Option<&[Box<str>]> {
        self.enums.get(alias).map(Box::as_ref)
    }

    /// The Go type of a node as `encoding/json` words it: `[]v1.Container`, `v1.RestartPolicy`.
    pub(crate) fn go_type(&self, id: NodeId) -> String {
        let node = self.node(id);
        if let Some(alias) = &node.alias {
            return go_name(alias);
        }
        let pointer = |id: NodeId| if self.node(id).pointer { "*" } else { "" };
        match node.form {
            Form::Scalar(scalar) => scalar.go_type().into(),
            Form::List(item) => format!("[]{}{}", pointer(item), self.go_type(item)),
            Form::Map(value) => format!("map[string]{}{}", pointer(value), self.go_type(value)),
            Form::Struct(index) => go_name(&self.structure(index).name),
        }
    }
}

/// `core.v1.Pod` or `io.k8s.api.core.v1.Pod` as `v1.Pod`.
fn go_name(name: &str) -> String {
    let mut parts = name.rsplitn(3, '.');
    let kind = parts.next().unwrap_or("");
    let package = parts.next().unwrap_or("");
    format!("{package}.{kind}")
}

impl Scalar {
    fn go_type(self) -> &'static str {
        match self {
            Scalar::String => "string",
            Scalar::Bool => "bool",
            Scalar::Int32 => "int32",
            Scalar::Int64 => "int64",
            Scalar::Double => "float64",
            Scalar::Bytes => "[]uint8",
            Scalar::Time => "v1.Time",
            Scalar::MicroTime => "v1.MicroTime",
            Scalar::Duration => "v1.Duration",
            Scalar::Quantity => "resource.Quantity",
            Scalar::IntOrString => "intstr.IntOrString",
            Scalar::Raw => "runtime.RawExtension",
            Scalar::Fields => "v1.FieldsV1",
            Scalar::Json => "interface {}",
        }
    }
}

impl Struct {
    pub(crate) fn field(&self, name: &str) -> Option<&Field> {
        self.position(name).map(|index| &self.fields[index])
    }

    /// What a protobuf number stands for.
    pub(crate) fn wire(&self, number: u32) -> Option<Wire> {
        let found =
            self.wire.binary_search_by_key(&number, |(number, _)| u32::from(*number)).ok()?;
        Some(self.wire[found].1)
    }

    pub(crate) fn position(&self, name: &str) -> Option<usize> {
        self.fields.binary_search_by(|field| field.name.as_ref().cmp(name)).ok()
    }

    /// The name without its package.
    pub(crate) fn short_name(&self) -> &str {
        self.name.rsplit('.').next().unwrap_or(&self.name)
    }
}
