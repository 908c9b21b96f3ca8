//! From results to HTTP responses.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, RETRY_AFTER, VARY, WARNING};
use http::{HeaderMap, HeaderValue, Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full};
use kd_api::decode::Encoding;
use kd_api::{Status, protobuf};
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

/// What admission wants the audit log to say of a request; an extension of its answer.
#[derive(Clone, Debug, Default)]
pub(crate) struct AuditAnnotations(pub(crate) BTreeMap<String, String>);

/// Answers that are longer are compressed for clients that can read it.
pub(crate) const GZIP_BYTES_MIN: usize = 128 * 1024;

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
    match written(value, wanted) {
        Ok(body) => bytes(code, wanted.content_type(), body),
        Err(error) => failure(&Status::internal(error)),
    }
}

/// JSON bytes in the wanted encoding.
pub(crate) fn encoded(code: u16, json: Bytes, wanted: Wanted) -> Answer {
    if wanted.encoding == Encoding::Json && !wanted.pretty {
        return bytes(code, wanted.content_type(), json);
    }
    match serde_json::from_slice(&json) {
        Ok(object) => value(code, &object, wanted),
        Err(error) => failure(&Status::internal(error)),
    }
}

/// A JSON value as the bytes of the wanted encoding.
pub(crate) fn written(value: &Value, wanted: Wanted) -> Result<Bytes, BoxError> {
    Ok(match wanted.encoding {
        Encoding::Json if wanted.pretty => serde_json::to_vec_pretty(value)?.into(),
        Encoding::Json => serde_json::to_vec(value)?.into(),
        Encoding::Yaml => serde_yaml::to_string(value)?.into(),
        Encoding::Protobuf => {
            protobuf::encode(value).ok_or("the kind has no protobuf form")?.into()
        }
    })
}

/// A Status, with its code. As JSON; see [`negotiated`].
pub(crate) fn failure(status: &Status) -> Answer {
    let body = serde_json::to_vec(status).unwrap_or_default();
    let mut answer = bytes(status.code, "application/json", body);
    answer.extensions_mut().insert(Failure(status.clone()));
    let seconds = status.details.as_ref().and_then(|details| details.retry_after_seconds);
    if let Some(seconds) = seconds {
        answer.headers_mut().insert(RETRY_AFTER, seconds.into());
    }
    answer
}

/// Marks an answer that is nothing but a Status.
#[derive(Clone)]
pub(crate) struct Failure(pub(crate) Status);

/// A failure in the encoding that the client likes best; other answers as they are.
pub(crate) fn negotiated(mut answer: Answer, wanted: Wanted) -> Answer {
    let Some(Failure(status)) = answer.extensions_mut().remove::<Failure>() else { return answer };
    let status = serde_json::to_value(&status).map_err(BoxError::from);
    if let Ok(body) = status.and_then(|status| written(&status, wanted)) {
        *answer.body_mut() = full(body);
        let content_type = HeaderValue::from_static(wanted.content_type());
        answer.headers_mut().insert(CONTENT_TYPE, content_type);
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
    let mut answer = answer;
    if body.len() >= GZIP_BYTES_MIN
        && Gzip::for_client(request, &mut answer).is_some()
        && let Some(compressed) = Gzip::whole(&body)
    {
        return answer.map(|_| full(compressed));
    }
    answer.headers_mut().remove(CONTENT_ENCODING);
    answer.map(|_| full(body))
}

/// Compresses a body part by part.
pub(crate) struct Gzip(Option<GzEncoder<Vec<u8>>>);

impl Gzip {
    /// For a client that can read it, whose answer then says so.
    pub(crate) fn for_client(request: &HeaderMap, answer: &mut Answer) -> Option<Gzip> {
        let accepted = request.get(ACCEPT_ENCODING).and_then(|value| value.to_str().ok());
        let mut codings = accepted.unwrap_or("").split(',');
        codings.find(|coding| coding.trim().split(';').next() == Some("gzip"))?;
        let headers = answer.headers_mut();
        headers.insert(CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        headers.append(VARY, HeaderValue::from_static("Accept-Encoding"));
        Some(Gzip(Some(GzEncoder::new(Vec::new(), Compression::fast()))))
    }

    /// All of these bytes at once; `None` when that fails.
    pub(crate) fn whole(bytes: &[u8]) -> Option<Bytes> {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(bytes).and_then(|()| encoder.finish()).map(Bytes::from).ok()
    }

    /// What is ready of the compressed bytes after these; maybe nothing.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> std::io::Result<Bytes> {
        let Some(encoder) = &mut self.0 else { return Ok(Bytes::new()) };
        encoder.write_all(bytes)?;
        Ok(std::mem::take(encoder.get_mut()).into())
    }

    /// The last bytes, once.
    pub(crate) fn finish(&mut self) -> std::io::Result<Option<Bytes>> {
        self.0.take().map(|encoder| encoder.finish().map(Bytes::from)).transpose()
    }
}
