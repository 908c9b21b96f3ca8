//! Heads of requests and answers, as they are passed on.

use std::net::IpAddr;

use http::header::{CONNECTION, HOST, TE, TRAILER, TRANSFER_ENCODING, UPGRADE};
use http::uri::{Authority, PathAndQuery, Scheme};
use http::{HeaderMap, HeaderName, HeaderValue, Request, Response, Uri, Version};

use crate::body::{Body, empty};
use crate::route::{Action, Protocol, Redirect, Target};

const FORWARDED_FOR: HeaderName = HeaderName::from_static("x-forwarded-for");
const FORWARDED_HOST: HeaderName = HeaderName::from_static("x-forwarded-host");
const FORWARDED_PORT: HeaderName = HeaderName::from_static("x-forwarded-port");
const FORWARDED_PROTO: HeaderName = HeaderName::from_static("x-forwarded-proto");
const REAL_IP: HeaderName = HeaderName::from_static("x-real-ip");
const KEEP_ALIVE: HeaderName = HeaderName::from_static("keep-alive");
const PROXY_CONNECTION: HeaderName = HeaderName::from_static("proxy-connection");

/// How a request came.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Via {
    /// By which port of the node.
    pub port: u16,
    /// Over TLS or not.
    pub is_secure: bool,
    /// From whom.
    pub client: IpAddr,
}

impl Via {
    fn scheme(self) -> &'static str {
        if self.is_secure { "https" } else { "http" }
    }
}

/// The host, and perhaps the port, that a request asks.
pub(crate) fn authority<B>(request: &Request<B>) -> Option<&str> {
    let of_uri = request.uri().authority().map(Authority::as_str);
    of_uri.or_else(|| request.headers().get(HOST)?.to_str().ok())
}

/// Whether a request asks to go on with another protocol (RFC 9110, section 7.8).
pub(crate) fn wants_upgrade<B>(request: &Request<B>) -> bool {
    request.version() == Version::HTTP_11
        && request.headers().contains_key(UPGRADE)
        && !request.headers().get_all(UPGRADE).iter().any(is_http2)
        && listed(request.headers()).any(|name| name.eq_ignore_ascii_case("upgrade"))
}

/// HTTP/2 behind an upgrade would go past the rules.
fn is_http2(upgrade: &HeaderValue) -> bool {
    let is_http2 = |name: &str| name.trim().to_ascii_lowercase().starts_with("h2c");
    upgrade.to_str().map_or(true, |names| names.split(',').any(is_http2))
}

/// What a backend is spoken to: gRPC needs HTTP/2 whatever the Service says.
pub(crate) fn protocol<B>(of_backend: Protocol, request: &Request<B>) -> Protocol {
    let kind = request.headers().get(http::header::CONTENT_TYPE);
    let is_grpc = request.version() == Version::HTTP_2
        && kind.is_some_and(|kind| kind.as_bytes().starts_with(b"application/grpc"));
    match of_backend {
        Protocol::Http if is_grpc => Protocol::Http2,
        // Upgrades are a matter of HTTP/1.1.
        Protocol::Http2 if wants_upgrade(request) => Protocol::Http,
        other => other,
    }
}

/// The names that `Connection` lists.
fn listed(headers: &HeaderMap) -> impl Iterator<Item = &str> {
    let lines = headers.get_all(CONNECTION).into_iter().filter_map(|line| line.to_str().ok());
    lines.flat_map(|line| line.split(',')).map(str::trim)
}

/// Removes headers that are about one connection (RFC 9110, section 7.6.1).
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    if headers.contains_key(CONNECTION) {
        let named = listed(headers).filter_map(|name| name.parse::<HeaderName>().ok());
        for name in named.collect::<Vec<_>>() {
            headers.remove(name);
        }
    }
    for name in [CONNECTION, KEEP_ALIVE, PROXY_CONNECTION, TE, TRAILER, TRANSFER_ENCODING, UPGRADE]
    {
        headers.remove(name);
    }
}

/// Makes a client's request the backend's.
pub(crate) fn prepare(
    request: &mut Request<Body>,
    via: Via,
    host: &str,
    action: &Action,
    target: &Target,
    upgrades: bool,
) {
    let asked = authority(request).map(str::to_owned).unwrap_or_default();
    let upgrade = request.headers().get(UPGRADE).cloned().filter(|_| upgrades);
    let takes_trailers = request.headers().get(TE).is_some_and(|te| te == "trailers");
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    if let Some(upgrade) = upgrade {
        headers.insert(UPGRADE, upgrade);
        headers.insert(CONNECTION, HeaderValue::from_static("upgrade"));
    }
    if takes_trailers {
        headers.insert(TE, HeaderValue::from_static("trailers"));
    }
    tell_origin(headers, via, &asked);
    action.request_headers.apply(headers);
    target.request_headers.apply(headers);
    let rewrite = action.rewrite.as_ref();
    let wanted = rewrite.and_then(|rewrite| rewrite.host.as_deref());
    let wanted = wanted.unwrap_or(if asked.is_empty() { host } else { &asked });
    if let Ok(value) = HeaderValue::from_str(wanted) {
        headers.insert(HOST, value);
    }
    if let Some(change) = rewrite.and_then(|rewrite| rewrite.path.as_ref()) {
        let path = change.of(request.uri().path());
        let query = request.uri().query().map(|query| format!("?{query}")).unwrap_or_default();
        // What does not parse is sent as it was asked.
        if let Ok(changed) = format!("{path}{query}").parse::<PathAndQuery>() {
            *request.uri_mut() = Uri::from(changed);
        }
    }
}

/// Who asked for what. What a client says about itself is not believed.
fn tell_origin(headers: &mut HeaderMap, via: Via, asked: &str) {
    let client = HeaderValue::from_str(&via.client.to_canonical().to_string());
    if let Ok(client) = client {
        headers.insert(FORWARDED_FOR, client.clone());
        headers.insert(REAL_IP, client);
    }
    if let Ok(asked) = HeaderValue::from_str(asked) {
        headers.insert(FORWARDED_HOST, asked);
    }
    headers.insert(FORWARDED_PORT, HeaderValue::from(via.port));
    headers.insert(FORWARDED_PROTO, HeaderValue::from_static(via.scheme()));
}

/// Gives a request the form that a protocol wants.
pub(crate) fn address(request: &mut Request<Body>, protocol: Protocol) {
    let path = request.uri().path_and_query().cloned();
    let path = path.unwrap_or_else(|| PathAndQuery::from_static("/"));
    if protocol != Protocol::Http2 {
        *request.version_mut() = Version::HTTP_11;
        *request.uri_mut() = Uri::from(path);
        return;
    }
    *request.version_mut() = Version::HTTP_2;
    let host =
        request.headers().get(HOST).and_then(|host| Authority::try_from(host.as_bytes()).ok());
    let mut parts = http::uri::Parts::default();
    parts.scheme = Some(Scheme::HTTP);
    parts.authority = Some(host.unwrap_or_else(|| Authority::from_static("localhost")));
    parts.path_and_query = Some(path);
    if let Ok(uri) = Uri::from_parts(parts) {
        *request.uri_mut() = uri;
    }
}

/// The answer that sends a client elsewhere.
pub(crate) fn redirected<B>(
    redirect: &Redirect,
    action: &Action,
    via: Via,
    host: &str,
    request: &Request<B>,
) -> Response<Body> {
    let asked = authority(request).and_then(|asked| asked.rsplit_once(':'));
    // Clients leave the port out where it is the usual one, which the location does as well.
    let port = asked.and_then(|(_, port)| port.parse().ok()).or(Some(via.port));
    let (path, query) = (request.uri().path(), request.uri().query());
    let location = redirect.location(via.scheme(), host, port, path, query);
    let mut answer = Response::new(empty());
    *answer.status_mut() = redirect.status;
    if let Ok(location) = HeaderValue::from_str(&location) {
        answer.headers_mut().insert(http::header::LOCATION, location);
    }
    action.response_headers.apply(answer.headers_mut());
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::route::{HeaderChanges, PathChange, Rewrite};

    fn target() -> Target {
        Target::only(Err(http::StatusCode::SERVICE_UNAVAILABLE))
    }

    fn via() -> Via {
        Via { port: 80, is_secure: false, client: "::ffff:192.0.2.1".parse().unwrap() }
    }

    #[test]
    fn what_a_backend_is_told() {
        let mut request = Request::builder()
            .uri("/a/b?q=1")
            .header("host", "a.com:8080")
            .header("connection", "keep-alive, x-secret")
            .header("x-secret", "1")
            .header("x-forwarded-for", "203.0.113.9")
            .header("te", "trailers")
            .body(empty())
            .unwrap();
        let rewrite =
            Rewrite { host: None, path: Some(PathChange::Prefix("/a".into(), "/z".into())) };
        let set = vec![(HeaderName::from_static("x-set"), HeaderValue::from_static("1"))];
        let request_headers = HeaderChanges { set, ..HeaderChanges::default() };
        let action = Action { rewrite: Some(rewrite), request_headers, ..Action::default() };
        prepare(&mut request, via(), "a.com", &action, &target(), false);
        address(&mut request, Protocol::Http);
        assert_eq!(request.uri(), "/z/b?q=1");
        let told: Vec<String> = request
            .headers()
            .iter()
            .map(|(name, value)| format!("{name}: {}", value.to_str().unwrap()))
            .collect();
        for line in [
            "host: a.com:8080",
            "x-forwarded-for: 192.0.2.1",
            "x-real-ip: 192.0.2.1",
            "x-forwarded-host: a.com:8080",
            "x-forwarded-port: 80",
            "x-forwarded-proto: http",
            "te: trailers",
            "x-set: 1",
        ] {
            assert!(told.contains(&line.to_owned()), "{line} in {told:?}");
        }
        assert_eq!(told.len(), 8, "{told:?}");
        address(&mut request, Protocol::Http2);
        assert_eq!(request.uri(), "http://a.com:8080/z/b?q=1");
    }

    #[test]
    fn protocols() {
        let check = |version: Version, headers: &[(&str, &str)], of: Protocol, expect: Protocol| {
            let mut request = Request::builder().version(version);
            for (name, value) in headers {
                request = request.header(*name, *value);
            }
            assert_eq!(protocol(of, &request.body(()).unwrap()), expect, "{headers:?}");
        };
        let (http, http2, https) = (Protocol::Http, Protocol::Http2, Protocol::Https);
        let grpc = ("content-type", "application/grpc+proto");
        check(Version::HTTP_2, &[grpc], http, http2);
        check(Version::HTTP_11, &[grpc], http, http);
        check(Version::HTTP_2, &[], http, http);
        check(Version::HTTP_2, &[grpc], https, https);
        let upgrade = [("connection", "Upgrade"), ("upgrade", "websocket")];
        check(Version::HTTP_11, &upgrade, http2, http);
        check(Version::HTTP_11, &upgrade[1..], http2, http2);
    }
}
