//! Filters of HTTPRoutes.

use std::sync::Arc;

use http::{HeaderName, HeaderValue, StatusCode};
use serde_json::Value;

use super::rule::{Reader, Trouble};
use crate::ingresses::list;
use crate::route::{HeaderChanges, Mirror, PathChange, PathMatch, Redirect, Rewrite};

/// What filters do.
#[derive(Default)]
pub(super) struct Filters {
    pub request_headers: HeaderChanges,
    pub response_headers: HeaderChanges,
    pub redirect: Option<Redirect>,
    pub rewrite: Option<Rewrite>,
    pub mirrors: Vec<Mirror>,
}

/// Reads filters of a rule whose path is matched by `path`. The error says what is not served.
pub(super) fn filters(
    reader: &mut Reader<'_, '_>,
    value: &Value,
    path: &PathMatch,
) -> Result<Filters, String> {
    let mut read = Filters::default();
    for filter in list(value) {
        match filter["type"].as_str().unwrap_or_default() {
            "RequestHeaderModifier" => {
                read.request_headers = header_changes(&filter["requestHeaderModifier"])?;
            }
            "ResponseHeaderModifier" => {
                read.response_headers = header_changes(&filter["responseHeaderModifier"])?;
            }
            "RequestRedirect" => {
                read.redirect = Some(redirect(&filter["requestRedirect"], path)?);
            }
            "URLRewrite" => {
                let rewrite = &filter["urlRewrite"];
                let host = rewrite["hostname"].as_str().map(str::to_owned);
                let path = path_change(&rewrite["path"], path)?;
                read.rewrite = Some(Rewrite { host, path });
            }
            "RequestMirror" => match reader.backend(&filter["requestMirror"]["backendRef"]) {
                Ok(backend) => {
                    let share = share(&filter["requestMirror"])?;
                    read.mirrors.push(Mirror { backend: Arc::new(backend), share });
                }
                Err(Trouble::Unsupported(what)) => return Err(what),
                // Who is not there hears nothing; the request itself goes on.
                Err(Trouble::Unresolved(condition)) => reader.resolved = condition,
            },
            other => return Err(format!("filters of type {other} are not served")),
        }
    }
    if read.redirect.is_some() && read.rewrite.is_some() {
        return Err("RequestRedirect and URLRewrite exclude each other".to_owned());
    }
    Ok(read)
}

/// Which part of the requests a mirror hears.
fn share(mirror: &Value) -> Result<Option<(u32, u32)>, String> {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok());
    let fraction = &mirror["fraction"];
    let share = match (number(&mirror["percent"]), number(&fraction["numerator"])) {
        (None, None) => return Ok(None),
        (Some(percent), _) => (percent, 100),
        (None, Some(part)) => (part, number(&fraction["denominator"]).unwrap_or(100)),
    };
    match share.0 <= share.1 && share.1 > 0 {
        true => Ok(Some(share)),
        false => Err(format!("a mirror cannot hear {} of {} requests", share.0, share.1)),
    }
}

fn header_changes(value: &Value) -> Result<HeaderChanges, String> {
    let pairs = |field: &str| -> Result<Vec<(HeaderName, HeaderValue)>, String> {
        let pair = |entry: &Value| {
            let name = header_name(&entry["name"])?;
            let text = entry["value"].as_str().unwrap_or_default();
            let value = HeaderValue::from_str(text);
            Ok((name, value.map_err(|_| format!("{text:?} is no value of a header"))?))
        };
        list(&value[field]).map(pair).collect()
    };
    let remove: Result<Vec<HeaderName>, String> = list(&value["remove"]).map(header_name).collect();
    Ok(HeaderChanges { set: pairs("set")?, add: pairs("add")?, remove: remove? })
}

fn header_name(name: &Value) -> Result<HeaderName, String> {
    let text = name.as_str().unwrap_or_default();
    text.parse().map_err(|_| format!("{text:?} is no header"))
}

fn redirect(value: &Value, path: &PathMatch) -> Result<Redirect, String> {
    let text = |field: &str| value[field].as_str().map(str::to_owned);
    let status = value["statusCode"].as_u64().unwrap_or(302);
    let status = u16::try_from(status).ok().and_then(|code| StatusCode::from_u16(code).ok());
    let status = status.filter(StatusCode::is_redirection);
    Ok(Redirect {
        scheme: text("scheme"),
        host: text("hostname"),
        port: value["port"].as_u64().and_then(|port| u16::try_from(port).ok()),
        path: path_change(&value["path"], path)?,
        status: status.ok_or("the statusCode is no redirection")?,
    })
}

fn path_change(value: &Value, path: &PathMatch) -> Result<Option<PathChange>, String> {
    let text = |field: &str| value[field].as_str().unwrap_or_default().to_owned();
    match (value["type"].as_str(), path) {
        (None, _) => Ok(None),
        (Some("ReplaceFullPath"), _) => Ok(Some(PathChange::Full(text("replaceFullPath")))),
        (Some("ReplacePrefixMatch"), PathMatch::Prefix(prefix)) => {
            Ok(Some(PathChange::Prefix(prefix.clone(), text("replacePrefixMatch"))))
        }
        (Some("ReplacePrefixMatch"), _) => {
            Err("ReplacePrefixMatch needs a match of type PathPrefix".to_owned())
        }
        (Some(other), _) => Err(format!("paths of type {other} are not served")),
    }
}
