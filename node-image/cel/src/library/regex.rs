//! Patterns. They are compiled once per program, and within a bound.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};

use regex::{Regex, RegexBuilder};

use super::{Context, Outcome, Row, global, int, member, text};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    global("matches", "string, string -> bool", Cost::Matches, matches),
    member("matches", "string, string -> bool", Cost::Matches, matches),
    member("find", "string, string -> string", Cost::Find, |context, args| {
        let pattern = context.regexes.get(text(args, 1)?)?;
        let found = pattern.find(text(args, 0)?);
        Ok(Value::from(found.map_or("", |found| found.as_str())))
    }),
    member("findAll", "string, string -> list(string)", Cost::Find, find_all),
    member("findAll", "string, string, int -> list(string)", Cost::Find, find_all),
];

/// The names of the functions whose second value is a pattern.
pub(crate) const WITH_PATTERN: &[&str] = &["matches", "find", "findAll"];

/// The largest compiled pattern, in bytes.
const COMPILED_MAX: usize = 2 << 20;
/// The most patterns that a program keeps.
const KEPT_MAX: usize = 64;

/// The patterns that a program has compiled.
#[derive(Debug, Default)]
pub(crate) struct Regexes {
    kept: Mutex<HashMap<Box<str>, Arc<Regex>>>,
}

impl Regexes {
    /// The compiled pattern.
    ///
    /// # Errors
    /// If it is none, or a larger one than may be.
    pub fn get(&self, pattern: &str) -> Result<Arc<Regex>, Error> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(compiled) = kept.get(pattern) {
            return Ok(compiled.clone());
        }
        let compiled = Arc::new(compile(pattern).map_err(Error::Other)?);
        if kept.len() >= KEPT_MAX {
            kept.clear();
        }
        kept.insert(pattern.into(), compiled.clone());
        Ok(compiled)
    }
}

/// A compiled pattern, or in upstream's words why there is none.
pub(crate) fn compile(pattern: &str) -> Result<Regex, String> {
    let built = RegexBuilder::new(pattern).size_limit(COMPILED_MAX).nest_limit(200).build();
    built.map_err(|error| {
        let text = error.to_string();
        let reason = text.lines().last().unwrap_or_default().trim_start_matches("error: ");
        format!("error parsing regexp: {reason}: `{pattern}`")
    })
}

fn matches(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    let pattern = context.regexes.get(text(args, 1)?)?;
    Ok(Value::Bool(pattern.is_match(text(args, 0)?)))
}

fn find_all(context: &mut Context<'_>, args: &[Value]) -> Outcome {
    let pattern = context.regexes.get(text(args, 1)?)?;
    let count = if args.len() > 2 { int(args, 2)? } else { -1 };
    let limit = usize::try_from(count).unwrap_or(usize::MAX);
    let mut found = Vec::new();
    for one in pattern.find_iter(text(args, 0)?).take(limit) {
        context.charge(1)?;
        found.push(Value::from(one.as_str()));
    }
    Ok(Value::from(found))
}
