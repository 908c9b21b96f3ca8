//! Points in time and spans of it.

use jiff::SignedDuration;
use jiff::civil::{Date, DateTime, Weekday};
use jiff::tz::TimeZone;

use super::{Context, Outcome, Row, global, int, member, mismatch, text};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

/// The year 1; there is nothing before it.
const FIRST: DateTime = Date::constant(1, 1, 1).at(0, 0, 0, 0);
const EPOCH: DateTime = Date::constant(1970, 1, 1).at(0, 0, 0, 0);

const DAY: i128 = 24 * HOUR;
const HOUR: i128 = 3_600 * SECOND;
const MINUTE: i128 = 60 * SECOND;
const SECOND: i128 = 1_000_000_000;

macro_rules! selectors {
    ($($name:literal $select:expr;)*) => {
        &[
            $(
                member($name, "timestamp -> int", Cost::Nominal, |_, args| select(args, $select)),
                member($name, "timestamp, string -> int", Cost::Nominal, |_, args| select(args, $select)),
            )*
            member("getHours", "duration -> int", Cost::Nominal, |_, args| portion(args, HOUR)),
            member("getMinutes", "duration -> int", Cost::Nominal, |_, args| portion(args, MINUTE)),
            member("getSeconds", "duration -> int", Cost::Nominal, |_, args| portion(args, SECOND)),
            member("getMilliseconds", "duration -> int", Cost::Nominal, |_, args| portion(args, 1_000_000)),
            global("duration", "duration -> duration", Cost::Nominal, same),
            global("duration", "int -> duration", Cost::Nominal, |_, args| int(args, 0).map(Value::Duration)),
            global("duration", "string -> duration", Cost::Nominal, duration),
            global("timestamp", "timestamp -> timestamp", Cost::Nominal, same),
            global("timestamp", "int -> timestamp", Cost::Nominal, timestamp_of_seconds),
            global("timestamp", "string -> timestamp", Cost::Nominal, timestamp),
        ]
    };
}

pub(super) const ROWS: &[Row] = selectors! {
    "getFullYear" |time| i64::from(time.year());
    "getMonth" |time| i64::from(time.month()) - 1;
    "getDayOfYear" |time| i64::from(time.day_of_year()) - 1;
    "getDayOfMonth" |time| i64::from(time.day()) - 1;
    "getDate" |time| i64::from(time.day());
    "getDayOfWeek" |time| day_of_week(time.weekday());
    "getHours" |time| i64::from(time.hour());
    "getMinutes" |time| i64::from(time.minute());
    "getSeconds" |time| i64::from(time.second());
    "getMilliseconds" |time| i64::from(time.millisecond());
};

fn day_of_week(day: Weekday) -> i64 {
    i64::from(day.to_sunday_zero_offset())
}

fn select(args: &[Value], selected: fn(&DateTime) -> i64) -> Outcome {
    let Some(Value::Timestamp(time)) = args.first() else { return Err(mismatch()) };
    let local = match args.len() {
        1 => *time,
        _ => in_zone(*time, text(args, 1)?)?,
    };
    Ok(Value::Int(selected(&local)))
}

/// The time in a zone, that is a name or an offset such as `-08:00`.
fn in_zone(time: DateTime, name: &str) -> Result<DateTime, Error> {
    let unknown = || Error::other(format!("unknown time zone {name}"));
    let Some((hours, minutes)) = name.split_once(':') else {
        let zone = match name {
            "" | "UTC" => return Ok(time),
            _ => TimeZone::get(name).map_err(|_| unknown())?,
        };
        let universal = time.to_zoned(TimeZone::UTC);
        return Ok(universal.map_or(time, |zoned| zoned.with_time_zone(zone).datetime()));
    };
    let negative = hours.starts_with('-');
    let hours: i64 = hours.trim_start_matches(['+', '-']).parse().map_err(|_| unknown())?;
    let minutes: i64 = minutes.parse().map_err(|_| unknown())?;
    if !(0..=23).contains(&hours) || !(0..=59).contains(&minutes) {
        return Err(unknown());
    }
    let minutes = hours * 60 + minutes;
    let offset = SignedDuration::from_mins(if negative { -minutes } else { minutes });
    time.checked_add(offset).map_err(|_| Error::other("timestamp overflow"))
}

fn portion(args: &[Value], unit: i128) -> Outcome {
    match args {
        [Value::Duration(nanoseconds)] => Ok(Value::Int((i128::from(*nanoseconds) / unit) as i64)),
        _ => Err(mismatch()),
    }
}

fn same(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    args.first().cloned().ok_or_else(mismatch)
}

fn duration(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let text = text(args, 0)?;
    let parsed = parse_duration(text);
    parsed.map(Value::Duration).ok_or_else(|| {
        Error::other(format!("type conversion error from '{text}' to 'google.protobuf.Duration'"))
    })
}

fn timestamp(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let text = text(args, 0)?;
    let parsed = parse_timestamp(text);
    parsed.map(Value::Timestamp).ok_or_else(|| {
        Error::other(format!("type conversion error from '{text}' to 'google.protobuf.Timestamp'"))
    })
}

fn timestamp_of_seconds(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let time = plus(EPOCH, SignedDuration::from_secs(int(args, 0)?));
    time.map(Value::Timestamp).ok_or_else(|| Error::other("timestamp overflow"))
}

/// A time so much later, if it is within the years 1 to 9999.
pub(super) fn plus(time: DateTime, span: SignedDuration) -> Option<DateTime> {
    time.checked_add(span).ok().filter(|time| *time >= FIRST)
}

/// The whole seconds since 1970.
pub(super) fn seconds(time: DateTime) -> i64 {
    let since = time.duration_since(EPOCH);
    since.as_secs() - i64::from(since.subsec_nanos() < 0)
}

/// A timestamp of RFC 3339, in the years 1 to 9999, as the time in UTC.
pub(crate) fn parse_timestamp(text: &str) -> Option<DateTime> {
    let bytes = text.as_bytes();
    let digits = [0, 1, 2, 3, 5, 6, 8, 9, 11, 12, 14, 15, 17, 18];
    let shaped = bytes.len() >= 20
        && bytes.is_ascii()
        && digits.iter().all(|place| bytes[*place].is_ascii_digit())
        && (bytes[10], bytes[13], bytes[16]) == (b'T', b':', b':')
        && &text[17..19] != "60";
    if !shaped {
        return None;
    }
    let zone_at = 19 + text[19..].find(['Z', '+', '-'])?;
    let fraction = &text[19..zone_at];
    let digits = fraction.strip_prefix('.').unwrap_or("0");
    if digits.is_empty() || digits.len() > 9 && !fraction.is_empty() {
        return None;
    }
    if !digits.bytes().all(|byte| byte.is_ascii_digit()) || fraction == "0" {
        return None;
    }
    let local: DateTime = text[..zone_at].parse().ok()?;
    plus(local, -zone_offset(&text[zone_at..])?)
}

/// `Z`, or hours and minutes with a sign.
fn zone_offset(text: &str) -> Option<SignedDuration> {
    if text == "Z" {
        return Some(SignedDuration::ZERO);
    }
    let (hours, minutes) = text.get(1..)?.split_once(':')?;
    let number = |digits: &str, most: i64| {
        let plain = digits.len() == 2 && digits.bytes().all(|byte| byte.is_ascii_digit());
        plain.then(|| digits.parse::<i64>().ok()).flatten().filter(|number| *number <= most)
    };
    let minutes = number(hours, 23)? * 60 + number(minutes, 59)?;
    Some(SignedDuration::from_mins(if text.starts_with('-') { -minutes } else { minutes }))
}

/// A timestamp as `string()` writes it.
pub(crate) fn timestamp_text(time: DateTime) -> String {
    format!("{time}Z")
}

/// A duration as `string()` writes it: seconds.
pub(crate) fn duration_text(nanoseconds: i64) -> String {
    let sign = if nanoseconds < 0 { "-" } else { "" };
    let magnitude = nanoseconds.unsigned_abs();
    let (seconds, fraction) = (magnitude / 1_000_000_000, magnitude % 1_000_000_000);
    let fraction = match fraction {
        0 => String::new(),
        some => format!(".{some:09}").trim_end_matches('0').to_owned(),
    };
    format!("{sign}{seconds}{fraction}s")
}

/// A duration such as `1h30m` or `-1.5s`, in nanoseconds.
pub(crate) fn parse_duration(text: &str) -> Option<i64> {
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Some(0);
    }
    let mut total: i128 = 0;
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let (amount, after) = read_part(rest)?;
        total = total.checked_add(amount)?;
        rest = after;
    }
    i64::try_from(if negative { -total } else { total }).ok()
}

/// A number with its unit at the start: nanoseconds, and what follows.
fn read_part(text: &str) -> Option<(i128, &str)> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.')?;
    let (number, rest) = text.split_at(end);
    let unit_end = rest.find(|c: char| c.is_ascii_digit() || c == '.').unwrap_or(rest.len());
    let (unit, rest) = rest.split_at(unit_end);
    let unit: i128 = match unit {
        "ns" => 1,
        "us" | "\u{b5}s" | "\u{3bc}s" => 1_000,
        "ms" => 1_000_000,
        "s" => SECOND,
        "m" => MINUTE,
        "h" => HOUR,
        _ => return None,
    };
    let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
    if whole.is_empty() && fraction.is_empty() || fraction.contains('.') {
        return None;
    }
    let whole: i128 = if whole.is_empty() { 0 } else { whole.parse().ok()? };
    let mut amount = whole.checked_mul(unit)?;
    let mut scale = unit;
    for digit in fraction.bytes().take(18) {
        scale /= 10;
        amount += i128::from(digit - b'0') * scale;
    }
    Some((amount, rest))
}

/// A duration as the OpenAPI format takes it: also days and weeks, and units in words.
pub(crate) fn parse_format_duration(text: &str) -> Option<i64> {
    if let Some(duration) = parse_duration(text) {
        return Some(duration);
    }
    const UNITS: &[(&str, i128)] = &[
        ("nano", 1),
        ("ns", 1),
        ("micro", 1_000),
        ("us", 1_000),
        ("milli", 1_000_000),
        ("ms", 1_000_000),
        ("min", MINUTE),
        ("sec", SECOND),
        ("hour", HOUR),
        ("hr", HOUR),
        ("day", DAY),
        ("week", 7 * DAY),
        ("wk", 7 * DAY),
        ("s", SECOND),
        ("m", MINUTE),
        ("h", HOUR),
        ("d", DAY),
        ("w", 7 * DAY),
    ];
    let mut total: i128 = 0;
    let mut rest = text.trim();
    if rest.is_empty() {
        return None;
    }
    while !rest.is_empty() {
        let end = rest.find(|c: char| !c.is_ascii_digit())?;
        let amount: i128 = rest[..end].parse().ok()?;
        let word = rest[end..].trim_start();
        let word_end = word.find(|c: char| !c.is_alphabetic()).unwrap_or(word.len());
        let unit = word[..word_end].to_ascii_lowercase();
        let (_, length) = UNITS.iter().find(|(name, _)| unit.starts_with(name))?;
        total = total.checked_add(amount.checked_mul(*length)?)?;
        rest = word[word_end..].trim_start();
    }
    i64::try_from(total).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_are_read_and_written() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(parse_duration(text).map(duration_text).as_deref(), expect, "{text}");
        };
        check("1h30m", Some("5400s"));
        check("-1.5s", Some("-1.5s"));
        check("1ns", Some("0.000000001s"));
        check(".5ms", Some("0.0005s"));
        check("0", Some("0s"));
        check("1", None);
        check("", None);
        check(".s", None);
        check("1.2.3s", None);
        check("9999999h", None);
        check("1d", None);
        assert_eq!(parse_format_duration("2 days"), Some(172_800_000_000_000));
        assert_eq!(parse_format_duration("1w"), Some(604_800_000_000_000));
        assert_eq!(parse_format_duration("soon"), None);
    }

    #[test]
    fn timestamps_are_read_strictly() {
        let check = |text: &str, expect: Option<&str>| {
            assert_eq!(parse_timestamp(text).map(timestamp_text).as_deref(), expect, "{text}");
        };
        check("2024-02-29T12:00:00Z", Some("2024-02-29T12:00:00Z"));
        check("2024-02-29T12:00:00.5+02:00", Some("2024-02-29T10:00:00.5Z"));
        check("2024-02-30T12:00:00Z", None);
        check("2024-02-29", None);
        check("2024-02-29T12:00Z", None);
        check("2024-02-29 12:00:00Z", None);
        check("2024-02-29T12:00:00", None);
        check("9999-12-31T23:59:59Z", Some("9999-12-31T23:59:59Z"));
        check("0001-01-01T00:00:00+01:00", None);
        check("2024-02-29T12:00:00.Z", None);
        check("2024-02-29T12:00:000Z", None);
        check("2024-02-29T12:00:00+2:00", None);
    }
}
