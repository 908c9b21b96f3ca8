//! Nodes that serve nothing themselves lead the ports of the proxy to a node that does, so that every
//! node of a cluster answers there. What Services and host ports take of a port comes before.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kd_client::{Client, Keep, Selectors, Watch, WatchEvent, resources};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Semaphore;
use tokio::task::AbortHandle;
use tokio::time::{sleep, timeout};

use crate::announcement::{self, Announcement, LABEL};
use crate::server::{ACCEPT_PAUSE, CONNECTIONS_MAX, bind};
use crate::stream::tune;

/// A node that is this slow to accept is passed over.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(2);

/// Leads on until the future is dropped. While nothing is served, no port is open.
pub async fn forward(client: Client) {
    let selectors = Selectors {
        namespace: announcement::key().namespace.to_string(),
        labels: LABEL.to_owned(),
        ..Selectors::default()
    };
    let resource = resources::ENDPOINT_SLICES.clone();
    let mut watch = Watch::new(client, resource, selectors, Keep::Full);
    let mut forwarder = Forwarder::default();
    loop {
        let announced = match watch.next().await {
            WatchEvent::Applied { new, .. } => new.decode::<EndpointSlice>(),
            WatchEvent::Deleted(_) => None,
            WatchEvent::Synced(_) => continue,
        };
        let announced = announced.as_ref().map(Announcement::read).unwrap_or_default();
        forwarder.follow(announced).await;
    }
}

/// Open ports.
#[derive(Default)]
struct Forwarder {
    servers: Arc<Servers>,
    open: BTreeMap<u16, Listener>,
}

/// Who serves.
#[derive(Default)]
struct Servers {
    addresses: ArcSwap<Vec<IpAddr>>,
    next: AtomicUsize,
}

struct Listener(AbortHandle);

impl Drop for Listener {
    fn drop(&mut self) {
        self.0.abort();
    }
}

impl Forwarder {
    /// Opens and closes ports. Connections that are there stay.
    async fn follow(&mut self, announced: Announcement) {
        self.servers.addresses.store(Arc::new(announced.addresses));
        self.open.retain(|port, _| announced.ports.contains(port));
        for port in announced.ports {
            if self.open.contains_key(&port) {
                continue;
            }
            match bind(port).await {
                Ok(listener) => {
                    let task = tokio::spawn(accept(listener, port, self.servers.clone()));
                    self.open.insert(port, Listener(task.abort_handle()));
                }
                Err(error) => tracing::error!(port, %error, "cannot listen for Ingresses"),
            }
        }
    }
}

async fn accept(listener: TcpListener, port: u16, servers: Arc<Servers>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed.
    while let Ok(place) = places.clone().acquire_owned().await {
        let client = match listener.accept().await {
            Ok((client, _)) => client,
            Err(error) => {
                tracing::warn!(port, %error, "cannot accept a connection");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let servers = servers.clone();
        tokio::spawn(async move {
            match servers.connect(port).await {
                Some(server) => {
                    tune(&client);
                    tune(&server);
                    kd_relay::join(client, server).await;
                }
                None => tracing::warn!(port, "no node that serves takes the connection"),
            }
            drop(place);
        });
    }
}

impl Servers {
    /// A connection to the next one that takes it.
    async fn connect(&self, port: u16) -> Option<TcpStream> {
        let addresses = self.addresses.load_full();
        let turn = self.next.fetch_add(1, Ordering::Relaxed);
        let start = turn.checked_rem(addresses.len()).unwrap_or(0);
        for address in addresses[start..].iter().chain(&addresses[..start]) {
            let connecting = TcpStream::connect((*address, port));
            if let Ok(Ok(stream)) = timeout(CONNECT_TIMEOUT, connecting).await {
                return Some(stream);
            }
        }
        None
    }
}
