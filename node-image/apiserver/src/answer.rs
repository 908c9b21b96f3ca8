//! From results to HTTP responses.

use std::convert::Infallible;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY, WARNING};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use kd_api::Status;
use kd_api::decode::Encoding;
use serde_json::Value;

use crate::negotiate::Wanted;

/// Any error, boxed.
pub type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// Why a body broke off. (A type of its own, because the compiler cannot prove a stream of boxed
/// errors `Send` for all lifetimes.)
#[derive(Debug, thiserror::Error)]
#[error("a body broke off")]
pub struct BodyError(#[source] BoxError);

impl From<BoxError> for BodyError {
    fn from(error: BoxError) -> BodyError {
        BodyError(error)
    }
}

impl From<hyper::Error> for BodyError {
    fn from(error: hyper::Error) -> BodyError {
        BodyError(error.into())
    }
}

/// The body of a request.
pub type RequestBody = UnsyncBoxBody<Bytes, BodyError>;
/// The body of an answer.
pub type AnswerBody = UnsyncBoxBody<Bytes, BodyError>;
/// An answer.
pub type Answer = Response<AnswerBody>;

/// Answers that are longer are compressed for clients that can read it.
const GZIP_BYTES_MIN: usize = 128 * 1024;

/// A body that is all there.
pub(crate) fn full(bytes: impl Into<Bytes>) -> AnswerBody {
    Full::new(bytes.into()).map_err(|never: Infallible| match never {}).boxed_unsync()
}

/// An answer with a body of a type.
pub(crate) fn bytes(code: u16, content_type: &'static str, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(full(body));
    *answer.status_mut() = StatusCode::from_u16(code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    answer.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

/// Plain text.
pub(crate) fn text(code: u16, body: impl Into<Bytes>) -> Answer {
    bytes(code, "text/plain; charset=utf-8", body)
}

/// A JSON value in the wanted encoding.
pub(crate) fn value(code: u16, value: &Value, wanted: Wanted) -> Answer {
    let body = serde_json::to_vec(value).unwrap_or_default();
    encoded(code, body.into(), wanted)
}

/// JSON bytes in the wanted encoding.
pub(crate) fn encoded(code: u16, json: Bytes, wanted: Wanted) -> Answer {
    let body = match wanted.encoding {
        // Answers in protobuf are not offered yet (see negotiate).
        Encoding::Json | Encoding::Protobuf => json,
        Encoding::Yaml => match yaml(&json) {
            Ok(text) => text.into(),
            Err(error) => return failure(&Status::internal(error)),
        },
    };
    bytes(code, wanted.content_type(), body)
}

fn yaml(json: &[u8]) -> Result<String, BoxError> {
    let value: Value = serde_json::from_slice(json)?;
    Ok(serde_yaml::to_string(&value)?)
}

/// A Status, with its code.
pub(crate) fn failure(status: &Status) -> Answer {
    let body = serde_json::to_vec(status).unwrap_or_default();
    let mut answer = bytes(status.code, "application/json", body);
    let seconds = status.details.as_ref().and_then(|details| details.retry_after_seconds);
    if let Some(seconds) = seconds {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}

/// `404 page not found`, for paths under which there is nothing.
pub(crate) fn page_not_found() -> Answer {
    text(404, "404 page not found\n")
}

/// Adds `Warning` headers, each text once.
pub(crate) fn warn(answer: &mut Answer, warnings: &[String]) {
    let mut told: Vec<&String> = Vec::new();
    for warning in warnings {
        if told.contains(&warning) {
            continue;
        }
        told.push(warning);
        let quoted = warning.replace('\\', "\\\\").replace('"', "\\\"");
        let printable: String = quoted.chars().filter(|c| !c.is_control()).collect();
        if let Ok(value) = HeaderValue::from_str(&format!("299 - \"{printable}\"")) {
            answer.headers_mut().append(WARNING, value);
        }
    }
}

/// A body that is all there, compressed if it is long and the client can read that.
pub(crate) fn compressible(answer: Answer, body: Bytes, request: &HeaderMap) -> Answer {
    let accepted = request.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or("");
    let wanted = accepted.split(',').any(|coding| coding.trim().split(';').next() == Some("gzip"));
    let (mut parts, _) = answer.into_parts();
    if !wanted || body.len() < GZIP_BYTES_MIN {
        return Response::from_parts(parts, full(body));
    }
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    let compressed = encoder.write_all(&body).and_then(|()| encoder.finish());
    match compressed {
        Ok(compressed) => {
            parts.headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
            parts.headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
            Response::from_parts(parts, full(compressed))
        }
        Err(_) => Response::from_parts(parts, full(body)),
    }
}
