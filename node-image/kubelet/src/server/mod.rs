//! The node's HTTPS server: exec, attach, port-forward and logs of its pods, for the API server.

mod access;
mod backend;
mod port_forward;
mod request;
mod response;
mod session;
mod streams;
mod upgrade;

use std::sync::Arc;

use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto;
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;

use access::Access;
pub use backend::{Backend, LogOptions, PodPath, Refusal};

/// Serves until the process ends. `tls` asks for client certificates and verifies those it gets;
/// `client` checks callers with the API server in the name of `node`.
pub async fn serve(
    listener: TcpListener,
    tls: Arc<rustls::ServerConfig>,
    client: kube::Client,
    node: String,
    backend: Arc<dyn Backend>,
) {
    let acceptor = TlsAcceptor::from(tls);
    let access = Access::new(client, node);
    loop {
        match listener.accept().await {
            Ok((connection, _)) => {
                let (acceptor, access) = (acceptor.clone(), access.clone());
                tokio::spawn(serve_connection(connection, acceptor, access, backend.clone()));
            }
            Err(error) => {
                // Out of descriptors, most likely: others must end before one more can be taken.
                tracing::warn!(%error, "cannot accept a connection");
                tokio::task::yield_now().await;
            }
        }
    }
}

async fn serve_connection(
    connection: TcpStream,
    acceptor: TlsAcceptor,
    access: Access,
    backend: Arc<dyn Backend>,
) {
    // Terminals send single keys.
    let _ = connection.set_nodelay(true);
    let Ok(connection) = acceptor.accept(connection).await else { return };
    let certificate = connection.get_ref().1.peer_certificates().and_then(|chain| chain.first());
    let certificate = certificate.map(|certificate| certificate.clone().into_owned());
    let service = service_fn(move |request| {
        let (access, backend, certificate) = (access.clone(), backend.clone(), certificate.clone());
        async move {
            Ok::<_, std::convert::Infallible>(
                request::handle(request, &access, certificate.as_ref(), backend).await,
            )
        }
    });
    let server = auto::Builder::new(TokioExecutor::new());
    let served = server.serve_connection_with_upgrades(TokioIo::new(connection), service).await;
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}
