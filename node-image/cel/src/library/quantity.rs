//! Amounts of resources, exact to a billionth.

use super::{Context, Opaque, Outcome, Row, global, int, member, mismatch, text};
use crate::cost::Cost;
use crate::error::Error;
use crate::types::opaque::QUANTITY;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    global("quantity", "string -> kubernetes.Quantity", Cost::Read, |_, args| {
        Quantity::parse(text(args, 0)?).map(value).map_err(Error::other)
    }),
    global("isQuantity", "string -> bool", Cost::Read, |_, args| {
        Ok(Value::Bool(Quantity::parse(text(args, 0)?).is_ok()))
    }),
    member("sign", "kubernetes.Quantity -> int", Cost::Nominal, |_, args| {
        Ok(Value::Int(quantity(args, 0)?.nano.signum() as i64))
    }),
    member("isGreaterThan", TWO_BOOL, Cost::Nominal, |_, args| {
        Ok(Value::Bool(quantity(args, 0)?.nano > quantity(args, 1)?.nano))
    }),
    member("isLessThan", TWO_BOOL, Cost::Nominal, |_, args| {
        Ok(Value::Bool(quantity(args, 0)?.nano < quantity(args, 1)?.nano))
    }),
    member(
        "compareTo",
        "kubernetes.Quantity, kubernetes.Quantity -> int",
        Cost::Nominal,
        |_, args| Ok(Value::Int(quantity(args, 0)?.nano.cmp(&quantity(args, 1)?.nano) as i64)),
    ),
    member("asApproximateFloat", "kubernetes.Quantity -> double", Cost::Nominal, |_, args| {
        Ok(Value::Double(quantity(args, 0)?.nano as f64 / NANO as f64))
    }),
    member("asInteger", "kubernetes.Quantity -> int", Cost::Nominal, |_, args| {
        let integer = quantity(args, 0)?.integer().map(Value::Int);
        integer.ok_or_else(|| Error::other("cannot convert value to integer"))
    }),
    member("isInteger", "kubernetes.Quantity -> bool", Cost::Nominal, |_, args| {
        Ok(Value::Bool(quantity(args, 0)?.integer().is_some()))
    }),
    member("add", TWO, Cost::Nominal, |context, args| combine(context, args, i128::saturating_add)),
    member("add", WITH_INT, Cost::Nominal, |context, args| {
        combine(context, args, i128::saturating_add)
    }),
    member("sub", TWO, Cost::Nominal, |context, args| combine(context, args, i128::saturating_sub)),
    member("sub", WITH_INT, Cost::Nominal, |context, args| {
        combine(context, args, i128::saturating_sub)
    }),
];

const TWO: &str = "kubernetes.Quantity, kubernetes.Quantity -> kubernetes.Quantity";
const TWO_BOOL: &str = "kubernetes.Quantity, kubernetes.Quantity -> bool";
const WITH_INT: &str = "kubernetes.Quantity, int -> kubernetes.Quantity";

const NANO: i128 = 1_000_000_000;

/// An amount.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quantity {
    /// In billionths.
    pub(crate) nano: i128,
    /// Whether it was written in thousandths or less: upstream then sees no integer in it.
    fractional: bool,
}

/// Suffixes and what they multiply by, in billionths.
const SUFFIXES: &[(&str, i128)] = &[
    ("Ki", NANO << 10),
    ("Mi", NANO << 20),
    ("Gi", NANO << 30),
    ("Ti", NANO << 40),
    ("Pi", NANO << 50),
    ("Ei", NANO << 60),
    ("n", 1),
    ("u", 1_000),
    ("m", 1_000_000),
    ("", NANO),
    ("k", NANO * 1_000),
    ("M", NANO * 1_000_000),
    ("G", NANO * 1_000_000_000),
    ("T", NANO * 1_000_000_000_000),
    ("P", NANO * 1_000_000_000_000_000),
    ("E", NANO * 1_000_000_000_000_000_000),
];

const MALFORMED: &str =
    "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'";
const BAD_SUFFIX: &str = "unable to parse quantity's suffix";

impl Quantity {
    fn parse(text: &str) -> Result<Quantity, &'static str> {
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let end =
            unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
            return Err(MALFORMED);
        }
        let unit = unit(suffix)?;
        let mut nano = amount(whole, fraction, unit);
        if text.starts_with('-') {
            nano = -nano;
        }
        Ok(Quantity { nano, fractional: matches!(suffix, "n" | "u" | "m") })
    }

    /// The whole number that it is.
    fn integer(&self) -> Option<i64> {
        let whole = self.nano % NANO == 0 && !self.fractional;
        whole.then(|| i64::try_from(self.nano / NANO).ok()).flatten()
    }
}

/// What a suffix or exponent multiplies by, in billionths.
fn unit(suffix: &str) -> Result<i128, &'static str> {
    if let Some((_, unit)) = SUFFIXES.iter().find(|(name, _)| *name == suffix) {
        return Ok(*unit);
    }
    let digits = suffix.strip_prefix(['e', 'E']).ok_or(BAD_SUFFIX)?;
    let exponent: i32 = digits.parse().map_err(|_| BAD_SUFFIX)?;
    match exponent {
        0.. => Ok(10_i128
            .checked_pow(exponent.min(28) as u32)
            .map_or(i128::MAX, |power| power.saturating_mul(NANO))),
        -9..0 => Ok(NANO / 10_i128.pow(exponent.unsigned_abs())),
        _ => Ok(0),
    }
}

/// A number times its unit; what is less than a billionth counts as one.
fn amount(whole: &str, fraction: &str, unit: i128) -> i128 {
    let digit = |byte: u8| i128::from(byte - b'0');
    let mut total: i128 = 0;
    for byte in whole.bytes() {
        total = total.saturating_mul(10).saturating_add(digit(byte));
    }
    total = total.saturating_mul(unit);
    let mut scale = unit;
    let mut remainder = 0;
    for byte in fraction.bytes().take(40) {
        remainder |= digit(byte) * (scale % 10);
        scale /= 10;
        total = total.saturating_add(digit(byte) * scale);
        remainder |= if scale == 0 { digit(byte) } else { 0 };
    }
    total.saturating_add(i128::from(remainder != 0))
}

fn value(quantity: Quantity) -> Value {
    debug_assert_eq!(Opaque::Quantity(quantity).type_name(), QUANTITY);
    Value::Opaque(Opaque::Quantity(quantity))
}

fn quantity(args: &[Value], index: usize) -> Result<Quantity, Error> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Quantity(quantity))) => Ok(*quantity),
        _ => Err(mismatch()),
    }
}

fn combine(_: &mut Context<'_>, args: &[Value], operation: fn(i128, i128) -> i128) -> Outcome {
    let first = quantity(args, 0)?;
    let second = match args.get(1) {
        Some(Value::Int(_)) => {
            Quantity { nano: i128::from(int(args, 1)?) * NANO, fractional: false }
        }
        _ => quantity(args, 1)?,
    };
    let nano = operation(first.nano, second.nano);
    Ok(value(Quantity { nano, fractional: first.fractional || second.fractional }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_exact() {
        let check = |text: &str, expect: Option<i128>| {
            assert_eq!(Quantity::parse(text).ok().map(|q| q.nano), expect, "{text}");
        };
        check("1", Some(NANO));
        check("-1.5", Some(-1_500_000_000));
        check("1Ki", Some(1024 * NANO));
        check("1.5Gi", Some(1_610_612_736 * NANO));
        check("100m", Some(100_000_000));
        check("1e3", Some(1_000 * NANO));
        check("1E3", Some(1_000 * NANO));
        check("1e-3", Some(1_000_000));
        check("0.0000000001", Some(1));
        check("0.1n", Some(1));
        check(".5", Some(500_000_000));
        check("", None);
        check("-", None);
        check(".", None);
        check("1.2.3", None);
        check("1x", None);
        check("1 Ki", None);
        check("1e", None);
        assert!(Quantity::parse(&"9".repeat(400)).is_ok());
        assert!(Quantity::parse("1e999999").is_ok());
    }
}
