//! Connections to endpoints: opened when needed, kept for the next request, bounded.

use std::collections::{HashMap, HashSet};
use std::io;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http::{Request, Response};
use hyper::body::Incoming;
use hyper::client::conn::{TrySendError, http1, http2};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ClientConfig;
use rustls::pki_types::ServerName;
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_rustls::{TlsConnector, TlsStream};

use crate::body::Body;
use crate::route::Protocol;
use crate::stream::{Stream, tune};

/// An endpoint that does not take a connection, with its TLS, for this long is not there.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);
/// A kept connection is ready as soon as its task has seen the end of the last answer, unless the
/// request is still being sent to a backend that has answered early.
const READY_TIMEOUT: Duration = Duration::from_millis(100);
/// Connections kept for an endpoint while nobody uses them.
const IDLE_PER_ENDPOINT_MAX: usize = 64;
/// Connections kept in all.
const IDLE_MAX: usize = 1024;
/// How long they are kept.
const IDLE_TIMEOUT: Duration = Duration::from_secs(60);
/// Most of a connection's buffer.
pub(crate) const BUFFER_BYTES_MAX: usize = 128 << 10;

/// Where a connection leads.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Place {
    /// The endpoint.
    pub address: SocketAddr,
    /// What is spoken.
    pub protocol: Protocol,
    /// Its name in TLS, where it has one.
    pub name: Option<Arc<str>>,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ConnectError {
    #[error("connect: {0}")]
    Refused(#[from] io::Error),
    #[error("connect: no answer within {CONNECT_TIMEOUT:?}")]
    Timeout,
    #[error("connect: {0}")]
    Handshake(#[from] hyper::Error),
}

/// Connections by endpoint.
pub(crate) struct Pool {
    kept: Mutex<Kept>,
    tls: Arc<ClientConfig>,
    filled: Notify,
}

#[derive(Default)]
struct Kept {
    idle: HashMap<Place, Vec<(http1::SendRequest<Body>, Instant)>>,
    count: usize,
    shared: HashMap<Place, http2::SendRequest<Body>>,
}

/// The right to send one request.
pub(crate) struct Lease {
    pool: Arc<Pool>,
    place: Place,
    sender: Sender,
    /// The connection had requests before: it may have ended meanwhile.
    pub(crate) is_reused: bool,
}

enum Sender {
    Http1(http1::SendRequest<Body>),
    Http2(http2::SendRequest<Body>),
}

impl Lease {
    /// Sends the request. The error holds it when nothing of it was sent.
    pub(crate) async fn send(
        &mut self,
        request: Request<Body>,
    ) -> Result<Response<Incoming>, TrySendError<Request<Body>>> {
        match &mut self.sender {
            Sender::Http1(sender) => sender.try_send_request(request).await,
            Sender::Http2(sender) => sender.try_send_request(request).await,
        }
    }

    /// The request and its answer are complete.
    pub(crate) fn give_back(self) {
        if let Sender::Http1(sender) = self.sender {
            self.pool.keep(self.place, sender);
        }
    }
}

impl Pool {
    pub(crate) fn new(tls: Arc<ClientConfig>) -> Arc<Pool> {
        Arc::new(Pool { kept: Mutex::default(), tls, filled: Notify::new() })
    }

    /// A connection to an endpoint: one that is there, unless a `fresh` one is asked for.
    pub(crate) async fn lease(
        self: &Arc<Pool>,
        place: Place,
        fresh: bool,
    ) -> Result<Lease, ConnectError> {
        let pool = self.clone();
        while !fresh && let Some(mut sender) = self.take(&place) {
            let is_ready = match &mut sender {
                Sender::Http1(sender) => timeout(READY_TIMEOUT, sender.ready()).await,
                Sender::Http2(sender) => timeout(READY_TIMEOUT, sender.ready()).await,
            };
            if matches!(is_ready, Ok(Ok(()))) {
                return Ok(Lease { pool, place, sender, is_reused: true });
            }
            self.kept().shared.remove(&place);
        }
        let opened = timeout(CONNECT_TIMEOUT, self.open(&place)).await;
        let sender = opened.map_err(|_| ConnectError::Timeout)??;
        if let Sender::Http2(sender) = &sender {
            self.kept().shared.insert(place.clone(), sender.clone());
            self.filled.notify_one();
        }
        Ok(Lease { pool, place, sender, is_reused: false })
    }

    async fn open(&self, place: &Place) -> Result<Sender, ConnectError> {
        let Place { address, protocol, name } = place;
        let stream = TcpStream::connect(address).await?;
        tune(&stream);
        let stream = match protocol {
            Protocol::Https => {
                let named = name.as_deref().and_then(|name| ServerName::try_from(name).ok());
                let named = named.map(|name| name.to_owned());
                let name = named.unwrap_or_else(|| ServerName::IpAddress(address.ip().into()));
                let secured = TlsConnector::from(self.tls.clone()).connect(name, stream).await?;
                Stream::Secure(Box::new(TlsStream::Client(secured)))
            }
            Protocol::Http | Protocol::Http2 => Stream::Plain(stream),
        };
        let stream = TokioIo::new(stream);
        if *protocol == Protocol::Http2 {
            let mut builder = http2::Builder::new(TokioExecutor::new());
            let builder = builder.timer(TokioTimer::new()).keep_alive_interval(IDLE_TIMEOUT);
            let (sender, driver) = builder.handshake(stream).await?;
            // The requests' own results tell what goes wrong with a connection.
            tokio::spawn(async move { drop(driver.await) });
            return Ok(Sender::Http2(sender));
        }
        let mut builder = http1::Builder::new();
        let (sender, driver) = builder.max_buf_size(BUFFER_BYTES_MAX).handshake(stream).await?;
        tokio::spawn(async move { drop(driver.with_upgrades().await) });
        Ok(Sender::Http1(sender))
    }

    fn take(&self, place: &Place) -> Option<Sender> {
        let mut kept = self.kept();
        if place.protocol == Protocol::Http2 {
            return kept.shared.get(place).cloned().map(Sender::Http2);
        }
        let (sender, since) = kept.idle.get_mut(place)?.pop()?;
        kept.count -= 1;
        if since.elapsed() < IDLE_TIMEOUT {
            return Some(Sender::Http1(sender));
        }
        // The others are older still.
        let older = kept.idle.remove(place).unwrap_or_default();
        kept.count -= older.len();
        None
    }

    fn keep(&self, place: Place, sender: http1::SendRequest<Body>) {
        let mut kept = self.kept();
        let is_full = kept.count >= IDLE_MAX;
        let idle = kept.idle.entry(place).or_default();
        if sender.is_closed() || is_full || idle.len() >= IDLE_PER_ENDPOINT_MAX {
            return;
        }
        idle.push((sender, Instant::now()));
        kept.count += 1;
        if kept.count == 1 {
            self.filled.notify_one();
        }
    }

    /// Ends connections that nobody uses, for as long as there are some; for ever.
    pub(crate) async fn sweep(&self) {
        loop {
            self.filled.notified().await;
            while self.drop_idle() {
                sleep(IDLE_TIMEOUT).await;
            }
        }
    }

    /// Whether there are connections left.
    fn drop_idle(&self) -> bool {
        let mut kept = self.kept();
        for idle in kept.idle.values_mut() {
            idle.retain(|(sender, since)| !sender.is_closed() && since.elapsed() < IDLE_TIMEOUT);
        }
        kept.idle.retain(|_, idle| !idle.is_empty());
        kept.count = kept.idle.values().map(Vec::len).sum();
        kept.shared.retain(|_, sender| !sender.is_closed());
        kept.count > 0 || !kept.shared.is_empty()
    }

    /// Forgets endpoints that nothing leads to any more; requests under way go on. Hosts that have a
    /// name are no endpoints: they are forgotten when nobody asks them for a while.
    pub(crate) fn retain(&self, endpoints: &HashSet<SocketAddr>) {
        let is_used = |place: &Place| place.name.is_some() || endpoints.contains(&place.address);
        let mut kept = self.kept();
        kept.idle.retain(|place, _| is_used(place));
        kept.count = kept.idle.values().map(Vec::len).sum();
        kept.shared.retain(|place, _| is_used(place));
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
