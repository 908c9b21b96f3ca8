//! Values that may be absent. `or` and `orValue` evaluate both sides here; the evaluator leaves the
//! second one out when the first has a value.

use std::sync::Arc;

use super::{Context, Outcome, Row, global, items, member, mismatch};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    global("optional.of", "A -> optional(A)", Cost::Nominal, |_, args| match args {
        [value] => Ok(Value::some(value.clone())),
        _ => Err(mismatch()),
    }),
    global("optional.none", "-> optional(A)", Cost::Nominal, |_, _| Ok(Value::Optional(None))),
    global("optional.ofNonZeroValue", "A -> optional(A)", Cost::Nominal, |_, args| match args {
        [value] if is_zero(value) => Ok(Value::Optional(None)),
        [value] => Ok(Value::some(value.clone())),
        _ => Err(mismatch()),
    }),
    global("optional.unwrap", "list(optional(A)) -> list(A)", Cost::Nominal, unwrap),
    member("unwrapOpt", "list(optional(A)) -> list(A)", Cost::Nominal, unwrap),
    member("hasValue", "optional(A) -> bool", Cost::Nominal, |_, args| {
        Ok(Value::Bool(inner(args)?.is_some()))
    }),
    member("value", "optional(A) -> A", Cost::Nominal, |_, args| {
        let value = inner(args)?.map(|value| value.as_ref().clone());
        value.ok_or_else(|| Error::other("optional.none() dereference"))
    }),
    member("or", "optional(A), optional(A) -> optional(A)", Cost::Nominal, |_, args| {
        match (inner(args)?, args.get(1)) {
            (Some(_), _) => Ok(args[0].clone()),
            (None, Some(other @ Value::Optional(_))) => Ok(other.clone()),
            _ => Err(mismatch()),
        }
    }),
    member("orValue", "optional(A), A -> A", Cost::Nominal, |_, args| {
        match (inner(args)?, args.get(1)) {
            (Some(value), _) => Ok(value.as_ref().clone()),
            (None, Some(other)) => Ok(other.clone()),
            _ => Err(mismatch()),
        }
    }),
];

fn inner(args: &[Value]) -> Result<Option<&Arc<Value>>, Error> {
    match args.first() {
        Some(Value::Optional(value)) => Ok(value.as_ref()),
        _ => Err(mismatch()),
    }
}

/// Whether it is what a variable of its type begins with.
fn is_zero(value: &Value) -> bool {
    match value {
        Value::Null | Value::Bool(false) | Value::Int(0) | Value::Uint(0) => true,
        Value::Duration(0) | Value::Optional(None) => true,
        Value::Double(number) => *number == 0.0,
        Value::String(text) => text.is_empty(),
        Value::Bytes(bytes) => bytes.is_empty(),
        Value::List(list) => list.items.is_empty(),
        Value::Map(map) => map.entries.is_empty(),
        _ => false,
    }
}

fn unwrap(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    let list = items(args, 0)?;
    context.charge(list.len())?;
    let mut values = Vec::new();
    for item in list {
        match item {
            Value::Optional(Some(value)) => values.push(value.as_ref().clone()),
            Value::Optional(None) => {}
            _ => return Err(mismatch()),
        }
    }
    Ok(Value::from(values))
}
