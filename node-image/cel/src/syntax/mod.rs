//! From text to nodes: tokens, grammar, macros. Every step is bounded by the limits of this file, and a
//! text that breaks one is refused before any deep recursion begins.

mod grammar;
mod literal;
mod macros;
mod token;

use crate::ast::Expr;
use crate::deep;
use crate::error::{CompileError, Issue};

pub(crate) use grammar::RESERVED;
pub(crate) use macros::MacroSet;

/// The longest text, in characters.
const LENGTH_MAX: usize = 100_000;
/// How deep expressions may nest; operators and selections of one chain nest too.
const DEPTH_MAX: usize = 250;

/// A text that was read.
pub(crate) struct Parsed {
    pub expr: Expr,
    /// One more than the largest number of a node.
    pub count: usize,
    /// How deep its nodes nest.
    pub depth: usize,
}

/// Reads an expression.
pub(crate) fn parse(text: &str, macros: MacroSet) -> Result<Parsed, CompileError> {
    let issues = match parse_bounded(text, macros) {
        Ok(parsed) => return Ok(parsed),
        Err(issues) => issues,
    };
    Err(CompileError { source_text: text.to_owned(), issues })
}

fn parse_bounded(text: &str, macros: MacroSet) -> Result<Parsed, Vec<Issue>> {
    let length = text.chars().count();
    if length > LENGTH_MAX {
        let message =
            format!("expression code point size exceeds limit: size: {length}, limit {LENGTH_MAX}");
        return Err(vec![Issue { at: 0, message }]);
    }
    let tokens = token::tokens(text)?;
    let nesting = token::nesting(&tokens);
    let parsed = deep::run(nesting, || grammar::parse(tokens, macros));
    let no_thread = || Issue { at: 0, message: deep::NO_THREAD.into() };
    parsed.unwrap_or_else(|| Err(no_thread())).map_err(|issue| vec![issue])
}

#[cfg(test)]
mod tests;
