//! Names of properties as identifiers.

use crate::syntax::RESERVED;

/// What the grammar takes for something else than a name, beside its reserved words.
const WORDS: [&str; 4] = ["true", "false", "null", "in"];

const SEQUENCES: &[(&str, &str)] =
    &[("__", "__underscores__"), (".", "__dot__"), ("-", "__dash__"), ("/", "__slash__")];

/// The identifier that expressions use for a property: `a.b` is `a__dot__b`. `None` if there is none,
/// and expressions cannot reach the property.
pub fn escape(name: &str) -> Option<String> {
    if name.is_empty() || name.starts_with(|c: char| c.is_ascii_digit()) {
        return None;
    }
    if WORDS.contains(&name) || RESERVED.contains(&name) {
        return Some(format!("__{name}__"));
    }
    let fits = |c: char| c.is_ascii_alphanumeric() || "_.-/".contains(c);
    if !name.chars().all(fits) {
        return None;
    }
    let mut escaped = String::with_capacity(name.len());
    let mut rest = name;
    while let Some(first) = rest.chars().next() {
        match SEQUENCES.iter().find(|(plain, _)| rest.starts_with(plain)) {
            Some((plain, sequence)) => {
                escaped.push_str(sequence);
                rest = &rest[plain.len()..];
            }
            None => {
                escaped.push(first);
                rest = &rest[first.len_utf8()..];
            }
        }
    }
    Some(escaped)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_escaped() {
        let check = |name: &str, expect: Option<&str>| {
            assert_eq!(escape(name).as_deref(), expect, "{name}");
        };
        check("plain_Name1", Some("plain_Name1"));
        check("a.b-c/d", Some("a__dot__b__dash__c__slash__d"));
        check("a__b", Some("a__underscores__b"));
        check("a___b", Some("a__underscores___b"));
        check("namespace", Some("__namespace__"));
        check("int", Some("int"));
        check("1a", None);
        check("a b", None);
        check("ä", None);
        check("", None);
    }
}
