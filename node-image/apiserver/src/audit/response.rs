//! The answer in the audit log: when it begins, when its last byte was sent, and its content where
//! that is wanted.

use std::sync::Arc;

use http::header::{AUTHORIZATION, CONTENT_ENCODING, CONTENT_TYPE};
use http_body::Body;
use http_body_util::BodyExt;
use kd_api::Status;
use serde_json::Value;

use super::policy::{Choice, Level, Stage};
use super::record::Record;
use crate::answer::{Answer, AuditAnnotations, Failure, full};
use crate::config::Clock;
use crate::pipeline::{Exchange, Peer};

/// A streamed answer of more bytes is not copied into the log.
const STREAMED_BYTES_MAX: usize = 4 << 20;

/// Logs an answer: now if it is all there, or else when its last byte is sent.
pub(crate) async fn answered(
    record: Arc<Record>,
    clock: Clock,
    long_running: bool,
    answer: Answer,
) -> Answer {
    let extensions = answer.extensions();
    let failure = extensions.get::<Failure>().map(|Failure(status)| status);
    record.status(answer.status().as_u16(), failure);
    if let Some(AuditAnnotations(annotations)) = extensions.get() {
        annotations.iter().for_each(|(key, value)| record.annotate(key, value));
    }
    if let Some(status) = failure {
        record.response(serde_json::to_value(status).unwrap_or_default());
    }
    if long_running {
        record.tell(Stage::ResponseStarted, clock()).await;
    }
    if answer.body().size_hint().exact().is_some() {
        let answer = copied(&record, answer).await;
        record.tell(Stage::ResponseComplete, clock()).await;
        return answer;
    }
    let copies = record.wants_response() && !long_running && is_plain_json(&answer);
    let mut stream = Stream { record, clock, copy: copies.then(Vec::new) };
    answer.map(|body| {
        let keeps = move |frame: http_body::Frame<bytes::Bytes>| {
            stream.see(&frame);
            frame
        };
        body.map_frame(keeps).boxed_unsync()
    })
}

fn is_plain_json(answer: &Answer) -> bool {
    let headers = answer.headers();
    let is_json =
        headers.get(CONTENT_TYPE).is_some_and(|t| t.as_bytes().starts_with(b"application/json"));
    is_json && !headers.contains_key(CONTENT_ENCODING)
}

/// An answer that is all there, whose content nobody has told yet: a list.
async fn copied(record: &Record, answer: Answer) -> Answer {
    let size = answer.body().size_hint().exact();
    let is_large = size.is_some_and(|bytes| bytes > STREAMED_BYTES_MAX as u64);
    if is_large || !record.lacks_response() || !is_plain_json(&answer) {
        return answer;
    }
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    record.response(serde_json::from_slice(&bytes).unwrap_or_default());
    Answer::from_parts(parts, full(bytes))
}

/// An answer on its way.
struct Stream {
    record: Arc<Record>,
    clock: Clock,
    copy: Option<Vec<u8>>,
}

impl Stream {
    fn see(&mut self, frame: &http_body::Frame<bytes::Bytes>) {
        let (Some(copy), Some(data)) = (&mut self.copy, frame.data_ref()) else { return };
        if copy.len() + data.len() > STREAMED_BYTES_MAX {
            self.copy = None;
        } else {
            copy.extend_from_slice(data);
        }
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        let copy = self.copy.take();
        if let Some(object) = copy.and_then(|bytes| serde_json::from_slice::<Value>(&bytes).ok()) {
            self.record.response(object);
        }
        self.record.tell_now(Stage::ResponseComplete, (self.clock)());
    }
}

/// Logs a request of nobody knows whom.
pub(crate) async fn unauthenticated(exchange: &Exchange, status: &Status) {
    let server = &exchange.server;
    let Some(audit) = &server.audit else { return };
    let choice = audit.policy.choose(&exchange.user, &exchange.info);
    if choice.level == Level::None {
        return;
    }
    let choice = Choice { level: Level::Metadata, ..choice };
    let record = Record::new(choice, audit.log.clone(), exchange);
    let mut status = status.clone();
    status.message = match attempted(exchange) {
        tried if tried.is_empty() => "Authentication failed, no credentials provided".into(),
        tried => format!("Authentication failed, attempted: {}", tried.join(", ")),
    };
    record.status(status.code, Some(&status));
    record.tell(Stage::ResponseStarted, (server.clock)()).await;
}

fn attempted(exchange: &Exchange) -> Vec<String> {
    let mut tried = Vec::new();
    let header = exchange.parts.headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok());
    if let Some(scheme) = header.and_then(|value| value.trim().split(' ').next()) {
        tried.push(scheme.to_lowercase());
    }
    if matches!(&exchange.peer, Peer::Remote { certificates, .. } if !certificates.is_empty()) {
        tried.push("x509".to_owned());
    }
    tried
}
