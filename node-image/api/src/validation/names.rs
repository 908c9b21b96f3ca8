//! Formats of names: DNS labels and subdomains, label keys and values, ports, paths. Each rule
//! returns upstream's sentences, none when the text is fine.

use std::net::IpAddr;

use super::check::Errors;
use crate::{FieldError, Path};

/// The sentences that say what is wrong.
pub type Problems = Vec<String>;

const SUBDOMAIN_MAX: usize = 253;
const LABEL_MAX: usize = 63;

const LABEL_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_1123: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const WILDCARD_1123: &str = "a wildcard DNS-1123 subdomain must start with '*.', followed by a valid DNS subdomain, which must consist of lower case alphanumeric characters, '-' or '.' and end with an alphanumeric character (e.g. '*.example.com', regex used for validation is '\\*\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";
const CONFIG_KEY: &str = "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or 'key-name', regex used for validation is '[-._a-zA-Z0-9]+')";
const ENV_NAME: &str = "a valid environment variable name must consist only of printable ASCII characters other than '='";
const C_IDENTIFIER: &str = "a valid C identifier must start with alphabetic character or '_', followed by a string of alphanumeric characters or '_' (e.g. 'my_name',  or 'MY_NAME',  or 'MyName', regex used for validation is '[A-Za-z_][A-Za-z0-9_]*')";
const HTTP_HEADER: &str = "a valid HTTP header must consist of alphanumeric characters or '-' (e.g. 'X-Header-Name', regex used for validation is '[-A-Za-z0-9]+')";
const IP_ADDRESS: &str = "must be a valid IP address, (e.g. 10.9.8.7 or 2001:db8::ffff)";

fn problems(rules: &[(bool, &str)]) -> Problems {
    rules.iter().filter(|(broken, _)| *broken).map(|(_, text)| (*text).to_owned()).collect()
}

fn too_long(limit: usize) -> String {
    format!("must be no more than {limit} bytes")
}

fn is_label_1123(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_subdomain_1123(text: &str) -> bool {
    text.split('.').all(is_label_1123)
}

/// `[A-Za-z0-9]` at both ends, `[-A-Za-z0-9_.]` between.
fn is_name_part(text: &str) -> bool {
    let bytes = text.as_bytes();
    let ends = |b: Option<&u8>| b.is_some_and(u8::is_ascii_alphanumeric);
    ends(bytes.first())
        && ends(bytes.last())
        && bytes.iter().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(b))
}

/// A DNS-1123 label, as namespaces and containers are named.
pub fn dns_label(text: &str) -> Problems {
    let long = too_long(LABEL_MAX);
    problems(&[(text.len() > LABEL_MAX, &long), (!is_label_1123(text), LABEL_1123)])
}

/// A DNS-1123 subdomain, as most objects are named.
pub fn dns_subdomain(text: &str) -> Problems {
    let long = too_long(SUBDOMAIN_MAX);
    problems(&[(text.len() > SUBDOMAIN_MAX, &long), (!is_subdomain_1123(text), SUBDOMAIN_1123)])
}

/// A DNS-1035 label, as Services were named.
pub fn dns_1035_label(text: &str) -> Problems {
    let long = too_long(LABEL_MAX);
    let letter_first = text.bytes().next().is_some_and(|b| b.is_ascii_lowercase());
    problems(&[
        (text.len() > LABEL_MAX, &long),
        (!(is_label_1123(text) && letter_first), LABEL_1035),
    ])
}

/// `*.` and a subdomain.
pub fn wildcard_subdomain(text: &str) -> Problems {
    let long = too_long(SUBDOMAIN_MAX);
    let fine = text.strip_prefix("*.").is_some_and(is_subdomain_1123);
    problems(&[(text.len() > SUBDOMAIN_MAX, &long), (!fine, WILDCARD_1123)])
}

/// A label key: an optional subdomain prefix, a slash, a name.
pub fn qualified_name(text: &str) -> Problems {
    let mut wrong = Problems::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        [prefix, name] => {
            if prefix.is_empty() {
                wrong.push("prefix part must be non-empty".into());
            } else {
                wrong.extend(dns_subdomain(prefix).iter().map(|m| format!("prefix part {m}")));
            }
            *name
        }
        _ => {
            let optional =
                "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {QUALIFIED_NAME} {optional}")];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".into());
    } else if name.len() > LABEL_MAX {
        wrong.push(format!("name part {}", too_long(LABEL_MAX)));
    }
    if !is_name_part(name) {
        wrong.push(format!("name part {QUALIFIED_NAME}"));
    }
    wrong
}

/// A label's value; may be empty.
pub fn label_value(text: &str) -> Problems {
    let long = too_long(LABEL_MAX);
    let fine = text.is_empty() || is_name_part(text);
    problems(&[(text.len() > LABEL_MAX, &long), (!fine, LABEL_VALUE)])
}

/// A key in a ConfigMap or Secret.
pub fn config_key(text: &str) -> Problems {
    let long = too_long(SUBDOMAIN_MAX);
    let fine =
        !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b"-_.".contains(&b));
    let mut wrong = problems(&[(text.len() > SUBDOMAIN_MAX, &long), (!fine, CONFIG_KEY)]);
    if text == "." {
        wrong.push("must not be '.'".into());
    } else if text == ".." {
        wrong.push("must not be '..'".into());
    } else if text.starts_with("..") {
        wrong.push("must not start with '..'".into());
    }
    wrong
}

/// The name of an environment variable.
pub fn environment_name(text: &str) -> Problems {
    let fine = text.bytes().all(|b| (b' '..=b'~').contains(&b) && b != b'=');
    let empty = "environment variable name must be non-empty";
    problems(&[(text.is_empty(), empty), (!fine, ENV_NAME)])
}

/// A C identifier.
pub fn c_identifier(text: &str) -> Problems {
    let first = text.bytes().next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_');
    let fine = first && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
    problems(&[(!fine, C_IDENTIFIER)])
}

/// The name of an HTTP header.
pub fn http_header(text: &str) -> Problems {
    let fine = !text.is_empty() && text.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
    problems(&[(!fine, HTTP_HEADER)])
}

/// The name of a port: at most 15 characters, with a letter.
pub fn port_name(text: &str) -> Problems {
    let alphanumeric = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit();
    let charset = text.bytes().all(|b| alphanumeric(b) || b == b'-');
    let letter = text.bytes().any(|b| b.is_ascii_lowercase());
    let edge = text.starts_with('-') || text.ends_with('-');
    let long = too_long(15);
    problems(&[
        (text.len() > 15, &long),
        (!charset, "must contain only alpha-numeric characters (a-z, 0-9), and hyphens (-)"),
        (!letter, "must contain at least one letter (a-z)"),
        (text.contains("--"), "must not contain consecutive hyphens"),
        (edge, "must not begin or end with a hyphen"),
    ])
}

/// A port number.
pub fn port_number(port: i64) -> Problems {
    problems(&[(!(1..=65535).contains(&port), "must be between 1 and 65535, inclusive")])
}

/// An IPv4 or IPv6 address.
pub fn ip_address(text: &str) -> Problems {
    problems(&[(text.parse::<IpAddr>().is_err(), IP_ADDRESS)])
}

/// An address and a prefix length.
pub fn cidr(text: &str) -> Problems {
    let parsed = text.split_once('/').and_then(|(address, length)| {
        let address: IpAddr = address.parse().ok()?;
        let length: u8 = length.parse().ok()?;
        (length <= if address.is_ipv4() { 32 } else { 128 }).then_some(())
    });
    problems(&[(
        parsed.is_none(),
        "must be a valid CIDR value, (e.g. 10.9.8.0/24 or 2001:db8::/64)",
    )])
}

/// The name of an object that becomes a path element of the API (RBAC roles).
pub fn path_segment(text: &str) -> Problems {
    if text == "." {
        return vec!["may not be '.'".into()];
    }
    if text == ".." {
        return vec!["may not be '..'".into()];
    }
    let slash = text.contains('/').then(|| "may not contain '/'".to_owned());
    let percent = text.contains('%').then(|| "may not contain '%'".to_owned());
    slash.into_iter().chain(percent).collect()
}

/// A name such as `example.com/thing`: a domain, a slash and a path.
pub(super) fn domain_prefixed_path(errors: &mut Errors, text: &str, path: &Path) {
    if text.is_empty() {
        errors.push(FieldError::required(path.clone(), ""));
        return;
    }
    let Some((host, rest)) = text.split_once('/').filter(|(a, b)| !a.is_empty() && !b.is_empty())
    else {
        let why = "must be a domain-prefixed path (such as \"acme.io/foo\")";
        errors.push(FieldError::invalid(path.clone(), text, why));
        return;
    };
    for problem in dns_subdomain(host) {
        errors.push(FieldError::invalid(path.clone(), host, problem));
    }
    let fine = |b: u8| b.is_ascii_alphanumeric() || b"-._~!$&'()*+,;=:@/%".contains(&b);
    if !rest.bytes().all(fine) {
        errors.push(FieldError::invalid(path.clone(), rest, "Invalid path"));
    }
}

/// The rule for `metadata.generateName` is the one for names, on the text without what the
/// generated suffix would repair.
pub fn mask_trailing_dash(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(body) if text.len() > 1 => format!("{body}a"),
        _ => text.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names() {
        let check = |rule: fn(&str) -> Problems, good: &[&str], bad: &[&str]| {
            for text in good {
                assert_eq!(rule(text), Problems::new(), "{text}");
            }
            for text in bad {
                assert!(!rule(text).is_empty(), "{text}");
            }
        };
        let long = "a".repeat(64);
        check(dns_label, &["a", "0", "a-b"], &["", "A", "-a", "a-", "a.b", "a_b", &long]);
        check(dns_subdomain, &["a", "a.b", "1.2", &long], &["", "a..b", ".a", "A", "a_b"]);
        check(dns_1035_label, &["a", "a1"], &["1a", ""]);
        check(
            qualified_name,
            &["a", "A_b.c", "x.io/a"],
            &["", "/a", "a/", "a/b/c", "X.io/a", "-a"],
        );
        check(label_value, &["", "a", "A.b_c"], &["-", "a b", &long]);
        check(config_key, &["a", ".a", "A_B-c"], &["", ".", "..", "..a", "a/b"]);
        check(
            port_name,
            &["http", "a1", "80a"],
            &["", "80", "a--b", "-a", "sixteen-letters-", "Http"],
        );
        check(ip_address, &["1.2.3.4", "::1"], &["", "1.2.3", "a"]);
        check(cidr, &["10.0.0.0/8", "::/0"], &["10.0.0.0", "10.0.0.0/33"]);
        check(path_segment, &["a:b", "a b"], &[".", "..", "a/b", "a%b"]);
        check(environment_name, &["A", "a.b", "1"], &["", "A=B", "ä"]);
    }

    #[test]
    fn generated_names_may_end_with_a_dash() {
        assert_eq!(mask_trailing_dash("web-"), "weba");
        assert_eq!(mask_trailing_dash("-"), "-");
    }
}
