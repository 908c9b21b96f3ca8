//! The proxy with real sockets: backends on loopback, the API in memory.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, Request, Response};
use http_body_util::BodyExt;
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use kd_testkit::FakeApi;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;

use crate::names::Names;
use crate::pool::Pool;
use crate::proxy::Proxy;
use crate::route::{
    Action, Backend, HostPattern, Match, Mirror, Port, Protocol, Routes, Rule, Table, Target,
};
use crate::server::Listeners;
use crate::testing::{ingress_class, object, tls_secret};
use crate::{CONTROLLER, certificates, verify};

const PATIENCE: Duration = Duration::from_secs(20);

/// A proxy with one port and one rule.
struct World {
    port: u16,
    listeners: Listeners,
}

impl World {
    async fn new(action: Action) -> World {
        let provider = rustls::crypto::ring::default_provider();
        let _ = provider.install_default();
        let tls = rustls::ClientConfig::builder()
            .dangerous()
            .with_custom_certificate_verifier(verify::nothing())
            .with_no_client_auth();
        let proxy = Arc::new(Proxy::new(Pool::new(Arc::new(tls)), Names::new(&[])));
        let secret = tls_secret("a", "s", &["localhost"]);
        let pem = |name: &str| {
            use base64::Engine;
            let text = secret["data"][name].as_str().unwrap();
            base64::prelude::BASE64_STANDARD.decode(text).unwrap()
        };
        let default = certificates::certified(&pem("tls.crt"), &pem("tls.key")).unwrap();
        let listeners = Listeners::new(proxy, Arc::new(default));
        // The port is free for long enough.
        let port = TcpListener::bind("[::]:0").await.unwrap().local_addr().unwrap().port();
        let mut world = World { port, listeners };
        world.serve(action).await;
        world
    }

    async fn serve(&mut self, action: Action) {
        let mut routes = Routes::default();
        let age = (None, kd_client::Key::new("a", "i"), 0);
        let matches = Match::default();
        let rule = Rule { matches, is_last_resort: false, age, action: Arc::new(action) };
        routes.insert(HostPattern::Any, rule);
        let port = Port { routes: Arc::new(routes), certificates: None };
        let table = Table { ports: [(self.port, port)].into() };
        assert!(self.listeners.serve(table).await.is_empty());
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(("127.0.0.1", self.port)).await.unwrap()
    }

    /// Asks over a connection of its own and returns all of the answer.
    async fn ask(&self, request: &str) -> String {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        timeout(PATIENCE, stream.read_to_end(&mut answer)).await.unwrap().unwrap();
        String::from_utf8(answer).unwrap()
    }
}

const GET: &str = "GET /x HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\n\r\n";
const POST: &str =
    "POST / HTTP/1.1\r\nHost: a.com\r\nConnection: close\r\nContent-Length: 2\r\n\r\nhi";

fn at(endpoints: &[SocketAddr]) -> Backend {
    let endpoints = endpoints.to_vec();
    Backend { turn: 0, protocol: Protocol::Http, endpoints, external: None }
}

fn to(endpoints: &[SocketAddr]) -> Action {
    let backend = at(endpoints);
    Action { targets: vec![Target::only(Ok(backend))], ..Action::default() }
}

/// A backend: each connection gets the next script, whose answers are sent one per request; then the
/// connection ends. Returns where it is and how many connections and requests came.
async fn backend(scripts: Vec<Vec<&'static str>>) -> (SocketAddr, Arc<[AtomicUsize; 2]>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let counts = Arc::new([AtomicUsize::new(0), AtomicUsize::new(0)]);
    let counted = counts.clone();
    tokio::spawn(async move {
        for script in scripts {
            let (mut stream, _) = listener.accept().await.unwrap();
            counted[0].fetch_add(1, Ordering::SeqCst);
            let counted = counted.clone();
            tokio::spawn(async move {
                for answer in script {
                    let mut head = vec![0; 64 << 10];
                    if stream.read(&mut head).await.unwrap_or(0) == 0 {
                        return;
                    }
                    counted[1].fetch_add(1, Ordering::SeqCst);
                    stream.write_all(answer.as_bytes()).await.unwrap();
                }
            });
        }
    });
    (address, counts)
}

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";

async fn nobody() -> SocketAddr {
    TcpListener::bind("127.0.0.1:0").await.unwrap().local_addr().unwrap()
}

#[tokio::test]
async fn connections_to_endpoints_are_kept() {
    let (address, counts) = backend(vec![vec![OK; 3], vec![OK]]).await;
    let world = World::new(to(&[address])).await;
    for _ in 0..3 {
        assert!(world.ask(GET).await.ends_with("ok"));
    }
    assert_eq!(counts[0].load(Ordering::SeqCst), 1);
    // The kept connection has ended: the request takes a new one.
    assert!(world.ask(GET).await.starts_with("HTTP/1.1 200"));
    assert_eq!(counts[0].load(Ordering::SeqCst), 2);
}

#[tokio::test]
async fn endpoints_that_refuse_are_passed_over() {
    let (address, _) = backend(vec![vec![OK], vec![OK]]).await;
    let world = World::new(to(&[nobody().await, address])).await;
    for request in [GET, POST] {
        assert!(world.ask(request).await.starts_with("HTTP/1.1 200"), "{request}");
    }
}

#[tokio::test]
async fn failures_have_their_status() {
    let check = async |action: Action, request: &str, expect: &str| {
        let answer = World::new(action).await.ask(request).await;
        assert!(answer.starts_with(&format!("HTTP/1.1 {expect}")), "{answer}");
    };
    check(to(&[]), GET, "503 ").await;
    check(to(&[nobody().await]), GET, "502 ").await;
    check(Action::default(), GET, "500 ").await;
    let (breaks_off, counts) = backend(vec![vec![""], vec![OK]]).await;
    check(to(&[breaks_off]), POST, "502 ").await;
    assert_eq!(counts[1].load(Ordering::SeqCst), 1, "a POST is not sent twice");
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let slow =
        Action { timeout: Some(Duration::from_millis(50)), ..to(&[silent.local_addr().unwrap()]) };
    check(slow, GET, "504 ").await;
}

#[tokio::test]
async fn upgrades_pass_bytes_both_ways() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = vec![0; 4096];
        let length = stream.read(&mut head).await.unwrap();
        let head = String::from_utf8_lossy(&head[..length]).to_ascii_lowercase();
        assert!(
            head.contains("upgrade: websocket") && head.contains("connection: upgrade"),
            "{head}"
        );
        let switch =
            "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
        stream.write_all(switch.as_bytes()).await.unwrap();
        let (mut reader, mut writer) = stream.split();
        tokio::io::copy(&mut reader, &mut writer).await.unwrap();
    });
    let world = World::new(to(&[address])).await;
    let mut stream = world.connect().await;
    let ask = "GET / HTTP/1.1\r\nHost: a\r\nConnection: keep-alive, Upgrade\r\nUpgrade: websocket\r\n\r\n";
    stream.write_all(ask.as_bytes()).await.unwrap();
    let mut answer = vec![0; 4096];
    let length = timeout(PATIENCE, stream.read(&mut answer)).await.unwrap().unwrap();
    let head = String::from_utf8_lossy(&answer[..length]).to_ascii_lowercase();
    assert!(head.starts_with("http/1.1 101") && head.contains("upgrade: websocket"), "{head}");
    stream.write_all(b"ping").await.unwrap();
    let mut echoed = [0; 4];
    timeout(PATIENCE, stream.read_exact(&mut echoed)).await.unwrap().unwrap();
    assert_eq!(&echoed, b"ping");
}

#[tokio::test]
async fn bodies_stream_and_are_mirrored() {
    let (main, _) = backend(vec![vec![OK]]).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (unheard, counts) = backend(vec![vec![OK]]).await;
    let mirror = |address, share| Mirror { backend: Arc::new(at(&[address])), share };
    let all = mirror(listener.local_addr().unwrap(), Some((1, 1)));
    let mirrors = vec![mirror(unheard, Some((0, 100))), all];
    let world = World::new(Action { mirrors, ..to(&[main]) }).await;
    assert!(world.ask(POST).await.starts_with("HTTP/1.1 200"));
    let (mut stream, _) = timeout(PATIENCE, listener.accept()).await.unwrap().unwrap();
    let mut heard = String::new();
    let mut buffer = vec![0; 4096];
    while !heard.contains("\r\nhi\r\n") && !heard.ends_with("hi") {
        let length = timeout(PATIENCE, stream.read(&mut buffer)).await.unwrap().unwrap();
        assert!(length > 0, "{heard}");
        heard.push_str(&String::from_utf8_lossy(&buffer[..length]));
    }
    assert!(heard.starts_with("POST / HTTP/1.1"), "{heard}");
    assert_eq!(counts[0].load(Ordering::SeqCst), 0);
}

#[tokio::test]
async fn new_rules_count_at_once_and_ports_close() {
    let mut world = World::new(to(&[])).await;
    assert!(world.ask(GET).await.starts_with("HTTP/1.1 503"));
    let (address, _) = backend(vec![vec![OK]]).await;
    world.serve(to(&[address])).await;
    assert!(world.ask(GET).await.starts_with("HTTP/1.1 200"));
    assert!(world.listeners.serve(Table::default()).await.is_empty());
    let closed = async {
        while TcpStream::connect(("127.0.0.1", world.port)).await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    timeout(PATIENCE, closed).await.unwrap();
}

#[tokio::test]
async fn ports_of_others_are_told() {
    let mut world = World::new(to(&[])).await;
    let taken = TcpListener::bind("[::]:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let table = Table { ports: [(port, Port::default())].into() };
    assert_eq!(world.listeners.serve(table).await.into_iter().collect::<Vec<_>>(), [port]);
}

/// A backend of HTTP/1.1 and HTTP/2 that sends back what it is sent, and how it went as a trailer.
async fn echo() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service_fn(|request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        let version = format!("{:?}", head.version);
        let mut trailers = HeaderMap::new();
        trailers.insert("grpc-status", "0".parse().unwrap());
        let body = body.with_trailers(async { Some(Ok(trailers)) });
        Ok::<_, hyper::Error>(Response::builder().header("x-version", version).body(body).unwrap())
    });
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let builder = Builder::new(TokioExecutor::new());
            tokio::spawn(async move {
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            });
        }
    });
    address
}

#[tokio::test]
async fn grpc_goes_by_http2_with_its_trailers() {
    let world = World::new(to(&[echo().await])).await;
    let stream = TokioIo::new(world.connect().await);
    let (mut client, driver) =
        hyper::client::conn::http2::handshake(TokioExecutor::new(), stream).await.unwrap();
    tokio::spawn(driver);
    let request = Request::post("http://a.com/package.Service/Method")
        .header("content-type", "application/grpc")
        .header("te", "trailers")
        .body(crate::body::text("message"))
        .unwrap();
    let answer = timeout(PATIENCE, client.send_request(request)).await.unwrap().unwrap();
    assert_eq!(answer.headers()["x-version"], "HTTP/2.0");
    let collected = timeout(PATIENCE, answer.into_body().collect()).await.unwrap().unwrap();
    assert_eq!(collected.trailers().unwrap()["grpc-status"], "0");
    assert_eq!(collected.to_bytes(), "message");
}

#[tokio::test]
async fn large_bodies_stream_both_ways() {
    const PIECES: usize = 128;
    let world = World::new(to(&[echo().await])).await;
    let (mut reader, mut writer) = world.connect().await.into_split();
    let piece = vec![b'x'; 64 << 10];
    let length = PIECES * piece.len();
    let sending = async {
        let head = format!(
            "POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: {length}\r\n\r\n"
        );
        writer.write_all(head.as_bytes()).await.unwrap();
        for _ in 0..PIECES {
            writer.write_all(&piece).await.unwrap();
        }
    };
    let mut answer = Vec::new();
    let both = async { tokio::join!(sending, reader.read_to_end(&mut answer)).1.unwrap() };
    timeout(PATIENCE, both).await.unwrap();
    assert_eq!(
        answer.iter().filter(|byte| **byte == b'x').count(),
        length + "x-version".matches('x').count()
    );
}

/// From objects to statuses; ports 80 and 443 may be somebody else's where tests run.
#[tokio::test]
async fn statuses_follow_the_api() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let api = FakeApi::new();
    let mut class = ingress_class("kd", CONTROLLER);
    class["apiVersion"] = "networking.k8s.io/v1".into();
    api.put(class);
    let address = json!([{"type": "InternalIP", "address": "172.18.0.2"}]);
    let labels = json!({"node-role.kubernetes.io/control-plane": ""});
    let mut node = object(
        "Node",
        "",
        "n",
        json!({"metadata": {"labels": labels}, "status": {"addresses": address}}),
    );
    node["apiVersion"] = "v1".into();
    api.put(node);
    let issued = rcgen::generate_simple_self_signed(["localhost".to_owned()]).unwrap();
    let config = crate::Config {
        certificate_pem: issued.cert.pem(),
        key_pem: issued.signing_key.serialize_pem(),
        dns: Vec::new(),
    };
    let running = tokio::spawn(crate::run(api.client().into(), config));
    let mut ingress = object("Ingress", "a", "i", json!({"spec": {"ingressClassName": "kd"}}));
    ingress["apiVersion"] = "networking.k8s.io/v1".into();
    api.put(ingress);
    let has_address = |api: &FakeApi| {
        let ingress: Value = api.get("networking.k8s.io", "ingresses", "a", "i");
        ingress["status"]["loadBalancer"]["ingress"] == json!([{"ip": "172.18.0.2"}])
    };
    timeout(PATIENCE, api.until(has_address)).await.unwrap();
    running.abort();
}
