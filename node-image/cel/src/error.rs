//! What goes wrong with expressions: when they are compiled, and when they run.

use std::fmt;

use thiserror::Error;

/// One complaint about a text.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Issue {
    /// Where, in characters from the start of the text.
    pub at: usize,
    /// What is wrong.
    pub message: String,
}

/// Why an expression does not compile. It reads as upstream's compiler prints it: every issue with its
/// line and column and a mark under the text.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub struct CompileError {
    /// The text that was compiled.
    pub source_text: String,
    /// What is wrong with it; never empty.
    pub issues: Vec<Issue>,
}

impl fmt::Display for CompileError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, issue) in self.issues.iter().enumerate() {
            if index > 0 {
                f.write_str("\n")?;
            }
            let (line, column, text) = place(&self.source_text, issue.at);
            write!(f, "ERROR: <input>:{line}:{}: {}", column + 1, issue.message)?;
            write!(f, "\n | {text}\n | {}^", ".".repeat(column))?;
        }
        Ok(())
    }
}

/// The line (from 1), the column (from 0) and the text of the line of a place.
fn place(text: &str, at: usize) -> (usize, usize, String) {
    let mut start = 0;
    for (index, line) in text.split('\n').enumerate() {
        let length = line.chars().count();
        if at <= start + length {
            return (index + 1, at - start, line.replace('\t', " "));
        }
        start += length + 1;
    }
    (1, 0, text.lines().next().unwrap_or_default().to_owned())
}

/// Why an expression has no value.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum Error {
    /// This evaluation cost more than one may.
    #[error("operation cancelled: actual cost limit exceeded")]
    CostLimit,
    /// All evaluations that share a [`Budget`](crate::Budget) cost more than they may together.
    #[error("out of cost budget")]
    OutOfBudget,
    /// No function of this name takes these values.
    #[error("no such overload")]
    NoSuchOverload,
    /// The map or object has no such key or field.
    #[error("no such key: {0}")]
    NoSuchKey(String),
    /// Anything else, in upstream's words.
    #[error("{0}")]
    Other(String),
}

impl Error {
    /// An error with this message.
    pub fn other(message: impl Into<String>) -> Error {
        Error::Other(message.into())
    }

    /// Whether `&&`, `||` and optionals may pass over it: limits are never passed over.
    pub(crate) fn is_limit(&self) -> bool {
        matches!(self, Error::CostLimit | Error::OutOfBudget)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn issues_are_shown_with_their_place() {
        let check = |text: &str, at: usize, expect: &str| {
            let issues = vec![Issue { at, message: "oh".into() }];
            let error = CompileError { source_text: text.into(), issues };
            assert_eq!(error.to_string(), expect);
        };
        check("a + b", 4, "ERROR: <input>:1:5: oh\n | a + b\n | ....^");
        check("é\nbc", 3, "ERROR: <input>:2:2: oh\n | bc\n | .^");
        check("", 0, "ERROR: <input>:1:1: oh\n | \n | ^");
        check("a", 99, "ERROR: <input>:1:1: oh\n | a\n | ^");
    }
}
