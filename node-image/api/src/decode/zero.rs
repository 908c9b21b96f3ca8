//! Which values Go writes although nothing was said, and which it leaves out although something was.

use serde_json::{Map, Value};

use crate::schema::{Field, Form, Node, NodeId, Scalar, Schema, Struct};

/// Adds the fields that Go always writes.
pub(super) fn fill(object: &mut Map<String, Value>, structure: &Struct, schema: &Schema) {
    for field in &structure.fields {
        if is_always_written(field, schema.node(field.node)) && !object.contains_key(&*field.name) {
            object.insert(field.name.as_ref().to_owned(), zero(field.node, schema));
        }
    }
}

/// Whether Go leaves this value of a field out.
pub(super) fn is_left_out(value: &Value, field: &Field, node: &Node) -> bool {
    if node.pointer || !field.omit_empty {
        return false;
    }
    match value {
        Value::Null => true,
        Value::Bool(flag) => !flag,
        Value::String(text) => text.is_empty() && !is_go_struct(node.form),
        Value::Array(items) => items.is_empty(),
        Value::Object(entries) => entries.is_empty() && !is_go_struct(node.form),
        Value::Number(number) => {
            !is_go_struct(node.form) && (number.as_i64() == Some(0) || number.as_f64() == Some(0.0))
        }
    }
}

/// The value of a type of which nothing was said.
pub(super) fn zero(id: NodeId, schema: &Schema) -> Value {
    let node = schema.node(id);
    if node.pointer {
        return Value::Null;
    }
    match node.form {
        Form::List(_) | Form::Map(_) => Value::Null,
        Form::Struct(index) => {
            let mut object = Map::new();
            fill(&mut object, schema.structure(index), schema);
            Value::Object(object)
        }
        Form::Scalar(scalar) => match scalar {
            Scalar::String => "".into(),
            Scalar::Bool => false.into(),
            Scalar::Int32 | Scalar::Int64 | Scalar::Double | Scalar::IntOrString => 0.into(),
            Scalar::Quantity => "0".into(),
            Scalar::Duration => "0s".into(),
            Scalar::Bytes | Scalar::Time | Scalar::MicroTime => Value::Null,
            Scalar::Raw | Scalar::Fields | Scalar::Json => Value::Null,
        },
    }
}

fn is_always_written(field: &Field, node: &Node) -> bool {
    !field.omit_zero && (!field.omit_empty || (!node.pointer && is_go_struct(node.form)))
}

/// Go's `omitempty` has no effect on structs, and these are structs there.
fn is_go_struct(form: Form) -> bool {
    use Scalar::{Duration, Fields, IntOrString, Json, MicroTime, Quantity, Raw, Time};
    match form {
        Form::Struct(_) => true,
        Form::List(_) | Form::Map(_) => false,
        Form::Scalar(scalar) => matches!(
            scalar,
            Time | MicroTime | Duration | Quantity | IntOrString | Raw | Fields | Json
        ),
    }
}
