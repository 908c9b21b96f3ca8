//! Order in lists: least, largest, sorted.

use std::cmp::Ordering;

use super::{Context, Outcome, Row, items, member, mismatch};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

macro_rules! ordered {
    ($($type_:literal)*) => {
        /// The rows for every type that has an order.
        pub(super) const ROWS: &[Row] = &[$(
            member("isSorted", concat!("list(", $type_, ") -> bool"), Cost::Scan, is_sorted),
            member("max", concat!("list(", $type_, ") -> ", $type_), Cost::Scan, max),
            member("min", concat!("list(", $type_, ") -> ", $type_), Cost::Scan, min),
            member("sort", concat!("list(", $type_, ") -> list(", $type_, ")"), Cost::Quadratic, sort),
            member(
                "@sortByAssociatedKeys",
                concat!("list(A), list(", $type_, ") -> list(A)"),
                Cost::QuadraticKeys,
                sort_by_keys,
            ),
        )*];
    };
}

ordered! { "int" "uint" "double" "bool" "duration" "timestamp" "string" "bytes" }

fn order(a: &Value, b: &Value) -> Result<Ordering, Error> {
    a.compare(b).ok_or_else(mismatch)
}

fn is_sorted(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    let list = items(args, 0)?;
    context.charge(list.len())?;
    for pair in list.windows(2) {
        if order(&pair[0], &pair[1])?.is_gt() {
            return Ok(Value::Bool(false));
        }
    }
    Ok(Value::Bool(true))
}

fn extreme(context: &mut Context<'_>, args: &[Value], name: &str, wanted: Ordering) -> Outcome {
    let list = items(args, 0)?;
    context.charge(list.len())?;
    let mut found: Option<&Value> = None;
    for item in list {
        match found {
            Some(best) if order(item, best)? != wanted => {}
            _ => found = Some(item),
        }
    }
    found.cloned().ok_or_else(|| Error::other(format!("{name} called on empty list")))
}

fn max(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    extreme(context, args, "max", Ordering::Greater)
}

fn min(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    extreme(context, args, "min", Ordering::Less)
}

fn sort(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    let list = items(args, 0)?;
    sorted(context, list, list)
}

fn sort_by_keys(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (list, keys) = (items(args, 0)?, items(args, 1)?);
    sorted(context, list, keys)
}

fn sorted(context: &mut Context<'_>, list: &[Value], keys: &[Value]) -> Outcome {
    if list.len() != keys.len() {
        return Err(Error::other("list and keys must have the same size"));
    }
    context.charge(list.len())?;
    let Some(first) = keys.first() else { return Ok(Value::from(Vec::new())) };
    // All keys have the first one's type, or there is no order.
    if keys.iter().any(|key| key.type_of() != first.type_of() || key.compare(key).is_none()) {
        return Err(Error::other("list elements must have the same type"));
    }
    let mut pairs: Vec<(&Value, &Value)> = keys.iter().zip(list).collect();
    pairs.sort_by(|a, b| a.0.compare(b.0).unwrap_or(Ordering::Equal));
    Ok(Value::from(pairs.into_iter().map(|(_, item)| item.clone()).collect::<Vec<_>>()))
}
