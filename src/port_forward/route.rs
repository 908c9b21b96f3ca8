//! The way to a pod: straight to the kubelet of its node where this machine reaches that, as it does
//! when Docker runs here, and through the API server everywhere else and for whom the kubelet
//! refuses. Each process on the way costs a part of the throughput.

use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use kd_contract::KUBELET_PORT;
use kube::Client;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};

use super::client::client;

/// A node on this machine answers at once; one behind a virtual machine's wall never does.
const REACH_TIMEOUT: Duration = Duration::from_millis(250);

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

/// How connections reach a pod.
pub struct Route {
    pod: PodAddress,
    api: Client,
    kubelet: Option<Client>,
    kubelet_refuses: AtomicBool,
}

/// A WebSocket to a port of the pod.
pub struct Connected {
    /// Its messages.
    pub messages: WebSocketStream<TokioIo<Upgraded>>,
    /// The other side understands the end of one direction (`v5.channel.k8s.io`).
    pub closes: bool,
}

impl Route {
    /// A route for whom `config` describes. `node_address` is where the pod's node is in its Docker
    /// network, if that is known; nobody needs to reach it.
    pub async fn new(
        config: &kube::Config,
        api: Client,
        pod: PodAddress,
        node_address: Option<IpAddr>,
    ) -> Route {
        let kubelet = match node_address {
            Some(address) if reaches(address).await => kubelet(config, address, &pod.node),
            _ => None,
        };
        Route { pod, api, kubelet, kubelet_refuses: AtomicBool::new(false) }
    }

    /// Opens a connection to a port of the pod.
    ///
    /// # Errors
    /// The API server's reason, when there is no way at all.
    pub async fn connect(&self, port: u16) -> Result<Connected, kube::Error> {
        let PodAddress { namespace, name, .. } = &self.pod;
        if let Some(kubelet) = &self.kubelet
            && !self.kubelet_refuses.load(Ordering::Relaxed)
        {
            let path = format!("/portForward/{namespace}/{name}?port={port}");
            match open(kubelet, path).await {
                Ok(connected) => return Ok(connected),
                Err(_) => self.kubelet_refuses.store(true, Ordering::Relaxed),
            }
        }
        let path = format!("/api/v1/namespaces/{namespace}/pods/{name}/portforward?ports={port}");
        open(&self.api, path).await
    }
}

async fn open(client: &Client, path: String) -> Result<Connected, kube::Error> {
    let request = http::Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    let socket = client.connect(request).await?;
    let closes = socket.supports_stream_close();
    // Each read clears as much memory as it may fill, and TLS hands out 16 KiB at a time.
    let config = WebSocketConfig::default().read_buffer_size(READ_BYTES);
    let connection = socket.into_stream().into_inner();
    let messages = WebSocketStream::from_raw_socket(connection, Role::Client, Some(config)).await;
    Ok(Connected { messages, closes })
}

async fn reaches(address: IpAddr) -> bool {
    let connected = timeout(REACH_TIMEOUT, TcpStream::connect((address, KUBELET_PORT))).await;
    matches!(connected, Ok(Ok(_)))
}

/// The same user at a kubelet, which the cluster's authority vouches for by the node's name.
fn kubelet(config: &kube::Config, address: IpAddr, node: &str) -> Option<Client> {
    let host = match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => format!("[{address}]"),
    };
    let mut config = config.clone();
    config.cluster_url = format!("https://{host}:{KUBELET_PORT}").parse().ok()?;
    config.tls_server_name = Some(node.to_owned());
    client(config).ok()
}
