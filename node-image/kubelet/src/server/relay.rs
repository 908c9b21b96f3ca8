//! Connections to a pod's port without a stream protocol: whoever may forward ports gets a ticket
//! here, over TLS, and fetches the connection with it over plain TCP. That is for the machine whose
//! kernel holds this node's network, where encryption protects bytes from nobody.

use std::collections::HashMap;
use std::io;
use std::net::Ipv6Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use kd_relay::{Offer, TICKET_BYTES, Ticket};
use tokio::io::AsyncReadExt;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OnceCell, Semaphore};
use tokio::time::timeout;

use super::ACCEPT_PAUSE;
use super::lookup::Refusal;
use super::port_forward::{Target, refused};

/// A connection that nobody fetches is closed after this time, and so is one that brings no ticket.
const TICKET_LIFETIME: Duration = Duration::from_secs(10);
/// Connections that wait to be fetched.
const WAITING_MAX: usize = 1024;
/// Connections that have not shown a ticket yet; more wait to be accepted.
const STRANGERS_MAX: usize = 64;

/// The connections that wait.
#[derive(Default)]
pub(super) struct Relay {
    port: OnceCell<u16>,
    waiting: Arc<Waiting>,
}

#[derive(Default)]
struct Waiting(Mutex<HashMap<Ticket, TcpStream>>);

impl Waiting {
    fn connections(&self) -> std::sync::MutexGuard<'_, HashMap<Ticket, TcpStream>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn put(&self, connection: TcpStream) -> Option<Ticket> {
        let mut connections = self.connections();
        if connections.len() >= WAITING_MAX {
            return None;
        }
        let ticket = Ticket::random();
        connections.insert(ticket.clone(), connection);
        Some(ticket)
    }

    fn take(&self, ticket: &Ticket) -> Option<TcpStream> {
        self.connections().remove(ticket)
    }
}

impl Relay {
    /// Connects to a port of a pod and offers the connection.
    ///
    /// # Errors
    /// 502 when the pod does not take it, with the words of a port-forward; 503 when nothing can be
    /// offered now.
    pub(super) async fn offer(&self, target: &Target, port: u16) -> Result<Offer, Refusal> {
        let dialed = target.runtime.dial(&target.sandbox_id, port).await;
        let connection =
            dialed.map_err(|reason| Refusal::new(502, refused(target, port, &reason)))?;
        let busy = |reason: String| Refusal::new(503, reason);
        let port = self.port.get_or_try_init(|| listen(self.waiting.clone())).await;
        let port = *port.map_err(|error| busy(format!("cannot listen for a relay: {error}")))?;
        let ticket = self.waiting.put(connection);
        let ticket = ticket.ok_or_else(|| busy("too many relays wait".to_owned()))?;
        tokio::spawn(expire(self.waiting.clone(), ticket.clone()));
        Ok(Offer { port, ticket })
    }
}

async fn expire(waiting: Arc<Waiting>, ticket: Ticket) {
    tokio::time::sleep(TICKET_LIFETIME).await;
    drop(waiting.take(&ticket));
}

/// Listens on a free port of every address of the node, from the first offer on.
async fn listen(waiting: Arc<Waiting>) -> io::Result<u16> {
    let any = TcpListener::bind((Ipv6Addr::UNSPECIFIED, 0)).await;
    let listener = match any {
        Ok(listener) => listener,
        // A kernel without IPv6.
        Err(_) => TcpListener::bind(("0.0.0.0", 0)).await?,
    };
    let port = listener.local_addr()?.port();
    tokio::spawn(serve(listener, waiting));
    Ok(port)
}

async fn serve(listener: TcpListener, waiting: Arc<Waiting>) {
    let strangers = Arc::new(Semaphore::new(STRANGERS_MAX));
    loop {
        let Ok(place) = strangers.clone().acquire_owned().await else { return };
        let stranger = match listener.accept().await {
            Ok((stranger, _)) => stranger,
            Err(error) => {
                tracing::warn!(%error, "cannot accept a relayed connection");
                // Out of descriptors, most likely: others must end before one more can be taken.
                tokio::time::sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let waiting = waiting.clone();
        tokio::spawn(async move {
            let admitted = admit(stranger, &waiting).await;
            drop(place);
            if let Some((client, pod)) = admitted {
                kd_relay::join(client, pod).await;
            }
        });
    }
}

/// The client and its connection, if it brings a ticket.
async fn admit(mut client: TcpStream, waiting: &Waiting) -> Option<(TcpStream, TcpStream)> {
    let mut shown = [0; TICKET_BYTES];
    timeout(TICKET_LIFETIME, client.read_exact(&mut shown)).await.ok()?.ok()?;
    let pod = waiting.take(&Ticket::from_wire(&shown)?)?;
    // Forwarded bytes are somebody's packets: they go as they come.
    let _ = client.set_nodelay(true);
    let _ = pod.set_nodelay(true);
    Some((client, pod))
}

#[cfg(test)]
mod tests {
    use tokio::io::AsyncWriteExt;

    use super::*;

    async fn pair() -> (TcpStream, TcpStream) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (connected, accepted) = tokio::join!(TcpStream::connect(address), listener.accept());
        (connected.unwrap(), accepted.unwrap().0)
    }

    async fn show(port: u16, ticket: &Ticket) -> TcpStream {
        let mut client = TcpStream::connect(("127.0.0.1", port)).await.unwrap();
        client.write_all(ticket.as_bytes()).await.unwrap();
        client
    }

    #[tokio::test]
    async fn a_ticket_is_good_for_one_connection() {
        let waiting = Arc::new(Waiting::default());
        let port = listen(waiting.clone()).await.unwrap();
        let (mut pod, dialed) = pair().await;
        let ticket = waiting.put(dialed).unwrap();

        let mut stranger = show(port, &Ticket::random()).await;
        assert_eq!(stranger.read(&mut [0; 1]).await.unwrap(), 0);

        let mut client = show(port, &ticket).await;
        pod.write_all(b"hello").await.unwrap();
        let mut heard = [0; 5];
        client.read_exact(&mut heard).await.unwrap();
        assert_eq!(&heard, b"hello");

        let mut late = show(port, &ticket).await;
        assert_eq!(late.read(&mut [0; 1]).await.unwrap(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn nobody_waits_for_ever() {
        let waiting = Arc::new(Waiting::default());
        let (mut pod, dialed) = pair().await;
        let ticket = waiting.put(dialed).unwrap();
        expire(waiting.clone(), ticket.clone()).await;
        assert!(waiting.take(&ticket).is_none());
        assert_eq!(pod.read(&mut [0; 1]).await.unwrap(), 0);
    }
}
