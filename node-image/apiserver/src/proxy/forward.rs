//! One request over one new connection, with its upgrade.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Request, StatusCode, Version, header};
use http_body_util::BodyExt;
use hyper::client::conn::http1;
use hyper_util::rt::TokioIo;
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::io::{AsyncRead, AsyncWrite, BufReader, copy_bidirectional_with_sizes};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

use super::Builder;
use crate::answer::{Answer, RequestBody};
use crate::webhook::trust_anyone;

/// A node that does not answer for this long is not there.
const DIAL_TIMEOUT: Duration = Duration::from_secs(10);
/// Bytes under way in each direction of an upgraded connection.
const COPY_BYTES: usize = 128 << 10;
/// Read at once from a backend: below TLS, which alone would ask for 4 KiB at a time.
const READ_BYTES: usize = 64 << 10;

/// Where a request goes.
#[derive(Debug)]
pub(super) struct Destination {
    pub address: IpAddr,
    pub port: u16,
    pub security: Security,
    /// Path and query.
    pub path: String,
    /// Whether the backend hears which host the client meant.
    pub keeps_host: bool,
}

/// How a connection is secured.
#[derive(Debug)]
pub(super) enum Security {
    Plain,
    Tls { name: String, config: Arc<ClientConfig> },
}

/// Sends the request and returns the answer, whose body streams. An upgrade goes on in a task. The
/// error is a sentence.
pub(super) async fn forward(
    destination: Destination,
    mut request: Request<RequestBody>,
) -> Result<Answer, String> {
    rewrite(&mut request, &destination).map_err(|error| error.to_string())?;
    let address = SocketAddr::new(destination.address, destination.port);
    let connection = dial(address).await?;
    match destination.security {
        Security::Plain => exchange(connection, request).await,
        Security::Tls { name, config } => {
            let name = ServerName::try_from(name).map_err(|error| error.to_string())?;
            let connection = BufReader::with_capacity(READ_BYTES, connection);
            let secured = TlsConnector::from(config).connect(name, connection).await;
            exchange(secured.map_err(|error| dial_failure(address, &error))?, request).await
        }
    }
    .map_err(|error| error.to_string())
}

/// Sends a request over a connection of its own and returns the answer, whose body streams. An
/// upgrade goes on in a task.
pub(crate) async fn exchange<C>(
    connection: C,
    mut request: Request<RequestBody>,
) -> hyper::Result<Answer>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let client = hyper::upgrade::on(&mut request);
    let wants_upgrade = request.headers().contains_key(header::UPGRADE);
    let mut response = send(connection, request).await?;
    if wants_upgrade && response.status() == StatusCode::SWITCHING_PROTOCOLS {
        let backend = hyper::upgrade::on(&mut response);
        tokio::spawn(async move {
            let Ok((client, backend)) = tokio::try_join!(client, backend) else { return };
            let (mut client, mut backend) = (TokioIo::new(client), TokioIo::new(backend));
            // An end that breaks off ends the other: that is all there is to say about it.
            let _ =
                copy_bidirectional_with_sizes(&mut client, &mut backend, COPY_BYTES, COPY_BYTES)
                    .await;
        });
    } else {
        remove_hop_by_hop(response.headers_mut());
    }
    Ok(response.map(|body| body.map_err(Into::into).boxed_unsync()))
}

async fn dial(address: SocketAddr) -> Result<TcpStream, String> {
    let connected = tokio::time::timeout(DIAL_TIMEOUT, TcpStream::connect(address)).await;
    let connection = connected
        .unwrap_or_else(|_| Err(std::io::ErrorKind::TimedOut.into()))
        .map_err(|error| dial_failure(address, &error))?;
    // Single keys of a terminal must not wait for more.
    let _ = connection.set_nodelay(true);
    Ok(connection)
}

fn dial_failure(address: SocketAddr, error: &std::io::Error) -> String {
    let text = match error.kind() {
        std::io::ErrorKind::ConnectionRefused => "connect: connection refused".to_owned(),
        std::io::ErrorKind::TimedOut => "i/o timeout".to_owned(),
        _ => error.to_string(),
    };
    format!("dial tcp {address}: {text}")
}

async fn send<C>(
    connection: C,
    request: Request<RequestBody>,
) -> hyper::Result<http::Response<hyper::body::Incoming>>
where
    C: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let (mut sender, driver) = http1::handshake(TokioIo::new(connection)).await?;
    tokio::spawn(async move {
        // The request's own result tells what went wrong.
        let _ = driver.with_upgrades().await;
    });
    sender.send_request(request).await
}

/// Makes it the backend's request: its path, its host, no credentials of the client.
fn rewrite(
    request: &mut Request<RequestBody>,
    destination: &Destination,
) -> Result<(), http::Error> {
    let upgrade = request.headers().get(header::UPGRADE).cloned();
    let asked = host(request);
    let headers = request.headers_mut();
    remove_hop_by_hop(headers);
    headers.remove(header::AUTHORIZATION);
    headers.remove(header::HOST);
    if let Some(upgrade) = upgrade {
        headers.insert(header::UPGRADE, upgrade);
        headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    }
    let host = match asked.filter(|_| destination.keeps_host) {
        Some(host) => host,
        None => SocketAddr::new(destination.address, destination.port).to_string(),
    };
    headers.insert(header::HOST, HeaderValue::from_str(&host)?);
    *request.version_mut() = Version::HTTP_11;
    *request.uri_mut() = destination.path.parse()?;
    Ok(())
}

/// The host that a client asked.
pub(super) fn host<B>(request: &Request<B>) -> Option<String> {
    let header = request.headers().get(header::HOST).and_then(|value| value.to_str().ok());
    let header = header.map(str::to_owned);
    header.or_else(|| request.uri().authority().map(ToString::to_string))
}

/// Headers that are about one connection (RFC 9110, section 7.6.1).
pub(crate) fn remove_hop_by_hop(headers: &mut HeaderMap) {
    for name in [
        header::CONNECTION,
        header::TE,
        header::TRAILER,
        header::TRANSFER_ENCODING,
        header::UPGRADE,
    ] {
        headers.remove(name);
    }
    headers.remove("keep-alive");
    headers.remove("proxy-connection");
}

/// TLS that asks nobody who the other side is.
pub(super) fn unverified(builder: Builder) -> ClientConfig {
    let verifier = trust_anyone(builder.crypto_provider().clone());
    builder.dangerous().with_custom_certificate_verifier(verifier).with_no_client_auth()
}
