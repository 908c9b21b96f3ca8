//! A kind's schema as one document without references, for whoever types expressions by it.

use serde_json::{Map, Value, json};

use super::{Form, META, NodeId, Scalar, Schema, built_in, of};
use crate::Kind;
use crate::walk::Shape;

/// The schema of a kind's objects as OpenAPI writes it, each type where it is used. A type within itself
/// says nothing.
pub fn expanded(kind: &Kind) -> Option<Value> {
    let Some(custom) = &kind.custom else {
        let place = of(&kind.group, &kind.version, &kind.kind)?;
        return Some(expand(place.schema(), place.node_id(), &mut Vec::new()));
    };
    let mut schema = custom.schema_json();
    let metadata = built_in().by_name(&format!("{META}.ObjectMeta"))?;
    let metadata = expand(metadata.schema(), metadata.node_id(), &mut Vec::new());
    if !schema.is_object() {
        schema = json!({"type": "object"});
    }
    if let Some(properties) = schema.object_mut("properties") {
        properties.put("metadata", metadata);
    }
    Some(schema)
}

/// `within` are the types around.
fn expand(schema: &Schema, id: NodeId, within: &mut Vec<u32>) -> Value {
    match schema.node(id).form {
        Form::List(item) => json!({"type": "array", "items": expand(schema, item, within)}),
        Form::Map(value) => {
            json!({"type": "object", "additionalProperties": expand(schema, value, within)})
        }
        Form::Scalar(scalar) => scalar_schema(scalar),
        Form::Struct(index) if within.contains(&index) => json!({}),
        Form::Struct(index) => {
            within.push(index);
            let fields = schema.structure(index).fields.iter();
            let properties: Map<String, Value> = fields
                .map(|field| (field.name.as_ref().to_owned(), expand(schema, field.node, within)))
                .collect();
            within.pop();
            json!({"type": "object", "properties": properties})
        }
    }
}

fn scalar_schema(scalar: Scalar) -> Value {
    match scalar {
        Scalar::Bool => json!({"type": "boolean"}),
        Scalar::Int32 | Scalar::Int64 => json!({"type": "integer"}),
        Scalar::Double => json!({"type": "number"}),
        Scalar::Bytes => json!({"type": "string", "format": "byte"}),
        Scalar::Time | Scalar::MicroTime => json!({"type": "string", "format": "date-time"}),
        Scalar::IntOrString => json!({"x-kubernetes-int-or-string": true}),
        Scalar::Raw | Scalar::Fields => json!({"type": "object"}),
        Scalar::Json => json!({}),
        Scalar::String | Scalar::Duration | Scalar::Quantity => json!({"type": "string"}),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Kinds;
    use crate::testing::kind;

    #[test]
    fn types_are_written_where_they_are_used() {
        let schema = expanded(&kind("apps", "v1", "Deployment")).unwrap();
        let check = |path: &str, expect: Value| assert_eq!(schema.pointer(path), Some(&expect));
        check("/properties/spec/properties/replicas", json!({"type": "integer"}));
        let container = "/properties/spec/properties/template/properties/spec/properties/containers/items/properties";
        check(&format!("{container}/image"), json!({"type": "string"}));
        let port = json!({"x-kubernetes-int-or-string": true});
        check(&format!("{container}/livenessProbe/properties/tcpSocket/properties/port"), port);
        let labels = json!({"type": "object", "additionalProperties": {"type": "string"}});
        check("/properties/metadata/properties/labels", labels);
    }

    #[test]
    fn every_kind_ends() {
        for kind in Kinds::known().iter() {
            assert!(expanded(kind).is_some_and(|schema| schema["type"] == "object"), "{kind:?}");
        }
    }
}
