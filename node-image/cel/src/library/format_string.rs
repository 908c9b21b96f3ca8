//! `'…%s…'.format([…])`.

use super::conversion::double_text;
use super::{Context, Opaque, Outcome, Row, items, member, text, time};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::{Key, Map, Value};

pub(super) const ROWS: &[Row] =
    &[member("format", "string, list(dyn) -> string", Cost::Read, |context, args| {
        format(context, text(args, 0)?, items(args, 1)?)
    })];

/// Digits after the point, if nothing else is said.
const PRECISION: usize = 6;
const PRECISION_MAX: usize = 1_000;
/// The longest result, in bytes.
const LENGTH_MAX: usize = 16 << 20;

fn format(context: &mut Context<'_>, template: &str, args: &[Value]) -> Outcome {
    let mut result = String::with_capacity(template.len());
    let mut args_left = args.iter().enumerate();
    let mut rest = template;
    while let Some((before, after)) = rest.split_once('%') {
        result.push_str(before);
        if let Some(after) = after.strip_prefix('%') {
            result.push('%');
            rest = after;
            continue;
        }
        let out_of_range = || Error::other(format!("index {} out of range", args.len()));
        let (_, arg) = args_left.next().ok_or_else(out_of_range)?;
        if after.is_empty() {
            return Err(Error::other("unexpected end of string"));
        }
        let (clause, after) = Clause::read(after)
            .map_err(|why| Error::other(format!("could not parse formatting clause: {why}")))?;
        let shown = clause
            .show(arg)
            .map_err(|why| Error::other(format!("error during formatting: {why}")))?;
        context.charge(shown.len() / 64)?;
        result.push_str(&shown);
        if result.len() > LENGTH_MAX {
            return Err(Error::CostLimit);
        }
        rest = after;
    }
    result.push_str(rest);
    Ok(Value::from(result))
}

struct Clause {
    letter: char,
    precision: usize,
}

impl Clause {
    /// The clause at the start, and what follows.
    fn read(text: &str) -> Result<(Clause, &str), String> {
        let mut precision = PRECISION;
        let mut rest = text;
        if let Some(digits) = text.strip_prefix('.') {
            let end = digits.find(|c: char| !c.is_ascii_digit());
            let end = end.ok_or(
                "error while parsing precision: could not find end of precision specifier",
            )?;
            let number = &digits[..end];
            precision = number.parse().ok().filter(|p| *p <= PRECISION_MAX).ok_or_else(|| {
                format!(
                    "error while parsing precision: error while converting precision to integer: strconv.Atoi: parsing {number:?}: invalid syntax"
                )
            })?;
            rest = &digits[end..];
        }
        let letter = rest.chars().next().unwrap_or('%');
        match "sdfebxXo".contains(letter) {
            true => Ok((Clause { letter, precision }, &rest[1..])),
            false => Err(format!("unrecognized formatting clause \"{letter}\"")),
        }
    }

    fn show(&self, arg: &Value) -> Result<String, String> {
        let refused = |what: &str| Err(format!("{what}, was given {}", arg.type_of().name()));
        match (self.letter, arg) {
            ('s', _) => show_string(arg),
            ('d', Value::Int(number)) => Ok(number.to_string()),
            ('d', Value::Uint(number)) => Ok(number.to_string()),
            ('d', _) => refused("decimal clause can only be used on integers"),
            ('f' | 'e', _) => self.show_double(arg),
            ('b', Value::Int(number)) => Ok(signed(*number, |n| format!("{n:b}"))),
            ('b', Value::Uint(number)) => Ok(format!("{number:b}")),
            ('b', Value::Bool(value)) => Ok(u8::from(*value).to_string()),
            ('b', _) => refused("only integers and bools can be formatted as binary"),
            ('o', Value::Int(number)) => Ok(signed(*number, |n| format!("{n:o}"))),
            ('o', Value::Uint(number)) => Ok(format!("{number:o}")),
            ('o', _) => refused("octal clause can only be used on integers"),
            (letter, _) => show_hexadecimal(letter, arg).map_or_else(
                || refused("only integers, byte buffers, and strings can be formatted as hex"),
                Ok,
            ),
        }
    }

    fn show_double(&self, arg: &Value) -> Result<String, String> {
        let number = match arg {
            Value::Double(number) => *number,
            Value::String(text) if &**text == "NaN" => f64::NAN,
            Value::String(text) if &**text == "Infinity" => f64::INFINITY,
            Value::String(text) if &**text == "-Infinity" => f64::NEG_INFINITY,
            other => {
                let what = if self.letter == 'f' { "fixed-point" } else { "scientific" };
                let given = other.type_of();
                return Err(format!(
                    "{what} clause can only be used on doubles, was given {}",
                    given.name()
                ));
            }
        };
        if number.is_nan() {
            return Ok("NaN".into());
        }
        if number.is_infinite() {
            return Ok(if number > 0.0 { "∞".into() } else { "-∞".into() });
        }
        match self.letter {
            'f' => Ok(grouped(&format!("{number:.*}", self.precision))),
            _ => Ok(scientific(number, self.precision)),
        }
    }
}

fn signed(number: i64, show: fn(u64) -> String) -> String {
    let sign = if number < 0 { "-" } else { "" };
    format!("{sign}{}", show(number.unsigned_abs()))
}

fn show_hexadecimal(letter: char, arg: &Value) -> Option<String> {
    let bytes = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    let shown = match arg {
        Value::Int(number) => signed(*number, |n| format!("{n:x}")),
        Value::Uint(number) => format!("{number:x}"),
        Value::String(text) => bytes(text.as_bytes()),
        Value::Bytes(value) => bytes(value),
        _ => return None,
    };
    Some(if letter == 'X' { shown.to_uppercase() } else { shown })
}

/// Thousands apart, as English does it.
fn grouped(number: &str) -> String {
    let (sign, number) = match number.strip_prefix('-') {
        Some(rest) => ("-", rest),
        None => ("", number),
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let mut result = sign.to_owned();
    for (index, digit) in whole.chars().enumerate() {
        if index > 0 && (whole.len() - index) % 3 == 0 {
            result.push(',');
        }
        result.push(digit);
    }
    if !fraction.is_empty() {
        result.push('.');
        result.push_str(fraction);
    }
    result
}

/// A number times a power of ten, with narrow spaces around the sign and a raised exponent.
fn scientific(number: f64, precision: usize) -> String {
    const RAISED: [char; 10] = ['⁰', '¹', '²', '³', '⁴', '⁵', '⁶', '⁷', '⁸', '⁹'];
    let plain = format!("{number:.precision$e}");
    let Some((digits, exponent)) = plain.split_once('e') else { return plain };
    let (sign, exponent) = match exponent.strip_prefix('-') {
        Some(rest) => ("⁻", rest),
        None => ("", exponent),
    };
    let raised: String = format!("{exponent:0>2}")
        .bytes()
        .filter_map(|digit| RAISED.get(usize::from(digit.wrapping_sub(b'0'))))
        .collect();
    format!("{digits}\u{202f}×\u{202f}10{sign}{raised}")
}

fn show_string(arg: &Value) -> Result<String, String> {
    Ok(match arg {
        Value::Null => "null".to_owned(),
        Value::Bool(value) => value.to_string(),
        Value::Int(number) => number.to_string(),
        Value::Uint(number) => number.to_string(),
        Value::Double(number) => double_text(*number),
        Value::String(text) => text.to_string(),
        Value::Bytes(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        Value::Duration(nanoseconds) => time::duration_text(*nanoseconds),
        Value::Timestamp(time) => time::timestamp_text(*time),
        Value::Type(type_) => type_.name().to_owned(),
        Value::List(list) => {
            let shown: Result<Vec<String>, String> = list.items.iter().map(show_inner).collect();
            format!("[{}]", shown?.join(", "))
        }
        Value::Map(map) => show_map(map)?,
        other => {
            let what = "string clause can only be used on strings, bools, bytes, ints, doubles, maps, lists, types, durations, and timestamps";
            return Err(format!("{what}, was given {}", other.type_of().name()));
        }
    })
}

fn show_map(map: &Map) -> Result<String, String> {
    let mut entries = Vec::with_capacity(map.entries.len());
    for (key, value) in &map.entries {
        let key = match key {
            Key::String(text) => format!("{text:?}"),
            other => other.to_string(),
        };
        entries.push((key, show_inner(value)?));
    }
    entries.sort_by(|a, b| a.0.cmp(&b.0));
    let entries: Vec<String> =
        entries.iter().map(|(key, value)| format!("{key}:{value}")).collect();
    Ok(format!("{{{}}}", entries.join(", ")))
}

/// An element of a list or map: as a literal of it is written.
fn show_inner(value: &Value) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(format!("{text:?}")),
        Value::Bytes(_) => show_string(value).map(|text| format!("b{text:?}")),
        Value::Timestamp(_) => show_string(value).map(|text| format!("timestamp({text:?})")),
        Value::Duration(_) => show_string(value).map(|text| format!("duration({text:?})")),
        Value::Double(number) if number.is_finite() => Ok(format!("{number:.PRECISION$}")),
        Value::Double(_) => show_string(value).map(|text| format!("{text:?}")),
        Value::Opaque(opaque) => Err(no_function(opaque)),
        other => show_string(other),
    }
}

fn no_function(opaque: &Opaque) -> String {
    format!("no formatting function for {}", opaque.type_name())
}
