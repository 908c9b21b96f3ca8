//! URLs, read as Go's net/url reads them.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Opaque, Row, global, member, mismatch, text};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::{Key, Value};

pub(super) const ROWS: &[Row] = &[
    global("url", "string -> kubernetes.URL", Cost::Copy, |_, args| {
        let text = text(args, 0)?;
        let refused = |why: String| {
            Error::other(format!("URL parse error during conversion from string: {why}"))
        };
        request_uri(text).map_err(refused)?;
        let url = Url::parse(text).map_err(|why| refused(complaint(text, &why)))?;
        Ok(Value::Opaque(Opaque::Url(Arc::new(url))))
    }),
    global("isURL", "string -> bool", Cost::Read, |_, args| {
        Ok(Value::Bool(request_uri(text(args, 0)?).is_ok()))
    }),
    member("getScheme", TEXT, Cost::Nominal, |_, args| part(args, |url| url.scheme.clone())),
    member("getHost", TEXT, Cost::Nominal, |_, args| part(args, |url| url.host.clone())),
    member("getHostname", TEXT, Cost::Nominal, |_, args| part(args, |url| url.hostname())),
    member("getPort", TEXT, Cost::Nominal, |_, args| part(args, |url| url.port())),
    member("getEscapedPath", TEXT, Cost::Nominal, |_, args| part(args, |url| escape(&url.path))),
    member("getQuery", "kubernetes.URL -> map(string, list(string))", Cost::Nominal, |_, args| {
        let query = url(args)?.query();
        let entries = query.into_iter().map(|(name, values)| {
            let values: Vec<Value> = values.into_iter().map(Value::from).collect();
            (Key::String(name.into()), Value::from(values))
        });
        Ok(Value::map(entries))
    }),
];

const TEXT: &str = "kubernetes.URL -> string";

/// The parts of a URL as they were written.
#[derive(Debug)]
pub struct Url {
    pub(super) text: String,
    scheme: String,
    /// With the port.
    host: String,
    path: String,
    query: String,
}

impl Url {
    fn parse(text: &str) -> Result<Url, String> {
        let (rest, _fragment) = text.split_once('#').unwrap_or((text, ""));
        let mut url = parse_parts(rest, false)?;
        text.clone_into(&mut url.text);
        Ok(url)
    }

    /// The place of the colon before the port.
    fn port_at(&self) -> Option<usize> {
        let colon = self.host.rfind(':')?;
        let after_address = self.host.rfind(']').is_none_or(|bracket| bracket < colon);
        after_address.then_some(colon)
    }

    fn hostname(&self) -> String {
        let name = &self.host[..self.port_at().unwrap_or(self.host.len())];
        let address = name.strip_prefix('[').and_then(|name| name.strip_suffix(']'));
        address.unwrap_or(name).to_owned()
    }

    fn port(&self) -> String {
        self.port_at().map_or("", |colon| &self.host[colon + 1..]).to_owned()
    }

    /// The parameters; what cannot be read is left out.
    fn query(&self) -> BTreeMap<String, Vec<String>> {
        let mut query: BTreeMap<String, Vec<String>> = BTreeMap::new();
        for pair in self.query.split('&').filter(|pair| !pair.is_empty() && !pair.contains(';')) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            if let (Some(name), Some(value)) = (unescape_query(name), unescape_query(value)) {
                query.entry(name).or_default().push(value);
            }
        }
        query
    }
}

fn complaint(text: &str, why: &str) -> String {
    format!("parse {text:?}: {why}")
}

/// Whether the text is a URI that a request may have: absolute, or a path from the root.
///
/// # Errors
/// In upstream's words.
pub(super) fn request_uri(text: &str) -> Result<(), String> {
    match parse_parts(text, true) {
        Ok(_) => Ok(()),
        Err(why) => Err(complaint(text, &why)),
    }
}

fn parse_parts(text: &str, request: bool) -> Result<Url, String> {
    let mut url = Url {
        text: text.to_owned(),
        scheme: String::new(),
        host: String::new(),
        path: String::new(),
        query: String::new(),
    };
    if text.chars().any(|c| c < ' ' || c == '\u{7f}') {
        return Err("net/url: invalid control character in URL".into());
    }
    if text.is_empty() && request {
        return Err("empty url".into());
    }
    if text == "*" {
        "*".clone_into(&mut url.path);
        return Ok(url);
    }
    let (scheme, rest) = scheme(text)?;
    url.scheme = scheme.to_ascii_lowercase();
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    query.clone_into(&mut url.query);
    if !rest.starts_with('/') {
        if !url.scheme.is_empty() {
            return Ok(url);
        }
        if request {
            return Err("invalid URI for request".into());
        }
        if rest.split('/').next().is_some_and(|segment| segment.contains(':')) {
            return Err("first path segment in URL cannot contain colon".into());
        }
    }
    let mut path = rest;
    let with_authority = !url.scheme.is_empty() || !request && !rest.starts_with("///");
    if let Some(authority) = rest.strip_prefix("//").filter(|_| with_authority) {
        let end = authority.find('/').unwrap_or(authority.len());
        path = &authority[end..];
        url.host = host(&authority[..end])?;
    }
    unescape(path, false)?;
    path.clone_into(&mut url.path);
    Ok(url)
}

/// The scheme, empty if there is none, and what follows it.
fn scheme(text: &str) -> Result<(&str, &str), String> {
    for (index, c) in text.char_indices() {
        match c {
            'a'..='z' | 'A'..='Z' => {}
            '0'..='9' | '+' | '-' | '.' if index > 0 => {}
            ':' if index == 0 => return Err("missing protocol scheme".into()),
            ':' => return Ok((&text[..index], &text[index + 1..])),
            _ => break,
        }
    }
    Ok(("", text))
}

/// The host with its port, without a user.
fn host(authority: &str) -> Result<String, String> {
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", authority),
    };
    let user_char = |c: char| c.is_ascii_alphanumeric() || "-._:~!$&'()*+,;=%@".contains(c);
    if !user.chars().all(user_char) {
        return Err("net/url: invalid userinfo".into());
    }
    unescape(user, false)?;
    let port = match host.strip_prefix('[') {
        Some(address) => {
            let close = address.rfind(']').ok_or("missing ']' in host")?;
            &address[close + 1..]
        }
        None => host.rfind(':').map_or("", |colon| &host[colon..]),
    };
    let digits = port.strip_prefix(':').unwrap_or(port);
    let plain =
        port.is_empty() || port.starts_with(':') && digits.bytes().all(|b| b.is_ascii_digit());
    if !plain {
        return Err(format!("invalid port {port:?} after host"));
    }
    unescape(host, true)
}

/// Resolves `%41` and the like; hosts take fewer characters than paths.
fn unescape(text: &str, is_host: bool) -> Result<String, String> {
    let bytes = text.as_bytes();
    let mut result = Vec::with_capacity(bytes.len());
    let mut at = 0;
    while let Some(byte) = bytes.get(at) {
        if *byte == b'%' {
            let code =
                text.get(at + 1..at + 3).filter(|code| code.bytes().all(|b| b.is_ascii_hexdigit()));
            let Some(code) = code else {
                let shown: String = text[at..].chars().take(3).collect();
                return Err(format!("invalid URL escape {shown:?}"));
            };
            result.push(u8::from_str_radix(code, 16).unwrap_or(b'?'));
            at += 3;
            continue;
        }
        let fits = byte.is_ascii_alphanumeric()
            || *byte >= 0x80
            || b"-_.~!$&'()*+,;=:[]<>\"".contains(byte);
        if is_host && !fits {
            let shown: String = char::from(*byte).into();
            return Err(format!("invalid character {shown:?} in host name"));
        }
        result.push(*byte);
        at += 1;
    }
    Ok(String::from_utf8_lossy(&result).into_owned())
}

fn unescape_query(text: &str) -> Option<String> {
    unescape(&text.replace('+', " "), false).ok()
}

/// The path with everything escaped that must be.
fn escape(path: &str) -> String {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_.~!$&'()*+,;=:@/%[]".contains(&byte);
    let mut escaped = String::with_capacity(path.len());
    for byte in path.bytes() {
        match plain(byte) {
            true => escaped.push(char::from(byte)),
            false => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

fn url(args: &[Value]) -> Result<&Url, Error> {
    match args.first() {
        Some(Value::Opaque(Opaque::Url(url))) => Ok(url),
        _ => Err(mismatch()),
    }
}

fn part(args: &[Value], part: fn(&Url) -> String) -> Result<Value, Error> {
    url(args).map(part).map(Value::from)
}
