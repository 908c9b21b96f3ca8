//! What load balancers ask a node: whether a Service has endpoints here (`healthCheckNodePort`), and
//! whether the proxy works at all (`/healthz` and `/livez` of port 10256).

use std::collections::{BTreeMap, HashMap};
use std::convert::Infallible;
use std::net::{Ipv6Addr, SocketAddr};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use http::{Request, Response, StatusCode, header};
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use jiff::Timestamp;
use kd_client::Key;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;

/// The port of the proxy's own health.
pub const HEALTH_PORT: u16 = 10256;
/// Connections to one port at a time.
const CONNECTIONS_MAX: usize = 64;
/// How long a client may take to ask.
const REQUEST_TIMEOUT: Duration = Duration::from_secs(10);

type Answer = Response<Full<Bytes>>;

/// What a port tells: how many endpoints of which Service are here.
type Told = Arc<Mutex<(Key, usize)>>;

/// The servers, one for each port.
#[derive(Default)]
pub(crate) struct HealthServers {
    running: HashMap<u16, (Told, AbortHandle)>,
}

impl HealthServers {
    /// Serves exactly these ports.
    pub(crate) async fn set(&mut self, wanted: BTreeMap<u16, (Key, usize)>) {
        self.running.retain(|port, (_, server)| {
            let stays = wanted.contains_key(port);
            if !stays {
                server.abort();
            }
            stays
        });
        for (port, now) in wanted {
            if let Some((known, _)) = self.running.get(&port) {
                *known.lock().unwrap_or_else(PoisonError::into_inner) = now;
                continue;
            }
            let service = now.0.clone();
            let known = Arc::new(Mutex::new(now));
            let told = known.clone();
            match serve(port, move |_| local_endpoints(&told)).await {
                Ok(server) => {
                    self.running.insert(port, (known, server));
                }
                Err(error) => {
                    tracing::error!(%service, port, %error, "cannot serve the health check port");
                }
            }
        }
    }
}

impl Drop for HealthServers {
    fn drop(&mut self) {
        self.running.values().for_each(|(_, server)| server.abort());
    }
}

fn local_endpoints(known: &Mutex<(Key, usize)>) -> Answer {
    let (service, count) = known.lock().unwrap_or_else(PoisonError::into_inner).clone();
    let body = json!({
        "service": {"namespace": &*service.namespace, "name": &*service.name},
        "localEndpoints": count,
        "serviceProxyHealthy": true,
    });
    let mut response = answer(count > 0, body);
    response.headers_mut().insert("X-Load-Balancing-Endpoint-Weight", count.into());
    response
}

/// When the rules last were as they should be; none: not since the start.
#[derive(Clone, Default)]
pub(crate) struct ProxyHealth(Arc<Mutex<Option<Timestamp>>>);

impl ProxyHealth {
    /// The rules are right now.
    pub(crate) fn updated(&self) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some(Timestamp::now());
    }

    /// Answers for as long as the process runs.
    pub(crate) async fn serve(&self) {
        let health = self.clone();
        let served = serve(HEALTH_PORT, move |path| health.answer(path)).await;
        if let Err(error) = served {
            tracing::error!(port = HEALTH_PORT, %error, "cannot serve the proxy's health");
        }
    }

    fn answer(&self, path: &str) -> Answer {
        if !matches!(path, "/healthz" | "/livez") {
            let mut response = Response::new(Full::default());
            *response.status_mut() = StatusCode::NOT_FOUND;
            return response;
        }
        let last = *self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let mut body = json!({
            "lastUpdated": last.unwrap_or_default().to_string(),
            "currentTime": Timestamp::now().to_string(),
        });
        if path == "/healthz" {
            body["nodeEligible"] = true.into();
        }
        answer(last.is_some(), body)
    }
}

fn answer(is_healthy: bool, body: serde_json::Value) -> Answer {
    let mut response = Response::new(Full::from(body.to_string()));
    if !is_healthy {
        *response.status_mut() = StatusCode::SERVICE_UNAVAILABLE;
    }
    let json = header::HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    let as_told = header::HeaderValue::from_static("nosniff");
    response.headers_mut().insert(header::X_CONTENT_TYPE_OPTIONS, as_told);
    response
}

async fn serve(
    port: u16,
    answer: impl Fn(&str) -> Answer + Clone + Send + Sync + 'static,
) -> std::io::Result<AbortHandle> {
    let listener = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, port))).await?;
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    let server = tokio::spawn(async move {
        loop {
            let Ok(place) = places.clone().acquire_owned().await else { return };
            // What fails here is one connection; the next may be accepted.
            let Ok((stream, _)) = listener.accept().await else { continue };
            let answer = answer.clone();
            tokio::spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let response = answer(request.uri().path());
                    async { Ok::<_, Infallible>(response) }
                });
                let mut http = http1::Builder::new();
                http.timer(TokioTimer::new()).header_read_timeout(REQUEST_TIMEOUT);
                // A client that goes away is its own matter.
                let _ = http.serve_connection(TokioIo::new(stream), service).await;
                drop(place);
            });
        }
    });
    Ok(server.abort_handle())
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt;
    use serde_json::Value;

    use super::*;

    async fn read(response: Answer) -> (u16, Value) {
        let status = response.status().as_u16();
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        (status, serde_json::from_slice(&bytes).unwrap_or_default())
    }

    #[tokio::test]
    async fn local_endpoints_are_counted() {
        let told = |count| local_endpoints(&Mutex::new((Key::new("n", "s"), count)));
        assert_eq!(told(2).headers()["x-load-balancing-endpoint-weight"], "2");
        let (status, body) = read(told(2)).await;
        let service = json!({"namespace": "n", "name": "s"});
        let expect = json!({"service": service, "localEndpoints": 2, "serviceProxyHealthy": true});
        assert_eq!((status, body), (200, expect));
        assert_eq!(read(told(0)).await.0, 503);
    }

    #[tokio::test]
    async fn the_proxy_is_healthy_once_rules_are_written() {
        let health = ProxyHealth::default();
        assert_eq!(read(health.answer("/healthz")).await.0, 503);
        health.updated();
        let (status, body) = read(health.answer("/healthz")).await;
        assert_eq!((status, &body["nodeEligible"]), (200, &true.into()));
        assert_eq!(read(health.answer("/livez")).await.0, 200);
        assert_eq!(read(health.answer("/")).await.0, 404);
    }
}
