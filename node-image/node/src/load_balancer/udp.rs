//! UDP: a client's datagrams go to one node, whose answers come back from the port they were sent to.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio::time::timeout;

use super::nodes::Nodes;

/// Clients at a time; datagrams of more are lost.
const CLIENTS_MAX: usize = 1024;
/// A client that is silent for this long is forgotten.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
const DATAGRAM_BYTES_MAX: usize = 65_535;

pub(super) async fn serve(socket: UdpSocket, port: u16, nodes: Arc<Nodes>) {
    let socket = Arc::new(socket);
    let mut clients: HashMap<SocketAddr, Arc<UdpSocket>> = HashMap::new();
    let (ended, mut endings) = mpsc::channel(CLIENTS_MAX);
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    loop {
        tokio::select! {
            Some(client) = endings.recv() => {
                clients.remove(&client);
            }
            received = socket.recv_from(&mut buffer) => {
                // An earlier answer that did not arrive is told here; it is nothing.
                let Ok((length, client)) = received else { continue };
                if !clients.contains_key(&client) && clients.len() < CLIENTS_MAX {
                    let Some(node) = connect(port, &nodes).await else { continue };
                    let node = Arc::new(node);
                    clients.insert(client, node.clone());
                    let (socket, ended) = (socket.clone(), ended.clone());
                    tokio::spawn(async move {
                        answer(&node, &socket, client).await;
                        // The server only ends with the process.
                        let _ = ended.send(client).await;
                    });
                }
                if let Some(node) = clients.get(&client) {
                    // Lost datagrams are what UDP is about.
                    let _ = node.send(&buffer[..length]).await;
                }
            }
        }
    }
}

/// A socket whose other end is a node.
async fn connect(port: u16, nodes: &Nodes) -> Option<UdpSocket> {
    for address in nodes.in_turn().await {
        let own: IpAddr = match address {
            IpAddr::V4(_) => Ipv4Addr::UNSPECIFIED.into(),
            IpAddr::V6(_) => Ipv6Addr::UNSPECIFIED.into(),
        };
        let Ok(socket) = UdpSocket::bind((own, 0)).await else { continue };
        if socket.connect((address, port)).await.is_ok() {
            return Some(socket);
        }
    }
    None
}

/// Passes answers on until there are none for a while.
async fn answer(node: &UdpSocket, socket: &UdpSocket, client: SocketAddr) {
    let mut buffer = vec![0; DATAGRAM_BYTES_MAX];
    while let Ok(Ok(length)) = timeout(IDLE_TIMEOUT, node.recv(&mut buffer)).await {
        let _ = socket.send_to(&buffer[..length], client).await;
    }
}
