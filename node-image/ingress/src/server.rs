//! Listeners for the ports that the table names, and their connections.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::convert::Infallible;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http::Request;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use rustls::ServerConfig;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};
use tokio_rustls::{TlsAcceptor, TlsStream};

use crate::pool::BUFFER_BYTES_MAX;
use crate::proxy::Proxy;
use crate::request::Via;
use crate::route::Table;
use crate::stream::{Stream, tune};

/// Connections at once, over all ports; more wait to be accepted.
pub(crate) const CONNECTIONS_MAX: usize = 4096;
/// A client that does not finish its handshake is hung up on.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// A client that does not finish its headers, or asks nothing more, is hung up on.
const HEADERS_TIMEOUT: Duration = Duration::from_secs(75);
/// Streams that one HTTP/2 connection can have open.
const STREAMS_MAX: u32 = 256;
/// A peer of HTTP/2 that is silent is asked for a sign of life this often.
const PING_INTERVAL: Duration = Duration::from_secs(60);
/// After an error of accept (too many open files), so that the error is not all that runs.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Open ports.
pub(crate) struct Listeners {
    proxy: Arc<Proxy>,
    default_certificate: Arc<CertifiedKey>,
    open: BTreeMap<u16, Listener>,
    places: Arc<Semaphore>,
}

struct Listener {
    is_secure: bool,
    task: AbortHandle,
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Listeners {
    pub(crate) fn new(proxy: Arc<Proxy>, default_certificate: Arc<CertifiedKey>) -> Listeners {
        let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
        Listeners { proxy, default_certificate, open: BTreeMap::new(), places }
    }

    /// Serves a table from now on. Returns the ports that could not be opened. Connections that are
    /// there stay, and follow the new rules.
    pub(crate) async fn serve(&mut self, table: Table) -> BTreeSet<u16> {
        let wanted: BTreeMap<u16, bool> =
            table.ports.iter().map(|(port, of)| (*port, of.certificates.is_some())).collect();
        let endpoints = endpoints(&table);
        self.proxy.table.store(Arc::new(table));
        self.proxy.pool.retain(&endpoints);
        self.open.retain(|port, listener| wanted.get(port) == Some(&listener.is_secure));
        let mut refused = BTreeSet::new();
        for (port, is_secure) in wanted {
            if self.open.contains_key(&port) {
                continue;
            }
            match bind(port).await {
                Ok(listener) => {
                    let task = tokio::spawn(self.accept(listener, port, is_secure)).abort_handle();
                    self.open.insert(port, Listener { is_secure, task });
                }
                Err(error) => {
                    tracing::error!(port, %error, "cannot listen");
                    refused.insert(port);
                }
            }
        }
        refused
    }

    fn accept(
        &self,
        listener: TcpListener,
        port: u16,
        is_secure: bool,
    ) -> impl Future<Output = ()> + Send + use<> {
        let (proxy, places) = (self.proxy.clone(), self.places.clone());
        let default = self.default_certificate.clone();
        let tls = is_secure.then(|| acceptor(proxy.clone(), port, default));
        async move {
            // The semaphore is never closed.
            while let Ok(place) = places.clone().acquire_owned().await {
                let (stream, client) = match listener.accept().await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::warn!(port, %error, "cannot accept a connection");
                        sleep(ACCEPT_PAUSE).await;
                        continue;
                    }
                };
                let via = Via { port, is_secure, client: client.ip() };
                let (proxy, tls) = (proxy.clone(), tls.clone());
                tokio::spawn(async move {
                    connection(proxy, stream, via, tls).await;
                    drop(place);
                });
            }
        }
    }
}

/// Where a table leads.
fn endpoints(table: &Table) -> HashSet<SocketAddr> {
    let actions = table.ports.values().flat_map(|port| port.routes.actions());
    let backends = actions.flat_map(|action| {
        let targets = action.targets.iter().filter_map(|target| target.backend.as_ref().ok());
        targets.chain(action.mirrors.iter().map(|mirror| &mirror.backend))
    });
    backends.flat_map(|backend| backend.endpoints.iter().copied()).collect()
}

pub(crate) async fn bind(port: u16) -> std::io::Result<TcpListener> {
    match TcpListener::bind((IpAddr::from(Ipv6Addr::UNSPECIFIED), port)).await {
        Ok(listener) => Ok(listener),
        // A kernel without IPv6.
        Err(_) => TcpListener::bind((IpAddr::from(Ipv4Addr::UNSPECIFIED), port)).await,
    }
}

async fn connection(proxy: Arc<Proxy>, stream: TcpStream, via: Via, tls: Option<TlsAcceptor>) {
    tune(&stream);
    let stream = match tls {
        None => Stream::Plain(stream),
        Some(tls) => match timeout(HANDSHAKE_TIMEOUT, tls.accept(stream)).await {
            Ok(Ok(stream)) => Stream::Secure(Box::new(TlsStream::Server(stream))),
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake"),
            Err(_) => return tracing::debug!("TLS handshake took too long"),
        },
    };
    let asked = Arc::new(AtomicBool::new(false));
    let has_asked = asked.clone();
    let service = service_fn(move |request: Request<Incoming>| {
        has_asked.store(true, Ordering::Relaxed);
        let proxy = proxy.clone();
        async move { Ok::<_, Infallible>(proxy.answer(via, request).await) }
    });
    let mut builder = Builder::new(TokioExecutor::new());
    builder
        .http1()
        .timer(TokioTimer::new())
        .header_read_timeout(HEADERS_TIMEOUT)
        .max_buf_size(BUFFER_BYTES_MAX);
    builder
        .http2()
        .timer(TokioTimer::new())
        .max_concurrent_streams(STREAMS_MAX)
        .keep_alive_interval(PING_INTERVAL);
    let mut serving = pin!(builder.serve_connection_with_upgrades(TokioIo::new(stream), service));
    let served = match timeout(HEADERS_TIMEOUT, &mut serving).await {
        Ok(served) => served,
        Err(_) if asked.load(Ordering::Relaxed) => serving.await,
        // Until it knows the version, hyper-util waits without a limit.
        Err(_) => return tracing::debug!("no request came"),
    };
    if let Err(error) = served {
        tracing::debug!(error, "connection");
    }
}

/// TLS whose certificates are those of the table of the moment.
fn acceptor(proxy: Arc<Proxy>, port: u16, default: Arc<CertifiedKey>) -> TlsAcceptor {
    let mut config = ServerConfig::builder()
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName { proxy, port, default }));
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    TlsAcceptor::from(Arc::new(config))
}

/// Chooses a certificate by the name that a client asks for.
struct ByName {
    proxy: Arc<Proxy>,
    port: u16,
    default: Arc<CertifiedKey>,
}

impl std::fmt::Debug for ByName {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("ByName")
    }
}

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let table = self.proxy.table.load();
        let host = hello.server_name().unwrap_or_default().to_ascii_lowercase();
        let port = table.ports.get(&self.port);
        let found = port.and_then(|port| port.certificate(&host)).cloned();
        found.or_else(|| Some(self.default.clone()))
    }
}
