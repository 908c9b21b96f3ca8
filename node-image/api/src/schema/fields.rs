//! Reads the table of fields (`facts/fields.txt`) into an arena. The table is part of the build, so a
//! line that makes no sense is a defect of the build and panics (a test parses all of it).

use std::collections::HashMap;

use super::arena::{Extra, Field, Form, ListType, Node, NodeId, Scalar, Schema, Struct, Wire};
use super::qualified;

/// A struct as the table has it.
#[derive(Default)]
struct Entry<'t> {
    atomic: bool,
    lines: Vec<&'t str>,
}

pub(super) fn parse(text: &str) -> Schema {
    let mut entries: Vec<(&str, Entry<'_>)> = Vec::new();
    let mut enums = HashMap::new();
    for line in text.lines().filter(|line| !line.starts_with('#')) {
        if let Some(head) = line.strip_prefix("@type ") {
            let (name, atomic) = head.split_once(' ').unwrap_or((head, ""));
            entries.push((name, Entry { atomic: atomic == "atomic", lines: Vec::new() }));
        } else if let Some(head) = line.strip_prefix("@enum ") {
            let (name, values) = head.split_once(' ').expect("an enum has values");
            enums.insert(name.into(), values.split('|').map(Into::into).collect());
        } else {
            entries.last_mut().expect("a field belongs to a type").1.lines.push(line);
        }
    }
    Builder::new(&entries).build(enums)
}

struct Builder<'t> {
    entries: &'t [(&'t str, Entry<'t>)],
    struct_index: HashMap<&'t str, u32>,
    /// Nodes by their text; equal types share one.
    node_index: HashMap<&'t str, NodeId>,
    nodes: Vec<Node>,
}

impl<'t> Builder<'t> {
    fn new(entries: &'t [(&'t str, Entry<'t>)]) -> Builder<'t> {
        let struct_index = entries.iter().zip(0..).map(|((name, _), i)| (*name, i)).collect();
        Builder { entries, struct_index, node_index: HashMap::new(), nodes: Vec::new() }
    }

    fn build(mut self, enums: HashMap<Box<str>, Box<[Box<str>]>>) -> Schema {
        let mut structs = Vec::with_capacity(self.entries.len());
        let mut by_name = HashMap::with_capacity(self.entries.len());
        for (name, entry) in self.entries {
            let mut fields = Vec::with_capacity(entry.lines.len());
            self.fields_of(entry, &mut fields);
            fields.sort_by(|a, b| a.name.cmp(&b.name));
            let wire = self.wire_of(entry, &fields);
            let full = qualified(name);
            by_name.insert(full.clone().into(), self.node(name));
            let (name, fields) = (full.into(), fields.into());
            structs.push(Struct { name, atomic: entry.atomic, fields, wire });
        }
        self.nodes.shrink_to_fit();
        Schema { nodes: self.nodes, structs, by_name, enums }
    }

    fn fields_of(&mut self, entry: &Entry<'t>, fields: &mut Vec<Field>) {
        for line in &entry.lines {
            let mut words = line.split(' ');
            let mut word = || words.next().expect("a field has name, number and type");
            match (word(), word(), word()) {
                ("+", _, "meta.v1.TypeMeta") => {
                    fields.extend(["apiVersion", "kind"].map(|name| self.type_meta(name)));
                }
                ("+", _, inlined) => {
                    let index = self.struct_index[inlined.trim_start_matches('*')];
                    self.fields_of(&self.entries[index as usize].1, fields);
                }
                (name, _, type_text) => {
                    let node = self.node(type_text);
                    fields.push(with_flags(plain(name, node), words));
                }
            }
        }
    }

    /// The numbered lines of a type; `fields` are its own and inlined ones, ordered.
    fn wire_of(&self, entry: &Entry<'t>, fields: &[Field]) -> Box<[(u16, Wire)]> {
        let numbered = entry.lines.iter().filter_map(|line| {
            let mut words = line.split(' ');
            let (name, number, type_text) = (words.next()?, words.next()?, words.next()?);
            let number = number.parse().ok()?;
            let target = match name {
                "+" => Wire::Inlined(self.struct_index[type_text.trim_start_matches('*')]),
                name => {
                    let at = fields.binary_search_by(|field| field.name.as_ref().cmp(name)).ok()?;
                    Wire::Field(at as u16)
                }
            };
            Some((number, target))
        });
        let mut wire: Vec<(u16, Wire)> = numbered.collect();
        wire.sort_by_key(|(number, _)| *number);
        wire.into()
    }

    fn type_meta(&mut self, name: &str) -> Field {
        Field { omit_empty: true, ..plain(name, self.node("string")) }
    }

    fn node(&mut self, text: &'t str) -> NodeId {
        if let Some(&id) = self.node_index.get(text) {
            return id;
        }
        let (pointer, bare) = match text.strip_prefix('*') {
            Some(bare) => (true, bare),
            None => (false, text),
        };
        let node = if let Some(item) = bare.strip_prefix("[]") {
            Node { form: Form::List(self.node(item)), pointer, alias: None }
        } else if let Some(value) = bare.strip_prefix("{}") {
            Node { form: Form::Map(self.node(value)), pointer, alias: None }
        } else if let Some((alias, target)) = bare.split_once('=') {
            let target = self.node(target);
            Node { form: self.nodes[target.0 as usize].form, pointer, alias: Some(alias.into()) }
        } else if let Some(&index) = self.struct_index.get(bare) {
            Node { form: Form::Struct(index), pointer, alias: None }
        } else {
            let form = scalar(bare).unwrap_or_else(|| panic!("no type {bare}"));
            Node { form: Form::Scalar(form), pointer, alias: None }
        };
        let id = NodeId(self.nodes.len() as u32);
        self.nodes.push(node);
        self.node_index.insert(text, id);
        id
    }
}

fn plain(name: &str, node: NodeId) -> Field {
    let (required, omit_empty, omit_zero) = (false, false, false);
    Field { name: name.into(), node, required, omit_empty, omit_zero, extra: None }
}

fn with_flags<'t>(mut field: Field, flags: impl Iterator<Item = &'t str>) -> Field {
    let mut extra = Extra::default();
    let mut has_extra = false;
    for flag in flags {
        match flag.split_once('=') {
            None => match flag {
                "required" => field.required = true,
                "omitempty" => field.omit_empty = true,
                "omitzero" => field.omit_zero = true,
                other => panic!("no flag {other}"),
            },
            Some((name, value)) => {
                has_extra = true;
                set_extra(&mut extra, name, value);
            }
        }
    }
    field.extra = has_extra.then(|| Box::new(extra));
    field
}

fn set_extra(extra: &mut Extra, name: &str, value: &str) {
    let (first, keys) = value.split_once(':').unwrap_or((value, ""));
    match name {
        "list" => {
            extra.list_type = Some(match first {
                "atomic" => ListType::Atomic,
                "set" => ListType::Set,
                "map" => ListType::Map,
                other => panic!("no list type {other}"),
            });
            let keys = keys.split(',').filter(|key| !key.is_empty());
            extra.list_map_keys = keys.map(str::to_owned).collect();
        }
        "map" => extra.map_type = Some(value.into()),
        "patch" => {
            extra.patch_strategy = (!first.is_empty()).then(|| first.into());
            extra.patch_merge_key = (!keys.is_empty()).then(|| keys.into());
        }
        "default" => {
            extra.default = Some(serde_json::from_str(value).expect("a default is JSON"));
        }
        other => panic!("no flag {other}"),
    }
}

fn scalar(name: &str) -> Option<Scalar> {
    Some(match name {
        "string" => Scalar::String,
        "bool" => Scalar::Bool,
        "int32" => Scalar::Int32,
        "int64" => Scalar::Int64,
        "double" => Scalar::Double,
        "bytes" => Scalar::Bytes,
        "time" => Scalar::Time,
        "microtime" => Scalar::MicroTime,
        "duration" => Scalar::Duration,
        "quantity" => Scalar::Quantity,
        "intorstring" => Scalar::IntOrString,
        "raw" => Scalar::Raw,
        "fields" => Scalar::Fields,
        "json" => Scalar::Json,
        _ => return None,
    })
}
