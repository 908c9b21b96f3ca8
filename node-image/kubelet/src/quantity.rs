//! Reading resource quantities (`100m`, `1.5Gi`, `2e3`) as whole numbers, rounded up as upstream's
//! accessors do.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::api::resource::Quantity;

/// A list of resources as the API writes it.
pub type Resources = BTreeMap<String, Quantity>;

/// The value in thousandths.
pub fn milli(quantity: &Quantity) -> i64 {
    parse(&quantity.0).map_or(0, |nano| ceil_div(nano, 1_000_000))
}

/// The value in ones.
pub fn whole(quantity: &Quantity) -> i64 {
    parse(&quantity.0).map_or(0, |nano| ceil_div(nano, 1_000_000_000))
}

/// CPU of a list in thousandths of a core, if named.
pub fn cpu_milli(list: Option<&Resources>) -> Option<i64> {
    list.and_then(|l| l.get("cpu")).map(milli)
}

/// Memory of a list in bytes, if named.
pub fn memory_bytes(list: Option<&Resources>) -> Option<i64> {
    list.and_then(|l| l.get("memory")).map(whole)
}

/// The amount of any resource in its accounting unit: thousandths for CPU, ones otherwise.
pub fn amount(name: &str, quantity: &Quantity) -> i64 {
    match name {
        "cpu" => milli(quantity),
        _ => whole(quantity),
    }
}

/// The inverse of [`amount`].
pub fn from_amount(name: &str, amount: i64) -> Quantity {
    match name {
        "cpu" if amount % 1000 != 0 => Quantity(format!("{amount}m")),
        "cpu" => Quantity((amount / 1000).to_string()),
        "memory" | "ephemeral-storage" => Quantity(binary(amount)),
        _ => Quantity(amount.to_string()),
    }
}

/// Bytes in the largest binary unit that divides them.
fn binary(bytes: i64) -> String {
    const UNITS: [(&str, i64); 4] =
        [("Ti", 1 << 40), ("Gi", 1 << 30), ("Mi", 1 << 20), ("Ki", 1 << 10)];
    for (suffix, unit) in UNITS {
        if bytes != 0 && bytes % unit == 0 {
            return format!("{}{suffix}", bytes / unit);
        }
    }
    bytes.to_string()
}

/// Billionths, exact within i128.
fn parse(text: &str) -> Option<i128> {
    let end = text
        .char_indices()
        .find(|(at, c)| !(c.is_ascii_digit() || *c == '.' || (*at == 0 && "+-".contains(*c))))
        .map_or(text.len(), |(at, _)| at);
    let (number, suffix) = text.split_at(end);
    let (mantissa, decimals) = decimal(number)?;
    let scaled = mantissa.checked_mul(multiplier(suffix)?)?;
    let divisor = 10i128.checked_pow(decimals)?;
    Some(if scaled >= 0 { ceil_i128(scaled, divisor) } else { scaled / divisor })
}

/// Digits without the point, and how many stood behind it.
fn decimal(number: &str) -> Option<(i128, u32)> {
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    let digits = format!("{whole}{fraction}");
    let decimals = u32::try_from(fraction.len()).ok()?;
    Some((digits.parse().ok()?, decimals))
}

/// What one unit of a suffix is in billionths.
fn multiplier(suffix: &str) -> Option<i128> {
    const NANO: i128 = 1_000_000_000;
    let table: [(&str, i128); 15] = [
        ("", NANO),
        ("n", 1),
        ("u", 1_000),
        ("m", 1_000_000),
        ("k", NANO * 1_000),
        ("M", NANO * 1_000_000),
        ("G", NANO * NANO),
        ("T", NANO * NANO * 1_000),
        ("P", NANO * NANO * 1_000_000),
        ("E", NANO * NANO * NANO),
        ("Ki", NANO << 10),
        ("Mi", NANO << 20),
        ("Gi", NANO << 30),
        ("Ti", NANO << 40),
        ("Pi", NANO << 50),
    ];
    if let Some((_, unit)) = table.iter().find(|(name, _)| *name == suffix) {
        return Some(*unit);
    }
    if suffix == "Ei" {
        return Some(NANO << 60);
    }
    let exponent: i32 = suffix.strip_prefix(['e', 'E'])?.parse().ok()?;
    match u32::try_from(exponent) {
        Ok(up) => NANO.checked_mul(10i128.checked_pow(up)?),
        Err(_) => NANO.checked_div(10i128.checked_pow(exponent.unsigned_abs())?),
    }
}

fn ceil_i128(value: i128, divisor: i128) -> i128 {
    value / divisor + i128::from(value % divisor > 0)
}

fn ceil_div(value: i128, divisor: i128) -> i64 {
    i64::try_from(ceil_i128(value, divisor)).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values() {
        let check = |text: &str, thousandths: i64, ones: i64| {
            let quantity = Quantity(text.to_owned());
            assert_eq!((milli(&quantity), whole(&quantity)), (thousandths, ones), "{text}");
        };
        check("1", 1000, 1);
        check("100m", 100, 1);
        check("1.5", 1500, 2);
        check("0.0001", 1, 1);
        check("1Ki", 1_024_000, 1024);
        check("1.5Gi", 1_610_612_736_000, 1_610_612_736);
        check("2e3", 2_000_000, 2000);
        check("1E", 1_000_000_000_000_000_000_i64.saturating_mul(1000), 1_000_000_000_000_000_000);
        check("nonsense", 0, 0);
        check("", 0, 0);
    }

    #[test]
    fn written_back() {
        let check = |name, amount, text: &str| assert_eq!(from_amount(name, amount).0, text);
        check("cpu", 2000, "2");
        check("cpu", 1500, "1500m");
        check("memory", 1 << 30, "1Gi");
        check("memory", 1025, "1025");
        check("pods", 110, "110");
    }
}
