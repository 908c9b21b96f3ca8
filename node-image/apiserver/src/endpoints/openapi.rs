//! `/openapi/v2` and `/openapi/v3`, by content: a client that has a document is told so.

use std::sync::Arc;

use http::header::{ACCEPT, CACHE_CONTROL, EXPIRES, LOCATION};
use http::{HeaderValue, StatusCode};
use jiff::{SignedDuration, Timestamp};
use kd_api::openapi;

use super::documents::{Document, content_tag};
use super::segments;
use crate::aggregation::{Remote, foreign_openapi, openapi_index};
use crate::answer::{self, Answer};
use crate::pipeline::Exchange;

const PROTOBUF_V2: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const PROTOBUF_V2_SHORT: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";
const PROTOBUF_V3: &str = "application/com.github.proto-openapi.spec.v3@v1.0+protobuf";
const PROTOBUF_V3_SHORT: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";
const JSON: &str = "application/json";
/// How long clients may keep a document that they asked for by its hash.
const KEPT: SignedDuration = SignedDuration::from_hours(365 * 24);

/// A document.
pub(super) fn document(exchange: &Exchange) -> Option<Answer> {
    match segments(exchange).as_slice() {
        ["v2"] => Some(v2(exchange)),
        ["v3"] => Some(v3_index(exchange)),
        ["v3", "api", version] => v3(exchange, "", version),
        ["v3", "apis", group, version] => v3(exchange, group, version),
        _ => None,
    }
}

/// Who has the version 3 document that is asked for, if it is not this server.
pub(super) fn remote_of(exchange: &Exchange) -> Option<Arc<Remote>> {
    let path = exchange.parts.uri.path();
    let rest = path.strip_prefix("/openapi/v3")?;
    exchange.server.aggregator.remote_of(rest)
}

fn v2(exchange: &Exchange) -> Answer {
    let kinds = exchange.server.objects.kinds();
    let documents = &exchange.server.documents;
    let protobuf = accepts(exchange, [PROTOBUF_V2, PROTOBUF_V2_SHORT]);
    let foreign = foreign_openapi(&exchange.server.aggregator.remotes());
    let hash = openapi::v2_hash(&kinds) + &foreign_tag(&foreign);
    match protobuf {
        true => documents.latest("openapi/v2 protobuf", format!("{hash}-P")).answer(
            exchange,
            PROTOBUF_V2_SHORT,
            || openapi::v2_protobuf(&kinds, &foreign),
        ),
        false => documents
            .latest("openapi/v2", hash)
            .answer(exchange, JSON, || openapi::v2_json(&kinds, &foreign)),
    }
}

/// Whether a client wants one of these above all. One name has a character that strict parsers of media
/// types refuse.
fn accepts(exchange: &Exchange, names: [&str; 2]) -> bool {
    let accept = exchange.parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    let first = accept.unwrap_or("").split(',').next().unwrap_or("").trim();
    names.iter().any(|name| first.starts_with(name))
}

/// Changes with what other servers add; "" for nothing.
fn foreign_tag(foreign: &openapi::Foreign) -> String {
    if foreign.paths.is_empty() && foreign.definitions.is_empty() {
        return String::new();
    }
    let text = format!("{:?}{:?}", foreign.paths, foreign.definitions);
    content_tag(text.as_bytes())
}

fn v3_index(exchange: &Exchange) -> Answer {
    let kinds = exchange.server.objects.kinds();
    let remotes = exchange.server.aggregator.remotes();
    if !remotes.is_empty() {
        let index = openapi_index(openapi::v3_index(&kinds), &remotes).to_string().into_bytes();
        return Document::of(&index).answer(exchange, JSON, || index.clone().into());
    }
    let make = || openapi::v3_index(&kinds).to_string().into_bytes();
    let document = exchange.server.documents.get(&kinds, "openapi/v3", || content_tag(&make()));
    document.answer(exchange, JSON, || make().into())
}

fn v3(exchange: &Exchange, group: &str, version: &str) -> Option<Answer> {
    let kinds = exchange.server.objects.kinds();
    kinds.kinds_of(group, version).next()?;
    let path = match group {
        "" => format!("openapi/v3/api/{version}"),
        group => format!("openapi/v3/apis/{group}/{version}"),
    };
    let hash = || openapi::v3_hash(&kinds, group, version);
    let document = exchange.server.documents.get(&kinds, &path, hash);
    let asked = exchange.query.first("hash");
    if !asked.is_empty() && asked != document.tag {
        return Some(moved(&format!("/{path}?hash={}", document.tag)));
    }
    let mut answer = match accepts(exchange, [PROTOBUF_V3, PROTOBUF_V3_SHORT]) {
        true => {
            let name = format!("{path} protobuf");
            let tag = || format!("{}-P", document.tag);
            let make = || openapi::v3_protobuf(&kinds, group, version).unwrap_or_default();
            let documents = &exchange.server.documents;
            documents.get(&kinds, &name, tag).answer(exchange, PROTOBUF_V3_SHORT, make)
        }
        false => {
            let make = || openapi::v3(&kinds, group, version).unwrap_or_default();
            document.answer(exchange, JSON, make)
        }
    };
    if !asked.is_empty() {
        let headers = answer.headers_mut();
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("public, immutable"));
        let end: Timestamp = (exchange.server.clock)() + KEPT;
        let end = end.strftime("%a, %d %b %Y %H:%M:%S UTC").to_string();
        headers.extend(HeaderValue::from_str(&end).ok().map(|end| (EXPIRES, end)));
    }
    Some(answer)
}

/// The document has another hash by now.
fn moved(url: &str) -> Answer {
    let mut answer = answer::text(StatusCode::MOVED_PERMANENTLY.as_u16(), "");
    answer.headers_mut().extend(HeaderValue::from_str(url).ok().map(|url| (LOCATION, url)));
    answer
}
