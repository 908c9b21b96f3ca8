//! The formats that upstream checks in custom resources, by name. Dashes in names do not count:
//! `date-time` is `datetime`.

use std::net::{Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use jiff::Timestamp;
use jiff::civil::Date;
use regex::Regex;

use crate::validation::names;

type Test = fn(&str) -> bool;

/// Of texts, by name without dashes.
const TEXTS: &[(&str, Test)] = &[
    ("bsonobjectid", |t| t.len() == 24 && is_hexadecimal(t)),
    ("byte", |t| STANDARD.decode(t).is_ok()),
    ("cidr", is_cidr),
    ("creditcard", |t| matches(&CREDIT_CARD, CREDIT_CARD_TEXT, &digits(t))),
    ("date", |t| t.len() == 10 && t.parse::<Date>().is_ok()),
    ("datetime", |t| t.len() >= 20 && t.parse::<Timestamp>().is_ok()),
    ("duration", is_duration),
    ("email", is_email),
    ("hexcolor", |t| {
        let digits = t.strip_prefix('#').unwrap_or(t);
        matches!(digits.len(), 3 | 6) && is_hexadecimal(digits)
    }),
    ("hostname", is_host_name),
    ("ipv4", |t| t.parse::<Ipv4Addr>().is_ok()),
    ("ipv6", |t| t.parse::<Ipv6Addr>().is_ok()),
    ("isbn", |t| is_isbn_10(t) || is_isbn_13(t)),
    ("isbn10", is_isbn_10),
    ("isbn13", is_isbn_13),
    ("k8slongname", |t| names::dns_subdomain(t).is_empty()),
    ("k8sshortname", |t| names::dns_label(t).is_empty()),
    ("mac", is_mac),
    ("password", |_| true),
    ("rgbcolor", is_rgb_color),
    ("ssn", |t| matches(&SOCIAL, r"^[0-9]{3}[- ]?[0-9]{2}[- ]?[0-9]{4}$", t)),
    ("uri", is_uri),
    ("uuid", |t| is_uuid(t, None)),
    ("uuid3", |t| is_uuid(t, Some('3'))),
    ("uuid4", |t| is_uuid(t, Some('4'))),
    ("uuid5", |t| is_uuid(t, Some('5'))),
];

/// Whether values of a type are checked for a format.
pub(crate) fn is_known(type_name: &str, format: &str) -> bool {
    match type_name {
        "" | "string" => text_test(format).is_some(),
        "integer" => matches!(format, "int32" | "int64"),
        "number" => matches!(format, "float" | "double"),
        _ => false,
    }
}

/// Whether a text has a format; any text has one that is not known.
pub(super) fn holds(format: &str, text: &str) -> bool {
    text_test(format).is_none_or(|test| test(text))
}

fn text_test(format: &str) -> Option<Test> {
    let name = format.replace('-', "");
    let at = TEXTS.binary_search_by(|(known, _)| (*known).cmp(&name)).ok()?;
    Some(TEXTS[at].1)
}

static CREDIT_CARD: OnceLock<Regex> = OnceLock::new();
static SOCIAL: OnceLock<Regex> = OnceLock::new();
const CREDIT_CARD_TEXT: &str = r"^(?:4[0-9]{12}(?:[0-9]{3})?|5[1-5][0-9]{14}|6(?:011|5[0-9][0-9])[0-9]{12}|3[47][0-9]{13}|3(?:0[0-5]|[68][0-9])[0-9]{11}|(?:2131|1800|35[0-9]{3})[0-9]{11})$";

fn matches(cache: &OnceLock<Regex>, pattern: &str, text: &str) -> bool {
    if let Some(regex) = cache.get() {
        return regex.is_match(text);
    }
    Regex::new(pattern).is_ok_and(|regex| cache.get_or_init(|| regex).is_match(text))
}

fn is_hexadecimal(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_hexdigit())
}

fn digits(text: &str) -> String {
    text.chars().filter(char::is_ascii_digit).collect()
}

fn is_cidr(text: &str) -> bool {
    let Some((address, length)) = text.split_once('/') else { return false };
    let is_number = !length.is_empty() && length.bytes().all(|b| b.is_ascii_digit());
    let length: u8 = match length.parse() {
        Ok(length) if is_number => length,
        _ => return false,
    };
    (address.parse::<Ipv4Addr>().is_ok() && length <= 32)
        || (address.parse::<Ipv6Addr>().is_ok() && length <= 128)
}

/// `22 ns`, `1h30m`, `3 days`.
fn is_duration(text: &str) -> bool {
    const UNITS: &[&str] = &[
        "ns",
        "nano",
        "nanos",
        "nanosecond",
        "nanoseconds",
        "us",
        "µs",
        "μs",
        "micro",
        "micros",
        "microsecond",
        "microseconds",
        "ms",
        "milli",
        "millis",
        "millisecond",
        "milliseconds",
        "s",
        "sec",
        "secs",
        "second",
        "seconds",
        "m",
        "min",
        "mins",
        "minute",
        "minutes",
        "h",
        "hr",
        "hrs",
        "hour",
        "hours",
        "d",
        "day",
        "days",
        "w",
        "wk",
        "wks",
        "week",
        "weeks",
    ];
    let mut rest = text.trim().trim_start_matches(['+', '-']);
    if rest == "0" {
        return true;
    }
    let mut terms = 0;
    while !rest.is_empty() {
        let number =
            rest.len() - rest.trim_start_matches(|c: char| c.is_ascii_digit() || c == '.').len();
        let after = rest[number..].trim_start();
        let unit = after.len() - after.trim_start_matches(char::is_alphabetic).len();
        if number == 0 || rest[..number].parse::<f64>().is_err() || !UNITS.contains(&&after[..unit])
        {
            return false;
        }
        rest = after[unit..].trim_start();
        terms += 1;
    }
    terms > 0
}

/// `a@b`, `Name <a@b>`.
fn is_email(text: &str) -> bool {
    let address = match text.split_once('<') {
        Some((_, rest)) => match rest.trim_end().strip_suffix('>') {
            Some(address) => address,
            None => return false,
        },
        None => text.trim(),
    };
    let Some((local, domain)) = address.rsplit_once('@') else { return false };
    let quoted = local.len() > 2 && local.starts_with('"') && local.ends_with('"');
    let is_atom = |text: &str, special: &str| {
        !text.is_empty()
            && text.split('.').all(|part| {
                !part.is_empty() && part.chars().all(|c| c.is_alphanumeric() || special.contains(c))
            })
    };
    const SPECIAL: &str = "!#$%&'*+-/=?^_`{|}~";
    let literal = domain.starts_with('[') && domain.ends_with(']');
    (quoted || is_atom(local, SPECIAL)) && (literal || is_atom(domain, SPECIAL))
}

fn is_host_name(text: &str) -> bool {
    let labels: Vec<&str> = text.split('.').collect();
    let is_label = |label: &&str| {
        (1..=63).contains(&label.len())
            && !label.starts_with('-')
            && !label.ends_with('-')
            && label.chars().all(|c| c.is_alphanumeric() || c == '-')
    };
    let last = labels.last().unwrap_or(&"");
    let is_top =
        labels.len() == 1 || (last.chars().count() >= 2 && last.chars().all(char::is_alphabetic));
    text.len() <= 255 && labels.iter().all(is_label) && is_top
}

fn is_mac(text: &str) -> bool {
    let groups = |separator: char, size: usize, counts: &[usize]| {
        let parts: Vec<&str> = text.split(separator).collect();
        counts.contains(&parts.len())
            && parts.iter().all(|part| part.len() == size && is_hexadecimal(part))
    };
    groups(':', 2, &[6, 8, 20]) || groups('-', 2, &[6, 8, 20]) || groups('.', 4, &[3, 4, 10])
}

fn is_rgb_color(text: &str) -> bool {
    let inner = text.strip_prefix("rgb(").and_then(|rest| rest.strip_suffix(')'));
    inner.is_some_and(|inner| {
        let parts: Vec<&str> = inner.split(',').map(str::trim).collect();
        parts.len() == 3 && parts.iter().all(|part| part.parse::<u8>().is_ok())
    })
}

/// An absolute URI, or a path.
fn is_uri(text: &str) -> bool {
    let plain = !text.is_empty() && !text.chars().any(|c| c.is_control() || c == ' ');
    let scheme = text.split_once(':').map_or("", |(scheme, _)| scheme);
    let has_scheme = scheme.starts_with(|c: char| c.is_ascii_alphabetic())
        && scheme.chars().all(|c| c.is_ascii_alphanumeric() || "+-.".contains(c));
    plain && (text.starts_with('/') || has_scheme)
}

/// With or without dashes; `version` is a character at its place.
fn is_uuid(text: &str, version: Option<char>) -> bool {
    const GROUPS: [usize; 5] = [8, 4, 4, 4, 12];
    let mut rest = text;
    let mut hexadecimal = String::new();
    for (index, size) in GROUPS.into_iter().enumerate() {
        if index > 0 {
            rest = rest.strip_prefix('-').unwrap_or(rest);
        }
        let Some((group, after)) = rest.split_at_checked(size) else { return false };
        hexadecimal.push_str(group);
        rest = after;
    }
    let digits: Vec<char> = hexadecimal.to_lowercase().chars().collect();
    let right = version.is_none_or(|version| {
        digits.get(12) == Some(&version)
            && (version == '3' || digits.get(16).is_some_and(|c| "89ab".contains(*c)))
    });
    rest.is_empty() && is_hexadecimal(&hexadecimal) && right
}

fn is_isbn_10(text: &str) -> bool {
    let compact: Vec<char> = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let value = |(index, c): (usize, &char)| match c {
        'X' if index == 9 => Some(10),
        c => c.to_digit(10),
    };
    let values: Option<Vec<u32>> = compact.iter().enumerate().map(value).collect();
    values.is_some_and(|values| {
        let sum: u32 = values.iter().zip(1..).map(|(value, weight)| value * weight).sum();
        values.len() == 10 && sum.is_multiple_of(11)
    })
}

fn is_isbn_13(text: &str) -> bool {
    let compact: Vec<char> = text.chars().filter(|c| !matches!(c, '-' | ' ')).collect();
    let values: Option<Vec<u32>> = compact.iter().map(|c| c.to_digit(10)).collect();
    values.is_some_and(|values| {
        let sum: u32 = values.iter().zip([1, 3].iter().cycle()).map(|(v, weight)| v * weight).sum();
        values.len() == 13 && sum.is_multiple_of(10)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn formats_are_sorted() {
        assert!(TEXTS.is_sorted_by_key(|(name, _)| *name));
    }

    #[test]
    fn texts_of_each_format() {
        let check = |format: &str, good: &[&str], bad: &[&str]| {
            assert!(is_known("string", format), "{format}");
            good.iter().for_each(|text| assert!(holds(format, text), "{format} {text}"));
            bad.iter().for_each(|text| assert!(!holds(format, text), "{format} {text}"));
        };
        check(
            "date-time",
            &["2026-01-02T03:04:05Z", "2026-01-02T03:04:05.5+02:00"],
            &["2026-01-02", "x"],
        );
        check("date", &["2026-01-02"], &["2026-13-02", "20260102"]);
        check("duration", &["22 ns", "1h30m", "0", "1.5h", "3 days"], &["", "1", "5 parsecs"]);
        check(
            "uuid",
            &["123e4567-e89b-12d3-a456-426614174000", "123E4567E89B12D3A456426614174000"],
            &["x", "123e"],
        );
        check(
            "uuid4",
            &["123e4567-e89b-42d3-a456-426614174000"],
            &["123e4567-e89b-12d3-a456-426614174000"],
        );
        check("ipv4", &["10.0.0.1"], &["10.0.0", "::1"]);
        check("ipv6", &["::1"], &["10.0.0.1"]);
        check("cidr", &["10.0.0.0/8", "fd00::/8"], &["10.0.0.0", "10.0.0.0/33"]);
        check("mac", &["00:00:5e:00:53:01", "0000.5e00.5301"], &["00:00"]);
        check("email", &["a@b.c", "A B <a.b@c>"], &["a", "a@", "@b"]);
        check("hostname", &["example.com", "a"], &["-a.com", "a.1", ""]);
        check("uri", &["https://a/b", "/a", "mailto:x"], &["", "a b", "a"]);
        check("byte", &["YQ=="], &["%"]);
        check("isbn10", &["0321751043"], &["0321751044"]);
        check("isbn13", &["978-0321751041"], &["978-0321751042"]);
        check("hexcolor", &["#FFFFFF", "fff"], &["#ff"]);
        check("rgbcolor", &["rgb(1, 2,3)"], &["rgb(1,2,256)", "1,2,3"]);
        check("ssn", &["111-11-1111"], &["1"]);
        check("creditcard", &["4111-1111-1111-1111"], &["1"]);
        check("k8s-short-name", &["a-b"], &["a.b"]);
        check("k8s-long-name", &["a.b"], &["A"]);
        assert!(!is_known("string", "nope") && !is_known("boolean", "date"));
    }
}
