//! Where a rule does not hold yet, and why. The list only shrinks: an entry that is no longer needed
//! fails the rule as well.

use std::collections::BTreeSet;

/// A rule, a file or crate, and the reason.
type Exception = (Rule, &'static str, &'static str);

const EXCEPTIONS: &[Exception] = &[];

/// The rules that may have exceptions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Rule {
    FileLength,
    FunctionLength,
    Header,
    Layers,
    Names,
    Prints,
    Unfinished,
    Unsafe,
    Words,
}

/// Something that breaks a rule.
pub struct Violation {
    /// The file or crate.
    pub place: String,
    /// What is wrong there.
    pub what: String,
}

impl Violation {
    pub fn new(place: impl Into<String>, what: impl Into<String>) -> Violation {
        Violation { place: place.into(), what: what.into() }
    }
}

/// Fails on violations without an exception and on exceptions without a violation.
pub fn judge(rule: Rule, violations: &[Violation]) {
    let excused: BTreeSet<&str> =
        EXCEPTIONS.iter().filter(|(of, ..)| *of == rule).map(|(_, place, _)| *place).collect();
    let broken: BTreeSet<&str> = violations.iter().map(|v| v.place.as_str()).collect();
    let new = violations.iter().filter(|v| !excused.contains(v.place.as_str()));
    let mut lines: Vec<String> = new.map(|v| format!("{}: {}", v.place, v.what)).collect();
    let stale = excused.difference(&broken);
    lines
        .extend(stale.map(|place| format!("{place}: remove its exception, it holds the rule now")));
    assert!(lines.is_empty(), "{rule:?}\n{}", lines.join("\n"));
}
