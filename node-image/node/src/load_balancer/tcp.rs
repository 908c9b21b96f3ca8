//! TCP: each connection goes to the next node that takes it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::nodes::Nodes;

/// Connections to one port at a time; more wait to be accepted.
const CONNECTIONS_MAX: usize = 4096;
/// A node that is this slow to accept is passed over.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

pub(super) async fn serve(listener: TcpListener, port: u16, nodes: Arc<Nodes>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    loop {
        let Ok(place) = places.clone().acquire_owned().await else { return };
        let (client, peer) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(port, %error, "cannot accept a connection");
                continue;
            }
        };
        let nodes = nodes.clone();
        tokio::spawn(async move {
            relay(client, peer, port, &nodes).await;
            drop(place);
        });
    }
}

async fn relay(client: TcpStream, peer: SocketAddr, port: u16, nodes: &Nodes) {
    let Some(node) = connect(port, nodes).await else {
        return tracing::warn!(port, %peer, "no node takes the connection");
    };
    // Small messages must not wait for each other's acknowledgements.
    let _ = client.set_nodelay(true);
    let _ = node.set_nodelay(true);
    kd_relay::join(client, node).await;
}

async fn connect(port: u16, nodes: &Nodes) -> Option<TcpStream> {
    for address in nodes.in_turn().await {
        match timeout(CONNECT_TIMEOUT, TcpStream::connect((address, port))).await {
            Ok(Ok(stream)) => return Some(stream),
            _ => nodes.forget(),
        }
    }
    None
}
