//! A webhook on a socket, with a certificate of its own authority.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::{HeaderMap, Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use rustls::pki_types::PrivateKeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use super::authority::Authority;

/// From a body to code and answer; the code 0 never answers.
pub(crate) type Script = fn(&Value) -> (u16, String);

/// What came in.
#[derive(Clone, Debug)]
pub(crate) struct Received {
    pub(crate) path: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Value,
}

#[derive(Default)]
struct Records {
    received: Mutex<Vec<Received>>,
    connections: AtomicUsize,
}

pub(crate) struct WebhookServer {
    pub(crate) address: SocketAddr,
    /// As `caBundle` has it.
    pub(crate) ca_bundle: String,
    records: Arc<Records>,
}

type Answers = dyn Fn(&Received) -> (u16, String) + Send + Sync;

impl WebhookServer {
    /// Serves for these names until the test ends.
    pub(crate) async fn start(
        names: &[&str],
        script: impl Fn(&Value) -> (u16, String) + Send + Sync + 'static,
    ) -> WebhookServer {
        WebhookServer::answering(names, move |received| script(&received.body)).await
    }

    /// The same, by more than the body.
    pub(crate) async fn answering(
        names: &[&str],
        script: impl Fn(&Received) -> (u16, String) + Send + Sync + 'static,
    ) -> WebhookServer {
        let (tls, ca_pem) = tls(names);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let records = Arc::new(Records::default());
        let script: Arc<Answers> = Arc::new(script);
        tokio::spawn(serve(listener, tls, script, records.clone()));
        WebhookServer { address, ca_bundle: STANDARD.encode(ca_pem), records }
    }

    /// A Service with port 443 and the slice that leads here.
    pub(crate) fn service(&self, namespace: &str, name: &str) -> [Value; 2] {
        let port = self.address.port();
        [
            json!({"apiVersion": "v1", "kind": "Service",
                "metadata": {"name": name, "namespace": namespace},
                "spec": {"ports": [{"port": 443, "protocol": "TCP", "targetPort": port}]}}),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": format!("{name}-1"), "namespace": namespace,
                    "labels": {"kubernetes.io/service-name": name}},
                "addressType": "IPv4", "ports": [{"name": "", "port": port, "protocol": "TCP"}],
                "endpoints": [{"addresses": ["127.0.0.1"], "conditions": {"ready": true}}]}),
        ]
    }

    pub(crate) fn received(&self) -> Vec<Received> {
        self.records.received.lock().unwrap().clone()
    }

    pub(crate) fn paths(&self) -> Vec<String> {
        self.received().into_iter().map(|received| received.path).collect()
    }

    pub(crate) fn connections(&self) -> usize {
        self.records.connections.load(Ordering::Relaxed)
    }
}

fn tls(names: &[&str]) -> (TlsAcceptor, String) {
    let authority = Authority::new();
    let leaf = authority.server(names);
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let mut config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(
            vec![leaf.certificate],
            PrivateKeyDer::from_pem_slice(leaf.key_pem.as_bytes()).unwrap(),
        )
        .unwrap();
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    (TlsAcceptor::from(Arc::new(config)), authority.pem())
}

async fn serve(
    listener: TcpListener,
    tls: TlsAcceptor,
    script: Arc<Answers>,
    records: Arc<Records>,
) {
    while let Ok((stream, _)) = listener.accept().await {
        let (tls, script, records) = (tls.clone(), script.clone(), records.clone());
        tokio::spawn(async move {
            let Ok(stream) = tls.accept(stream).await else { return };
            records.connections.fetch_add(1, Ordering::Relaxed);
            let service =
                service_fn(move |request| answer(request, script.clone(), records.clone()));
            let connection = Builder::new(TokioExecutor::new());
            drop(connection.serve_connection(TokioIo::new(stream), service).await);
        });
    }
}

async fn answer(
    request: Request<Incoming>,
    script: Arc<Answers>,
    records: Arc<Records>,
) -> Result<Response<Full<Bytes>>, std::convert::Infallible> {
    let (parts, body) = request.into_parts();
    let bytes = body.collect().await.map(|body| body.to_bytes()).unwrap_or_default();
    let body: Value = serde_json::from_slice(&bytes).unwrap_or_default();
    let path = parts.uri.path_and_query().map_or("/", |path| path.as_str()).to_owned();
    let received = Received { path, headers: parts.headers, body };
    let (code, text) = script(&received);
    records.received.lock().unwrap().push(received);
    if code == 0 {
        std::future::pending::<()>().await;
    }
    let answer = Response::builder().status(code).header("content-type", "application/json");
    Ok(answer.body(Full::from(text)).unwrap())
}
