//! The way to a pod. Where this machine holds the network of the pod's node, as it does when Docker
//! runs here, the node's kubelet hands out the connection itself, to whom the API server lets
//! forward ports. Everywhere else, and for whom the kubelet refuses, it is the API server's
//! WebSocket: each process on the way costs a part of the throughput.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use http_body_util::{BodyExt, Limited};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kd_contract::KUBELET_PORT;
use kd_relay::Offer;
use kube::Client;
use kube::client::Body;
use tokio::io::AsyncWriteExt;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::client::client;

/// A node on this machine answers at once; one behind a virtual machine's wall never does.
const REACH_TIMEOUT: Duration = Duration::from_millis(250);

/// A kubelet's answer: an offer, or why there is none.
const OFFER_BYTES_MAX: usize = 16 << 10;

/// Read from a WebSocket at once.
const READ_BYTES: usize = 16 << 10;

/// The pod behind the forwards.
#[derive(Clone, Debug)]
pub struct PodAddress {
    /// Its namespace.
    pub namespace: String,
    /// Its name.
    pub name: String,
    /// The node it runs on.
    pub node: String,
}

/// A node as this machine sees it in its Docker network.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NodeAddress {
    /// The node's own address.
    pub address: IpAddr,
    /// The address of the machine that holds the network.
    pub gateway: IpAddr,
}

/// How connections reach a pod.
pub struct Route {
    pod: PodAddress,
    api: Client,
    kubelet: Option<Kubelet>,
    kubelet_refuses: AtomicBool,
}

/// The kubelet of the pod's node.
struct Kubelet {
    client: Client,
    address: IpAddr,
}

/// A connection to a port of the pod.
pub enum Connected {
    /// The connection itself.
    Straight(TcpStream),
    /// One in messages; `closes` when the other side understands the end of one direction
    /// (`v5.channel.k8s.io`).
    Messages { socket: Box<WebSocketStream<TokioIo<Upgraded>>>, closes: bool },
}

impl Route {
    /// A route for whom `config` describes. `node` is where the pod's node is, if that is known;
    /// nobody needs to reach it.
    pub async fn new(
        config: &kube::Config,
        api: Client,
        pod: PodAddress,
        node: Option<NodeAddress>,
    ) -> Route {
        let kubelet = match node {
            Some(node) if is_here(node).await => kubelet(config, node.address, &pod.node),
            _ => None,
        };
        Route { pod, api, kubelet, kubelet_refuses: AtomicBool::new(false) }
    }

    /// Opens a connection to a port of the pod.
    ///
    /// # Errors
    /// Why there is no way at all, in the words of the kubelet or the API server.
    pub async fn connect(&self, port: u16) -> Result<Connected, String> {
        let PodAddress { namespace, name, .. } = &self.pod;
        if let Some(kubelet) = &self.kubelet
            && !self.kubelet_refuses.load(Ordering::Relaxed)
        {
            match kubelet.connect(namespace, name, port).await {
                Ok(connection) => return Ok(Connected::Straight(connection)),
                Err(Failure::OfPod(reason)) => return Err(reason),
                Err(Failure::OfRoute) => self.kubelet_refuses.store(true, Ordering::Relaxed),
            }
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/portforward?ports={port}");
        open(&self.api, path).await.map_err(|error| error.to_string())
    }
}

/// Why a kubelet gives no connection.
enum Failure {
    /// The pod does not take it: another way will not help.
    OfPod(String),
    /// This way is closed to this user or this machine.
    OfRoute,
}

impl Kubelet {
    async fn connect(&self, namespace: &str, name: &str, port: u16) -> Result<TcpStream, Failure> {
        let offer = self.offer(namespace, name, port).await?;
        self.fetch(&offer).await.map_err(|_| Failure::OfRoute)
    }

    async fn offer(&self, namespace: &str, name: &str, port: u16) -> Result<Offer, Failure> {
        let path = format!("/relay/{namespace}/{name}?port={port}");
        let request = http::Request::post(path).body(Body::empty());
        let request = request.map_err(|_| Failure::OfRoute)?;
        let answered = self.client.send(request).await.map_err(|_| Failure::OfRoute)?;
        let status = answered.status();
        let body = Limited::new(answered.into_body(), OFFER_BYTES_MAX).collect().await;
        let body = body.map_err(|_| Failure::OfRoute)?.to_bytes();
        if status == http::StatusCode::BAD_GATEWAY {
            return Err(Failure::OfPod(String::from_utf8_lossy(&body).trim().to_owned()));
        }
        serde_json::from_slice(&body).map_err(|_| Failure::OfRoute)
    }

    async fn fetch(&self, offer: &Offer) -> io::Result<TcpStream> {
        let mut connection = TcpStream::connect((self.address, offer.port)).await?;
        connection.set_nodelay(true)?;
        connection.write_all(offer.ticket.as_bytes()).await?;
        Ok(connection)
    }
}

async fn open(client: &Client, path: String) -> Result<Connected, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    let socket = client.connect(request).await?;
    let closes = socket.supports_stream_close();
    // Each read clears as much memory as it may fill, and TLS hands out 16 KiB at a time.
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
    let connection = socket.into_stream().into_inner();
    let socket = WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await;
    Ok(Connected::Messages { socket: Box::new(socket), closes })
}

/// Whether this machine holds the node's network: then what it says to the node never leaves it.
async fn is_here(node: NodeAddress) -> bool {
    let connecting = TcpStream::connect((node.address, KUBELET_PORT));
    let Ok(Ok(connection)) = timeout(REACH_TIMEOUT, connecting).await else { return false };
    connection.local_addr().is_ok_and(|local| local.ip() == node.gateway)
}

/// The same user at a kubelet, which the cluster's authority vouches for by the node's name.
fn kubelet(config: &kube::Config, address: IpAddr, node: &str) -> Option<Kubelet> {
    let mut config = config.clone();
    let host = SocketAddr::new(address, KUBELET_PORT);
    config.cluster_url = format!("https://{host}").parse().ok()?;
    config.tls_server_name = Some(node.to_owned());
    Some(Kubelet { client: client(config).ok()?, address })
}
