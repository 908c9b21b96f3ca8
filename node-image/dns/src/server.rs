//! The listeners, and the tasks that make a DNS server of a node.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use kd_client::Client;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinSet;
use tokio::time::{sleep, timeout};

use crate::forwarder::Forwarder;
use crate::message::{QUERY_BYTES_MAX, Request, Transport};
use crate::resolver::Resolver;
use crate::rules::NameRules;
use crate::zone::Zone;
use crate::{Error, Result, corefile, feed, resolv_conf};

/// Where DNS is asked.
pub const PORT: u16 = 53;
/// Questions being answered at once, over all datagrams; more are dropped, and clients ask again.
const QUESTIONS_MAX: usize = 4096;
/// Connections at once to one listener; more wait.
const CONNECTIONS_MAX: usize = 128;
/// A connection without a question, or that does not take its answer, ends.
const IDLE_MAX: Duration = Duration::from_secs(10);
/// After an error of accept (too many open files), so that the error is not all that runs.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a node's DNS is told.
#[derive(Clone, Debug, PartialEq)]
pub struct Config {
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// The addresses of the DNS Service.
    pub service_addresses: Vec<IpAddr>,
    /// Addresses of hosts.
    pub hosts: Vec<(String, IpAddr)>,
    /// Names that stand for others.
    pub aliases: Vec<(String, String)>,
    /// The file that names the resolvers for everything outside the cluster.
    pub resolv_conf: PathBuf,
}

/// Sockets that questions come by.
pub struct Listeners {
    datagrams: Vec<UdpSocket>,
    streams: Vec<TcpListener>,
}

impl Listeners {
    /// Listens on each address, over UDP and TCP.
    pub async fn bind(addresses: &[IpAddr], port: u16) -> Result<Listeners> {
        let mut listeners = Listeners { datagrams: Vec::new(), streams: Vec::new() };
        for address in addresses {
            let address = SocketAddr::new(*address, port);
            let failed =
                |protocol| move |source: io::Error| Error::Listen { protocol, address, source };
            listeners.datagrams.push(UdpSocket::bind(address).await.map_err(failed("UDP"))?);
            listeners.streams.push(TcpListener::bind(address).await.map_err(failed("TCP"))?);
        }
        Ok(listeners)
    }

    /// The addresses listened on: those of datagrams, then those of streams.
    pub(crate) fn addresses(&self) -> impl Iterator<Item = SocketAddr> {
        let datagrams = self.datagrams.iter().filter_map(|socket| socket.local_addr().ok());
        let streams = self.streams.iter().filter_map(|listener| listener.local_addr().ok());
        datagrams.chain(streams)
    }
}

/// Answers until the future is dropped. Names of the cluster are those that `client` sees.
pub async fn run(config: Config, listeners: Listeners, client: Client) -> Result<()> {
    let (zone, zone_reader) =
        watch::channel(Zone::new(&config.cluster_domain, config.service_addresses.clone())?);
    let (upstreams, upstreams_reader) = watch::channel(Vec::new());
    let mut own: Vec<IpAddr> = listeners.addresses().map(|address| address.ip()).collect();
    own.extend(config.service_addresses);
    let mut base = NameRules::default();
    config.hosts.iter().for_each(|(name, address)| base.add_host(name, *address));
    config.aliases.iter().for_each(|(name, target)| base.add_alias(name, target));
    let (rules, rules_reader) = watch::channel(base.clone());
    let forwarder = Forwarder::new(upstreams_reader, rules_reader.clone());
    let resolver = Resolver::new(zone_reader, rules_reader, forwarder);
    let mut tasks = JoinSet::new();
    tasks.spawn(feed::follow(client.clone(), zone));
    tasks.spawn(corefile::follow(client, base, rules));
    tasks.spawn(resolv_conf::follow(config.resolv_conf, own, upstreams));
    serve(listeners, Arc::new(resolver), &mut tasks);
    while let Some(ended) = tasks.join_next().await {
        if let Err(error) = ended {
            tracing::error!(%error, "a part of the DNS server ended");
        }
    }
    Ok(())
}

/// Starts answering.
pub(crate) fn serve(listeners: Listeners, resolver: Arc<Resolver>, tasks: &mut JoinSet<()>) {
    let room = Arc::new(Semaphore::new(QUESTIONS_MAX));
    for socket in listeners.datagrams {
        tasks.spawn(serve_datagrams(Arc::new(socket), resolver.clone(), room.clone()));
    }
    for listener in listeners.streams {
        tasks.spawn(serve_streams(listener, resolver.clone()));
    }
}

async fn serve_datagrams(socket: Arc<UdpSocket>, resolver: Arc<Resolver>, room: Arc<Semaphore>) {
    let mut buffer = vec![0; QUERY_BYTES_MAX];
    loop {
        let (length, client) = match socket.recv_from(&mut buffer).await {
            Ok(received) => received,
            Err(error) => {
                tracing::warn!(%error, "cannot receive DNS datagrams");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let Ok(place) = room.clone().try_acquire_owned() else { continue };
        let request = Request::read(&buffer[..length], Transport::Udp);
        let (socket, resolver) = (socket.clone(), resolver.clone());
        tokio::spawn(async move {
            if let Some(reply) = reply(&resolver, request).await
                && let Err(error) = socket.send_to(&reply, client).await
            {
                tracing::debug!(%client, %error, "cannot answer");
            }
            drop(place);
        });
    }
}

async fn serve_streams(listener: TcpListener, resolver: Arc<Resolver>) {
    let room = Arc::new(Semaphore::new(CONNECTIONS_MAX));
    // The semaphore is never closed.
    while let Ok(place) = room.clone().acquire_owned().await {
        let (stream, client) = match listener.accept().await {
            Ok(accepted) => accepted,
            Err(error) => {
                tracing::warn!(%error, "cannot accept DNS connections");
                sleep(ACCEPT_PAUSE).await;
                continue;
            }
        };
        let resolver = resolver.clone();
        tokio::spawn(async move {
            if let Err(error) = converse(stream, &resolver).await {
                tracing::debug!(%client, %error, "a DNS connection ended");
            }
            drop(place);
        });
    }
}

/// Answers a connection's questions in their order, until there are no more.
async fn converse(mut stream: TcpStream, resolver: &Resolver) -> io::Result<()> {
    loop {
        let question = match timeout(IDLE_MAX, read_question(&mut stream)).await {
            Ok(Ok(question)) => question,
            Ok(Err(error)) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(()),
            Ok(Err(error)) => return Err(error),
            Err(_idle) => return Ok(()),
        };
        let request = Request::read(&question, Transport::Tcp);
        let Some(reply) = reply(resolver, request).await else { return Ok(()) };
        let length = u16::try_from(reply.len()).map_err(io::Error::other)?;
        let framed = [&length.to_be_bytes()[..], &reply].concat();
        timeout(IDLE_MAX, stream.write_all(&framed)).await??;
    }
}

async fn read_question(stream: &mut TcpStream) -> io::Result<Vec<u8>> {
    let length = usize::from(stream.read_u16().await?);
    if length > QUERY_BYTES_MAX {
        return Err(io::Error::other(format!("a question of {length} bytes")));
    }
    let mut question = vec![0; length];
    stream.read_exact(&mut question).await?;
    Ok(question)
}

/// What to send back, if anything.
async fn reply(
    resolver: &Resolver,
    request: std::result::Result<Request, Option<Vec<u8>>>,
) -> Option<Vec<u8>> {
    match request {
        Ok(request) => request.reply(resolver.answer(&request).await),
        Err(refusal) => refusal,
    }
}
