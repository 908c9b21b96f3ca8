//! Connections: TLS, HTTP/1.1 and HTTP/2, upgrades, an orderly end.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http::Request;
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use rustls::RootCertStore;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use tokio_rustls::TlsAcceptor;

use super::ApiServer;
use crate::answer::BodyError;
use crate::authn::ClientCertificates;
use crate::pipeline::Peer;

/// A client that does not finish its handshake is hung up on.
const HANDSHAKE_SECONDS_MAX: u64 = 10;
/// A client that does not finish its headers is hung up on.
const HEADERS_SECONDS_MAX: u64 = 30;
/// Running requests get this long at the end.
const SHUTDOWN_SECONDS_MAX: u64 = 1;
/// Streams that one HTTP/2 connection can have open.
const STREAMS_MAX: u32 = 1000;
/// Read at once from a connection: below TLS, which alone would ask for 4 KiB at a time.
const READ_BYTES: usize = 16 << 10;
/// After an error of accept (too many open files), so that the error is not all that runs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// The server's side of TLS.
pub struct ServerTls {
    /// The server's certificate and what signed it, leaf first.
    pub certificates: Vec<CertificateDer<'static>>,
    /// Its key.
    pub key: PrivateKeyDer<'static>,
    /// Whose client certificates are accepted; clients may come without.
    pub client_authorities: Vec<CertificateDer<'static>>,
}

/// Why TLS cannot be served.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The certificates or the key.
    #[error("cannot use the server's certificates")]
    Certificates(#[from] rustls::Error),
    /// The authorities.
    #[error("cannot use the certificate authorities of clients")]
    Authorities(#[from] rustls::server::VerifierBuilderError),
}

impl ServerTls {
    /// The configuration for [`ApiServer::serve`].
    pub fn into_config(self) -> Result<rustls::ServerConfig, TlsError> {
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let mut roots = RootCertStore::empty();
        for certificate in self.client_authorities {
            roots.add(certificate)?;
        }
        let builder = rustls::ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()?;
        let builder = match roots.is_empty() {
            true => builder.with_no_client_auth(),
            false => builder.with_client_cert_verifier(
                WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider)
                    .allow_unauthenticated()
                    .build()?,
            ),
        };
        let mut config = builder.with_single_cert(self.certificates, self.key)?;
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }
}

impl ApiServer {
    /// Serves until `shutdown` is ready, then ends all watches and lets other requests finish.
    pub async fn serve(
        self: Arc<Self>,
        listener: TcpListener,
        tls: Arc<rustls::ServerConfig>,
        shutdown: impl Future<Output = ()>,
    ) {
        let acceptor = TlsAcceptor::from(tls);
        let graceful = GracefulShutdown::new();
        let mut shutdown = std::pin::pin!(shutdown);
        loop {
            let stream = tokio::select! {
                accepted = listener.accept() => accepted,
                () = &mut shutdown => break,
            };
            match stream {
                Ok((stream, address)) => {
                    let watcher = graceful.watcher();
                    let (server, acceptor) = (self.clone(), acceptor.clone());
                    tokio::spawn(async move {
                        server.connection(stream, address, acceptor, watcher).await;
                    });
                }
                Err(error) => {
                    tracing::warn!(%error, "accept");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
        drop(listener);
        self.closing.send_replace(true);
        let limit = Duration::from_secs(SHUTDOWN_SECONDS_MAX);
        if timeout(limit, graceful.shutdown()).await.is_err() {
            tracing::debug!("connections were still open at the end");
        }
    }

    async fn connection(
        self: Arc<Self>,
        stream: TcpStream,
        address: SocketAddr,
        acceptor: TlsAcceptor,
        watcher: hyper_util::server::graceful::Watcher,
    ) {
        // Small answers must not wait for an acknowledgement.
        let _ = stream.set_nodelay(true);
        let stream = BufReader::with_capacity(READ_BYTES, stream);
        let handshake =
            timeout(Duration::from_secs(HANDSHAKE_SECONDS_MAX), acceptor.accept(stream));
        let stream = match handshake.await {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return tracing::debug!(%error, "TLS handshake"),
            Err(_) => return tracing::debug!("TLS handshake took too long"),
        };
        let certificates = stream.get_ref().1.peer_certificates().unwrap_or_default();
        let certificates: Vec<CertificateDer<'static>> =
            certificates.iter().map(|c| c.clone().into_owned()).collect();
        let certificates = Arc::new(ClientCertificates::new(certificates));
        let peer = Peer::Remote { certificates, address };
        let service = service_fn(move |request: Request<Incoming>| {
            let (server, peer) = (self.clone(), peer.clone());
            async move {
                let request = request.map(|body| body.map_err(BodyError::from).boxed_unsync());
                Ok::<_, std::convert::Infallible>(server.answer(peer, request).await)
            }
        });
        let mut builder = Builder::new(TokioExecutor::new());
        builder
            .http1()
            .timer(TokioTimer::new())
            .header_read_timeout(Duration::from_secs(HEADERS_SECONDS_MAX));
        builder
            .http2()
            .timer(TokioTimer::new())
            .max_concurrent_streams(STREAMS_MAX)
            .keep_alive_interval(Some(Duration::from_secs(30)));
        let connection =
            builder.serve_connection_with_upgrades(TokioIo::new(stream), service).into_owned();
        if let Err(error) = watcher.watch(connection).await {
            tracing::debug!(error, "connection");
        }
    }
}
