//! What is known of one request, and its events.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use http::header::USER_AGENT;
use jiff::Timestamp;
use kd_api::{Object, Status};
use serde_json::{Map, Value, json};

use super::log::Log;
use super::policy::{Choice, Level, Stage};
use crate::authz::user_value;
use crate::pipeline::{Exchange, Peer};
use crate::request::{Decision, RequestInfo, UserInfo};

/// A request in the audit log.
pub(crate) struct Record {
    choice: Choice,
    log: Arc<Log>,
    event: Mutex<Map<String, Value>>,
}

impl Record {
    pub(super) fn new(choice: Choice, log: Arc<Log>, exchange: &Exchange) -> Record {
        let level = choice.level.name();
        let parts = &exchange.parts;
        let uri = parts.uri.path_and_query().map_or("/", |uri| uri.as_str());
        let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
        let mut event = json!({
            "kind": "Event",
            "apiVersion": "audit.k8s.io/v1",
            "level": level,
            "auditID": exchange.audit_id,
            "requestURI": uri,
            "verb": exchange.info.verb,
            "user": user_value(&exchange.user),
            "sourceIPs": sources(exchange),
            "requestReceivedTimestamp": shown(exchange.received),
        });
        if let Some(agent) = agent {
            event["userAgent"] = agent.into();
        }
        if exchange.info.is_resource {
            event["objectRef"] = reference(&exchange.info);
        }
        let event = match event {
            Value::Object(event) => event,
            _ => Map::new(),
        };
        Record { choice, log, event: Mutex::new(event) }
    }

    fn event(&self) -> MutexGuard<'_, Map<String, Value>> {
        self.event.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether anybody wants to see the answer.
    pub(crate) fn wants_response(&self) -> bool {
        self.choice.level >= Level::RequestResponse
    }

    /// Whether the answer is still to be told.
    pub(super) fn lacks_response(&self) -> bool {
        self.wants_response() && !self.event().contains_key("responseObject")
    }

    /// Another user is meant.
    pub(crate) fn impersonates(&self, user: &UserInfo) {
        self.event().insert("impersonatedUser".into(), user_value(user));
    }

    pub(crate) fn annotate(&self, key: &str, value: &str) {
        let mut event = self.event();
        let annotations = event.entry("annotations").or_insert_with(|| json!({}));
        annotations[key] = value.into();
    }

    pub(crate) fn decided(&self, decision: &Decision) {
        let (word, reason) = match decision {
            Decision::Allow(reason) => ("allow", reason),
            Decision::Deny(reason) | Decision::NoOpinion(reason) => ("forbid", reason),
        };
        self.annotate("authorization.k8s.io/decision", word);
        self.annotate("authorization.k8s.io/reason", reason);
    }

    /// What was sent.
    pub(crate) fn request(&self, object: &Value) {
        let mut event = self.event();
        if let Some(Value::Object(reference)) = event.get_mut("objectRef") {
            let names = [
                ("namespace", object.namespace()),
                ("name", object.name()),
                ("uid", object.uid()),
                ("resourceVersion", object.resource_version()),
            ];
            for (field, value) in names.iter().filter(|(_, value)| !value.is_empty()) {
                reference.entry(*field).or_insert_with(|| (*value).into());
            }
        }
        if self.choice.level >= Level::Request {
            let object = self.trimmed(object.clone());
            event.insert("requestObject".into(), object);
        }
    }

    /// What was answered.
    pub(crate) fn response(&self, object: Value) {
        if self.wants_response() {
            let object = self.trimmed(object);
            self.event().insert("responseObject".into(), object);
        }
    }

    fn trimmed(&self, object: Value) -> Value {
        if self.choice.omit_managed_fields { without_managed_fields(object) } else { object }
    }

    /// How it went.
    pub(crate) fn status(&self, code: u16, status: Option<&Status>) {
        let mut shown = match status {
            Some(status) => serde_json::to_value(status).unwrap_or_default(),
            None => json!({"metadata": {}}),
        };
        if let Some(fields) = shown.as_object_mut() {
            fields.remove("kind");
            fields.remove("apiVersion");
            fields.insert("code".into(), code.into());
        }
        self.event().insert("responseStatus".into(), shown);
    }

    /// Logs a stage; waits while the log is full.
    pub(crate) async fn tell(&self, stage: Stage, now: Timestamp) {
        if let Some(line) = self.line(stage, now) {
            self.log.append(line).await;
        }
    }

    /// The same where nothing can wait.
    pub(crate) fn tell_now(&self, stage: Stage, now: Timestamp) {
        if let Some(line) = self.line(stage, now) {
            self.log.append_now(line);
        }
    }

    fn line(&self, stage: Stage, now: Timestamp) -> Option<Bytes> {
        if self.choice.omit_stages.iter().any(|omitted| omitted == stage.name()) {
            return None;
        }
        let mut event = self.event();
        event.insert("stage".into(), stage.name().into());
        event.insert("stageTimestamp".into(), shown(now).into());
        let mut line = serde_json::to_vec(&*event).ok()?;
        line.push(b'\n');
        Some(line.into())
    }
}

fn shown(time: Timestamp) -> String {
    time.strftime("%Y-%m-%dT%H:%M:%S.%6fZ").to_string()
}

/// Who sent it: as proxies tell, and who they are.
fn sources(exchange: &Exchange) -> Vec<String> {
    let header = |name: &str| exchange.parts.headers.get(name)?.to_str().ok();
    let forwarded = header("x-forwarded-for").unwrap_or("").split(',').map(str::trim);
    let told =
        forwarded.chain(header("x-real-ip")).filter(|ip| ip.parse::<std::net::IpAddr>().is_ok());
    let mut sources: Vec<String> = told.map(str::to_owned).collect();
    let own = match &exchange.peer {
        Peer::Remote { address, .. } => address.ip().to_canonical().to_string(),
        Peer::Known(_) => "::1".to_owned(),
    };
    if !sources.contains(&own) {
        sources.push(own);
    }
    sources
}

fn reference(info: &RequestInfo) -> Value {
    let fields = [
        ("resource", &info.resource),
        ("namespace", &info.namespace),
        ("name", &info.name),
        ("apiGroup", &info.group),
        ("apiVersion", &info.version),
        ("subresource", &info.subresource),
    ];
    let there = fields.iter().filter(|(_, value)| !value.is_empty());
    there.map(|(field, value)| ((*field).to_owned(), Value::from(value.as_str()))).collect()
}

/// Removes the bookkeeping of server-side apply from an object or from those of a list.
fn without_managed_fields(mut object: Value) -> Value {
    let remove = |object: &mut Value| {
        if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
            metadata.remove("managedFields");
        }
    };
    if let Some(items) = object.get_mut("items").and_then(Value::as_array_mut) {
        items.iter_mut().for_each(remove);
    }
    remove(&mut object);
    object
}
