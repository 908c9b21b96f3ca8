//! The functions of the Kubernetes environment: tables of rows, one file per library. A row is what the
//! checker, the estimator and the evaluator know of an overload.

mod authorizer;
mod cidr;
mod conversion;
mod format;
mod format_string;
mod ip;
mod jsonpatch;
mod list;
mod opaque;
mod operators;
mod optional;
mod quantity;
mod regex;
mod semver;
mod sets;
mod sorting;
mod strings;
mod time;
mod url;

use std::collections::HashMap;
use std::sync::LazyLock;

pub use authorizer::{Authorizer, Decision, PathCheck, ResourceCheck};
pub use opaque::Opaque;
pub(crate) use operators::{element, insert};
pub(crate) use regex::{Regexes, WITH_PATTERN, compile as compile_pattern};
pub(crate) use time::{
    duration_text, parse_duration, parse_format_duration, parse_timestamp, timestamp_text,
};

use crate::cost::Cost;
use crate::error::Error;
use crate::types::{self, Type};
use crate::value::Value;

/// The outcome of a function.
pub(crate) type Outcome = Result<Value, Error>;
/// A function: its values are checked against the row's types before, the receiver is the first.
pub(crate) type Call = fn(&mut Context<'_>, &[Value]) -> Outcome;

/// What functions share during one evaluation.
pub(crate) struct Context<'a> {
    pub regexes: &'a Regexes,
    /// Elements copied so far; bounded apart from cost, because cost counts list additions as one.
    pub work: usize,
}

/// A row of a library's table.
pub(crate) struct Row {
    pub name: &'static str,
    pub member: bool,
    /// Types as text: `string, int -> list(string)`.
    pub signature: &'static str,
    pub cost: Cost,
    pub call: Call,
}

/// A row for a function that is called as `name(…)`.
pub(crate) const fn global(
    name: &'static str,
    signature: &'static str,
    cost: Cost,
    call: Call,
) -> Row {
    Row { name, member: false, signature, cost, call }
}

/// A row for a function that is called as `receiver.name(…)`.
pub(crate) const fn member(
    name: &'static str,
    signature: &'static str,
    cost: Cost,
    call: Call,
) -> Row {
    Row { name, member: true, signature, cost, call }
}

/// A row with its types read.
pub(crate) struct Overload {
    pub row: &'static Row,
    pub args: Vec<Type>,
    pub result: Type,
}

/// All tables. The order of overloads within a name matters little: the checker tries all.
const TABLES: &[&[Row]] = &[
    authorizer::ROWS,
    cidr::ROWS,
    conversion::ROWS,
    format::ROWS,
    format_string::ROWS,
    ip::ROWS,
    jsonpatch::ROWS,
    list::ROWS,
    operators::ROWS,
    operators::COMPARISONS,
    optional::ROWS,
    quantity::ROWS,
    regex::ROWS,
    semver::ROWS,
    sets::ROWS,
    sorting::ROWS,
    strings::ROWS,
    time::ROWS,
    url::ROWS,
];

static OVERLOADS: LazyLock<HashMap<&'static str, Vec<Overload>>> = LazyLock::new(|| {
    let mut overloads: HashMap<_, Vec<Overload>> = HashMap::new();
    for row in TABLES.iter().flat_map(|table| table.iter()) {
        // A test reads every signature.
        let Some((args, result)) = types::signature(row.signature) else { continue };
        overloads.entry(row.name).or_default().push(Overload { row, args, result });
    }
    overloads
});

/// The overloads of a name.
pub(crate) fn overloads(name: &str) -> Option<&'static [Overload]> {
    OVERLOADS.get(name).map(Vec::as_slice)
}

/// The error of a function that was called with values its row does not have.
fn mismatch() -> Error {
    Error::NoSuchOverload
}

fn text(args: &[Value], index: usize) -> Result<&str, Error> {
    args.get(index).and_then(Value::as_str).ok_or_else(mismatch)
}

fn int(args: &[Value], index: usize) -> Result<i64, Error> {
    match args.get(index) {
        Some(Value::Int(number)) => Ok(*number),
        _ => Err(mismatch()),
    }
}

fn items(args: &[Value], index: usize) -> Result<&[Value], Error> {
    args.get(index).and_then(Value::as_list).ok_or_else(mismatch)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_signature_reads() {
        for row in TABLES.iter().flat_map(|table| table.iter()) {
            let read = types::signature(row.signature);
            assert!(read.is_some(), "{}: {}", row.name, row.signature);
            let receiver = read.is_some_and(|(args, _)| !args.is_empty());
            assert!(receiver || !row.member, "{}: {}", row.name, row.signature);
        }
    }

    #[test]
    fn rows_are_unique() {
        let mut keys: Vec<_> = TABLES
            .iter()
            .flat_map(|table| table.iter())
            .map(|row| (row.name, row.member, row.signature.split("->").next()))
            .collect();
        let count = keys.len();
        keys.sort_unstable();
        keys.dedup();
        assert_eq!(keys.len(), count);
    }
}
