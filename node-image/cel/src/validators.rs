//! What literals must look like that functions will read: patterns, durations, timestamps.

use crate::ast::{Expr, Kind};
use crate::error::Issue;
use crate::library::{WITH_PATTERN, compile_pattern, parse_duration, parse_timestamp};
use crate::value::Value;

/// Reports literals that the function is bound to refuse.
pub(crate) fn literals(function: &str, args: &[Expr], issues: &mut Vec<Issue>) {
    let literal = |arg: Option<&Expr>| match arg {
        Some(Expr { kind: Kind::Literal(Value::String(text)), at, .. }) => {
            Some((text.clone(), *at))
        }
        _ => None,
    };
    let valid: fn(&str) -> bool = match function {
        "duration" => |text| parse_duration(text).is_some(),
        "timestamp" => |text| parse_timestamp(text).is_some(),
        _ if WITH_PATTERN.contains(&function) => |text| compile_pattern(text).is_ok(),
        _ => return,
    };
    // The pattern of `matches(text, pattern)` comes last, of `text.findAll(pattern, n)` first.
    let arg = if function == "matches" { args.last() } else { args.first() };
    if let Some((text, at)) = literal(arg)
        && !valid(&text)
    {
        issues.push(Issue { at, message: format!("invalid {function} argument") });
    }
}
