//! Durations as people and kubectl write them: `90s`, `1m30s`, `1.5h`, `500ms`, or seconds.

use std::time::Duration;

const UNITS: &[(&str, f64)] = &[
    ("ns", 1e-9),
    ("us", 1e-6),
    ("µs", 1e-6),
    ("ms", 1e-3),
    ("s", 1.0),
    ("m", 60.0),
    ("h", 3600.0),
];
/// Nobody waits longer, and arithmetic with it never overflows: a year.
const LONGEST_SECONDS: f64 = 365.0 * 24.0 * 3600.0;

/// Parses a duration.
pub fn parse(text: &str) -> Result<Duration, String> {
    let invalid = || format!("{text:?} is not a duration such as 90s, 1m30s or 2h");
    if let Ok(seconds) = text.parse::<u32>() {
        return within_bounds(f64::from(seconds)).ok_or_else(invalid);
    }
    let mut rest = text;
    let mut seconds = 0.0;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit() && c != '.').ok_or_else(invalid)?;
        let number: f64 = rest[..digits].parse().map_err(|_| invalid())?;
        rest = &rest[digits..];
        let length = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
        let unit = UNITS.iter().find(|(name, _)| *name == &rest[..length]).ok_or_else(invalid)?;
        seconds += number * unit.1;
        rest = &rest[length..];
    }
    if text.is_empty() {
        return Err(invalid());
    }
    within_bounds(seconds).ok_or_else(invalid)
}

/// A short form for people: `850 ms`, `1.2 s`, `2 m 5 s`.
pub fn format(duration: Duration) -> String {
    match duration.as_millis() {
        0..1000 => format!("{} ms", duration.as_millis()),
        1000..60_000 => format!("{:.1} s", duration.as_secs_f64()),
        _ => format!("{} m {} s", duration.as_secs() / 60, duration.as_secs() % 60),
    }
}

fn within_bounds(seconds: f64) -> Option<Duration> {
    (0.0..=LONGEST_SECONDS).contains(&seconds).then(|| Duration::from_secs_f64(seconds))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, millis: Option<u64>| {
            assert_eq!(parse(text).ok(), millis.map(Duration::from_millis), "{text}");
        };
        check("90s", Some(90_000));
        check("1m30s", Some(90_000));
        check("1.5h", Some(5_400_000));
        check("500ms", Some(500));
        check("30", Some(30_000));
        check("0", Some(0));
        check("0s", Some(0));
        check("", None);
        check("s", None);
        check("5", Some(5_000));
        check("5 m", None);
        check("-1s", None);
        check("1.2.3s", None);
        check("99999999h", None);
        check("5d", None);
    }

    #[test]
    fn short_forms() {
        assert_eq!(format(Duration::from_millis(850)), "850 ms");
        assert_eq!(format(Duration::from_millis(1_234)), "1.2 s");
        assert_eq!(format(Duration::from_secs(125)), "2 m 5 s");
    }
}
