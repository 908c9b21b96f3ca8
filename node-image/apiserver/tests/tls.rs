//! The server on a socket: TLS, client certificates, both versions of HTTP, an orderly end.

use std::sync::Arc;
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;
use http::Request;
use http_body_util::{BodyExt, Empty};
use hyper_util::rt::{TokioExecutor, TokioIo};
use kd_api::Kinds;
use kd_apiserver::{ApiServer, Config, FrontProxy, ServerTls};
use kd_store::{MemoryStore, Store};
use rcgen::{BasicConstraints, CertificateParams, DnType, IsCa, Issuer, KeyPair};
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;
use tokio_rustls::TlsConnector;

struct Running {
    address: std::net::SocketAddr,
    authority: Authority,
    front_proxies: Authority,
    stop: oneshot::Sender<()>,
    served: tokio::task::JoinHandle<()>,
}

struct Authority {
    certificate: CertificateDer<'static>,
    issuer: Issuer<'static, KeyPair>,
}

type Identity = (CertificateDer<'static>, PrivateKeyDer<'static>);

impl Authority {
    fn new() -> Authority {
        let mut params = CertificateParams::new(Vec::new()).unwrap();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap().der().clone();
        Authority { certificate, issuer: Issuer::new(params, key) }
    }

    fn pem(&self) -> String {
        let encoded = STANDARD.encode(&self.certificate);
        format!("-----BEGIN CERTIFICATE-----\n{encoded}\n-----END CERTIFICATE-----\n")
    }

    fn issue(&self, names: &[&str], user: &str, group: &str) -> Identity {
        let names = names.iter().map(|name| (*name).to_owned()).collect::<Vec<_>>();
        let mut params = CertificateParams::new(names).unwrap();
        params.distinguished_name.push(DnType::CommonName, user);
        params.distinguished_name.push(DnType::OrganizationName, group);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.issuer).unwrap().der().clone();
        (certificate, PrivateKeyDer::try_from(key.serialize_der()).unwrap())
    }
}

async fn start() -> Running {
    let (authority, front_proxies) = (Authority::new(), Authority::new());
    let (certificate, key) = authority.issue(&["localhost"], "kube-apiserver", "");
    let tls = ServerTls {
        certificates: vec![certificate],
        key,
        client_authorities: vec![authority.certificate.clone(), front_proxies.certificate.clone()],
    };
    let token_key = KeyPair::generate().unwrap().serialize_pem();
    let mut config = Config::new(token_key, String::new(), "10.96.0.0/16".parse().unwrap());
    config.front_proxy = Some(FrontProxy {
        ca_certificate_pem: front_proxies.pem(),
        certificate_pem: String::new(),
        key_pem: String::new(),
    });
    let server = ApiServer::build(
        config,
        Arc::new(MemoryStore::default()) as Arc<dyn Store>,
        Kinds::built_in(),
        Arc::new(jiff::Timestamp::now),
        Arc::new(rand::random::<u128>),
    );
    let server = server.await.unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (stop, stopped) = oneshot::channel::<()>();
    let tls = Arc::new(tls.into_config().unwrap());
    let served = tokio::spawn(server.serve(listener, tls, async { drop(stopped.await) }));
    Running { address, authority, front_proxies, stop, served }
}

impl Running {
    async fn connect(&self, identity: Option<Identity>, protocol: &[u8]) -> impl Io {
        let mut roots = rustls::RootCertStore::empty();
        roots.add(self.authority.certificate.clone()).unwrap();
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let builder = rustls::ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots);
        let mut config = match identity {
            Some((certificate, key)) => {
                builder.with_client_auth_cert(vec![certificate], key).unwrap()
            }
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![protocol.to_vec()];
        let stream = TcpStream::connect(self.address).await.unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        TlsConnector::from(Arc::new(config)).connect(name, stream).await.unwrap()
    }

    fn admin(&self) -> Identity {
        self.authority.issue(&[], "admin", "system:masters")
    }
}

trait Io: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static {}
impl<T: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static> Io for T {}

fn get(path: &str) -> Request<Empty<Bytes>> {
    Request::get(format!("https://localhost{path}")).body(Empty::new()).unwrap()
}

#[tokio::test]
async fn certificates_say_who_asks() {
    let running = start().await;
    let check = async |identity: Option<Identity>, path: &str, expect: u16| {
        let stream = TokioIo::new(running.connect(identity, b"http/1.1").await);
        let (mut client, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let answer = client.send_request(get(path)).await.unwrap();
        assert_eq!(answer.status(), expect, "{path}");
    };
    check(None, "/readyz", 200).await;
    check(None, "/api/v1/pods", 401).await;
    check(Some(running.admin()), "/api/v1/pods", 200).await;
    let stranger = running.authority.issue(&[], "x", "y");
    check(Some(stranger), "/api/v1/pods", 403).await;
}

#[tokio::test]
async fn front_proxies_speak_for_others() {
    let running = start().await;
    let check = async |identity: Identity, user: &str, group: &str, expect: u16| {
        let stream = TokioIo::new(running.connect(Some(identity), b"http/1.1").await);
        let (mut client, connection) = hyper::client::conn::http1::handshake(stream).await.unwrap();
        tokio::spawn(connection);
        let mut request = get("/api/v1/pods");
        for (name, value) in [("x-remote-user", user), ("x-remote-group", group)] {
            if !value.is_empty() {
                request.headers_mut().append(name, value.parse().unwrap());
            }
        }
        let answer = client.send_request(request).await.unwrap();
        assert_eq!(answer.status(), expect, "{user} {group}");
    };
    let proxy = || running.front_proxies.issue(&[], "front-proxy-client", "");
    check(proxy(), "jane", "system:masters", 200).await;
    check(proxy(), "jane", "", 403).await;
    check(proxy(), "", "", 401).await;
    // Nobody else's certificate of that authority is good, and no other authority's proxy.
    check(running.front_proxies.issue(&[], "admin", "system:masters"), "", "", 401).await;
    let other = running.authority.issue(&[], "front-proxy-client", "");
    check(other, "jane", "system:masters", 403).await;
}

#[tokio::test]
async fn watches_end_with_the_server() {
    let running = start().await;
    let stream = TokioIo::new(running.connect(Some(running.admin()), b"h2").await);
    let executor = TokioExecutor::new();
    let (mut client, connection) =
        hyper::client::conn::http2::handshake(executor, stream).await.unwrap();
    tokio::spawn(connection);
    let answer = client.send_request(get("/api/v1/namespaces?watch=1")).await.unwrap();
    let mut body = answer.into_body();
    let first = body.frame().await.unwrap().unwrap().into_data().unwrap();
    assert!(first.starts_with(b"{\"type\":\"ADDED\""));
    running.stop.send(()).unwrap();
    let end = tokio::time::timeout(Duration::from_secs(2), async {
        while body.frame().await.is_some() {}
        running.served.await.unwrap();
    });
    end.await.expect("the watch and the server end at once");
}
