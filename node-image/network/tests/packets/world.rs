//! A node with pods and an outside, in network namespaces of their own; clients and servers in them.

use std::fs::File;
use std::io::{ErrorKind, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpListener, TcpStream, UdpSocket};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use futures::TryStreamExt;
use kd_network::{Backend, HostRoutes, PodLink, PodNetwork};
use nix::sched::{CloneFlags, setns, unshare};
use rtnetlink::{LinkMessageBuilder, LinkUnspec, LinkVeth, RouteMessageBuilder};

/// Longer than any answer takes.
pub const ANSWER_TIMEOUT: Duration = Duration::from_secs(5);
/// After this long without an answer, a packet was dropped.
const SILENCE: Duration = Duration::from_millis(300);
/// The node's own address.
pub const NODE: &str = "172.31.255.1";
/// The address of the machine outside of the cluster.
pub const OUTSIDE: &str = "192.0.2.1";

/// A network namespace that lives as long as this value.
pub struct Namespace(File);

impl Namespace {
    pub fn new() -> Namespace {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("tests of the network need root");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Namespace(made.join().unwrap())
    }

    pub fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// Runs `work` on a thread inside.
    pub fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let file = self.0.try_clone().unwrap();
        let inside = thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        inside.join().unwrap()
    }
}

/// A node with pods, in namespaces of their own.
pub fn with_node<T: Send + 'static>(work: impl AsyncFnOnce(HostRoutes) -> T + Send + 'static) -> T {
    Namespace::new().run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            give_an_address(address(NODE)).await;
            work(HostRoutes::open(Backend::HostRoutes).await.unwrap()).await
        })
    })
}

/// A node has an interface with an address and a default route.
async fn give_an_address(address: IpAddr) {
    let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    netlink.link().add(LinkVeth::new("eth0", "peer").build()).execute().await.unwrap();
    let request = netlink.link().get().match_name("eth0".to_owned());
    let index = request.execute().try_next().await.unwrap().unwrap().header.index;
    for up in [1, index] {
        let up = LinkMessageBuilder::<LinkUnspec>::new().index(up).up().build();
        netlink.link().set(up).execute().await.unwrap();
    }
    netlink.address().add(index, address, 32).execute().await.unwrap();
    let route = RouteMessageBuilder::<Ipv4Addr>::new().output_interface(index).build();
    netlink.route().add(route).execute().await.unwrap();
}

pub fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Answers every connection with `answer` until the test ends.
pub fn serve(pod: &Namespace, port: u16, answer: &'static str) {
    let listener = pod.run(move || TcpListener::bind(("0.0.0.0", port)).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap();
            stream.write_all(format!("{answer} {}", peer.ip()).as_bytes()).unwrap();
        }
    });
}

/// What a connection to `target` is told; from the test's own namespace, which is the node's,
/// without `from`.
pub fn ask_from(from: Option<&Namespace>, target: &str) -> std::io::Result<String> {
    let target: SocketAddr = target.parse().unwrap();
    let ask = move || {
        let mut stream = TcpStream::connect_timeout(&target, ANSWER_TIMEOUT)?;
        stream.set_read_timeout(Some(ANSWER_TIMEOUT))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    };
    match from {
        Some(from) => from.run(ask),
        None => ask(),
    }
}

pub fn ask(from: &Namespace, target: &str) -> std::io::Result<String> {
    ask_from(Some(from), target)
}

/// Whether a connection to `target` is refused at once.
pub fn is_refused(from: Option<&Namespace>, target: &str) -> bool {
    ask_from(from, target).is_err_and(|error| error.kind() == ErrorKind::ConnectionRefused)
}

/// Whether a connection to `target` is made; false when nothing answers.
pub fn connects(from: &Namespace, target: &str) -> bool {
    let target: SocketAddr = target.parse().unwrap();
    from.run(move || match TcpStream::connect_timeout(&target, SILENCE) {
        Ok(_) => true,
        Err(error) if error.kind() == ErrorKind::TimedOut => false,
        Err(error) => panic!("{target}: {error}"),
    })
}

/// Puts a namespace on the network as the pod of this uid.
pub async fn attach(network: &HostRoutes, pod: &Namespace, uid: &str, addresses: &[&str]) {
    let addresses = addresses.iter().map(|text| address(text)).collect();
    let link = PodLink { netns: pod.path(), uid: uid.into(), addresses, ..PodLink::default() };
    network.attach(&link).await.unwrap();
}

/// A pod, with a TCP server that tells its name on `port`.
pub async fn pod(network: &HostRoutes, name: &'static str, ip: &str, port: u16) -> Namespace {
    let pod = Namespace::new();
    attach(network, &pod, name, &[ip]).await;
    serve(&pod, port, name);
    pod
}

/// A machine that knows the node, but no pods.
pub async fn outside(network: &HostRoutes) -> Namespace {
    let outside = Namespace::new();
    attach(network, &outside, "outside", &[OUTSIDE]).await;
    outside
}

/// Answers every datagram with `answer`.
pub fn serve_udp(pod: &Namespace, port: u16, answer: &'static str) {
    let socket = pod.run(move || UdpSocket::bind(("0.0.0.0", port)).unwrap());
    thread::spawn(move || {
        let mut buffer = [0; 16];
        while let Ok((_, peer)) = socket.recv_from(&mut buffer) {
            // Its client may be gone.
            let _ = socket.send_to(answer.as_bytes(), peer);
        }
    });
}

/// A client whose datagrams all come from one port.
pub fn udp_client(from: &Namespace) -> UdpSocket {
    let socket = from.run(|| UdpSocket::bind("0.0.0.0:0").unwrap());
    socket.set_read_timeout(Some(SILENCE)).unwrap();
    socket
}

/// The answer to one datagram; empty without any.
pub fn ask_udp(client: &UdpSocket, target: &str) -> String {
    client.send_to(b"?", target).unwrap();
    let mut buffer = [0; 16];
    let length = client.recv(&mut buffer).unwrap_or(0);
    String::from_utf8_lossy(&buffer[..length]).into_owned()
}
