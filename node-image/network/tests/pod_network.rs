//! Pods, services and masquerading in fresh network namespaces, with real packets. Needs root, as
//! every test of the node does; each test leaves its namespaces to the kernel.

use std::fs::File;
use std::io::{Read, Write};
use std::net::{IpAddr, SocketAddr, TcpListener, TcpStream};
use std::os::fd::AsRawFd;
use std::path::PathBuf;
use std::thread;
use std::time::Duration;

use kd_network::{HostRoutes, PodNetwork, Protocol, ServicePort, Services};
use nix::sched::{CloneFlags, setns, unshare};

/// A network namespace that lives as long as this value.
struct Namespace(File);

impl Namespace {
    fn new() -> Namespace {
        let made = thread::spawn(|| {
            unshare(CloneFlags::CLONE_NEWNET).expect("tests of the network need root");
            File::open("/proc/thread-self/ns/net").unwrap()
        });
        Namespace(made.join().unwrap())
    }

    fn path(&self) -> PathBuf {
        format!("/proc/self/fd/{}", self.0.as_raw_fd()).into()
    }

    /// Runs `work` on a thread inside.
    fn run<T: Send + 'static>(&self, work: impl FnOnce() -> T + Send + 'static) -> T {
        let file = self.0.try_clone().unwrap();
        let inside = thread::spawn(move || {
            setns(file, CloneFlags::CLONE_NEWNET).unwrap();
            work()
        });
        inside.join().unwrap()
    }
}

/// A node with pods, in namespaces of their own.
fn with_node<T: Send + 'static>(work: impl AsyncFnOnce(HostRoutes) -> T + Send + 'static) -> T {
    Namespace::new().run(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            give_an_address("172.31.255.1".parse().unwrap()).await;
            work(HostRoutes::open().unwrap()).await
        })
    })
}

/// A node has an address of its own; here on the loopback interface.
async fn give_an_address(address: IpAddr) {
    let (connection, netlink, _) = rtnetlink::new_connection().unwrap();
    tokio::spawn(connection);
    netlink.address().add(1, address, 32).execute().await.unwrap();
    let up = rtnetlink::LinkMessageBuilder::<rtnetlink::LinkUnspec>::new().index(1).up().build();
    netlink.link().set(up).execute().await.unwrap();
}

fn address(text: &str) -> IpAddr {
    text.parse().unwrap()
}

/// Answers every connection with `answer` until the test ends.
fn serve(pod: &Namespace, port: u16, answer: &'static str) {
    let listener = pod.run(move || TcpListener::bind(("0.0.0.0", port)).unwrap());
    thread::spawn(move || {
        for stream in listener.incoming() {
            let mut stream = stream.unwrap();
            let peer = stream.peer_addr().unwrap();
            stream.write_all(format!("{answer} {}", peer.ip()).as_bytes()).unwrap();
        }
    });
}

fn ask(from: &Namespace, target: &str) -> std::io::Result<String> {
    let target: SocketAddr = target.parse().unwrap();
    from.run(move || {
        let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(5))?;
        let mut answer = String::new();
        stream.read_to_string(&mut answer)?;
        Ok(answer)
    })
}

#[test]
fn pods_reach_each_other_and_are_found_again() {
    with_node(async |network: HostRoutes| {
        let (a, b) = (Namespace::new(), Namespace::new());
        network.attach(&a.path(), "uid-a", address("10.244.0.2")).await.unwrap();
        network.attach(&b.path(), "uid-b", address("10.244.0.3")).await.unwrap();
        serve(&a, 80, "a");
        assert_eq!(ask(&b, "10.244.0.2:80").unwrap(), "a 10.244.0.3");

        let mut attached = network.attached().await.unwrap();
        attached.sort();
        let expected = [("uid-a", "10.244.0.2"), ("uid-b", "10.244.0.3")]
            .map(|(pod, ip)| (pod.to_owned(), address(ip)));
        assert_eq!(attached, expected);

        network.detach("uid-a").await.unwrap();
        network.detach("uid-a").await.unwrap();
        assert_eq!(network.attached().await.unwrap().len(), 1);
    });
}

#[test]
fn services_lead_to_their_endpoints() {
    with_node(async |network: HostRoutes| {
        let (a, b) = (Namespace::new(), Namespace::new());
        network.attach(&a.path(), "uid-a", address("10.244.0.2")).await.unwrap();
        network.attach(&b.path(), "uid-b", address("10.244.0.3")).await.unwrap();
        serve(&a, 8080, "a");
        serve(&b, 8080, "b");
        let port = |ip: &str, endpoints: &[&str]| ServicePort {
            address: ip.parse().unwrap(),
            port: 80,
            protocol: Protocol::Tcp,
            endpoints: endpoints.iter().map(|e| e.parse().unwrap()).collect(),
        };
        let mut services = Services::default();
        services
            .set(vec![
                port("10.96.0.8", &["10.244.0.2:8080"]),
                port("10.96.0.9", &["10.244.0.2:8080", "10.244.0.3:8080"]),
                port("10.96.0.10", &[]),
            ])
            .unwrap();

        assert_eq!(ask(&b, "10.96.0.8:80").unwrap(), "a 10.244.0.3");
        let answers: std::collections::BTreeSet<String> =
            (0..40).map(|_| ask(&b, "10.96.0.9:80").unwrap()[..1].to_owned()).collect();
        assert_eq!(answers.len(), 2, "both endpoints answer: {answers:?}");
        let hairpin = ask(&a, "10.96.0.8:80").unwrap();
        assert!(hairpin.starts_with("a ") && hairpin != "a 10.244.0.2", "{hairpin}");
        let refused = ask(&b, "10.96.0.10:80").unwrap_err();
        assert_eq!(refused.kind(), std::io::ErrorKind::ConnectionRefused);

        services.set(vec![port("10.96.0.8", &["10.244.0.3:8080"])]).unwrap();
        assert!(ask(&b, "10.96.0.8:80").unwrap().starts_with("b "));
    });
}

#[test]
fn what_leaves_the_cluster_has_the_nodes_address() {
    with_node(async |network: HostRoutes| {
        let (pod, outside) = (Namespace::new(), Namespace::new());
        network.attach(&pod.path(), "uid-a", address("10.244.0.2")).await.unwrap();
        // The "outside" has a veth of its own; it knows no route to pods but through the node.
        network.attach(&outside.path(), "outside", address("192.0.2.1")).await.unwrap();
        network.set_masquerade("10.244.0.0/16".parse().unwrap()).await.unwrap();
        serve(&outside, 80, "outside");
        let answer = ask(&pod, "192.0.2.1:80").unwrap();
        assert!(answer.starts_with("outside ") && answer != "outside 10.244.0.2", "{answer}");
    });
}
