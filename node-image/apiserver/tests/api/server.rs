//! A server in memory and requests to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use jiff::Timestamp;
use kd_api::Kinds;
use kd_apiserver::{AnswerBody, ApiServer, Config, LocalService, UserInfo};
use kd_store::{HistoryLimits, MemoryStore, Store};
use serde_json::{Value, json};
use tower::ServiceExt;

pub struct Server {
    pub server: Arc<ApiServer>,
    pub store: Arc<MemoryStore>,
}

pub struct Answer {
    pub code: u16,
    pub body: Value,
    pub warnings: Vec<String>,
    pub headers: http::HeaderMap,
    pub bytes: Bytes,
}

pub const NOW: &str = "2026-01-02T03:04:05Z";

impl Server {
    pub async fn start() -> Server {
        Server::with(HistoryLimits::default()).await
    }

    pub async fn with(limits: HistoryLimits) -> Server {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let mut config =
            Config::new(key, "the certificate".into(), "10.96.0.0/16".parse().unwrap());
        config.advertised = vec!["172.18.0.2".parse().unwrap()];
        let store = Arc::new(MemoryStore::new(limits));
        let count = AtomicU64::new(1);
        // Spread over all bits, the same in every run.
        let random = move || {
            let next = count.fetch_add(1, Ordering::Relaxed);
            u128::from(next).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        };
        let now: Timestamp = NOW.parse().unwrap();
        let server = ApiServer::build(
            config,
            store.clone() as Arc<dyn Store>,
            Kinds::built_in(),
            Arc::new(move || now),
            Arc::new(random),
        )
        .await
        .unwrap();
        Server { server, store }
    }

    pub fn service(&self, user: &str, groups: &[&str]) -> LocalService {
        self.server.service(UserInfo {
            username: user.into(),
            groups: groups.iter().map(|group| (*group).into()).collect(),
            ..UserInfo::default()
        })
    }

    /// As an administrator.
    pub async fn send(&self, request: Request<Full<Bytes>>) -> Response<AnswerBody> {
        self.service("admin", &["system:masters"]).oneshot(request).await.unwrap()
    }

    pub async fn ask(&self, request: &str, body: Value) -> Answer {
        self.ask_with(request, &[], body).await
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.ask(&format!("GET {path}"), Value::Null).await
    }

    /// `GET /path`, with headers.
    pub async fn ask_with(&self, request: &str, headers: &[(&str, &str)], body: Value) -> Answer {
        let (method, path) = request.split_once(' ').unwrap();
        let mut builder = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.send(builder.body(Full::from(body)).unwrap()).await;
        read(answer).await
    }

    /// A pod in `default`, stored.
    pub async fn pod(&self, name: &str, more: Value) -> Value {
        let answer = self.ask("POST /api/v1/namespaces/default/pods", pod(name, more)).await;
        assert_eq!(answer.code, 201, "{}", answer.body);
        answer.body
    }
}

pub fn pod(name: &str, more: Value) -> Value {
    let mut pod = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": name},
        "spec": {"containers": [{"name": "c", "image": "i"}]}});
    merge(&mut pod, &more);
    pod
}

fn merge(into: &mut Value, from: &Value) {
    match (into, from) {
        (Value::Object(into), Value::Object(from)) => {
            for (key, value) in from {
                merge(into.entry(key.as_str()).or_insert(Value::Null), value);
            }
        }
        (into, from) if !from.is_null() => *into = from.clone(),
        _ => {}
    }
}

pub async fn read(answer: Response<AnswerBody>) -> Answer {
    let (parts, body) = answer.into_parts();
    let bytes = body.collect().await.unwrap().to_bytes();
    let warnings = parts.headers.get_all("warning").iter();
    let warnings = warnings.map(|value| value.to_str().unwrap().to_owned()).collect();
    let body = serde_json::from_slice(&bytes)
        .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
    Answer { code: parts.status.as_u16(), body, warnings, headers: parts.headers, bytes }
}
