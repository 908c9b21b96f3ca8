//! Texts: the language's own functions and the extension, version 2.

use super::{Context, Outcome, Row, global, int, items, member, mismatch, text};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    member("contains", "string, string -> bool", Cost::Contains, |_, args| {
        Ok(Value::Bool(text(args, 0)?.contains(text(args, 1)?)))
    }),
    member("endsWith", "string, string -> bool", Cost::Affix, |_, args| {
        Ok(Value::Bool(text(args, 0)?.ends_with(text(args, 1)?)))
    }),
    member("startsWith", "string, string -> bool", Cost::Affix, |_, args| {
        Ok(Value::Bool(text(args, 0)?.starts_with(text(args, 1)?)))
    }),
    member("charAt", "string, int -> string", Cost::Nominal, char_at),
    member("indexOf", "string, string -> int", Cost::Scan, index_of),
    member("indexOf", "string, string, int -> int", Cost::Scan, index_of),
    member("lastIndexOf", "string, string -> int", Cost::Scan, last_index_of),
    member("lastIndexOf", "string, string, int -> int", Cost::Scan, last_index_of),
    member("lowerAscii", "string -> string", Cost::Copy, |_, args| {
        Ok(Value::from(text(args, 0)?.to_ascii_lowercase()))
    }),
    member("upperAscii", "string -> string", Cost::Copy, |_, args| {
        Ok(Value::from(text(args, 0)?.to_ascii_uppercase()))
    }),
    member("trim", "string -> string", Cost::Copy, |_, args| {
        Ok(Value::from(text(args, 0)?.trim()))
    }),
    member("replace", "string, string, string -> string", Cost::Replace, replace),
    member("replace", "string, string, string, int -> string", Cost::Replace, replace),
    member("split", "string, string -> list(string)", Cost::Split, split),
    member("split", "string, string, int -> list(string)", Cost::Split, split),
    member("substring", "string, int -> string", Cost::Copy, substring),
    member("substring", "string, int, int -> string", Cost::Copy, substring),
    member("join", "list(string) -> string", Cost::Join, join),
    member("join", "list(string), string -> string", Cost::Join, join),
    global("strings.quote", "string -> string", Cost::Quote, |_, args| {
        Ok(Value::from(quote(text(args, 0)?)))
    }),
];

/// The longest text that a function makes, in bytes.
const TEXT_MAX: usize = 64 << 20;

fn out_of_range(index: i64) -> Error {
    Error::other(format!("index out of range: {index}"))
}

/// The byte at which a character begins; the end counts as one.
fn offset(text: &str, index: i64) -> Result<usize, Error> {
    let place = usize::try_from(index).map_err(|_| out_of_range(index))?;
    let mut starts = text.char_indices().map(|(start, _)| start).chain([text.len()]);
    starts.nth(place).ok_or_else(|| out_of_range(index))
}

fn char_at(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let text = text(args, 0)?;
    let start = offset(text, int(args, 1)?)?;
    let found = text[start..].chars().next();
    Ok(Value::from(found.map_or(String::new(), String::from)))
}

fn characters(text: &str) -> i64 {
    text.chars().count() as i64
}

fn index_of(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (text, wanted) = (text(args, 0)?, text(args, 1)?);
    let from = if args.len() > 2 { int(args, 2)? } else { 0 };
    if wanted.is_empty() {
        return Ok(Value::Int(from));
    }
    let start = offset(text, from)?;
    let found = text[start..].find(wanted);
    Ok(Value::Int(found.map_or(-1, |place| characters(&text[..start + place]))))
}

fn last_index_of(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (text, wanted) = (text(args, 0)?, text(args, 1)?);
    let end = match args.len() {
        2 => text.len(),
        _ => offset(text, int(args, 2)?)?,
    };
    if wanted.is_empty() {
        return Ok(Value::Int(characters(&text[..end])));
    }
    // A match may begin at the last place, and reach beyond it.
    let reach = text.ceil_char_boundary(end + wanted.len());
    let found = text[..reach].rmatch_indices(wanted).map(|(place, _)| place).find(|p| *p <= end);
    Ok(Value::Int(found.map_or(-1, |place| characters(&text[..place]))))
}

fn replace(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (whole, from, to) = (text(args, 0)?, text(args, 1)?, text(args, 2)?);
    let count = if args.len() > 3 { int(args, 3)? } else { -1 };
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let places = match from.len() {
        0 => whole.chars().count() + 1,
        width => whole.len() / width,
    };
    let longest = places.min(limit).saturating_mul(to.len()).saturating_add(whole.len());
    if longest > TEXT_MAX {
        return Err(Error::CostLimit);
    }
    Ok(Value::from(whole.replacen(from, to, limit)))
}

fn split(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (text, separator) = (text(args, 0)?, text(args, 1)?);
    let count = if args.len() > 2 { int(args, 2)? } else { -1 };
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let parts: Vec<Value> = match (limit, separator) {
        (0, _) => Vec::new(),
        (1, _) => vec![Value::from(text)],
        (_, "") => split_characters(text, limit),
        _ => text.splitn(limit, separator).map(Value::from).collect(),
    };
    Ok(Value::from(parts))
}

fn split_characters(text: &str, limit: usize) -> Vec<Value> {
    let mut parts = Vec::new();
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        if parts.len() + 1 == limit {
            parts.push(Value::from(rest));
            break;
        }
        let (one, after) = rest.split_at(first.len_utf8());
        parts.push(Value::from(one));
        rest = after;
    }
    parts
}

fn substring(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let text = text(args, 0)?;
    let start = int(args, 1)?;
    let from = offset(text, start)?;
    if args.len() == 2 {
        return Ok(Value::from(&text[from..]));
    }
    let end = int(args, 2)?;
    let to = offset(text, end)?;
    match from <= to {
        true => Ok(Value::from(&text[from..to])),
        false => Err(Error::other(format!("invalid substring range. start: {start}, end: {end}"))),
    }
}

fn join(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let parts = items(args, 0)?;
    let separator = if args.len() > 1 { text(args, 1)? } else { "" };
    let texts: Vec<&str> =
        parts.iter().map(|part| part.as_str().ok_or_else(mismatch)).collect::<Result<_, _>>()?;
    let length = texts.iter().map(|text| text.len() + separator.len()).sum::<usize>();
    match length > TEXT_MAX {
        true => Err(Error::CostLimit),
        false => Ok(Value::from(texts.join(separator))),
    }
}

/// The text in double quotes, with escapes for what cannot stand in them.
pub(super) fn quote(text: &str) -> String {
    let mut quoted = String::with_capacity(text.len() + 2);
    quoted.push('"');
    for c in text.chars() {
        match c {
            '\u{7}' => quoted.push_str("\\a"),
            '\u{8}' => quoted.push_str("\\b"),
            '\u{c}' => quoted.push_str("\\f"),
            '\n' => quoted.push_str("\\n"),
            '\r' => quoted.push_str("\\r"),
            '\t' => quoted.push_str("\\t"),
            '\u{b}' => quoted.push_str("\\v"),
            '\\' => quoted.push_str("\\\\"),
            '"' => quoted.push_str("\\\""),
            other => quoted.push(other),
        }
    }
    quoted.push('"');
    quoted
}
