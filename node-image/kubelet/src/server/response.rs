//! The bodies of answers.

use std::io;

use bytes::Bytes;
use futures::stream;
use http::{Response, StatusCode};
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Full, StreamBody};
use hyper::body::Frame;
use tokio::sync::mpsc;

use super::lookup::Refusal;

/// Any body.
pub(crate) type Body = UnsyncBoxBody<Bytes, io::Error>;

/// A short answer.
pub(super) fn plain(
    code: StatusCode,
    content_type: &str,
    body: impl Into<Bytes>,
) -> Response<Body> {
    let body = Full::new(body.into()).map_err(|never| match never {}).boxed_unsync();
    let mut response = Response::new(body);
    *response.status_mut() = code;
    if let Ok(value) = content_type.parse() {
        response.headers_mut().insert(http::header::CONTENT_TYPE, value);
    }
    response
}

pub(super) fn text(code: StatusCode, body: impl Into<Bytes>) -> Response<Body> {
    plain(code, "text/plain; charset=utf-8", body)
}

pub(super) fn refused(refusal: Refusal) -> Response<Body> {
    let code = StatusCode::from_u16(refusal.code).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    text(code, refusal.message)
}

/// An answer that comes in pieces, as they are there.
pub(super) fn streamed(pieces: mpsc::Receiver<io::Result<Bytes>>) -> Response<Body> {
    let frames = stream::unfold(pieces, |mut pieces| async move {
        let piece = pieces.recv().await?;
        Some((piece.map(Frame::data), pieces))
    });
    let mut response = Response::new(StreamBody::new(frames).boxed_unsync());
    let plain = http::HeaderValue::from_static("text/plain");
    response.headers_mut().insert(http::header::CONTENT_TYPE, plain);
    response
}
