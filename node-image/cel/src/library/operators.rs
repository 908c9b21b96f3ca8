//! The operators. `&&`, `||`, `?:` and the optional selections are the evaluator's own; their rows say
//! only their types.

use std::cmp::Ordering;

use jiff::SignedDuration;
use jiff::civil::DateTime;

use super::list::concatenate;
use super::{Context, Outcome, Row, global, mismatch};
use crate::ast::operator::*;
use crate::cost::Cost;
use crate::error::Error;
use crate::value::{Key, Value};

pub(super) const ROWS: &[Row] = &[
    global(AND, "bool, bool -> bool", Cost::Nominal, evaluated),
    global(OR, "bool, bool -> bool", Cost::Nominal, evaluated),
    global(CONDITIONAL, "bool, A, A -> A", Cost::Nominal, evaluated),
    global(NOT_STRICTLY_FALSE, "bool -> bool", Cost::Nominal, evaluated),
    global(NOT, "bool -> bool", Cost::Nominal, |_, args| match args {
        [Value::Bool(value)] => Ok(Value::Bool(!value)),
        _ => Err(mismatch()),
    }),
    global(EQUALS, "A, A -> bool", Cost::Compare, |_, args| equals(args).map(Value::Bool)),
    global(NOT_EQUALS, "A, A -> bool", Cost::Compare, |_, args| {
        equals(args).map(|same| Value::Bool(!same))
    }),
    global(ADD, "bytes, bytes -> bytes", Cost::Concat, add),
    global(ADD, "double, double -> double", Cost::Nominal, add),
    global(ADD, "duration, duration -> duration", Cost::Nominal, add),
    global(ADD, "duration, timestamp -> timestamp", Cost::Nominal, add),
    global(ADD, "timestamp, duration -> timestamp", Cost::Nominal, add),
    global(ADD, "int, int -> int", Cost::Nominal, add),
    global(ADD, "list(A), list(A) -> list(A)", Cost::Append, concatenate),
    global(ADD, "string, string -> string", Cost::Concat, add),
    global(ADD, "uint, uint -> uint", Cost::Nominal, add),
    global(SUBTRACT, "double, double -> double", Cost::Nominal, subtract),
    global(SUBTRACT, "duration, duration -> duration", Cost::Nominal, subtract),
    global(SUBTRACT, "int, int -> int", Cost::Nominal, subtract),
    global(SUBTRACT, "timestamp, duration -> timestamp", Cost::Nominal, subtract),
    global(SUBTRACT, "timestamp, timestamp -> duration", Cost::Nominal, subtract),
    global(SUBTRACT, "uint, uint -> uint", Cost::Nominal, subtract),
    global(MULTIPLY, "double, double -> double", Cost::Nominal, multiply),
    global(MULTIPLY, "int, int -> int", Cost::Nominal, multiply),
    global(MULTIPLY, "uint, uint -> uint", Cost::Nominal, multiply),
    global(DIVIDE, "double, double -> double", Cost::Nominal, divide),
    global(DIVIDE, "int, int -> int", Cost::Nominal, divide),
    global(DIVIDE, "uint, uint -> uint", Cost::Nominal, divide),
    global(MODULO, "int, int -> int", Cost::Nominal, modulo),
    global(MODULO, "uint, uint -> uint", Cost::Nominal, modulo),
    global(NEGATE, "double -> double", Cost::Nominal, negate),
    global(NEGATE, "int -> int", Cost::Nominal, negate),
    global(INDEX, "list(A), int -> A", Cost::Nominal, index),
    global(INDEX, "map(A, B), A -> B", Cost::Nominal, index),
    global(INDEX, "optional(list(A)), int -> optional(A)", Cost::Nominal, evaluated),
    global(INDEX, "optional(map(A, B)), A -> optional(B)", Cost::Nominal, evaluated),
    global(OPTIONAL_INDEX, "list(A), int -> optional(A)", Cost::Nominal, evaluated),
    global(OPTIONAL_INDEX, "optional(list(A)), int -> optional(A)", Cost::Nominal, evaluated),
    global(OPTIONAL_INDEX, "map(A, B), A -> optional(B)", Cost::Nominal, evaluated),
    global(OPTIONAL_INDEX, "optional(map(A, B)), A -> optional(B)", Cost::Nominal, evaluated),
    global(IN, "A, list(A) -> bool", Cost::Search, is_in),
    global(IN, "A, map(A, B) -> bool", Cost::Nominal, is_in),
    global(MAP_INSERT, "map(A, B), A, B -> map(A, B)", Cost::Nominal, map_insert),
    global(MAP_INSERT, "map(A, B), map(A, B) -> map(A, B)", Cost::Nominal, map_merge),
];

macro_rules! comparisons {
    ($($name:ident $test:expr;)*) => {
        /// The comparisons, for every pair of types that has an order.
        pub(super) const COMPARISONS: &[Row] = &[$(
            global($name, "bool, bool -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "int, int -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "int, double -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "int, uint -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "uint, uint -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "uint, double -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "uint, int -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "double, double -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "double, int -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "double, uint -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "string, string -> bool", Cost::Compare, |_, args| compare(args, $test)),
            global($name, "bytes, bytes -> bool", Cost::Compare, |_, args| compare(args, $test)),
            global($name, "timestamp, timestamp -> bool", Cost::Nominal, |_, args| compare(args, $test)),
            global($name, "duration, duration -> bool", Cost::Nominal, |_, args| compare(args, $test)),
        )*];
    };
}

comparisons! {
    LESS Ordering::is_lt;
    LESS_EQUALS Ordering::is_le;
    GREATER Ordering::is_gt;
    GREATER_EQUALS Ordering::is_ge;
}

/// Of an operator that the evaluator does itself.
fn evaluated(_: &mut Context<'_>, _: &[Value]) -> Outcome {
    Err(mismatch())
}

fn equals(args: &[Value]) -> Result<bool, Error> {
    match args {
        [a, b] => Ok(a.equals(b)),
        _ => Err(mismatch()),
    }
}

fn compare(args: &[Value], test: fn(Ordering) -> bool) -> Outcome {
    match args {
        // What is no number is neither smaller nor larger.
        [a, b] => Ok(Value::Bool(a.compare(b).is_some_and(test))),
        _ => Err(mismatch()),
    }
}

fn overflow(what: &str) -> Error {
    Error::other(format!("{what} overflow"))
}

fn timestamp_plus(time: DateTime, nanoseconds: i64) -> Outcome {
    let sum = super::time::plus(time, SignedDuration::from_nanos(nanoseconds));
    sum.map(Value::Timestamp).ok_or_else(|| overflow("timestamp"))
}

fn add(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    use Value::{Bytes, Double, Duration, Int, String, Timestamp, Uint};
    match args {
        [Int(a), Int(b)] => a.checked_add(*b).map(Int).ok_or_else(|| overflow("integer")),
        [Uint(a), Uint(b)] => {
            a.checked_add(*b).map(Uint).ok_or_else(|| overflow("unsigned integer"))
        }
        [Double(a), Double(b)] => Ok(Double(a + b)),
        [String(a), String(b)] => {
            context.charge((a.len() + b.len()) / 64)?;
            Ok(Value::from(format!("{a}{b}")))
        }
        [Bytes(a), Bytes(b)] => {
            context.charge((a.len() + b.len()) / 64)?;
            Ok(Bytes(a.iter().chain(b.iter()).copied().collect()))
        }
        [Duration(a), Duration(b)] => {
            a.checked_add(*b).map(Duration).ok_or_else(|| overflow("duration"))
        }
        [Timestamp(time), Duration(span)] | [Duration(span), Timestamp(time)] => {
            timestamp_plus(*time, *span)
        }
        _ => Err(mismatch()),
    }
}

fn subtract(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    use Value::{Double, Duration, Int, Timestamp, Uint};
    match args {
        [Int(a), Int(b)] => a.checked_sub(*b).map(Int).ok_or_else(|| overflow("integer")),
        [Uint(a), Uint(b)] => {
            a.checked_sub(*b).map(Uint).ok_or_else(|| overflow("unsigned integer"))
        }
        [Double(a), Double(b)] => Ok(Double(a - b)),
        [Duration(a), Duration(b)] => {
            a.checked_sub(*b).map(Duration).ok_or_else(|| overflow("duration"))
        }
        [Timestamp(time), Duration(span)] => {
            timestamp_plus(*time, span.checked_neg().ok_or_else(|| overflow("timestamp"))?)
        }
        [Timestamp(a), Timestamp(b)] => {
            let nanoseconds = a.duration_since(*b).as_nanos();
            i64::try_from(nanoseconds).map(Duration).map_err(|_| overflow("duration"))
        }
        _ => Err(mismatch()),
    }
}

fn multiply(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    use Value::{Double, Int, Uint};
    match args {
        [Int(a), Int(b)] => a.checked_mul(*b).map(Int).ok_or_else(|| overflow("integer")),
        [Uint(a), Uint(b)] => {
            a.checked_mul(*b).map(Uint).ok_or_else(|| overflow("unsigned integer"))
        }
        [Double(a), Double(b)] => Ok(Double(a * b)),
        _ => Err(mismatch()),
    }
}

fn divide(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    use Value::{Double, Int, Uint};
    match args {
        [Int(_), Int(0)] | [Uint(_), Uint(0)] => Err(Error::other("division by zero")),
        [Int(a), Int(b)] => a.checked_div(*b).map(Int).ok_or_else(|| overflow("integer")),
        [Uint(a), Uint(b)] => Ok(Uint(a / b)),
        [Double(a), Double(b)] => Ok(Double(a / b)),
        _ => Err(mismatch()),
    }
}

fn modulo(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    use Value::{Int, Uint};
    match args {
        [Int(_), Int(0)] | [Uint(_), Uint(0)] => Err(Error::other("modulus by zero")),
        [Int(a), Int(b)] => a.checked_rem(*b).map(Int).ok_or_else(|| overflow("integer")),
        [Uint(a), Uint(b)] => Ok(Uint(a % b)),
        _ => Err(mismatch()),
    }
}

fn negate(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::Int(a)] => a.checked_neg().map(Value::Int).ok_or_else(|| overflow("integer")),
        [Value::Double(a)] => Ok(Value::Double(-a)),
        _ => Err(mismatch()),
    }
}

fn index(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [operand, key] => element(operand, key)?.ok_or_else(|| missing(operand, key)),
        _ => Err(mismatch()),
    }
}

/// The error of an index that finds nothing.
fn missing(operand: &Value, key: &Value) -> Error {
    match operand {
        Value::List(_) => Error::other(format!("index out of bounds: {}", plain(key))),
        _ => Error::NoSuchKey(plain(key)),
    }
}

/// A key as errors show it.
fn plain(value: &Value) -> String {
    match value {
        Value::Double(number) => number.to_string(),
        other => Key::of(other).map_or_else(|| format!("{other:?}"), |key| key.to_string()),
    }
}

/// The element of a list or map. `None` if there is none.
///
/// # Errors
/// If the operand has no elements, or the key is none for it.
pub(crate) fn element(operand: &Value, key: &Value) -> Result<Option<Value>, Error> {
    let found = match operand {
        Value::List(list) => {
            let Some(Key::Int(_) | Key::Uint(_)) = Key::lookup(key) else { return Err(mismatch()) };
            let place = match Key::lookup(key) {
                Some(Key::Int(place)) => usize::try_from(place).ok(),
                Some(Key::Uint(place)) => usize::try_from(place).ok(),
                _ => None,
            };
            place.and_then(|place| list.items.get(place)).cloned()
        }
        Value::Map(map) => {
            let key = Key::lookup(key).ok_or_else(mismatch)?;
            map.entries.get(&key).cloned()
        }
        Value::Fields(fields) => {
            let name = key.as_str().ok_or_else(mismatch)?;
            return fields.field(name).transpose();
        }
        _ => return Err(mismatch()),
    };
    found.map(Value::valid).transpose()
}

fn is_in(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [value, Value::List(list)] => {
            context.charge(list.items.len())?;
            Ok(Value::Bool(list.items.iter().any(|item| item.equals(value))))
        }
        [value, Value::Map(map)] => {
            let found = Key::lookup(value).is_some_and(|key| map.entries.contains_key(&key));
            Ok(Value::Bool(found))
        }
        _ => Err(mismatch()),
    }
}

fn map_insert(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::Map(map), key, value] => {
            let mut map = map.as_ref().clone();
            insert(&mut map, key, value.clone())?;
            Ok(Value::Map(map.into()))
        }
        _ => Err(mismatch()),
    }
}

/// Puts a new entry into a map.
///
/// # Errors
/// If the value is no key, or there is such an entry.
pub(crate) fn insert(map: &mut crate::value::Map, key: &Value, value: Value) -> Result<(), Error> {
    let key = Key::of(key).ok_or_else(|| Error::other("unsupported key type"))?;
    match map.entries.insert(key.clone(), value) {
        None => Ok(()),
        Some(_) => Err(Error::other(format!("insert failed: key {key} already exists"))),
    }
}

fn map_merge(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::Map(into), Value::Map(from)] => {
            context.charge(into.entries.len() + from.entries.len())?;
            let mut map = into.as_ref().clone();
            for (key, value) in &from.entries {
                insert(&mut map, &key.value(), value.clone())?;
            }
            Ok(Value::Map(map.into()))
        }
        _ => Err(mismatch()),
    }
}
