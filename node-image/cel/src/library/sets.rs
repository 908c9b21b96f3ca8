//! Lists as sets.

use super::{Context, Outcome, Row, global, items};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    global("sets.contains", "list(A), list(A) -> bool", Cost::Sets(1), |context, args| {
        contains(context, items(args, 0)?, items(args, 1)?).map(Value::Bool)
    }),
    global("sets.equivalent", "list(A), list(A) -> bool", Cost::Sets(2), equivalent),
    global("sets.intersects", "list(A), list(A) -> bool", Cost::Sets(1), |context, args| {
        let (a, b) = (items(args, 0)?, items(args, 1)?);
        context.charge(a.len().saturating_mul(b.len()))?;
        Ok(Value::Bool(a.iter().any(|item| b.iter().any(|other| other.equals(item)))))
    }),
];

fn contains(context: &mut Context<'_>, all: &[Value], some: &[Value]) -> Result<bool, Error> {
    context.charge(all.len().saturating_mul(some.len()))?;
    Ok(some.iter().all(|item| all.iter().any(|other| other.equals(item))))
}

fn equivalent(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (a, b) = (items(args, 0)?, items(args, 1)?);
    Ok(Value::Bool(contains(context, a, b)? && contains(context, b, a)?))
}
