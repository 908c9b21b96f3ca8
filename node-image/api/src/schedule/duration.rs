//! Durations as Go writes them: `1h30m`, `1.5s`, `300ms`.

use jiff::SignedDuration;

const NANOSECONDS_OF_UNITS: &[(&str, f64)] = &[
    ("ns", 1.0),
    ("us", 1e3),
    ("µs", 1e3),
    ("μs", 1e3),
    ("ms", 1e6),
    ("s", 1e9),
    ("m", 60e9),
    ("h", 3600e9),
];

/// Reads a duration. The error is Go's sentence.
pub(super) fn parse(text: &str) -> Result<SignedDuration, String> {
    let invalid = || format!("time: invalid duration {text:?}");
    let (sign, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (-1.0, rest),
        None => (1.0, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(SignedDuration::ZERO);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut nanoseconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(rest.len());
        let amount: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = &rest[..end];
        rest = &rest[end..];
        if unit.is_empty() {
            return Err(format!("time: missing unit in duration {text:?}"));
        }
        let Some((_, size)) = NANOSECONDS_OF_UNITS.iter().find(|(name, _)| *name == unit) else {
            return Err(format!("time: unknown unit {unit:?} in duration {text:?}"));
        };
        nanoseconds += amount * size;
    }
    // About 292 years, all that Go can hold.
    if nanoseconds > i64::MAX as f64 {
        return Err(invalid());
    }
    Ok(SignedDuration::from_nanos((sign * nanoseconds) as i64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, want: Option<i64>| {
            assert_eq!(parse(text).ok().map(|d| d.as_millis() as i64), want, "{text}");
        };
        check("1h30m", Some(5_400_000));
        check("1.5s", Some(1500));
        check("-300ms", Some(-300));
        check("0", Some(0));
        for bad in ["", "5", "x", "1y", "h", "1..2s"] {
            check(bad, None);
        }
    }
}
