//! `resource.Quantity`: exact decimal amounts with suffixes (`100m`, `1.5Gi`, `2e3`), in upstream's
//! canonical form. An amount is an integer times a power of ten, rounded up to nanos.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which family of suffixes a quantity is written with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// `n u m "" k M G T P E`
    DecimalSi,
    /// `Ki Mi Gi Ti Pi Ei`
    BinarySi,
    /// `e3`
    DecimalExponent,
}

/// Why a text is no quantity; upstream's sentences.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum QuantityError {
    /// The shape is wrong.
    #[error(
        "quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'"
    )]
    Format,
    /// The digits are not a number.
    #[error("unable to parse numeric part of quantity")]
    Numeric,
    /// The suffix is unknown.
    #[error("unable to parse quantity's suffix")]
    Suffix,
}

/// An exact amount. Equality and order are those of the amount, whatever the format.
#[derive(Clone, Copy, Debug)]
pub struct Quantity {
    /// The amount in billionths, saturated at the bounds that upstream caps at.
    nanos: i128,
    format: Format,
}

const NANOS: i128 = 1_000_000_000;
/// Upstream caps every quantity at 2^63-1 units.
const NANOS_MAX: i128 = i64::MAX as i128 * NANOS;

const BINARY: [(&str, u32); 6] =
    [("Ki", 10), ("Mi", 20), ("Gi", 30), ("Ti", 40), ("Pi", 50), ("Ei", 60)];
const DECIMAL: [(&str, i32); 10] = [
    ("n", -9),
    ("u", -6),
    ("m", -3),
    ("", 0),
    ("k", 3),
    ("M", 6),
    ("G", 9),
    ("T", 12),
    ("P", 15),
    ("E", 18),
];

impl Quantity {
    /// Nothing.
    pub const ZERO: Quantity = Quantity { nanos: 0, format: Format::DecimalSi };

    /// So many whole units.
    pub fn new(value: i64, format: Format) -> Quantity {
        Quantity { nanos: i128::from(value) * NANOS, format }
    }

    /// So many thousandths.
    pub fn from_milli(value: i64, format: Format) -> Quantity {
        Quantity { nanos: i128::from(value) * (NANOS / 1000), format }
    }

    /// Reads a JSON value: a string, or a bare number as upstream also accepts.
    pub fn from_json(value: &serde_json::Value) -> Result<Quantity, QuantityError> {
        match value {
            serde_json::Value::String(text) => text.parse(),
            serde_json::Value::Number(number) => number.to_string().parse(),
            serde_json::Value::Null => Ok(Quantity::ZERO),
            _ => Err(QuantityError::Format),
        }
    }

    /// How it was written, and so how it is printed.
    pub fn format(&self) -> Format {
        self.format
    }

    /// Whole units, rounded up.
    pub fn value(&self) -> i64 {
        self.scaled_value(NANOS)
    }

    /// Thousandths, rounded up.
    pub fn milli_value(&self) -> i64 {
        self.scaled_value(NANOS / 1000)
    }

    fn scaled_value(&self, unit: i128) -> i64 {
        let up = self.nanos.div_euclid(unit) + i128::from(self.nanos.rem_euclid(unit) != 0);
        // Upstream rounds away from zero.
        let away = if self.nanos < 0 { -((-self.nanos + unit - 1) / unit) } else { up };
        i64::try_from(away).unwrap_or(if away < 0 { i64::MIN } else { i64::MAX })
    }

    /// As a floating-point number, for metrics and scores.
    pub fn as_f64(&self) -> f64 {
        self.nanos as f64 / NANOS as f64
    }

    /// Whether it is nothing.
    pub fn is_zero(&self) -> bool {
        self.nanos == 0
    }

    /// -1, 0 or 1.
    pub fn signum(&self) -> i32 {
        self.nanos.signum() as i32
    }

    /// Whether it is a whole number of units.
    pub fn is_whole(&self) -> bool {
        self.nanos % NANOS == 0
    }

    /// Whether it is a whole number of thousandths.
    pub fn is_whole_milli(&self) -> bool {
        self.nanos % (NANOS / 1000) == 0
    }

    /// Adds; zero takes the format of what is added, as upstream.
    pub fn add(&mut self, other: &Quantity) {
        self.take_format_when_zero(other);
        self.nanos = self.nanos.saturating_add(other.nanos).clamp(-NANOS_MAX, NANOS_MAX);
    }

    /// Subtracts; zero takes the format of what is subtracted.
    pub fn sub(&mut self, other: &Quantity) {
        self.take_format_when_zero(other);
        self.nanos = self.nanos.saturating_sub(other.nanos).clamp(-NANOS_MAX, NANOS_MAX);
    }

    fn take_format_when_zero(&mut self, other: &Quantity) {
        if self.is_zero() {
            self.format = other.format;
        }
    }

    /// Multiplies by a whole number.
    pub fn scale(&self, factor: i64) -> Quantity {
        let nanos = self.nanos.saturating_mul(i128::from(factor)).clamp(-NANOS_MAX, NANOS_MAX);
        Quantity { nanos, ..*self }
    }

    /// The negative.
    pub fn negated(&self) -> Quantity {
        Quantity { nanos: -self.nanos, ..*self }
    }

    fn print_binary(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = self.nanos / NANOS;
        let mut suffix = "";
        for (name, _) in BINARY {
            if number == 0 || number % 1024 != 0 {
                break;
            }
            number /= 1024;
            suffix = name;
        }
        write!(f, "{number}{suffix}")
    }

    fn print_decimal(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut number = self.nanos;
        let mut exponent = -9;
        while number != 0 && number % 1000 == 0 && exponent < 18 {
            number /= 1000;
            exponent += 3;
        }
        if number == 0 {
            return f.write_str("0");
        }
        if self.format == Format::DecimalExponent {
            return if exponent == 0 {
                write!(f, "{number}")
            } else {
                write!(f, "{number}e{exponent}")
            };
        }
        let suffix = DECIMAL.iter().find(|(_, power)| *power == exponent).map_or("", |(s, _)| s);
        write!(f, "{number}{suffix}")
    }
}

impl fmt::Display for Quantity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // Binary suffixes cannot say fractions, and below 1024 they add nothing.
        let binary =
            self.format == Format::BinarySi && self.is_whole() && self.nanos.abs() >= 1024 * NANOS;
        if binary { self.print_binary(f) } else { self.print_decimal(f) }
    }
}

impl FromStr for Quantity {
    type Err = QuantityError;

    fn from_str(text: &str) -> Result<Quantity, QuantityError> {
        if text.is_empty() {
            return Err(QuantityError::Format);
        }
        let unsigned = text.strip_prefix(['+', '-']).unwrap_or(text);
        let negative = text.starts_with('-');
        let end =
            unsigned.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(unsigned.len());
        let (number, suffix) = unsigned.split_at(end);
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if fraction.contains('.') || (whole.is_empty() && fraction.is_empty()) {
            return Err(QuantityError::Format);
        }
        let (multiplier, power, format) = parse_suffix(suffix)?;
        let magnitude = magnitude(whole, fraction, multiplier, power);
        Ok(Quantity { nanos: if negative { -magnitude } else { magnitude }, format })
    }
}

/// What a suffix multiplies with: a power of two, a power of ten.
fn parse_suffix(suffix: &str) -> Result<(u128, i32, Format), QuantityError> {
    if let Some((_, shift)) = BINARY.iter().find(|(name, _)| *name == suffix) {
        return Ok((1 << shift, 0, Format::BinarySi));
    }
    if let Some((_, power)) = DECIMAL.iter().find(|(name, _)| *name == suffix) {
        return Ok((1, *power, Format::DecimalSi));
    }
    match suffix.strip_prefix(['e', 'E']) {
        Some(exponent) => {
            let power: i32 = exponent.parse().map_err(|_| QuantityError::Suffix)?;
            Ok((1, power, Format::DecimalExponent))
        }
        None if suffix.bytes().all(|b| b"eEinumkKMGTP+-0123456789".contains(&b)) => {
            Err(QuantityError::Suffix)
        }
        None => Err(QuantityError::Format),
    }
}

/// The amount in nanos, rounded up, capped.
fn magnitude(whole: &str, fraction: &str, multiplier: u128, power: i32) -> i128 {
    let digits = format!("{whole}{fraction}");
    let digits = digits.trim_start_matches('0');
    if digits.is_empty() {
        return 0;
    }
    // nanos = digits * multiplier * 10^shift
    let shift = i64::from(power) + 9 - fraction.len() as i64;
    if digits.len() as i64 + shift > 40 {
        return NANOS_MAX;
    }
    if digits.len() as i64 + shift < -25 {
        return 1;
    }
    // More than 45 digits cannot change the outcome but for the rounding up.
    let (kept, dropped) = digits.split_at(digits.len().min(20));
    let rest = dropped.bytes().any(|b| b != b'0');
    let shift = shift + dropped.len() as i64;
    let Ok(kept) = kept.parse::<u128>() else { return NANOS_MAX };
    let Some(product) = kept.checked_mul(multiplier) else { return NANOS_MAX };
    let nanos = if shift >= 0 {
        let Some(factor) = 10u128.checked_pow(shift as u32) else { return NANOS_MAX };
        product.checked_mul(factor).map(|n| n + u128::from(rest))
    } else {
        match 10u128.checked_pow(shift.unsigned_abs() as u32) {
            Some(divisor) => Some(product / divisor + u128::from(product % divisor != 0 || rest)),
            None => Some(1),
        }
    };
    nanos.and_then(|n| i128::try_from(n).ok()).unwrap_or(NANOS_MAX).min(NANOS_MAX)
}

impl PartialEq for Quantity {
    fn eq(&self, other: &Quantity) -> bool {
        self.nanos == other.nanos
    }
}

impl Eq for Quantity {}

impl PartialOrd for Quantity {
    fn partial_cmp(&self, other: &Quantity) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Quantity {
    fn cmp(&self, other: &Quantity) -> Ordering {
        self.nanos.cmp(&other.nanos)
    }
}

impl Default for Quantity {
    fn default() -> Quantity {
        Quantity::ZERO
    }
}

impl Serialize for Quantity {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Quantity {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Quantity, D::Error> {
        let value = serde_json::Value::deserialize(deserializer)?;
        Quantity::from_json(&value).map_err(serde::de::Error::custom)
    }
}

/// Rewrites a quantity in place in its canonical form (`0.5` as `500m`); anything that is no
/// quantity stays as it is, for validation to refuse.
pub fn canonicalize(value: &mut serde_json::Value) {
    if !value.is_null()
        && let Ok(quantity) = Quantity::from_json(value)
    {
        *value = serde_json::Value::String(quantity.to_string());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_form() {
        let check = |text: &str, want: &str| {
            assert_eq!(text.parse::<Quantity>().unwrap().to_string(), want, "{text}");
        };
        for (text, want) in [
            ("0", "0"),
            ("0Ki", "0"),
            ("1", "1"),
            ("1000", "1k"),
            ("1024", "1024"),
            ("1024Ki", "1Mi"),
            ("1Ki", "1Ki"),
            ("0.5Gi", "512Mi"),
            ("1.5Gi", "1536Mi"),
            ("0.5", "500m"),
            ("0.1", "100m"),
            ("100m", "100m"),
            ("1000m", "1"),
            ("1500m", "1500m"),
            ("2e3", "2e3"),
            ("12e6", "12e6"),
            ("1E", "1E"),
            ("1e0", "1"),
            ("1.25e3", "1250"),
            ("-1.5", "-1500m"),
            ("+1", "1"),
            (".5", "500m"),
            ("1.", "1"),
            ("0.5Ki", "512"),
            ("0.25", "250m"),
            ("1n", "1n"),
            ("0.1n", "1n"),
            ("1u", "1u"),
            ("100000", "100k"),
            ("123456789", "123456789"),
            ("100Mi", "100Mi"),
            ("1000Ki", "1000Ki"),
            ("10240Gi", "10Ti"),
            ("99999999999999999999", "9223372036854775807"),
            ("0.001Ki", "1024m"),
        ] {
            check(text, want);
        }
    }

    #[test]
    fn refused() {
        let check = |text: &str, want: QuantityError| {
            assert_eq!(text.parse::<Quantity>().unwrap_err(), want, "{text}");
        };
        check("", QuantityError::Format);
        check("a", QuantityError::Format);
        check("1.2.3", QuantityError::Format);
        check("1 Gi", QuantityError::Format);
        check("1GiB", QuantityError::Format);
        check("1mi", QuantityError::Suffix);
        check("1Kii", QuantityError::Suffix);
        check("-", QuantityError::Format);
        check(".", QuantityError::Format);
    }

    #[test]
    fn values_round_up() {
        let check = |text: &str, value: i64, milli: i64| {
            let quantity: Quantity = text.parse().unwrap();
            assert_eq!((quantity.value(), quantity.milli_value()), (value, milli), "{text}");
        };
        check("100m", 1, 100);
        check("1500m", 2, 1500);
        check("1", 1, 1000);
        check("1n", 1, 1);
        check("-1500m", -2, -1500);
        check("1Ki", 1024, 1_024_000);
        check("8Ei", i64::MAX, i64::MAX);
    }

    #[test]
    fn arithmetic() {
        let mut sum: Quantity = "1Gi".parse().unwrap();
        sum.add(&"512Mi".parse().unwrap());
        assert_eq!(sum.to_string(), "1536Mi");
        sum.sub(&"1536Mi".parse().unwrap());
        assert!(sum.is_zero());
        sum.add(&"100m".parse().unwrap());
        assert_eq!(sum.to_string(), "100m");
        assert_eq!(sum.scale(20).to_string(), "2");
        let (a, b): (Quantity, Quantity) = ("1".parse().unwrap(), "1000m".parse().unwrap());
        assert_eq!(a, b);
        assert!(a < "1Ki".parse().unwrap());
    }
}
