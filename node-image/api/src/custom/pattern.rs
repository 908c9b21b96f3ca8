//! Regular expressions in the syntax of Go's `regexp`, where that differs from the `regex` crate's:
//! classes are of ASCII, and brackets and braces that make no sense stand for themselves.

use regex::{Error, Regex, RegexBuilder};

/// Bytes that a compiled expression may take.
const SIZE_BYTES_MAX: usize = 10 * 1024 * 1024;

/// Compiles an expression of Go.
pub(crate) fn compile(text: &str) -> Result<Regex, Error> {
    RegexBuilder::new(&translated(text)).size_limit(SIZE_BYTES_MAX).build()
}

fn translated(text: &str) -> String {
    let mut out = String::with_capacity(text.len() + 8);
    let mut in_class = false;
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let after = &rest[c.len_utf8()..];
        match c {
            '\\' => {
                let next = after.chars().next().unwrap_or('\\');
                push_escape(&mut out, next, in_class);
                rest = &after[next.len_utf8().min(after.len())..];
                continue;
            }
            '[' if in_class && !after.starts_with(':') => out.push_str("\\["),
            '[' if !in_class => {
                in_class = true;
                out.push('[');
                // A bracket that closes at once is an element.
                let (negation, inner) = match after.strip_prefix('^') {
                    Some(inner) => ("^", inner),
                    None => ("", after),
                };
                out.push_str(negation);
                rest = inner;
                if let Some(inner) = inner.strip_prefix(']') {
                    out.push_str("\\]");
                    rest = inner;
                }
                continue;
            }
            '[' => {
                // `[:alpha:]`
                let end = after.find(":]").map_or(0, |end| end + 2);
                out.push('[');
                out.push_str(&after[..end]);
                rest = &after[end..];
                continue;
            }
            ']' if in_class => {
                in_class = false;
                out.push(']');
            }
            '&' | '~' if in_class => {
                out.push('\\');
                out.push(c);
            }
            '{' if !in_class && !is_repetition(after) => out.push_str("\\{"),
            other => out.push(other),
        }
        rest = after;
    }
    out
}

fn push_escape(out: &mut String, next: char, in_class: bool) {
    let class = match next {
        'd' => "0-9",
        'w' => "0-9A-Za-z_",
        's' => "\\t\\n\\x0C\\r ",
        'D' => "^0-9",
        'W' => "^0-9A-Za-z_",
        'S' => "^\\t\\n\\x0C\\r ",
        other => {
            out.push('\\');
            out.push(other);
            return;
        }
    };
    match in_class && !class.starts_with('^') {
        true => out.push_str(class),
        false => out.push_str(&format!("[{class}]")),
    }
}

/// Whether what follows a brace makes a repetition: `3}`, `1,}`, `1,2}`.
fn is_repetition(after: &str) -> bool {
    let Some((inner, _)) = after.split_once('}') else { return false };
    let (least, most) = inner.split_once(',').unwrap_or((inner, ""));
    let digits = |text: &str| text.bytes().all(|b| b.is_ascii_digit());
    !least.is_empty() && digits(least) && digits(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_in_go() {
        let check = |pattern: &str, text: &str, want: bool| {
            assert_eq!(compile(pattern).unwrap().is_match(text), want, "{pattern} {text}");
        };
        check(r"^\d+$", "12", true);
        check(r"^\d+$", "١", false);
        check(r"^[\d\-]+$", "1-2", true);
        check(r"^[[a]+$", "[a", true);
        check(r"^[]a]+$", "]a", true);
        check(r"^[[:alpha:]_]+$", "a_", true);
        check(r"^{{[a-z]+}}$", "{{x}}", true);
        check(r"^a{2,3}$", "aaa", true);
        check(r"^[^\s]+$", "a b", false);
        check(r"^[\S]+$", "ab", true);
        check(r"^[a&&b]+$", "a&b", true);
        check(r"^https?:\/\/", "http://x", true);
        assert!(compile("(").is_err());
    }
}
