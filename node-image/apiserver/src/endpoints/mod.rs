//! Paths that are no resources: health, version, discovery, OpenAPI, metrics, token discovery.

mod discovery;
mod documents;
mod health;
mod openapi;

pub(crate) use documents::Documents;

use http::Method;
use serde_json::{Value, json};

use crate::answer::{self, Answer};
use crate::negotiate::Wanted;
use crate::pipeline::Exchange;
use crate::verbs::no_such_method;

type Handler = fn(&Exchange) -> Option<Answer>;

/// By the first segment of the path; `None` is 404.
const ENDPOINTS: &[(&str, Handler)] = &[
    ("", |exchange| Some(paths(exchange))),
    (".well-known", well_known),
    ("api", discovery::core),
    ("apis", discovery::groups),
    ("healthz", |exchange| health::health(exchange, "healthz")),
    ("livez", |exchange| health::health(exchange, "livez")),
    ("metrics", |exchange| Some(metrics(exchange))),
    ("openapi", openapi::document),
    ("openid", token_keys),
    ("readyz", |exchange| health::health(exchange, "readyz")),
    ("version", |exchange| Some(version(exchange))),
];

/// Answers a request that is authorized.
pub(crate) fn dispatch(exchange: Exchange) -> Answer {
    let path = exchange.parts.uri.path().trim_start_matches('/');
    let first = path.split('/').next().unwrap_or("");
    let found = ENDPOINTS.iter().find(|(name, _)| *name == first);
    let Some((_, handler)) = found else { return answer::page_not_found() };
    if !matches!(exchange.parts.method, Method::GET | Method::HEAD) {
        return answer::failure(&no_such_method());
    }
    handler(&exchange).unwrap_or_else(answer::page_not_found)
}

/// The segments of the path behind the first.
fn segments(exchange: &Exchange) -> Vec<&str> {
    let path = exchange.parts.uri.path().trim_matches('/');
    path.split('/').skip(1).collect()
}

fn json(value: &Value) -> Answer {
    answer::value(200, value, Wanted::JSON)
}

fn token_keys(exchange: &Exchange) -> Option<Answer> {
    match segments(exchange).as_slice() {
        ["v1", "jwks"] => {
            let keys = exchange.server.tokens.key_set().to_string();
            Some(answer::bytes(200, "application/jwk-set+json", keys))
        }
        _ => None,
    }
}

fn well_known(exchange: &Exchange) -> Option<Answer> {
    let server = &exchange.server;
    match segments(exchange).as_slice() {
        ["openid-configuration"] => {
            let host = exchange.parts.headers.get(http::header::HOST);
            let host = host
                .and_then(|host| host.to_str().ok())
                .or_else(|| exchange.parts.uri.authority().map(http::uri::Authority::as_str));
            let base = format!("https://{}", host.unwrap_or("kubernetes.default.svc"));
            Some(json(&server.tokens.discovery_document(&base)))
        }
        _ => None,
    }
}

fn metrics(exchange: &Exchange) -> Answer {
    answer::bytes(200, "text/plain; version=0.0.4; charset=utf-8", exchange.server.metrics.text())
}

fn version(exchange: &Exchange) -> Answer {
    let config = &exchange.server.config;
    let mut numbers = config.version.trim_start_matches('v').split('.');
    let mut number = || numbers.next().unwrap_or("0");
    json(&json!({
        "major": number(),
        "minor": number(),
        "gitVersion": config.version,
        "gitCommit": config.commit,
        "gitTreeState": "clean",
        "buildDate": "1970-01-01T00:00:00Z",
        "goVersion": "go1.25.0",
        "compiler": "gc",
        "platform": format!("linux/{}", architecture()),
    }))
}

/// The name that Go has for it.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

fn paths(exchange: &Exchange) -> Answer {
    let kinds = exchange.server.objects.kinds();
    let mut paths: Vec<String> = vec!["/api".into(), "/apis".into()];
    for group in kinds.groups() {
        let root = match group.name.as_str() {
            "" => "/api".to_owned(),
            name => {
                paths.push(format!("/apis/{name}"));
                format!("/apis/{name}")
            }
        };
        paths.extend(group.versions.iter().map(|version| format!("{root}/{version}")));
    }
    for path in
        ["/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz", "/version"]
    {
        paths.push(path.into());
    }
    paths.sort();
    json(&json!({"paths": paths}))
}
