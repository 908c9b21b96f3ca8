//! Passing requests on to kubelets, pods and services: exec, attach, port-forward, logs, proxies.
//! Upgrades are passed through byte for byte: both ends speak the same protocol.

mod forward;
mod html;
mod kubelet;
mod links;
mod log_socket;
mod target;

use std::net::SocketAddr;
use std::sync::Arc;

use async_trait::async_trait;
use http::header::{CONTENT_TYPE, LOCATION, UPGRADE};
use http::{HeaderName, HeaderValue, Method, StatusCode};
use kd_api::Status;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::answer::{self, Answer};
use crate::connect::{Connect, ConnectRequest};
use crate::request::Reader;
use forward::Destination;
pub(crate) use forward::{exchange, remove_hop_by_hop};
use links::Links;
use log_socket::LogSocket;

/// How this server shows itself to kubelets and whom it believes to be one.
#[derive(Clone, Debug)]
pub struct NodeProxyConfig {
    /// The client certificate, PEM.
    pub certificate_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
    /// The authority of the kubelets' serving certificates, PEM.
    pub ca_certificate_pem: String,
}

/// Why a [`NodeProxy`] could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NodeProxyError {
    /// The certificates or the key do not parse.
    #[error("the API server's certificate for kubelets does not parse: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// They do not fit together.
    #[error("the API server's certificate for kubelets cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// Reaches nodes by their addresses and knows them by their names.
pub struct NodeProxy {
    reader: Arc<dyn Reader>,
    kubelets: Arc<ClientConfig>,
    /// For `https:` pods and services, whose certificates nobody vouches for (as upstream).
    unverified: Arc<ClientConfig>,
}

impl NodeProxy {
    /// A proxy that finds nodes and endpoints with `reader`.
    pub fn new(
        config: &NodeProxyConfig,
        reader: Arc<dyn Reader>,
    ) -> Result<NodeProxy, NodeProxyError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(config.ca_certificate_pem.as_bytes())?)?;
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(config.certificate_pem.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(config.key_pem.as_bytes())?;
        let kubelets =
            builder()?.with_root_certificates(roots).with_client_auth_cert(chain?, key)?;
        let unverified = forward::unverified(builder()?);
        Ok(NodeProxy { reader, kubelets: Arc::new(kubelets), unverified: Arc::new(unverified) })
    }

    fn destination(&self, request: &ConnectRequest) -> Result<Destination, Status> {
        let info = &request.info;
        match (info.resource.as_str(), info.subresource.as_str()) {
            ("pods", "proxy") => target::pod(request, &self.unverified),
            ("services", "proxy") => target::service(request, &*self.reader, &self.unverified),
            ("nodes", "proxy") => target::node(request, &self.kubelets, &self.unverified),
            ("pods", _) => kubelet::destination(request, &*self.reader, &self.kubelets),
            (resource, subresource) => {
                Err(Status::internal(format!("{resource}/{subresource} leads nowhere")))
            }
        }
    }
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn builder() -> Result<Builder, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

#[async_trait]
impl Connect for NodeProxy {
    async fn connect(&self, request: ConnectRequest) -> Result<Answer, Status> {
        if request.info.subresource == "proxy" {
            return self.proxy(request).await;
        }
        if request.info.subresource == "log" {
            return self.log(request).await;
        }
        let destination = self.destination(&request)?;
        forward::forward(destination, request.request).await.map_err(|why| dialing(&why))
    }
}

fn dialing(why: &str) -> Status {
    Status::internal(format!("error dialing backend: {why}"))
}

impl NodeProxy {
    async fn log(&self, mut request: ConnectRequest) -> Result<Answer, Status> {
        let destination = self.destination(&request)?;
        let socket = LogSocket::take(&mut request.request)?;
        let answer = forward::forward(destination, request.request).await;
        let answer = answer.map_err(|why| dialing(&why))?;
        if !answer.status().is_success() {
            return Err(kubelet::log_refusal(answer).await);
        }
        Ok(match socket {
            Some(socket) => socket.answer(answer),
            None => answer,
        })
    }

    /// Whatever serves HTTP there, with its links as they lead through here.
    async fn proxy(&self, request: ConnectRequest) -> Result<Answer, Status> {
        let uri = request.request.uri();
        let (prefix, rest) = target::split_path(&request.info, uri.path());
        let reads = matches!(*request.request.method(), Method::GET | Method::HEAD);
        let is_upgrade = request.request.headers().contains_key(UPGRADE);
        if rest.is_empty() && reads && !is_upgrade {
            let query = uri.query().map_or_else(String::new, |query| format!("?{query}"));
            return Ok(moved(&format!("{}/{query}", uri.path())));
        }
        let prefix = prefix.to_owned();
        let destination = self.destination(&request)?;
        let backend = SocketAddr::new(destination.address, destination.port);
        let hosts = [Some(backend.to_string()), forward::host(&request.request)];
        let links = Links { prefix, hosts: hosts.into_iter().flatten().collect() };
        let mut request = request.request;
        let forwarded = HeaderValue::from_str(uri_path(&destination.path, &links.prefix).as_str());
        request.headers_mut().extend(forwarded.ok().map(|value| (FORWARDED_URI, value)));
        let answer = forward::forward(destination, request)
            .await
            .map_err(|why| Status::unavailable(format!("error trying to reach service: {why}")))?;
        match answer.status() {
            StatusCode::SWITCHING_PROTOCOLS => Ok(answer),
            _ => links.through_proxy(answer).await,
        }
    }
}

/// Tells the backend under which path the client sees it.
const FORWARDED_URI: HeaderName = HeaderName::from_static("x-forwarded-uri");

/// A path behind the proxy as the client sees it, without its query.
fn uri_path(path: &str, prefix: &str) -> String {
    format!("{prefix}{}", path.split('?').next().unwrap_or_default())
}

/// Pages are below the proxy's path: relative links need its slash.
fn moved(location: &str) -> Answer {
    let mut answer = answer::bytes(301, "text/plain; charset=utf-8", "");
    answer.headers_mut().remove(CONTENT_TYPE);
    answer.headers_mut().extend(HeaderValue::from_str(location).ok().map(|url| (LOCATION, url)));
    answer
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::authority::Authority;
    use crate::testing::server::TestServer;
    use crate::testing::webhook::WebhookServer;
    use serde_json::{Value, json};

    const PROXY: &str = "/api/v1/namespaces/default/services/https:web:443/proxy";

    /// A server, and behind the service `web` another one that knows `/x`.
    async fn start() -> (TestServer, WebhookServer) {
        let server = TestServer::start().await;
        let authority = Authority::new();
        let own = authority.client("kube-apiserver", "");
        let config = NodeProxyConfig {
            certificate_pem: own.certificate_pem,
            key_pem: own.key_pem,
            ca_certificate_pem: authority.pem(),
        };
        let proxy = NodeProxy::new(&config, Arc::new(server.0.reader())).unwrap();
        server.0.set_connect(Arc::new(proxy));
        let backend =
            WebhookServer::answering(&["web"], |received| match received.path.starts_with("/x") {
                true => (200, json!({"path": received.path}).to_string()),
                false => (404, "nothing".into()),
            });
        let backend = backend.await;
        for object in backend.service("default", "web") {
            server.put(&object).await;
        }
        (server, backend)
    }

    #[tokio::test]
    async fn services_are_reached() {
        let (server, backend) = start().await;
        let got = server.ask(&format!("GET {PROXY}/x//y%2Fz/?a=b%20c"), Value::Null).await;
        assert_eq!((got.code, &got.body), (200, &json!({"path": "/x//y%2Fz/?a=b%20c"})));
        for method in ["POST", "PUT", "PATCH", "DELETE", "OPTIONS"] {
            let got = server.ask(&format!("{method} {PROXY}/x"), Value::Null).await;
            assert_eq!(got.code, 200, "{method} {}", got.body);
        }
        let headers = [("host", "127.0.0.1:6443"), ("authorization", "Bearer secret")];
        let got = server.ask_with(&format!("GET {PROXY}/no"), &headers, Value::Null).await;
        assert_eq!((got.code, &got.body), (404, &json!("nothing")));
        let received = backend.received().pop().unwrap();
        assert_eq!(received.headers["host"], "127.0.0.1:6443");
        assert_eq!(received.headers["x-forwarded-uri"], format!("{PROXY}/no"));
        assert!(!received.headers.contains_key("authorization"));
    }

    #[tokio::test]
    async fn what_is_not_there() {
        let (server, _backend) = start().await;
        let got = server.ask(&format!("GET {PROXY}?a=b"), Value::Null).await;
        assert_eq!(got.code, 301);
        assert_eq!(got.headers["location"], format!("{PROXY}/?a=b"));
        let check = async |service: &str, code: u16, message: &str| {
            let path = format!("GET /api/v1/namespaces/default/services/{service}/proxy/");
            let got = server.ask(&path, Value::Null).await;
            assert_eq!((got.code, &got.body["message"]), (code, &json!(message)));
        };
        check("web:81", 503, "no service port 81 found for service \"web\"").await;
        check("web:name", 503, "no endpoints available for service \"web\"").await;
        check("ftp:web:443", 400, "invalid service request \"ftp:web:443\"").await;
        check("gone:443", 404, "services \"gone\" not found").await;
        let slice = json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
            "metadata": {"name": "down", "namespace": "default",
                "labels": {"kubernetes.io/service-name": "down"}},
            "ports": [{"name": "", "port": 1}], "endpoints": [{"addresses": ["127.0.0.1"]}]});
        let service = json!({"apiVersion": "v1", "kind": "Service",
            "metadata": {"name": "down", "namespace": "default"}, "spec": {"ports": [{"port": 80}]}});
        server.put(&slice).await;
        server.put(&service).await;
        check(
            "down",
            503,
            "error trying to reach service: dial tcp 127.0.0.1:1: connect: connection refused",
        )
        .await;
    }
}
