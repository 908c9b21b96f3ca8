//! A request as verbs see it, and what they reply.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};

use bytes::Bytes;
use futures::future::BoxFuture;
use http_body_util::{BodyExt, Limited};
use kd_api::decode::{BODY_BYTES_MAX, FieldValidation};
use kd_api::{Kind, Object, Status, table};
use serde_json::Value;

use crate::answer::{self, Answer, AuditAnnotations, RequestBody};
use crate::negotiate::{self, Form, Offer, Wanted};
use crate::pipeline::Exchange;
use crate::query::Query;
use crate::request::RequestInfo;
use crate::server::ApiServer;
use crate::storage::Objects;

/// A request for a kind.
pub(crate) struct VerbRequest {
    pub(crate) exchange: Exchange,
    pub(crate) kind: Arc<Kind>,
    /// Until it is read. (Shared references to a request cross threads, a body alone may not.)
    body: Mutex<Option<RequestBody>>,
    /// Told to the client.
    pub(crate) warnings: Vec<String>,
    /// Told to the audit log.
    pub(crate) audit_annotations: BTreeMap<String, String>,
}

/// What a verb replies.
pub(crate) enum Reply {
    /// An object of the request's kind, as JSON.
    Object(u16, Bytes),
    /// Anything else: a Status, a Scale.
    Value(u16, Value),
    /// A whole answer.
    Answer(Answer),
}

impl VerbRequest {
    pub(super) fn new(exchange: Exchange, kind: Arc<Kind>, body: RequestBody) -> VerbRequest {
        VerbRequest {
            exchange,
            kind,
            body: Mutex::new(Some(body)),
            warnings: Vec::new(),
            audit_annotations: BTreeMap::new(),
        }
    }

    pub(crate) fn server(&self) -> &Arc<ApiServer> {
        &self.exchange.server
    }

    pub(crate) fn objects(&self) -> &Objects {
        &self.exchange.server.objects
    }

    pub(crate) fn info(&self) -> &RequestInfo {
        &self.exchange.info
    }

    pub(crate) fn query(&self) -> &Query {
        &self.exchange.query
    }

    /// The namespace of the objects, "" for a cluster's kinds.
    pub(crate) fn namespace(&self) -> &str {
        if self.kind.namespaced() { &self.exchange.info.namespace } else { "" }
    }

    pub(crate) fn name(&self) -> &str {
        &self.exchange.info.name
    }

    pub(crate) fn not_found(&self, name: &str) -> Status {
        Status::not_found(&self.kind.group, &self.kind.plural, name)
    }

    pub(crate) fn no_such_verb(&self, verb: &str) -> Status {
        Status::method_not_supported(&self.kind.group, &self.kind.plural, verb)
    }

    /// What form the client wants.
    pub(crate) fn wanted(&self) -> Result<Wanted, Status> {
        negotiate::wanted(&self.exchange.parts.headers, self.query(), Offer::objects(&self.kind))
    }

    /// Refuses clients that read no form of an object which is none of the path's kind.
    pub(crate) fn wanted_of(&self, api_version: &str, kind: &str) -> Result<Wanted, Status> {
        let offer = Offer::other(api_version, kind);
        negotiate::wanted(&self.exchange.parts.headers, self.query(), offer)
    }

    pub(crate) fn field_validation(&self) -> Result<FieldValidation, Status> {
        let text = self.query().first("fieldValidation");
        FieldValidation::parse(text).ok_or_else(|| {
            Status::bad_request(format!(
                "fieldValidation: Unsupported value: {text:?}: supported values: \"Ignore\", \"Strict\", \"Warn\""
            ))
        })
    }

    /// The body as it comes, once.
    pub(crate) fn take_body(&mut self) -> Option<RequestBody> {
        self.body.get_mut().unwrap_or_else(PoisonError::into_inner).take()
    }

    /// The whole body.
    pub(crate) async fn read_body(&mut self) -> Result<Bytes, Status> {
        match self.take_body() {
            Some(body) => collected(body).await,
            None => Ok(Bytes::new()),
        }
    }

    /// What was asked, for the audit log.
    pub(super) fn tell_request(&self, object: &Value) {
        if let Some(record) = &self.exchange.audit {
            record.request(object);
        }
    }

    /// What is answered, for the audit log.
    fn tell_response(&self, reply: &Reply) {
        let Some(record) = self.exchange.audit.as_ref().filter(|r| r.wants_response()) else {
            return;
        };
        match reply {
            Reply::Answer(_) => {}
            Reply::Value(_, value) => record.response(value.clone()),
            Reply::Object(_, bytes) => {
                record.response(serde_json::from_slice(bytes).unwrap_or_default());
            }
        }
    }

    /// The answer for a reply, in the form that the client wants.
    pub(super) fn answer(mut self, outcome: Result<Reply, Status>) -> Answer {
        let annotations = AuditAnnotations(std::mem::take(&mut self.audit_annotations));
        let warnings = std::mem::take(&mut self.warnings);
        let reply = outcome.and_then(|reply| self.formed(reply));
        let mut answer = reply.unwrap_or_else(|status| answer::failure(&status));
        answer::warn(&mut answer, &warnings);
        if !annotations.0.is_empty() {
            answer.extensions_mut().insert(annotations);
        }
        answer
    }

    fn formed(&self, reply: Reply) -> Result<Answer, Status> {
        self.tell_response(&reply);
        match reply {
            Reply::Answer(answer) => Ok(answer),
            Reply::Value(code, value) => {
                let wanted = self.wanted_of(value.api_version(), value.kind());
                Ok(answer::value(code, &value, wanted.unwrap_or(Wanted::JSON)))
            }
            Reply::Object(code, bytes) => {
                let wanted = self.wanted()?;
                if wanted == Wanted::JSON {
                    let headers = &self.exchange.parts.headers;
                    let empty = answer::bytes(code, wanted.content_type(), Bytes::new());
                    return Ok(answer::compressible(empty, bytes, headers));
                }
                if wanted.form == Form::Object {
                    return Ok(answer::encoded(code, bytes, wanted));
                }
                let object: Value = serde_json::from_slice(&bytes).map_err(Status::internal)?;
                Ok(answer::value(code, &self.transformed(&object, wanted.form), wanted))
            }
        }
    }

    /// One object as a Table or as metadata alone.
    fn transformed(&self, object: &Value, form: Form) -> Value {
        match form {
            Form::Object => object.clone(),
            Form::Metadata => table::partial_object(object),
            Form::Table(include) => {
                let now = (self.server().clock)();
                table::table(&self.kind, [object], &Value::Null, include, true, now)
            }
        }
    }
}

/// Boxed: its type would make those of all verbs too general for the compiler.
fn collected(body: RequestBody) -> BoxFuture<'static, Result<Bytes, Status>> {
    Box::pin(async move {
        match Limited::new(body, BODY_BYTES_MAX).collect().await {
            Ok(collected) => Ok(collected.to_bytes()),
            Err(error) if error.is::<http_body_util::LengthLimitError>() => {
                let message = format!("Request entity too large: limit is {BODY_BYTES_MAX}");
                Err(Status::failure(413, "RequestEntityTooLarge", message))
            }
            Err(error) => Err(Status::bad_request(format!("cannot read the body: {error}"))),
        }
    })
}
