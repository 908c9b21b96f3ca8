//! Lists: Kubernetes' own functions, and the extension, version 3.

use std::sync::Arc;

use super::{Context, Outcome, Row, global, int, items, member, mismatch};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::{List, Value};

/// The most elements that one evaluation may copy or compare.
const WORK_MAX: usize = 20_000_000;
/// The longest list that a function makes.
const LENGTH_MAX: usize = 1 << 20;

pub(super) const ROWS: &[Row] = &[
    member("indexOf", "list(A), A -> int", Cost::Scan, |context, args| match args {
        [Value::List(list), wanted] => {
            context.charge(list.items.len())?;
            place(list.items.iter().position(|item| item.equals(wanted)))
        }
        _ => Err(mismatch()),
    }),
    member("lastIndexOf", "list(A), A -> int", Cost::Scan, |context, args| match args {
        [Value::List(list), wanted] => {
            context.charge(list.items.len())?;
            place(list.items.iter().rposition(|item| item.equals(wanted)))
        }
        _ => Err(mismatch()),
    }),
    member("sum", "list(int) -> int", Cost::Scan, |context, args| {
        sum(context, args, Value::Int(0))
    }),
    member("sum", "list(uint) -> uint", Cost::Scan, |context, args| {
        sum(context, args, Value::Uint(0))
    }),
    member("sum", "list(double) -> double", Cost::Scan, |context, args| {
        sum(context, args, Value::Double(0.0))
    }),
    member("sum", "list(duration) -> duration", Cost::Scan, |context, args| {
        sum(context, args, Value::Duration(0))
    }),
    member("slice", "list(A), int, int -> list(A)", Cost::Slice, slice),
    member("flatten", "list(list(A)) -> list(A)", Cost::Flatten, flatten),
    member("flatten", "list(dyn), int -> list(dyn)", Cost::Flatten, flatten),
    member("reverse", "list(A) -> list(A)", Cost::Reverse, |context, args| {
        let list = items(args, 0)?;
        context.charge(list.len())?;
        Ok(Value::from(list.iter().rev().cloned().collect::<Vec<_>>()))
    }),
    member("distinct", "list(A) -> list(A)", Cost::Quadratic, distinct),
    global("lists.range", "int -> list(int)", Cost::Range, |context, args| {
        let count = int(args, 0)?;
        let length = usize::try_from(count).unwrap_or(0);
        context.charge_list(length)?;
        Ok(Value::from((0..count.max(0)).map(Value::Int).collect::<Vec<_>>()))
    }),
    member("first", "list(A) -> optional(A)", Cost::Nominal, |_, args| {
        Ok(Value::Optional(items(args, 0)?.first().cloned().map(Arc::new)))
    }),
    member("last", "list(A) -> optional(A)", Cost::Nominal, |_, args| {
        Ok(Value::Optional(items(args, 0)?.last().cloned().map(Arc::new)))
    }),
];

impl Context<'_> {
    /// Counts elements that a function touches.
    ///
    /// # Errors
    /// If they are too many for one evaluation.
    pub(crate) fn charge(&mut self, elements: usize) -> Result<(), Error> {
        self.work = self.work.saturating_add(elements);
        if self.work > WORK_MAX { Err(Error::CostLimit) } else { Ok(()) }
    }

    /// Counts a new list of this length.
    ///
    /// # Errors
    /// If it is too long.
    pub(crate) fn charge_list(&mut self, length: usize) -> Result<(), Error> {
        if length > LENGTH_MAX { Err(Error::CostLimit) } else { self.charge(length) }
    }
}

fn place(found: Option<usize>) -> Outcome {
    Ok(Value::Int(found.map_or(-1, |index| index as i64)))
}

/// Addition of lists, as the kind of the first one wants it.
pub(super) fn concatenate(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::List(a), Value::List(b)] => {
            context.charge_list(a.items.len() + b.items.len())?;
            Ok(Value::List(Arc::new(a.plus(b))))
        }
        _ => Err(mismatch()),
    }
}

fn sum(context: &mut Context<'_>, args: &[Value], zero: Value) -> Outcome {
    let mut total = zero;
    for item in items(args, 0)? {
        context.charge(1)?;
        let added = match (&total, item) {
            (Value::Int(a), Value::Int(b)) => a.checked_add(*b).map(Value::Int),
            (Value::Uint(a), Value::Uint(b)) => a.checked_add(*b).map(Value::Uint),
            (Value::Double(a), Value::Double(b)) => Some(Value::Double(a + b)),
            (Value::Duration(a), Value::Duration(b)) => a.checked_add(*b).map(Value::Duration),
            _ => return Err(mismatch()),
        };
        total = added.ok_or_else(|| Error::other("integer overflow"))?;
    }
    Ok(total)
}

fn slice(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    let list = items(args, 0)?;
    let (start, end) = (int(args, 1)?, int(args, 2)?);
    let refused = |why: &str| Error::other(format!("cannot slice({start}, {end}), {why}"));
    let (Ok(from), Ok(to)) = (usize::try_from(start), usize::try_from(end)) else {
        return Err(refused("negative indexes not supported"));
    };
    if from > to {
        return Err(refused("start index must be less than or equal to end index"));
    }
    let found = list.get(from..to);
    let found = found.ok_or_else(|| refused(&format!("list is length {}", list.len())))?;
    context.charge(found.len())?;
    Ok(Value::from(found.to_vec()))
}

fn flatten(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    let depth = if args.len() > 1 { int(args, 1)? } else { 1 };
    if depth < 0 {
        return Err(Error::other("level must be non-negative"));
    }
    let mut list = items(args, 0)?.to_vec();
    for _ in 0..depth {
        let mut flat = Vec::with_capacity(list.len());
        let mut changed = false;
        for item in list {
            match item {
                Value::List(inner) => {
                    context.charge(inner.items.len() + 1)?;
                    changed = true;
                    flat.extend(inner.items.iter().cloned());
                }
                other => flat.push(other),
            }
        }
        list = flat;
        if !changed {
            break;
        }
    }
    context.charge_list(list.len())?;
    Ok(Value::from(list))
}

fn distinct(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    let List { items, kind } = match args {
        [Value::List(list)] => list.as_ref(),
        _ => return Err(mismatch()),
    };
    let mut unique: Vec<Value> = Vec::new();
    for item in items {
        context.charge(unique.len() + 1)?;
        if !unique.iter().any(|known| known.equals(item)) {
            unique.push(item.clone());
        }
    }
    Ok(Value::List(Arc::new(List { items: unique, kind: kind.clone() })))
}
