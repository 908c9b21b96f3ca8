//! Sizes and conversions between the basic types.

use std::net::IpAddr;

use super::{Context, Opaque, Outcome, Row, global, member, mismatch, time};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    global("size", "bytes -> int", Cost::Nominal, size),
    global("size", "list(A) -> int", Cost::Nominal, size),
    global("size", "map(A, B) -> int", Cost::Nominal, size),
    global("size", "string -> int", Cost::Nominal, size),
    member("size", "bytes -> int", Cost::Nominal, size),
    member("size", "list(A) -> int", Cost::Nominal, size),
    member("size", "map(A, B) -> int", Cost::Nominal, size),
    member("size", "string -> int", Cost::Nominal, size),
    global("type", "A -> type(A)", Cost::Nominal, |_, args| match args {
        [value] => Ok(Value::Type(value.type_of())),
        _ => Err(mismatch()),
    }),
    global("dyn", "A -> dyn", Cost::Nominal, same),
    global("bool", "bool -> bool", Cost::Nominal, same),
    global("bool", "string -> bool", Cost::Nominal, to_bool),
    global("bytes", "bytes -> bytes", Cost::Nominal, same),
    global("bytes", "string -> bytes", Cost::ToBytes, to_bytes),
    global("double", "double -> double", Cost::Nominal, same),
    global("double", "int -> double", Cost::Nominal, to_double),
    global("double", "string -> double", Cost::Nominal, to_double),
    global("double", "uint -> double", Cost::Nominal, to_double),
    global("int", "int -> int", Cost::Nominal, same),
    global("int", "double -> int", Cost::Nominal, to_int),
    global("int", "duration -> int", Cost::Nominal, to_int),
    global("int", "string -> int", Cost::Nominal, to_int),
    global("int", "timestamp -> int", Cost::Nominal, to_int),
    global("int", "uint -> int", Cost::Nominal, to_int),
    global("uint", "uint -> uint", Cost::Nominal, same),
    global("uint", "double -> uint", Cost::Nominal, to_uint),
    global("uint", "int -> uint", Cost::Nominal, to_uint),
    global("uint", "string -> uint", Cost::Nominal, to_uint),
    global("string", "string -> string", Cost::Nominal, same),
    global("string", "bool -> string", Cost::Nominal, to_string),
    global("string", "bytes -> string", Cost::FromBytes, to_string),
    global("string", "double -> string", Cost::Nominal, to_string),
    global("string", "duration -> string", Cost::Nominal, to_string),
    global("string", "int -> string", Cost::Nominal, to_string),
    global("string", "timestamp -> string", Cost::Nominal, to_string),
    global("string", "uint -> string", Cost::Nominal, to_string),
    global("string", "net.IP -> string", Cost::Nominal, to_string),
    global("string", "net.CIDR -> string", Cost::Nominal, to_string),
];

fn same(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    args.first().cloned().ok_or_else(mismatch)
}

fn size(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [value @ (Value::String(_) | Value::Bytes(_) | Value::List(_) | Value::Map(_))] => {
            Ok(Value::Int(value.size() as i64))
        }
        _ => Err(mismatch()),
    }
}

fn unconvertible(text: &str, to: &str) -> Error {
    Error::other(format!("type conversion error from '{text}' to '{to}'"))
}

fn to_bool(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let text = super::text(args, 0)?;
    match text {
        "true" | "TRUE" | "True" | "t" | "1" => Ok(Value::Bool(true)),
        "false" | "FALSE" | "False" | "f" | "0" => Ok(Value::Bool(false)),
        _ => Err(unconvertible(text, "bool")),
    }
}

fn to_bytes(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    Ok(Value::Bytes(super::text(args, 0)?.as_bytes().into()))
}

fn to_double(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    match args {
        [Value::Int(number)] => Ok(Value::Double(*number as f64)),
        [Value::Uint(number)] => Ok(Value::Double(*number as f64)),
        [Value::String(text)] => {
            text.parse().map(Value::Double).map_err(|_| unconvertible(text, "double"))
        }
        _ => Err(mismatch()),
    }
}

fn to_int(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let overflow = || Error::other("integer overflow");
    match args {
        [Value::Double(number)] => {
            // The bounds themselves are refused: they cannot be told from what lies beyond them.
            let in_range = *number > i64::MIN as f64 && *number < i64::MAX as f64;
            in_range.then_some(Value::Int(*number as i64)).ok_or_else(overflow)
        }
        [Value::Uint(number)] => i64::try_from(*number).map(Value::Int).map_err(|_| overflow()),
        [Value::Duration(nanoseconds)] => Ok(Value::Int(*nanoseconds)),
        [Value::Timestamp(point)] => Ok(Value::Int(time::seconds(*point))),
        [Value::String(text)] => {
            text.parse().map(Value::Int).map_err(|_| unconvertible(text, "int"))
        }
        _ => Err(mismatch()),
    }
}

fn to_uint(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let overflow = || Error::other("unsigned integer overflow");
    match args {
        [Value::Double(number)] => {
            let in_range = *number >= 0.0 && *number < u64::MAX as f64;
            in_range.then_some(Value::Uint(*number as u64)).ok_or_else(overflow)
        }
        [Value::Int(number)] => u64::try_from(*number).map(Value::Uint).map_err(|_| overflow()),
        [Value::String(text)] => {
            text.parse().map(Value::Uint).map_err(|_| unconvertible(text, "uint"))
        }
        _ => Err(mismatch()),
    }
}

fn to_string(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let text = match args {
        [Value::Bool(value)] => value.to_string(),
        [Value::Int(number)] => number.to_string(),
        [Value::Uint(number)] => number.to_string(),
        [Value::Double(number)] => double_text(*number),
        [Value::Duration(nanoseconds)] => time::duration_text(*nanoseconds),
        [Value::Timestamp(point)] => time::timestamp_text(*point),
        [Value::Bytes(bytes)] => String::from_utf8(bytes.to_vec())
            .map_err(|_| Error::other("invalid UTF-8 in bytes, cannot convert to string"))?,
        [Value::Opaque(Opaque::Ip(address))] => address_text(*address),
        [Value::Opaque(Opaque::Cidr(cidr))] => cidr.to_string(),
        _ => return Err(mismatch()),
    };
    Ok(Value::from(text))
}

pub(super) fn address_text(address: IpAddr) -> String {
    address.to_string()
}

/// The shortest text of a number, with an exponent if that is below -4 or above 20, as Go writes it.
pub(super) fn double_text(number: f64) -> String {
    if number.is_nan() {
        return "NaN".into();
    }
    if number.is_infinite() {
        return if number > 0.0 { "+Inf".into() } else { "-Inf".into() };
    }
    let scientific = format!("{number:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return scientific };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if (-4..21).contains(&exponent) {
        return number.to_string();
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.abs())
}
