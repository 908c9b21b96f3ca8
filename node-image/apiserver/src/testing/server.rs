//! A server in memory that knows every kind, and requests to it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Request};
use http_body_util::{BodyExt, Full};
use kd_api::{Kinds, Object};
use kd_store::{MemoryStore, Store};
use serde_json::Value;
use tower::ServiceExt;

use crate::request::UserInfo;
use crate::storage::key_of;
use crate::{ApiServer, Config};

pub(crate) struct TestServer(pub(crate) Arc<ApiServer>);

/// What came back.
pub(crate) struct Got {
    pub(crate) code: u16,
    pub(crate) body: Value,
    pub(crate) headers: HeaderMap,
    pub(crate) extensions: http::Extensions,
}

impl TestServer {
    pub(crate) async fn start() -> TestServer {
        TestServer::with(|_| {}).await
    }

    pub(crate) async fn with(configure: impl FnOnce(&mut Config)) -> TestServer {
        let key = rcgen::KeyPair::generate().unwrap().serialize_pem();
        let mut config = Config::new(key, "a certificate".into(), "10.96.0.0/16".parse().unwrap());
        configure(&mut config);
        let count = AtomicU64::new(1);
        let random = move || {
            let next = count.fetch_add(1, Ordering::Relaxed);
            u128::from(next).wrapping_mul(0x9e37_79b9_7f4a_7c15_f39c_c060_5ced_c835)
        };
        let store = Arc::new(MemoryStore::default()) as Arc<dyn Store>;
        let clock = Arc::new(jiff::Timestamp::now);
        let built = ApiServer::build(config, store, Kinds::known(), clock, Arc::new(random)).await;
        TestServer(built.unwrap())
    }

    /// `GET /path` as an administrator.
    pub(crate) async fn ask(&self, request: &str, body: Value) -> Got {
        self.ask_with(request, &[], body).await
    }

    pub(crate) async fn ask_with(
        &self,
        request: &str,
        headers: &[(&str, &str)],
        body: Value,
    ) -> Got {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        self.send_text(request, headers, &body).await
    }

    /// Likewise, with any body.
    pub(crate) async fn send_text(
        &self,
        request: &str,
        headers: &[(&str, &str)],
        body: &str,
    ) -> Got {
        let (method, path) = request.split_once(' ').unwrap();
        let mut builder = Request::builder().method(method).uri(path);
        for (name, value) in headers {
            builder = builder.header(*name, *value);
        }
        let request = builder.body(Full::from(Bytes::from(body.to_owned()))).unwrap();
        let user = UserInfo {
            username: "admin".into(),
            groups: vec!["system:masters".into(), "system:authenticated".into()],
            ..UserInfo::default()
        };
        let answer = self.0.service(user).oneshot(request).await.unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let body = serde_json::from_slice(&bytes)
            .unwrap_or_else(|_| String::from_utf8_lossy(&bytes).into_owned().into());
        Got {
            code: parts.status.as_u16(),
            body,
            headers: parts.headers,
            extensions: parts.extensions,
        }
    }

    /// Stores an object as it is, whoever would object.
    pub(crate) async fn put(&self, object: &Value) {
        let objects = &self.0.objects;
        let kinds = objects.kinds();
        let kind = kinds.by_api_version(object.api_version(), object.kind()).unwrap();
        let key = key_of(kind, object.namespace(), object.name());
        objects.store.create(key.into(), objects.encode(kind, object)).await.unwrap();
    }

    /// Waits until an object is as it should be.
    pub(crate) async fn wait(&self, path: &str, is_so: impl Fn(&Value) -> bool) -> Value {
        let mut revisions = self.0.objects.store.revisions();
        loop {
            let got = self.ask(&format!("GET {path}"), Value::Null).await.body;
            if is_so(&got) {
                return got;
            }
            let changed = tokio::time::timeout(Duration::from_secs(10), revisions.changed()).await;
            changed.unwrap_or_else(|_| panic!("{path} stays {got}")).unwrap();
        }
    }

    /// Stores an object, which must be accepted.
    pub(crate) async fn create(&self, path: &str, object: Value) -> Value {
        let got = self.ask(&format!("POST {path}"), object).await;
        assert_eq!(got.code, 201, "{}", got.body);
        got.body
    }
}
