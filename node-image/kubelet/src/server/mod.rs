//! The node's HTTPS server: exec, attach, port-forward and logs of its pods, for the API server.

mod access;
mod lookup;
mod node_logs;
mod observe;
mod port_forward;
mod relay;
mod request;
mod response;
mod session;
mod streams;
mod upgrade;

use std::sync::Arc;
use std::time::Duration;

use futures::future::BoxFuture;
use http::{Request, Response};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::io::BufReader;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use access::Access;
use relay::Relay;
pub(crate) use response::Body;

use crate::Kubelet;
use crate::grpc::Connection;

/// How long a server that cannot accept waits for others' connections to end.
pub(crate) const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Read at once from a connection: below TLS, which alone would ask for 4 KiB at a time.
const READ_BYTES: usize = 32 << 10;

/// Encrypted and written at once, so that a large message wakes its reader once.
const WRITE_BYTES: usize = 2 << 20;

/// Serves until the process ends. `tls` asks for client certificates and verifies those it gets.
pub async fn serve(listener: TcpListener, tls: Arc<rustls::ServerConfig>, kubelet: Arc<Kubelet>) {
    let acceptor = TlsAcceptor::from(tls);
    let access = Access::new(kubelet.client().clone(), kubelet.config().node_name.clone());
    let relay = Arc::new(Relay::default());
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                let (acceptor, access) = (acceptor.clone(), access.clone());
                let (relay, kubelet) = (relay.clone(), kubelet.clone());
                tokio::spawn(serve_connection(connection, acceptor, access, relay, kubelet));
            }
            Err(error) => {
                // Out of descriptors, most likely: others must end before one more can be taken.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(
    connection: TcpStream,
    acceptor: TlsAcceptor,
    access: Access,
    relay: Arc<Relay>,
    kubelet: Arc<Kubelet>,
) {
    // Terminals send single keys.
    let _ = connection.set_nodelay(true);
    let connection = BufReader::with_capacity(READ_BYTES, connection);
    let Ok(mut connection) = acceptor.accept(connection).await else { return };
    connection.get_mut().1.set_buffer_limit(Some(WRITE_BYTES));
    let certificate = connection.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.map(|certificate| certificate.clone().into_owned());
    let handler = Arc::new(move |request| {
        let (access, kubelet, certificate) = (access.clone(), kubelet.clone(), certificate.clone());
        let relay = relay.clone();
        Box::pin(async move {
            request::handle(request, &access, certificate.as_ref(), &relay, kubelet).await
        }) as BoxFuture<'static, Response<Body>>
    });
    serve_http(Box::new(connection), handler).await;
}

/// Answers the requests of a connection.
pub(crate) type Handler =
    Arc<dyn Fn(Request<Incoming>) -> BoxFuture<'static, Response<Body>> + Send + Sync>;

/// Serves one connection, of whatever kind: the HTTP code is there once.
pub(crate) async fn serve_http(connection: Box<dyn Connection>, handler: Handler) {
    let service = service_fn(move |request| {
        let answering = handler(request);
        async move { Ok::<_, std::convert::Infallible>(answering.await) }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let served = server.serve_connection_with_upgrades(TokioIo::new(connection), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}
