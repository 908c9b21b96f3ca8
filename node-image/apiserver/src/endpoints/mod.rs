//! Paths that are no resources: health, version, discovery, OpenAPI, metrics, token discovery.

mod discovery;
mod documents;
mod health;
mod openapi;

pub(crate) use documents::Documents;

use http::{HeaderValue, Method};
use serde_json::{Value, json};

use crate::aggregation::forward_document;
use crate::answer::{self, Answer};
use crate::metrics::exposition;
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
pub(crate) async fn dispatch(exchange: Exchange) -> Answer {
    let path = exchange.parts.uri.path().trim_start_matches('/');
    let first = path.split('/').next().unwrap_or("");
    let found = ENDPOINTS.iter().find(|(name, _)| *name == first);
    let Some((_, handler)) = found else { return answer::page_not_found() };
    if !matches!(exchange.parts.method, Method::GET | Method::HEAD) {
        return answer::failure(&no_such_method());
    }
    if let Some(remote) = openapi::remote_of(&exchange) {
        return forward_document(&remote, exchange.parts).await;
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
            Some(cached_for_an_hour(answer::bytes(200, "application/jwk-set+json", keys)))
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
            Some(cached_for_an_hour(json(&server.tokens.discovery_document(&base))))
        }
        _ => None,
    }
}

/// As upstream lets clients keep what tells of token keys.
fn cached_for_an_hour(mut answer: Answer) -> Answer {
    let value = HeaderValue::from_static("public, max-age=3600");
    answer.headers_mut().insert(http::header::CACHE_CONTROL, value);
    answer
}

fn metrics(exchange: &Exchange) -> Answer {
    answer::bytes(200, "text/plain; version=0.0.4; charset=utf-8", exposition(&exchange.server))
}

fn version(exchange: &Exchange) -> Answer {
    let config = &exchange.server.config;
    let mut numbers = config.version.trim_start_matches('v').split('.');
    let mut number = || numbers.next().unwrap_or("0").parse::<u32>().unwrap_or(0);
    let (major, minor) = (number(), number());
    let version = json!({
        "major": major.to_string(),
        "minor": minor.to_string(),
        "emulationMajor": major.to_string(),
        "emulationMinor": minor.to_string(),
        "minCompatibilityMajor": major.to_string(),
        "minCompatibilityMinor": minor.saturating_sub(1).to_string(),
        "gitVersion": config.version,
        "gitCommit": config.commit,
        "gitTreeState": "clean",
        "buildDate": config.build_date,
        "goVersion": "go1.25.0",
        "compiler": "gc",
        "platform": format!("linux/{}", architecture()),
    });
    answer::value(200, &version, Wanted { pretty: true, ..Wanted::JSON })
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
