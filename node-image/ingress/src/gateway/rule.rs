//! The rules of a route.

use std::sync::Arc;
use std::time::Duration;

use http::{HeaderName, Method, StatusCode};
use kd_client::{Key, Object};
use serde_json::Value;

use super::condition::Condition;
use super::filter::{Filters, filters};
use super::{RouteKind, World, grant};
use crate::backends::{Missing, PortName};
use crate::ingresses::list;
use crate::route::{Action, Backend, Match, PathMatch, Protocol, Rule, Target, TextMatch, whole};

/// Any service, or any method of one.
const ANY_PART: &str = "[^/]+";

/// What becomes of a route.
pub(super) struct Rules {
    pub all: Vec<Rule>,
    /// Whether what it names is there.
    pub resolved: Condition,
    /// What of it is not served: then nothing of it is.
    pub unsupported: Option<String>,
}

/// Why something is not as it should be.
pub(super) enum Trouble {
    /// Nothing of the route is served.
    Unsupported(String),
    /// One backend is not there.
    Unresolved(Condition),
}

/// What reads a route's parts.
pub(super) struct Reader<'w, 'a> {
    pub world: &'w mut World<'a>,
    pub kind: RouteKind,
    pub namespace: &'w str,
    pub resolved: Condition,
}

/// Reads the rules of a route.
pub(super) fn rules(
    world: &mut World<'_>,
    kind: RouteKind,
    object: &Object,
    route: &Value,
) -> Rules {
    let resolved = Condition::yes("ResolvedRefs", "ResolvedRefs", "all references are resolved");
    let mut reader = Reader { world, kind, namespace: &object.metadata.namespace, resolved };
    let mut all = Vec::new();
    let mut unsupported = None;
    for rule in list(&route["spec"]["rules"]) {
        if let Err(what) = reader.rule(object, rule, &mut all) {
            unsupported.get_or_insert(what);
        }
    }
    Rules { all, resolved: reader.resolved, unsupported }
}

impl Reader<'_, '_> {
    fn rule(&mut self, object: &Object, rule: &Value, all: &mut Vec<Rule>) -> Result<(), String> {
        let mut targets = Vec::new();
        for reference in list(&rule["backendRefs"]) {
            targets.push(self.target(reference)?);
        }
        let none = [Value::Null];
        let matches: Vec<&Value> = list(&rule["matches"]).collect();
        let matches = if matches.is_empty() { none.iter().collect() } else { matches };
        for matched in matches {
            let matches = match self.kind {
                RouteKind::Http => request_match(matched)?,
                RouteKind::Grpc => call_match(matched)?,
            };
            let Filters { request_headers, response_headers, redirect, rewrite, mirrors } =
                filters(self, &rule["filters"], &matches.path)?;
            let action = Action {
                redirect,
                rewrite,
                request_headers,
                response_headers,
                mirrors,
                targets: targets.clone(),
                timeout: timeout(&rule["timeouts"])?,
            };
            let age = (object.metadata.creation_timestamp, object.key(), all.len());
            all.push(Rule { matches, is_last_resort: false, age, action: Arc::new(action) });
        }
        Ok(())
    }

    /// A backend with its share. One that is not there answers for itself: 500.
    fn target(&mut self, reference: &Value) -> Result<Target, String> {
        let weight = reference["weight"].as_u64().unwrap_or(1);
        let backend = match self.backend(reference) {
            Ok(backend) => Ok(Arc::new(backend)),
            Err(Trouble::Unsupported(what)) => return Err(what),
            Err(Trouble::Unresolved(condition)) => {
                self.resolved = condition;
                Err(StatusCode::INTERNAL_SERVER_ERROR)
            }
        };
        let path = PathMatch::default();
        let own = filters(self, &reference["filters"], &path)?;
        if own.redirect.is_some() || own.rewrite.is_some() || !own.mirrors.is_empty() {
            return Err("filters of a backend can only change headers".to_owned());
        }
        let weight = u32::try_from(weight).unwrap_or(u32::MAX);
        let (request_headers, response_headers) = (own.request_headers, own.response_headers);
        Ok(Target { weight, backend, request_headers, response_headers })
    }

    /// The backend that a reference means.
    pub(super) fn backend(&mut self, reference: &Value) -> Result<Backend, Trouble> {
        let no = |reason, message: String| {
            Err(Trouble::Unresolved(Condition::no("ResolvedRefs", reason, message)))
        };
        let kind = reference["kind"].as_str().unwrap_or("Service");
        let group = reference["group"].as_str().unwrap_or_default();
        if kind != "Service" || !group.is_empty() {
            return no("InvalidKind", format!("backends are Services, not {group}/{kind}"));
        }
        let namespace = reference["namespace"].as_str().unwrap_or(self.namespace);
        let key = Key::new(namespace, reference["name"].as_str().unwrap_or_default());
        if !grant::allows(self.world.view, self.kind.name(), self.namespace, "Service", &key) {
            return no("RefNotPermitted", format!("no ReferenceGrant permits the Service {key}"));
        }
        let port = reference["port"].as_u64().and_then(|port| u16::try_from(port).ok());
        let Some(port) = port else {
            return Err(Trouble::Unsupported(format!("the port of the Service {key} is missing")));
        };
        match self.world.services.backend(&key, PortName::Number(port)) {
            // gRPC is HTTP/2, whatever the Service says.
            Ok(backend) if self.kind == RouteKind::Grpc && backend.protocol == Protocol::Http => {
                Ok(Backend { protocol: Protocol::Http2, ..backend })
            }
            Ok(backend) => Ok(backend),
            Err(Missing::Service) => {
                no("BackendNotFound", format!("the Service {key} does not exist"))
            }
            Err(Missing::Port) => {
                no("BackendNotFound", format!("the Service {key} has no port {port}"))
            }
        }
    }
}

fn request_match(matched: &Value) -> Result<Match, String> {
    let value = matched["path"]["value"].as_str().unwrap_or("/");
    let path = match matched["path"]["type"].as_str().unwrap_or("PathPrefix") {
        "Exact" => PathMatch::Exact(value.to_owned()),
        "PathPrefix" => PathMatch::prefix(value),
        "RegularExpression" => PathMatch::Pattern(whole(value).map_err(|e| e.to_string())?),
        other => return Err(format!("paths of type {other} are not served")),
    };
    let method = matched["method"].as_str().map(|method| Method::from_bytes(method.as_bytes()));
    let method = method.transpose().map_err(|error| error.to_string())?;
    let headers = header_matches(matched)?;
    let mut query: Vec<(String, TextMatch)> = Vec::new();
    for parameter in list(&matched["queryParams"]) {
        let (name, value) = text_match(parameter)?;
        if query.iter().all(|(known, _)| *known != name) {
            query.push((name, value));
        }
    }
    Ok(Match { path, method, headers, query })
}

/// A call of gRPC is a POST to `/SERVICE/METHOD`.
fn call_match(matched: &Value) -> Result<Match, String> {
    let method = &matched["method"];
    let (service, name) = (method["service"].as_str(), method["method"].as_str());
    let path = match (method["type"].as_str().unwrap_or("Exact"), service, name) {
        (_, None, None) => PathMatch::default(),
        ("Exact", Some(service), Some(name)) => PathMatch::Exact(format!("/{service}/{name}")),
        ("Exact", Some(service), None) => PathMatch::prefix(&format!("/{service}")),
        ("Exact", None, Some(name)) => pattern(ANY_PART, &regex::escape(name))?,
        ("RegularExpression", service, name) => {
            pattern(service.unwrap_or(ANY_PART), name.unwrap_or(ANY_PART))?
        }
        (other, ..) => return Err(format!("methods of type {other} are not served")),
    };
    Ok(Match { path, headers: header_matches(matched)?, ..Match::default() })
}

fn pattern(service: &str, name: &str) -> Result<PathMatch, String> {
    let pattern = whole(&format!("/(?:{service})/(?:{name})"));
    pattern.map(PathMatch::Pattern).map_err(|error| error.to_string())
}

fn header_matches(matched: &Value) -> Result<Vec<(HeaderName, TextMatch)>, String> {
    let mut headers: Vec<(HeaderName, TextMatch)> = Vec::new();
    for header in list(&matched["headers"]) {
        let (name, value) = text_match(header)?;
        let name: HeaderName = name.parse().map_err(|_| format!("{name:?} is no header"))?;
        // The first of a name counts.
        if headers.iter().all(|(known, _)| *known != name) {
            headers.push((name, value));
        }
    }
    Ok(headers)
}

fn text_match(condition: &Value) -> Result<(String, TextMatch), String> {
    let name = condition["name"].as_str().unwrap_or_default().to_owned();
    let value = condition["value"].as_str().unwrap_or_default();
    let value = match condition["type"].as_str().unwrap_or("Exact") {
        "Exact" => TextMatch::Exact(value.to_owned()),
        "RegularExpression" => TextMatch::Pattern(whole(value).map_err(|e| e.to_string())?),
        other => return Err(format!("matches of type {other} are not served")),
    };
    Ok((name, value))
}

/// The shorter of the two timeouts; one of zero is none.
fn timeout(timeouts: &Value) -> Result<Option<Duration>, String> {
    let mut shortest = None;
    for name in ["request", "backendRequest"] {
        let Some(text) = timeouts[name].as_str() else { continue };
        let read = duration(text).ok_or(format!("{text:?} is no duration"))?;
        if !read.is_zero() {
            shortest = Some(shortest.map_or(read, |shortest: Duration| shortest.min(read)));
        }
    }
    Ok(shortest)
}

/// A duration of the Gateway API: `1h30m`, `10s`, `500ms` (GEP-2257).
fn duration(text: &str) -> Option<Duration> {
    let mut total = Duration::ZERO;
    let mut rest = text;
    while !rest.is_empty() {
        let digits = rest.find(|c: char| !c.is_ascii_digit())?;
        let count: u64 = rest[..digits].parse().ok()?;
        let tail = &rest[digits..];
        let unit = &tail[..tail.find(|c: char| c.is_ascii_digit()).unwrap_or(tail.len())];
        let more = match unit {
            "h" => Duration::from_secs(count.checked_mul(3600)?),
            "m" => Duration::from_secs(count.checked_mul(60)?),
            "s" => Duration::from_secs(count),
            "ms" => Duration::from_millis(count),
            _ => return None,
        };
        total = total.checked_add(more)?;
        rest = &tail[unit.len()..];
    }
    (!text.is_empty()).then_some(total)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations() {
        let check = |text: &str, expect: Option<u64>| {
            assert_eq!(duration(text), expect.map(Duration::from_millis), "{text}");
        };
        check("500ms", Some(500));
        check("1h0m10s", Some(3_610_000));
        check("0s", Some(0));
        check("10", None);
        check("18446744073709551615s1s", None);
        check("s", None);
        check("", None);
        check("1d", None);
    }
}
