//! The values of literals.

use crate::value::Value;

/// How many characters the escape sequence at the start has. `None` if it is no known one.
pub(super) fn escape_length(chars: &[char]) -> Option<usize> {
    let digits = |count: usize, radix: u32| {
        let digits = chars.get(2..2 + count)?;
        digits.iter().all(|c| c.is_digit(radix)).then_some(2 + count)
    };
    match chars.get(1)? {
        'a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '"' | '\'' | '\\' | '?' | '`' => Some(2),
        'x' | 'X' => digits(2, 16),
        'u' => digits(4, 16),
        'U' => digits(8, 16),
        '0'..='3' => digits(2, 8),
        _ => None,
    }
}

/// The value of a string or bytes literal as it is written, with prefix and quotes.
pub(super) fn text(literal: &str) -> Result<Value, &'static str> {
    let is_prefix = |c: char| matches!(c, 'b' | 'B' | 'r' | 'R');
    let quoted = literal.trim_start_matches(is_prefix);
    let prefix = literal[..literal.len() - quoted.len()].to_ascii_lowercase();
    let quote = &quoted[..1];
    let triple = quoted.len() >= 6 && quoted.starts_with(&quote.repeat(3));
    let width = if triple { 3 } else { 1 };
    let inner = quoted[width..quoted.len() - width].replace("\r\n", "\n").replace('\r', "\n");
    let is_bytes = prefix.contains('b');
    let bytes = match prefix.contains('r') {
        true => inner.into_bytes(),
        false => unescape(&inner.chars().collect::<Vec<char>>(), is_bytes)?,
    };
    match is_bytes {
        true => Ok(Value::Bytes(bytes.into())),
        false => Ok(Value::from(String::from_utf8_lossy(&bytes).into_owned())),
    }
}

fn unescape(chars: &[char], is_bytes: bool) -> Result<Vec<u8>, &'static str> {
    let mut bytes = Vec::with_capacity(chars.len());
    let mut push = |c: char| bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    let mut raw_bytes = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        let length = if chars[at] == '\\' { escape_length(&chars[at..]) } else { None };
        let Some(length) = length else {
            push(chars[at]);
            at += 1;
            continue;
        };
        match escaped(&chars[at..at + length], is_bytes)? {
            Escaped::Char(c) => push(c),
            // A byte is kept as a character of the private range until the end.
            Escaped::Byte(byte) => {
                raw_bytes.push(byte);
                push('\u{10ffff}');
            }
        }
        at += length;
    }
    Ok(restore(bytes, &raw_bytes))
}

/// Puts the bytes that no character stands for in their places.
fn restore(bytes: Vec<u8>, raw: &[u8]) -> Vec<u8> {
    const MARK: &[u8] = "\u{10ffff}".as_bytes();
    if raw.is_empty() {
        return bytes;
    }
    let mut raw = raw.iter();
    let mut restored = Vec::with_capacity(bytes.len());
    let mut rest = bytes.as_slice();
    while let Some((first, after)) = rest.split_first() {
        match rest.strip_prefix(MARK) {
            Some(after_mark) => {
                restored.extend(raw.next());
                rest = after_mark;
            }
            None => {
                restored.push(*first);
                rest = after;
            }
        }
    }
    restored
}

enum Escaped {
    Char(char),
    Byte(u8),
}

fn escaped(sequence: &[char], is_bytes: bool) -> Result<Escaped, &'static str> {
    let number = |from: usize, radix: u32| {
        let digits: String = sequence[from..].iter().collect();
        u32::from_str_radix(&digits, radix).map_err(|_| "invalid escape sequence")
    };
    let simple = match sequence[1] {
        'a' => '\u{7}',
        'b' => '\u{8}',
        'f' => '\u{c}',
        'n' => '\n',
        'r' => '\r',
        't' => '\t',
        'v' => '\u{b}',
        'x' | 'X' => return code_unit(number(2, 16)?, is_bytes),
        'u' | 'U' if is_bytes => return Err("unable to unescape string"),
        'u' | 'U' => {
            let point = char::from_u32(number(2, 16)?);
            return point.map(Escaped::Char).ok_or("invalid unicode code point");
        }
        '0'..='3' => return code_unit(number(1, 8)?, is_bytes),
        other => other,
    };
    Ok(Escaped::Char(simple))
}

/// `\x` and octal escapes mean a byte in bytes and a code point in strings.
fn code_unit(number: u32, is_bytes: bool) -> Result<Escaped, &'static str> {
    let byte = u8::try_from(number).map_err(|_| "invalid escape sequence")?;
    Ok(if is_bytes { Escaped::Byte(byte) } else { Escaped::Char(char::from(byte)) })
}

/// An integer as it is written, perhaps with a minus before it.
pub(super) fn int(text: &str, negative: bool) -> Option<i64> {
    let sign = if negative { "-" } else { "" };
    match text.strip_prefix("0x") {
        Some(digits) => i64::from_str_radix(&format!("{sign}{digits}"), 16).ok(),
        None => format!("{sign}{text}").parse().ok(),
    }
}

/// An unsigned integer as it is written, without its suffix.
pub(super) fn uint(text: &str) -> Option<u64> {
    match text.strip_prefix("0x") {
        Some(digits) => u64::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

/// A floating point number as it is written.
pub(super) fn double(text: &str, negative: bool) -> Option<f64> {
    let number: f64 = text.parse().ok()?;
    number.is_finite().then_some(if negative { -number } else { number })
}
