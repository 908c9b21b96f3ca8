//! `/openapi/v2` and `/openapi/v3`, by content: a client that has a document is told so.

use bytes::Bytes;
use http::HeaderValue;
use http::header::{ACCEPT, ETAG, IF_NONE_MATCH, VARY};
use kd_api::openapi;

use super::{json, segments};
use crate::answer::{self, Answer};
use crate::pipeline::Exchange;

const PROTOBUF_V2: &str = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
const PROTOBUF_V2_SHORT: &str = "application/com.github.proto-openapi.spec.v2.v1.0+protobuf";

/// A document.
pub(super) fn document(exchange: &Exchange) -> Option<Answer> {
    let kinds = exchange.server.objects.kinds();
    match segments(exchange).as_slice() {
        ["v2"] => Some(v2(exchange)),
        ["v3"] => Some(json(&openapi::v3_index(&kinds))),
        ["v3", "api", version] => v3(exchange, "", version),
        ["v3", "apis", group, version] => v3(exchange, group, version),
        _ => None,
    }
}

fn v2(exchange: &Exchange) -> Answer {
    let kinds = exchange.server.objects.kinds();
    let accept = exchange.parts.headers.get(ACCEPT).and_then(|value| value.to_str().ok());
    // The name in requests has a character that strict parsers of media types refuse.
    let protobuf = accept.is_some_and(|accept| {
        let first = accept.split(',').next().unwrap_or("").trim();
        first.starts_with(PROTOBUF_V2) || first.starts_with(PROTOBUF_V2_SHORT)
    });
    let hash = openapi::v2_hash(&kinds);
    match protobuf {
        true => by_content(exchange, &format!("{hash}-P"), PROTOBUF_V2_SHORT, || {
            openapi::v2_protobuf(&kinds)
        }),
        false => by_content(exchange, &hash, "application/json", || openapi::v2_json(&kinds)),
    }
}

fn v3(exchange: &Exchange, group: &str, version: &str) -> Option<Answer> {
    let kinds = exchange.server.objects.kinds();
    kinds.kinds_of(group, version).next()?;
    let hash = openapi::v3_hash(&kinds, group, version);
    Some(by_content(exchange, &hash, "application/json", || {
        openapi::v3(&kinds, group, version).unwrap_or_default()
    }))
}

fn by_content(
    exchange: &Exchange,
    hash: &str,
    content_type: &'static str,
    document: impl FnOnce() -> Bytes,
) -> Answer {
    let tag = format!("\"{hash}\"");
    let headers = &exchange.parts.headers;
    let known = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok()).unwrap_or("");
    let has = known.split(',').any(|known| known.trim().trim_start_matches("W/") == tag);
    let mut answer = match has {
        true => answer::bytes(304, content_type, ""),
        false => {
            let empty = answer::bytes(200, content_type, Bytes::new());
            answer::compressible(empty, document(), headers)
        }
    };
    if let Ok(value) = HeaderValue::from_str(&tag) {
        answer.headers_mut().insert(ETAG, value);
    }
    answer.headers_mut().append(VARY, HeaderValue::from_static("Accept"));
    answer
}
