//! Semantic versions.

use std::cmp::Ordering;
use std::sync::Arc;

use super::{Context, Opaque, Outcome, Row, global, member, mismatch, text};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    global("semver", "string -> kubernetes.Semver", Cost::Read, semver),
    global("semver", "string, bool -> kubernetes.Semver", Cost::Read, semver),
    global("isSemver", "string -> bool", Cost::Read, is_semver),
    global("isSemver", "string, bool -> bool", Cost::Read, is_semver),
    member("isGreaterThan", TWO_BOOL, Cost::Nominal, |_, args| {
        Ok(Value::Bool(version(args, 0)?.compare(version(args, 1)?).is_gt()))
    }),
    member("isLessThan", TWO_BOOL, Cost::Nominal, |_, args| {
        Ok(Value::Bool(version(args, 0)?.compare(version(args, 1)?).is_lt()))
    }),
    member("compareTo", "kubernetes.Semver, kubernetes.Semver -> int", Cost::Nominal, |_, args| {
        Ok(Value::Int(version(args, 0)?.compare(version(args, 1)?) as i64))
    }),
    member("major", "kubernetes.Semver -> int", Cost::Nominal, |_, args| {
        Ok(Value::Int(version(args, 0)?.numbers[0] as i64))
    }),
    member("minor", "kubernetes.Semver -> int", Cost::Nominal, |_, args| {
        Ok(Value::Int(version(args, 0)?.numbers[1] as i64))
    }),
    member("patch", "kubernetes.Semver -> int", Cost::Nominal, |_, args| {
        Ok(Value::Int(version(args, 0)?.numbers[2] as i64))
    }),
];

const TWO_BOOL: &str = "kubernetes.Semver, kubernetes.Semver -> bool";

/// A version; what it was built from does not count.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Version {
    numbers: [u64; 3],
    /// The parts of the pre-release.
    pre: Vec<Part>,
}

/// A part of a pre-release; numbers come before words.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Part {
    Number(u64),
    Word(String),
}

impl Version {
    pub(super) fn compare(&self, other: &Version) -> Ordering {
        let release = self.numbers.cmp(&other.numbers);
        release.then_with(|| match (self.pre.is_empty(), other.pre.is_empty()) {
            (true, true) => Ordering::Equal,
            (true, false) => Ordering::Greater,
            (false, true) => Ordering::Less,
            (false, false) => self.pre.cmp(&other.pre),
        })
    }

    fn parse(text: &str) -> Result<Version, String> {
        if text.is_empty() {
            return Err("Version string empty".into());
        }
        let parts: Vec<&str> = text.splitn(3, '.').collect();
        let [major, minor, rest] = parts.as_slice() else {
            return Err("No Major.Minor.Patch elements found".into());
        };
        let (rest, build) = match rest.split_once('+') {
            Some((rest, build)) => (rest, Some(build)),
            None => (*rest, None),
        };
        let (patch, pre) = match rest.split_once('-') {
            Some((patch, pre)) => (patch, Some(pre)),
            None => (rest, None),
        };
        let numbers = [number("major", major)?, number("minor", minor)?, number("patch", patch)?];
        let pre = pre.map_or(Ok(Vec::new()), |pre| pre.split('.').map(part).collect())?;
        for meta in build.iter().flat_map(|build| build.split('.')) {
            if meta.is_empty() {
                return Err("Build meta data is empty".into());
            }
            if !is_word(meta) {
                return Err(format!("Invalid character(s) found in build meta data {meta:?}"));
            }
        }
        Ok(Version { numbers, pre })
    }
}

fn is_word(text: &str) -> bool {
    text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
}

fn is_number(text: &str) -> bool {
    !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit())
}

fn number(what: &str, text: &str) -> Result<u64, String> {
    if !is_number(text) {
        return Err(format!("Invalid character(s) found in {what} number {text:?}"));
    }
    if text.len() > 1 && text.starts_with('0') {
        let mut name = what.to_owned();
        name[..1].make_ascii_uppercase();
        return Err(format!("{name} number must not contain leading zeroes {text:?}"));
    }
    text.parse().map_err(|_| format!("strconv.ParseUint: parsing {text:?}: value out of range"))
}

fn part(text: &str) -> Result<Part, String> {
    if text.is_empty() {
        return Err("Prerelease is empty".into());
    }
    if is_number(text) {
        if text.len() > 1 && text.starts_with('0') {
            return Err(format!(
                "Numeric PreRelease version must not contain leading zeroes {text:?}"
            ));
        }
        let number = text.parse().map(Part::Number);
        return number
            .map_err(|_| format!("strconv.ParseUint: parsing {text:?}: value out of range"));
    }
    match is_word(text) {
        true => Ok(Part::Word(text.to_owned())),
        false => Err(format!("Invalid character(s) found in prerelease {text:?}")),
    }
}

/// Without a `v` and leading zeros, with the numbers that are missing.
fn normalized(text: &str) -> Result<String, String> {
    let text = text.strip_prefix('v').unwrap_or(text);
    let mut parts: Vec<String> = text.splitn(3, '.').map(without_zeros).collect();
    if parts.len() < 3 {
        if parts.last().is_some_and(|last| last.contains(['+', '-'])) {
            return Err("short version cannot contain PreRelease/Build meta data".into());
        }
        parts.resize(3, "0".to_owned());
    }
    Ok(parts.join("."))
}

fn without_zeros(part: &str) -> String {
    if part.len() < 2 {
        return part.to_owned();
    }
    let trimmed = part.trim_start_matches('0');
    let digit_first = trimmed.starts_with(|c: char| c.is_ascii_digit());
    if digit_first { trimmed.to_owned() } else { format!("0{trimmed}") }
}

fn parse(args: &[Value]) -> Result<Result<Version, String>, Error> {
    let text = text(args, 0)?;
    Ok(match args.get(1) {
        Some(Value::Bool(true)) => normalized(text).and_then(|text| Version::parse(&text)),
        _ => Version::parse(text),
    })
}

fn semver(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let version = parse(args)?.map_err(Error::Other)?;
    Ok(Value::Opaque(Opaque::Semver(Arc::new(version))))
}

fn is_semver(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    Ok(Value::Bool(parse(args)?.is_ok()))
}

fn version(args: &[Value], index: usize) -> Result<&Version, Error> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Semver(version))) => Ok(version),
        _ => Err(mismatch()),
    }
}
