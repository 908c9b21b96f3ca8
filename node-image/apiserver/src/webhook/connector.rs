//! Connections: found by name or through a Service, secured.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures::future::BoxFuture;
use hickory_resolver::TokioResolver;
use http::Uri;
use hyper::rt::{Read, ReadBufCursor, Write};
use hyper_util::client::legacy::connect::{Connected, Connection};
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;
use tower::Service;

use super::Place;
use super::endpoints::{Endpoints, service_endpoints};
use super::trust::handshake_failure;
use crate::request::Reader;

/// An address that does not answer for this long is not there.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Endpoints of a Service that are tried for one connection.
const ENDPOINTS_TRIED_MAX: usize = 3;

/// Why there is no connection: `dial tcp 10.0.0.1:443: connect: connection refused`.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{0}")]
pub(crate) struct DialError(pub(crate) String);

/// Connects to a place, in turn to the endpoints of a Service.
pub(super) async fn dial(reader: &dyn Reader, place: &Place) -> Result<TcpStream, DialError> {
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let mut addresses = addresses(reader, place).await?;
    let turn = TURN.fetch_add(1, Ordering::Relaxed) % addresses.len().max(1);
    addresses.rotate_left(turn);
    addresses.truncate(ENDPOINTS_TRIED_MAX);
    let mut failure = DialError("no addresses".into());
    for address in addresses {
        match dial_address(address).await {
            Ok(stream) => return Ok(stream),
            Err(error) => failure = error,
        }
    }
    Err(failure)
}

async fn addresses(reader: &dyn Reader, place: &Place) -> Result<Vec<SocketAddr>, DialError> {
    match place {
        Place::Host(host, port) => resolve(host, *port).await,
        Place::Service { namespace, name, port } => {
            match service_endpoints(reader, namespace, name, *port) {
                Ok(Endpoints::Addresses(addresses)) => Ok(addresses),
                Ok(Endpoints::External(host, port)) => resolve(&host, port).await,
                Err(error) => Err(DialError(error.to_string())),
            }
        }
    }
}

/// The static libc asks nobody for names: /etc/hosts and DNS are read here.
async fn resolve(host: &str, port: u16) -> Result<Vec<SocketAddr>, DialError> {
    if let Ok(address) = host.parse::<IpAddr>() {
        return Ok(vec![SocketAddr::new(address, port)]);
    }
    if host == "localhost" {
        return Ok(vec![SocketAddr::new(Ipv4Addr::LOCALHOST.into(), port)]);
    }
    let no_such_host = || DialError(format!("dial tcp: lookup {host}: no such host"));
    let resolver = TokioResolver::builder_tokio().and_then(|builder| builder.build());
    let resolver = resolver.map_err(|_| no_such_host())?;
    let found = resolver.lookup_ip(host).await.map_err(|_| no_such_host())?;
    match found.iter().map(|address| SocketAddr::new(address, port)).collect::<Vec<_>>() {
        none if none.is_empty() => Err(no_such_host()),
        addresses => Ok(addresses),
    }
}

async fn dial_address(address: SocketAddr) -> Result<TcpStream, DialError> {
    let connected = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await;
    let connected = connected.unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()));
    let stream = connected.map_err(|error| {
        let text = match error.kind() {
            std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
            std::io::ErrorKind::HostUnreachable => "connect: no route to host".to_owned(),
            std::io::ErrorKind::NetworkUnreachable => "connect: network is unreachable".to_owned(),
            std::io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
            _ => error.to_string(),
        };
        DialError(format!("dial tcp {address}: {text}"))
    })?;
    // Requests are small and wait for their answers.
    let _ = stream.set_nodelay(true);
    Ok(stream)
}

/// Makes the connections of one target.
#[derive(Clone)]
pub(crate) struct Connector {
    pub(crate) place: Place,
    pub(crate) server_name: ServerName<'static>,
    pub(crate) tls: Arc<ClientConfig>,
    pub(crate) reader: Arc<dyn Reader>,
}

impl Connector {
    /// A secured connection.
    pub(crate) async fn connect(&self) -> Result<TlsStream<TcpStream>, DialError> {
        let stream = dial(&*self.reader, &self.place).await?;
        let secured =
            TlsConnector::from(self.tls.clone()).connect(self.server_name.clone(), stream);
        match tokio::time::timeout(DIAL_TIMEOUT, secured).await {
            Ok(secured) => secured.map_err(|error| DialError(handshake_failure(&error))),
            Err(_) => Err(DialError("net/http: TLS handshake timeout".into())),
        }
    }
}

impl Service<Uri> for Connector {
    type Response = Secured;
    type Error = DialError;
    type Future = BoxFuture<'static, Result<Secured, DialError>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), DialError>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, _: Uri) -> Self::Future {
        let connector = self.clone();
        Box::pin(async move { Ok(Secured(TokioIo::new(connector.connect().await?))) })
    }
}

/// A connection as the HTTP client wants it.
pub(crate) struct Secured(TokioIo<TlsStream<TcpStream>>);

impl Connection for Secured {
    fn connected(&self) -> Connected {
        let (_, session) = self.0.inner().get_ref();
        match session.alpn_protocol() {
            Some(b"h2") => Connected::new().negotiated_h2(),
            _ => Connected::new(),
        }
    }
}

impl Read for Secured {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: ReadBufCursor<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_read(context, buffer)
    }
}

impl Write for Secured {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<std::io::Result<usize>> {
        Pin::new(&mut self.0).poll_write(context, bytes)
    }

    fn poll_flush(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_flush(context)
    }

    fn poll_shutdown(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<std::io::Result<()>> {
        Pin::new(&mut self.0).poll_shutdown(context)
    }
}
