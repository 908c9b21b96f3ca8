//! Calls: one client per target, which keeps its connections.

use std::collections::HashMap;
use std::error::Error;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use bytes::Bytes;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE, USER_AGENT};
use http::{HeaderValue, Request, Response};
use http_body_util::{BodyExt, Full, LengthLimitError, Limited};
use hyper_util::client::legacy::Client;
use hyper_util::rt::{TokioExecutor, TokioTimer};
use rustls::pki_types::ServerName;
use serde_json::Value;

use super::connector::{Connector, DialError};
use super::trust::client_config;
use super::{Target, WebhookError};
use crate::request::Reader;

/// An answer may not be longer.
const ANSWER_BYTES_MAX: usize = 16 << 20;
/// Targets whose connections are kept; the one that was not used for longest goes.
const TARGETS_MAX: usize = 64;
/// A connection that is not used is closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(90);
/// An HTTP/2 connection over which nothing comes is asked whether it lives.
const PING_INTERVAL: Duration = Duration::from_secs(30);
const PING_TIMEOUT: Duration = Duration::from_secs(15);
const AGENT: &str = concat!("kd-apiserver/", env!("CARGO_PKG_VERSION"));

type Http = Client<Connector, Full<Bytes>>;

/// Calls webhooks.
pub struct WebhookClients {
    reader: Arc<dyn Reader>,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    uses: u64,
    clients: HashMap<Target, (u64, Http)>,
}

impl WebhookClients {
    /// Services are looked up with `reader`.
    pub fn new(reader: Arc<dyn Reader>) -> WebhookClients {
        WebhookClients { reader, kept: Mutex::default() }
    }

    /// Posts `body` to what a `clientConfig` names; the answer is JSON.
    pub async fn post(
        &self,
        client_config: &Value,
        body: &Value,
        timeout: Duration,
    ) -> Result<Value, WebhookError> {
        let target = Target::of_client_config(client_config)?;
        self.post_to(&target, body, timeout).await
    }

    /// Posts `body` to a target, which is told in `?timeout=` how long is waited.
    pub async fn post_to(
        &self,
        target: &Target,
        body: &Value,
        timeout: Duration,
    ) -> Result<Value, WebhookError> {
        let url = format!("{}{}?timeout={}s", target.origin, target.path, timeout.as_secs());
        let client = self.client(target)?;
        let request = request(target, &url, body)?;
        let failed = |cause: String| WebhookError::Transport { url: url.clone(), cause };
        let answered = tokio::time::timeout(timeout, answered(&client, request)).await;
        let (code, bytes) =
            answered.unwrap_or_else(|_| Err("context deadline exceeded".into())).map_err(failed)?;
        if !(200..300).contains(&code) {
            return Err(WebhookError::of_answer(code, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|error| {
            WebhookError::Answer(format!("couldn't get version/kind; json parse error: {error}"))
        })
    }

    /// What is at a target, as JSON.
    pub async fn get(&self, target: &Target, timeout: Duration) -> Result<Value, WebhookError> {
        let url = format!("{}{}", target.origin, target.path);
        let request =
            Request::get(&url).header(ACCEPT, "application/json").header(USER_AGENT, AGENT);
        let request = request.body(Full::default());
        let request = request.map_err(|error| WebhookError::Configuration(error.to_string()))?;
        let client = self.client(target)?;
        let failed = |cause: String| WebhookError::Transport { url: url.clone(), cause };
        let answered = tokio::time::timeout(timeout, answered(&client, request)).await;
        let (code, bytes) =
            answered.unwrap_or_else(|_| Err("context deadline exceeded".into())).map_err(failed)?;
        if code != 200 {
            return Err(WebhookError::of_answer(code, &bytes));
        }
        serde_json::from_slice(&bytes).map_err(|error| WebhookError::Answer(error.to_string()))
    }

    /// The client of a target, whose connections are kept.
    fn client(&self, target: &Target) -> Result<Http, WebhookError> {
        let mut kept = self.kept.lock().unwrap_or_else(PoisonError::into_inner);
        kept.uses += 1;
        let uses = kept.uses;
        if let Some((last, client)) = kept.clients.get_mut(target) {
            *last = uses;
            return Ok(client.clone());
        }
        if kept.clients.len() >= TARGETS_MAX {
            let oldest = kept.clients.iter().min_by_key(|(_, (last, _))| *last);
            let oldest = oldest.map(|(target, _)| target.clone());
            oldest.map(|target| kept.clients.remove(&target));
        }
        let client = http_client(target, self.reader.clone())?;
        kept.clients.insert(target.clone(), (uses, client.clone()));
        Ok(client)
    }
}

fn http_client(target: &Target, reader: Arc<dyn Reader>) -> Result<Http, WebhookError> {
    let mut tls = client_config(&target.authorities, target.insecure, target.identity.as_ref())
        .map_err(WebhookError::Configuration)?;
    tls.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    let server_name = ServerName::try_from(target.server_name.clone())
        .map_err(|error| WebhookError::Configuration(error.to_string()))?;
    let connector =
        Connector { place: target.place.clone(), server_name, tls: Arc::new(tls), reader };
    Ok(keeping_client(connector))
}

/// A client that keeps its connections for a while.
pub(crate) fn keeping_client<B>(connector: Connector) -> Client<Connector, B>
where
    B: http_body::Body + Send + Unpin,
    B::Data: Send,
{
    Client::builder(TokioExecutor::new())
        .timer(TokioTimer::new())
        .pool_timer(TokioTimer::new())
        .pool_idle_timeout(IDLE_TIMEOUT)
        .http2_keep_alive_interval(PING_INTERVAL)
        .http2_keep_alive_timeout(PING_TIMEOUT)
        .build(connector)
}

fn request(target: &Target, url: &str, body: &Value) -> Result<Request<Full<Bytes>>, WebhookError> {
    let invalid = |error: http::Error| WebhookError::Configuration(error.to_string());
    let mut request = Request::post(url)
        .header(CONTENT_TYPE, "application/json")
        .header(ACCEPT, "application/json, */*")
        .header(USER_AGENT, AGENT);
    if !target.bearer_token.is_empty() {
        let mut value = HeaderValue::from_str(&format!("Bearer {}", target.bearer_token))
            .map_err(|error| WebhookError::Configuration(error.to_string()))?;
        value.set_sensitive(true);
        request = request.header(AUTHORIZATION, value);
    }
    request.body(Full::from(body.to_string())).map_err(invalid)
}

async fn answered(client: &Http, request: Request<Full<Bytes>>) -> Result<(u16, Bytes), String> {
    let answer = client.request(request).await.map_err(|error| cause(&error))?;
    let (parts, body) = Response::into_parts(answer);
    match Limited::new(body, ANSWER_BYTES_MAX).collect().await {
        Ok(collected) => Ok((parts.status.as_u16(), collected.to_bytes())),
        Err(error) if error.is::<LengthLimitError>() => {
            Err(format!("the answer is longer than {ANSWER_BYTES_MAX} bytes"))
        }
        Err(error) => Err(format!("unexpected EOF: {error}")),
    }
}

/// The innermost cause that says something.
pub(crate) fn cause(error: &hyper_util::client::legacy::Error) -> String {
    let mut source: Option<&(dyn Error + 'static)> = error.source();
    let mut text = error.to_string();
    while let Some(error) = source {
        if let Some(DialError(text)) = error.downcast_ref::<DialError>() {
            return text.clone();
        }
        if error.downcast_ref::<hyper::Error>().is_some_and(hyper::Error::is_incomplete_message) {
            return "EOF".into();
        }
        text = error.to_string();
        source = error.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeReader;
    use crate::testing::webhook::{Script, WebhookServer};
    use serde_json::json;

    const TIMEOUT: Duration = Duration::from_secs(1);

    async fn check(server: &WebhookServer, client_config: Value, expect: Result<Value, &str>) {
        let clients = WebhookClients::new(FakeReader::with(server.service("ns", "hook")));
        let got = clients.post(&client_config, &json!({"a": 1}), TIMEOUT).await;
        let port = server.address.port().to_string();
        let got = got.map_err(|error| error.to_string().replace(&port, "PORT"));
        assert_eq!(got, expect.map_err(str::to_owned));
    }

    #[tokio::test]
    async fn services_and_urls() {
        let echo: Script = |body| (200, json!({"got": body}).to_string());
        let server = WebhookServer::start(&["hook.ns.svc", "localhost"], echo).await;
        let service = || json!({"caBundle": server.ca_bundle, "service": {"namespace": "ns", "name": "hook", "path": "/x"}});
        check(&server, service(), Ok(json!({"got": {"a": 1}}))).await;
        let url = format!("https://localhost:{}/y", server.address.port());
        check(
            &server,
            json!({"caBundle": server.ca_bundle, "url": url}),
            Ok(json!({"got": {"a": 1}})),
        )
        .await;
        assert_eq!(server.paths(), ["/x?timeout=1s", "/y?timeout=1s"]);
        let received = server.received();
        assert_eq!(received[0].headers["content-type"], "application/json");
        assert_eq!(received[0].body, json!({"a": 1}));
    }

    #[tokio::test]
    async fn connections_are_kept() {
        let server = WebhookServer::start(&["hook.ns.svc"], |_| (200, "{}".into())).await;
        let clients = WebhookClients::new(FakeReader::with(server.service("ns", "hook")));
        let config =
            json!({"caBundle": server.ca_bundle, "service": {"namespace": "ns", "name": "hook"}});
        for _ in 0..3 {
            assert_eq!(clients.post(&config, &json!({}), TIMEOUT).await, Ok(json!({})));
        }
        assert_eq!(server.connections(), 1);
    }

    #[tokio::test]
    async fn failures_in_upstreams_words() {
        let server = WebhookServer::start(&["other.ns.svc"], |_| (200, "{}".into())).await;
        let ca = &server.ca_bundle;
        let service =
            |name: &str| json!({"caBundle": ca, "service": {"namespace": "ns", "name": name}});
        check(&server, service("hook"), Err(r#"Post "https://hook.ns.svc:443/?timeout=1s": tls: failed to verify certificate: x509: certificate is valid for other.ns.svc, not hook.ns.svc"#)).await;
        check(
            &server,
            service("gone"),
            Err(r#"Post "https://gone.ns.svc:443/?timeout=1s": service "gone" not found"#),
        )
        .await;
        let unsigned = json!({"url": format!("https://127.0.0.1:{}/", server.address.port())});
        check(&server, unsigned, Err(r#"Post "https://127.0.0.1:PORT/?timeout=1s": tls: failed to verify certificate: x509: certificate signed by unknown authority"#)).await;
        let refused = json!({"caBundle": ca, "url": "https://127.0.0.1:1/"});
        check(&server, refused, Err(r#"Post "https://127.0.0.1:1/?timeout=1s": dial tcp 127.0.0.1:1: connect: connection refused"#)).await;
        let bundle = json!({"caBundle": "bm8=", "url": "https://127.0.0.1:1/"});
        check(&server, bundle, Err("could not get REST client: unable to load root certificates: unable to parse bytes as PEM block")).await;
    }

    #[tokio::test]
    async fn answers_that_fail() {
        let script: Script = |body| match body["a"].as_i64() {
            Some(1) => (500, "broken".into()),
            _ => (200, "no JSON".into()),
        };
        let server = WebhookServer::start(&["hook.ns.svc"], script).await;
        let config =
            json!({"caBundle": server.ca_bundle, "service": {"namespace": "ns", "name": "hook"}});
        check(
            &server,
            config.clone(),
            Err(r#"an error on the server ("broken") has prevented the request from succeeding"#),
        )
        .await;
        let clients = WebhookClients::new(FakeReader::with(server.service("ns", "hook")));
        let error = clients.post(&config, &json!({}), TIMEOUT).await.unwrap_err();
        assert!(error.to_string().starts_with("couldn't get version/kind; json parse error: "));
    }

    #[tokio::test]
    async fn hanging_webhooks_are_given_up() {
        let server = WebhookServer::start(&["hook.ns.svc"], |_| (0, String::new())).await;
        let config =
            json!({"caBundle": server.ca_bundle, "service": {"namespace": "ns", "name": "hook"}});
        check(
            &server,
            config,
            Err(r#"Post "https://hook.ns.svc:443/?timeout=1s": context deadline exceeded"#),
        )
        .await;
    }
}
