//! The words of an expression.

use crate::error::Issue;

/// A word and where it began, in characters.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Token {
    pub at: usize,
    pub kind: TokenKind,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum TokenKind {
    /// An operator, a bracket, or one of the words `in`, `true`, `false`, `null`.
    Symbol(&'static str),
    Ident(String),
    /// A name between backticks.
    Escaped(String),
    Int(String),
    Uint(String),
    Double(String),
    /// A string or bytes literal as it is written, with prefix and quotes.
    Text(String),
    End,
}

impl Token {
    /// The word as messages show it.
    pub fn shown(&self) -> String {
        match &self.kind {
            TokenKind::Symbol(symbol) => (*symbol).to_owned(),
            TokenKind::Escaped(name) => format!("`{name}`"),
            TokenKind::Ident(text)
            | TokenKind::Int(text)
            | TokenKind::Uint(text)
            | TokenKind::Double(text)
            | TokenKind::Text(text) => text.clone(),
            TokenKind::End => "<EOF>".to_owned(),
        }
    }
}

/// Longer symbols come before their prefixes.
const SYMBOLS: &[&str] = &[
    "==", "!=", "<=", ">=", "&&", "||", "<", ">", "[", "]", "{", "}", "(", ")", ".", ",", "-", "!",
    "?", ":", "+", "*", "/", "%",
];

const WORDS: &[&str] = &["in", "true", "false", "null"];

/// All words of a text; the last is [`TokenKind::End`].
pub(super) fn tokens(text: &str) -> Result<Vec<Token>, Vec<Issue>> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut issues = Vec::new();
    let mut at = 0;
    while at < chars.len() {
        if let Some(end) = blank_end(&chars, at) {
            at = end;
            continue;
        }
        match token(&chars, at) {
            Some((kind, end)) => {
                tokens.push(Token { at, kind });
                at = end;
            }
            None => {
                let end = unknown_end(&chars, at);
                let shown: String = chars[at..end].iter().collect();
                let message = format!("Syntax error: token recognition error at: '{shown}'");
                issues.push(Issue { at, message });
                at = end;
            }
        }
    }
    tokens.push(Token { at: chars.len(), kind: TokenKind::End });
    if issues.is_empty() { Ok(tokens) } else { Err(issues) }
}

/// How deep the grammar can nest at most, by the brackets and conditions.
pub(super) fn nesting(tokens: &[Token]) -> usize {
    let mut open: usize = 0;
    let mut deepest = 0;
    let mut conditions = 0;
    for token in tokens {
        match token.kind {
            TokenKind::Symbol("(" | "[" | "{") => open += 1,
            TokenKind::Symbol(")" | "]" | "}") => open = open.saturating_sub(1),
            TokenKind::Symbol("?") => conditions += 1,
            _ => {}
        }
        deepest = deepest.max(open);
    }
    deepest + conditions
}

/// The end of white space or a comment that starts here.
fn blank_end(chars: &[char], at: usize) -> Option<usize> {
    match chars[at] {
        '\t' | ' ' | '\r' | '\n' | '\u{c}' => Some(at + 1),
        '/' if chars.get(at + 1) == Some(&'/') => Some(skip(chars, at, |c| c != '\n')),
        _ => None,
    }
}

fn skip(chars: &[char], from: usize, wanted: impl Fn(char) -> bool) -> usize {
    (from..chars.len()).find(|index| !wanted(chars[*index])).unwrap_or(chars.len())
}

/// What is no word reaches to the end of the line if it is an open quote, and is one character else.
fn unknown_end(chars: &[char], at: usize) -> usize {
    let quote = matches!(chars[at], '"' | '\'' | '`');
    if quote { skip(chars, at, |c| c != '\n').max(at + 1) } else { at + 1 }
}

fn token(chars: &[char], at: usize) -> Option<(TokenKind, usize)> {
    let c = chars[at];
    if let Some(found) = text_token(chars, at) {
        return Some(found);
    }
    if c.is_ascii_digit() || c == '.' && chars.get(at + 1).is_some_and(char::is_ascii_digit) {
        return Some(number(chars, at));
    }
    if c.is_ascii_alphabetic() || c == '_' {
        let end = skip(chars, at, |c| c.is_ascii_alphanumeric() || c == '_');
        let word: String = chars[at..end].iter().collect();
        let known = WORDS.iter().find(|known| **known == word);
        return Some((known.map_or(TokenKind::Ident(word), |word| TokenKind::Symbol(word)), end));
    }
    if c == '`' {
        let end = skip(chars, at + 1, |c| c.is_ascii_alphanumeric() || "_.-/ ".contains(c));
        let name: String = chars[at + 1..end].iter().collect();
        let closed = chars.get(end) == Some(&'`') && !name.is_empty();
        return closed.then_some((TokenKind::Escaped(name), end + 1));
    }
    let starts =
        |symbol: &&&str| symbol.chars().enumerate().all(|(i, s)| chars.get(at + i) == Some(&s));
    let symbol = SYMBOLS.iter().find(starts)?;
    Some((TokenKind::Symbol(symbol), at + symbol.len()))
}

fn number(chars: &[char], at: usize) -> (TokenKind, usize) {
    let text = |end: usize| chars[at..end].iter().collect::<String>();
    let unsigned = |end: usize| matches!(chars.get(end), Some('u' | 'U'));
    let hexadecimal = chars[at] == '0' && chars.get(at + 1) == Some(&'x');
    if hexadecimal && chars.get(at + 2).is_some_and(char::is_ascii_hexdigit) {
        let end = skip(chars, at + 2, |c| c.is_ascii_hexdigit());
        return match unsigned(end) {
            true => (TokenKind::Uint(text(end)), end + 1),
            false => (TokenKind::Int(text(end)), end),
        };
    }
    let digits = skip(chars, at, |c| c.is_ascii_digit());
    if unsigned(digits) {
        return (TokenKind::Uint(text(digits)), digits + 1);
    }
    let mut end = digits;
    if chars.get(end) == Some(&'.') && chars.get(end + 1).is_some_and(char::is_ascii_digit) {
        end = skip(chars, end + 1, |c| c.is_ascii_digit());
    }
    if matches!(chars.get(end), Some('e' | 'E')) {
        let sign = usize::from(matches!(chars.get(end + 1), Some('+' | '-')));
        let exponent = end + 1 + sign;
        if chars.get(exponent).is_some_and(char::is_ascii_digit) {
            end = skip(chars, exponent, |c| c.is_ascii_digit());
        }
    }
    let kind = if end == digits { TokenKind::Int } else { TokenKind::Double };
    (kind(text(end)), end)
}

/// A string or bytes literal with its prefix.
fn text_token(chars: &[char], at: usize) -> Option<(TokenKind, usize)> {
    let mut open = at;
    let mut raw = false;
    if matches!(chars.get(open), Some('b' | 'B')) {
        open += 1;
    }
    if matches!(chars.get(open), Some('r' | 'R')) {
        raw = true;
        open += 1;
    }
    let quote = *chars.get(open).filter(|c| matches!(c, '"' | '\''))?;
    let end = quoted_end(chars, open, quote, raw)?;
    Some((TokenKind::Text(chars[at..end].iter().collect()), end))
}

fn quoted_end(chars: &[char], open: usize, quote: char, raw: bool) -> Option<usize> {
    let is_triple = |at: usize| (at..at + 3).all(|index| chars.get(index) == Some(&quote));
    let triple = is_triple(open);
    let mut at = open + if triple { 3 } else { 1 };
    loop {
        let c = *chars.get(at)?;
        if triple && is_triple(at) {
            return Some(at + 3);
        }
        if !triple && c == quote {
            return Some(at + 1);
        }
        if !triple && matches!(c, '\n' | '\r') {
            return None;
        }
        at += match c == '\\' && !raw {
            true => super::literal::escape_length(&chars[at..])?,
            false => 1,
        };
    }
}
