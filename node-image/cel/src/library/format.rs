//! Named formats, and what is wrong with a text that should have one.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::{Opaque, Row, global, member, mismatch, text, time, url};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

macro_rules! formats {
    ($($name:literal $title:literal $pattern:literal $check:expr;)*) => {
        /// Every format.
        const FORMATS: &[Format] =
            &[$(Format { name: $name, title: $title, pattern: $pattern, check: $check }),*];

        pub(super) const ROWS: &[Row] = &[
            $(global(concat!("format.", $name), "-> kubernetes.NamedFormat", Cost::Nominal, |_, _| {
                named($name).ok_or_else(mismatch)
            }),)*
            global("format.named", "string -> optional(kubernetes.NamedFormat)", Cost::Nominal, |_, args| {
                Ok(Value::Optional(named(text(args, 0)?).map(Into::into)))
            }),
            member("validate", "kubernetes.NamedFormat, string -> optional(list(string))", Cost::Format, |_, args| {
                let problems = (format(args)?.check)(text(args, 1)?);
                let problems: Vec<Value> = problems.into_iter().map(Value::from).collect();
                Ok(Value::Optional((!problems.is_empty()).then(|| Value::from(problems).into())))
            }),
        ];
    };
}

formats! {
    "dns1123Label" "DNS1123Label" 30 |text| dns_label(text);
    "dns1123Subdomain" "DNS1123Subdomain" 60 |text| dns_subdomain(text);
    "dns1035Label" "DNS1035Label" 30 |text| dns_1035_label(text);
    "qualifiedName" "QualifiedName" 60 |text| qualified_name(text);
    "dns1123LabelPrefix" "DNS1123LabelPrefix" 30 |text| dns_label(&mask_trailing_dash(text));
    "dns1123SubdomainPrefix" "DNS1123SubdomainPrefix" 60 |text| dns_subdomain(&mask_trailing_dash(text));
    "dns1035LabelPrefix" "DNS1035LabelPrefix" 30 |text| dns_1035_label(&mask_trailing_dash(text));
    "labelValue" "LabelValue" 40 |text| label_value(text);
    "uri" "URI" 1024 |text| url::request_uri(text).err().into_iter().collect();
    "uuid" "uuid" 91 |text| problem(!is_uuid(text), "does not match the UUID format");
    "byte" "byte" 84 |text| problem(STANDARD.decode(text).is_err(), "invalid base64");
    "date" "date" 117 |text| problem(!is_date(text), "invalid date");
    "datetime" "datetime" 117 |text| problem(time::parse_timestamp(text).is_none(), "invalid datetime");
}

/// A format.
#[derive(Debug)]
pub struct Format {
    pub(super) name: &'static str,
    #[allow(dead_code, reason = "what upstream shows; no function returns it yet")]
    title: &'static str,
    pattern: u64,
    check: fn(&str) -> Vec<String>,
}

impl Format {
    /// The length of the pattern that it is charged for.
    pub(crate) fn pattern_size(&self) -> u64 {
        self.pattern
    }
}

fn named(name: &str) -> Option<Value> {
    let format = FORMATS.iter().find(|format| format.name == name)?;
    Some(Value::Opaque(Opaque::Format(format)))
}

fn format(args: &[Value]) -> Result<&'static Format, Error> {
    match args.first() {
        Some(Value::Opaque(Opaque::Format(format))) => Ok(format),
        _ => Err(mismatch()),
    }
}

fn problem(broken: bool, text: &str) -> Vec<String> {
    if broken { vec![text.to_owned()] } else { Vec::new() }
}

const LABEL_1123: &str = "a lowercase RFC 1123 label must consist of lower case alphanumeric characters or '-', and must start and end with an alphanumeric character (e.g. 'my-name',  or '123-abc', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?')";
const SUBDOMAIN_1123: &str = "a lowercase RFC 1123 subdomain must consist of lower case alphanumeric characters, '-' or '.', and must start and end with an alphanumeric character (e.g. 'example.com', regex used for validation is '[a-z0-9]([-a-z0-9]*[a-z0-9])?(\\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*')";
const LABEL_1035: &str = "a DNS-1035 label must consist of lower case alphanumeric characters or '-', start with an alphabetic character, and end with an alphanumeric character (e.g. 'my-name',  or 'abc-123', regex used for validation is '[a-z]([-a-z0-9]*[a-z0-9])?')";
const QUALIFIED_NAME: &str = "must consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyName',  or 'my.name',  or '123-abc', regex used for validation is '([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9]')";
const LABEL_VALUE: &str = "a valid label must be an empty string or consist of alphanumeric characters, '-', '_' or '.', and must start and end with an alphanumeric character (e.g. 'MyValue',  or 'my_value',  or '12345', regex used for validation is '(([A-Za-z0-9][-A-Za-z0-9_.]*)?[A-Za-z0-9])?')";

const LABEL_MAX: usize = 63;
const SUBDOMAIN_MAX: usize = 253;

fn bounded(text: &str, limit: usize, broken: bool, sentence: &str) -> Vec<String> {
    let long = problem(text.len() > limit, &format!("must be no more than {limit} bytes"));
    long.into_iter().chain(problem(broken, sentence)).collect()
}

fn is_label(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    !text.is_empty() && text.bytes().all(inner) && !text.starts_with('-') && !text.ends_with('-')
}

fn is_name(text: &str) -> bool {
    let inner = |b: u8| b.is_ascii_alphanumeric() || b"-_.".contains(&b);
    let outer = |b: Option<u8>| b.is_some_and(|b| b.is_ascii_alphanumeric());
    text.bytes().all(inner) && outer(text.bytes().next()) && outer(text.bytes().last())
}

pub(super) fn dns_label(text: &str) -> Vec<String> {
    bounded(text, LABEL_MAX, !is_label(text), LABEL_1123)
}

pub(super) fn dns_subdomain(text: &str) -> Vec<String> {
    bounded(text, SUBDOMAIN_MAX, !text.split('.').all(is_label), SUBDOMAIN_1123)
}

fn dns_1035_label(text: &str) -> Vec<String> {
    let letter_first = text.starts_with(|c: char| c.is_ascii_lowercase());
    bounded(text, LABEL_MAX, !(is_label(text) && letter_first), LABEL_1035)
}

fn label_value(text: &str) -> Vec<String> {
    bounded(text, LABEL_MAX, !(text.is_empty() || is_name(text)), LABEL_VALUE)
}

fn qualified_name(text: &str) -> Vec<String> {
    let mut wrong = Vec::new();
    let name = match text.split('/').collect::<Vec<_>>().as_slice() {
        [name] => *name,
        ["", name] => {
            wrong.push("prefix part must be non-empty".to_owned());
            *name
        }
        [prefix, name] => {
            wrong.extend(dns_subdomain(prefix).iter().map(|text| format!("prefix part {text}")));
            *name
        }
        _ => {
            let optional =
                "with an optional DNS subdomain prefix and '/' (e.g. 'example.com/MyName')";
            return vec![format!("a qualified name {QUALIFIED_NAME} {optional}")];
        }
    };
    if name.is_empty() {
        wrong.push("name part must be non-empty".to_owned());
    } else if name.len() > LABEL_MAX {
        wrong.push(format!("name part must be no more than {LABEL_MAX} bytes"));
    }
    wrong.extend(problem(!is_name(name), &format!("name part {QUALIFIED_NAME}")));
    wrong
}

/// A name that something will be appended to may end with a dash.
fn mask_trailing_dash(text: &str) -> String {
    match text.strip_suffix('-') {
        Some(body) if text.len() > 1 => format!("{body}a"),
        _ => text.to_owned(),
    }
}

fn is_uuid(text: &str) -> bool {
    let plain: String = text.chars().filter(|c| *c != '-').collect();
    let groups: Vec<usize> = text.split('-').map(str::len).collect();
    let grouped = groups == [8, 4, 4, 4, 12] || groups == [32];
    grouped && plain.chars().all(|c| c.is_ascii_hexdigit())
}

fn is_date(text: &str) -> bool {
    text.len() == 10 && text.parse::<jiff::civil::Date>().is_ok()
}
