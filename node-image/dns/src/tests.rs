//! The server with real sockets on loopback, a fixed zone and a made-up resolver behind it.

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use hickory_proto::op::{Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::SOA;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use kd_testkit::FakeApi;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::watch;
use tokio::task::JoinSet;

use crate::forwarder::Forwarder;
use crate::message::edns;
use crate::resolver::Resolver;
use crate::rules::NameRules;
use crate::server::serve;
use crate::zone::Zone;
use crate::zone::tests::{namespace, service, slice, zone};
use crate::{Config, Listeners, run};

const LOOPBACK: IpAddr = IpAddr::V4(Ipv4Addr::LOCALHOST);

/// A running server; it ends with the test.
struct Server {
    datagrams: SocketAddr,
    streams: SocketAddr,
    zone: watch::Sender<Zone>,
    upstreams: watch::Sender<Vec<SocketAddr>>,
    asked: Arc<AtomicUsize>,
    _tasks: JoinSet<()>,
}

impl Server {
    async fn start(zone: Zone) -> Server {
        let (upstream, asked, mut tasks) = upstream().await;
        let listeners = Listeners::bind(&[LOOPBACK], 0).await.unwrap();
        let mut addresses = listeners.addresses();
        let (datagrams, streams) = (addresses.next().unwrap(), addresses.next().unwrap());
        drop(addresses);
        let (zone, reader) = watch::channel(zone);
        let (upstreams, upstreams_reader) = watch::channel(vec![upstream]);
        let mut named = NameRules::default();
        named.add_host("host.docker.internal", "172.18.0.1".parse().unwrap());
        named.add_alias("host.kd.internal", "host.docker.internal");
        let (_, rules) = watch::channel(named);
        let forwarder = Forwarder::new(upstreams_reader, rules.clone());
        let resolver = Resolver::new(reader, rules, forwarder);
        serve(listeners, Arc::new(resolver), &mut tasks);
        Server { datagrams, streams, zone, upstreams, asked, _tasks: tasks }
    }

    async fn over_udp(&self, message: &Message) -> Message {
        over_datagrams(self.datagrams, message).await
    }

    async fn over_tcp(&self, message: &Message) -> Message {
        let mut stream = TcpStream::connect(self.streams).await.unwrap();
        over_stream(&mut stream, message).await
    }

    /// The code and the answers' data, over both transports.
    async fn check(
        &self,
        name: &str,
        record_type: RecordType,
        code: ResponseCode,
        expect: &[&str],
    ) {
        let question = question(name, record_type);
        for reply in [self.over_udp(&question).await, self.over_tcp(&question).await] {
            assert_eq!(reply.metadata.id, question.metadata.id);
            assert_eq!(reply.queries, question.queries);
            assert!(reply.metadata.recursion_available && reply.metadata.recursion_desired);
            assert_eq!(reply.metadata.response_code, code, "{name}");
            assert_eq!(data(&reply), expect, "{name}");
        }
    }
}

async fn over_datagrams(server: SocketAddr, message: &Message) -> Message {
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    socket.send_to(&message.to_vec().unwrap(), server).await.unwrap();
    let mut buffer = vec![0; 4096];
    let length = socket.recv(&mut buffer).await.unwrap();
    Message::from_vec(&buffer[..length]).unwrap()
}

async fn over_stream(stream: &mut TcpStream, message: &Message) -> Message {
    let bytes = message.to_vec().unwrap();
    stream.write_u16(bytes.len() as u16).await.unwrap();
    stream.write_all(&bytes).await.unwrap();
    let mut reply = vec![0; stream.read_u16().await.unwrap().into()];
    stream.read_exact(&mut reply).await.unwrap();
    Message::from_vec(&reply).unwrap()
}

fn question(name: &str, record_type: RecordType) -> Message {
    let mut message = Message::new(rand::random(), MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), record_type));
    message
}

fn data(reply: &Message) -> Vec<String> {
    reply.answers.iter().map(|record| record.data.to_string()).collect()
}

/// A resolver on loopback that counts the questions it is asked.
async fn upstream() -> (SocketAddr, Arc<AtomicUsize>, JoinSet<()>) {
    let stream = TcpListener::bind((LOOPBACK, 0)).await.unwrap();
    let address = stream.local_addr().unwrap();
    let socket = UdpSocket::bind(address).await.unwrap();
    let asked = Arc::new(AtomicUsize::new(0));
    let (mut tasks, by_udp, by_tcp) = (JoinSet::new(), asked.clone(), asked.clone());
    tasks.spawn(async move {
        let mut buffer = vec![0; 4096];
        loop {
            let (length, client) = socket.recv_from(&mut buffer).await.unwrap();
            by_udp.fetch_add(1, Ordering::SeqCst);
            let Some(mut reply) = upstream_reply(&buffer[..length]) else { continue };
            if reply.answers.len() > 20 {
                reply = reply.truncate();
            }
            socket.send_to(&reply.to_vec().unwrap(), client).await.unwrap();
        }
    });
    tasks.spawn(async move {
        loop {
            let (mut client, _) = stream.accept().await.unwrap();
            by_tcp.fetch_add(1, Ordering::SeqCst);
            let mut question = vec![0; client.read_u16().await.unwrap().into()];
            client.read_exact(&mut question).await.unwrap();
            let reply = upstream_reply(&question).unwrap().to_vec().unwrap();
            client.write_u16(reply.len() as u16).await.unwrap();
            client.write_all(&reply).await.unwrap();
        }
    });
    (address, asked, tasks)
}

fn upstream_reply(question: &[u8]) -> Option<Message> {
    let mut reply = Message::from_vec(question).unwrap().into_response();
    let name = reply.queries[0].name.clone();
    let addresses = match name.to_ascii().as_str() {
        "silent.example." => return None,
        "failing.example." => {
            reply.metadata.response_code = ResponseCode::ServFail;
            0
        }
        "long.example." => 100,
        "example.com." => 1,
        _ => {
            reply.metadata.response_code = ResponseCode::NXDomain;
            let soa = SOA::new(Name::root(), Name::root(), 1, 1, 1, 1, 60);
            reply.add_authority(Record::from_rdata(Name::root(), 60, RData::SOA(soa)));
            0
        }
    };
    for i in 1..=addresses {
        let address = Ipv4Addr::new(192, 0, 2, i);
        reply.add_answer(Record::from_rdata(name.clone(), 60, RData::A(address.into())));
    }
    Some(reply)
}

fn cluster() -> Vec<Value> {
    let many: Vec<Value> =
        (1..=200).map(|i| json!({"addresses": [format!("10.244.3.{i}")]})).collect();
    vec![
        namespace("n"),
        service("web", json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80}]})),
        service("many", json!({"clusterIP": "None"})),
        slice("many", json!([]), json!(many)),
        service("two", json!({"clusterIP": "None"})),
        slice(
            "two",
            json!([]),
            json!([{"addresses": ["10.244.0.1"]}, {"addresses": ["10.244.0.2"]}]),
        ),
        service("near", json!({"type": "ExternalName", "externalName": "web.n.svc.cluster.local"})),
        service("away", json!({"type": "ExternalName", "externalName": "example.com"})),
        service("long", json!({"type": "ExternalName", "externalName": "long.example"})),
        service("gone", json!({"type": "ExternalName", "externalName": "no.n.svc.cluster.local"})),
        service(
            "loop",
            json!({"type": "ExternalName", "externalName": "loop.n.svc.cluster.local"}),
        ),
    ]
}

#[tokio::test]
async fn the_clusters_names() {
    let server = Server::start(zone(&cluster())).await;
    let check = async |name: &str, code, expect: &[&str]| {
        server.check(name, RecordType::A, code, expect).await;
    };
    use ResponseCode::*;
    check("web.n.svc.cluster.local.", NoError, &["10.96.0.9"]).await;
    check("no.n.svc.cluster.local.", NXDomain, &[]).await;
    let near = ["web.n.svc.cluster.local.", "10.96.0.9"];
    check("near.n.svc.cluster.local.", NoError, &near).await;
    check("away.n.svc.cluster.local.", NoError, &["example.com.", "192.0.2.1"]).await;
    check("gone.n.svc.cluster.local.", NXDomain, &["no.n.svc.cluster.local."]).await;
    check("loop.n.svc.cluster.local.", ServFail, &[]).await;
    let denied = server.over_udp(&question("web.n.svc.cluster.local.", RecordType::AAAA)).await;
    assert_eq!(denied.metadata.response_code, NoError);
    assert!(denied.metadata.authoritative && denied.answers.is_empty());
    assert_eq!(denied.authorities[0].record_type(), RecordType::SOA);
}

#[tokio::test]
async fn the_worlds_names() {
    let server = Server::start(zone(&cluster())).await;
    let asked = || server.asked.load(Ordering::SeqCst);
    server.check("example.com.", RecordType::A, ResponseCode::NoError, &["192.0.2.1"]).await;
    assert_eq!(asked(), 1, "the second answer is the first");
    server.check("no.example.", RecordType::A, ResponseCode::NXDomain, &[]).await;
    assert_eq!(asked(), 2);
    server.check("failing.example.", RecordType::A, ResponseCode::ServFail, &[]).await;
}

#[tokio::test(start_paused = true)]
async fn silence_is_a_failure_in_time() {
    let server = Server::start(zone(&cluster())).await;
    let question = question("silent.example.", RecordType::A);
    let (one, other) = tokio::join!(server.over_udp(&question), server.over_udp(&question));
    for reply in [one, other] {
        assert_eq!(reply.metadata.response_code, ResponseCode::ServFail);
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 2, "one question, two tries");
}

#[tokio::test]
async fn long_answers() {
    let server = Server::start(zone(&cluster())).await;
    let mut many = question("many.n.svc.cluster.local.", RecordType::A);
    let plain = server.over_udp(&many).await;
    assert!(plain.metadata.truncation && plain.to_vec().unwrap().len() <= 512);
    many.set_edns(edns(false));
    let extended = server.over_udp(&many).await;
    assert!(extended.metadata.truncation && extended.edns.is_some());
    assert!(extended.answers.len() > plain.answers.len());
    assert_eq!(server.over_tcp(&many).await.answers.len(), 200);
    let long = question("long.example.", RecordType::A);
    assert!(server.over_udp(&long).await.metadata.truncation);
    assert_eq!(server.over_tcp(&long).await.answers.len(), 100);
    let alias = question("long.n.svc.cluster.local.", RecordType::A);
    assert_eq!(server.over_tcp(&alias).await.answers.len(), 101);
}

#[tokio::test]
async fn every_address_comes_first() {
    let server = Server::start(zone(&cluster())).await;
    let two = question("two.n.svc.cluster.local.", RecordType::A);
    let mut firsts = Vec::new();
    for _ in 0..4 {
        firsts.push(data(&server.over_udp(&two).await)[0].clone());
    }
    assert_eq!(firsts, ["10.244.0.1", "10.244.0.2", "10.244.0.1", "10.244.0.2"]);
}

#[tokio::test]
async fn questions_wait_for_the_api() {
    let server = Server::start(Zone::new("cluster.local", Vec::new()).unwrap()).await;
    let web = question("web.n.svc.cluster.local.", RecordType::A);
    let (reply, ()) = tokio::join!(server.over_udp(&web), async {
        server.check("example.com.", RecordType::A, ResponseCode::NoError, &["192.0.2.1"]).await;
        server.zone.send_replace(zone(&cluster()));
    });
    assert_eq!(data(&reply), ["10.96.0.9"]);
}

#[tokio::test]
async fn connections_carry_many_questions_and_no_nonsense() {
    let server = Server::start(zone(&cluster())).await;
    let web = question("web.n.svc.cluster.local.", RecordType::A);
    let mut stream = TcpStream::connect(server.streams).await.unwrap();
    for _ in 0..3 {
        assert_eq!(data(&over_stream(&mut stream, &web).await), ["10.96.0.9"]);
    }
    stream.write_all(&[0xff; 64]).await.unwrap();
    let hung_up = stream.read(&mut [0; 8]).await;
    assert!(matches!(hung_up, Ok(0) | Err(_)), "oversized");
    let socket = UdpSocket::bind((LOOPBACK, 0)).await.unwrap();
    for nonsense in [&[][..], &[1], &[0xff; 600]] {
        socket.send_to(nonsense, server.datagrams).await.unwrap();
    }
    assert_eq!(data(&server.over_udp(&web).await), ["10.96.0.9"]);
}

#[tokio::test]
async fn the_api_is_followed() {
    let api = FakeApi::new();
    let listeners = Listeners::bind(&[LOOPBACK], 0).await.unwrap();
    let server = listeners.addresses().next().unwrap();
    let directory = tempfile::tempdir().unwrap();
    let config = Config {
        cluster_domain: "cluster.local".into(),
        service_addresses: vec!["10.96.0.10".parse().unwrap()],
        resolv_conf: directory.path().join("resolv.conf"),
        hosts: Vec::new(),
        aliases: Vec::new(),
    };
    api.put(typed("v1", namespace("n")));
    api.put(typed("v1", service("db", json!({"clusterIP": "None"}))));
    let running = tokio::spawn(run(config, listeners, api.client().into()));
    let becomes = async |name: &str, expect: &[&str]| {
        let question = question(name, RecordType::A);
        while data(&over_datagrams(server, &question).await) != expect {
            tokio::task::yield_now().await;
        }
    };
    becomes("10-244-0-1.n.pod.cluster.local.", &["10.244.0.1"]).await;
    let endpoints = json!([{"addresses": ["10.244.0.2"], "hostname": "db-0"}]);
    api.put(typed("discovery.k8s.io/v1", slice("db", json!([]), endpoints)));
    becomes("db-0.db.n.svc.cluster.local.", &["10.244.0.2"]).await;
    let endpoints = json!([{"addresses": ["10.244.0.3"], "hostname": "db-0"}]);
    api.put(typed("discovery.k8s.io/v1", slice("db", json!([]), endpoints)));
    becomes("db-0.db.n.svc.cluster.local.", &["10.244.0.3"]).await;
    api.delete("", "services", "n", "db");
    becomes("db-0.db.n.svc.cluster.local.", &[]).await;
    running.abort();
}

/// The object with its version, as an API serves it.
fn typed(version: &str, mut object: Value) -> Value {
    object["apiVersion"] = json!(version);
    object
}

#[tokio::test]
async fn the_users_machine_has_a_name() {
    let server = Server::start(zone(&[])).await;
    let ok = ResponseCode::NoError;
    server.check("host.docker.internal.", RecordType::A, ok, &["172.18.0.1"]).await;
    server.check("host.docker.internal.", RecordType::AAAA, ok, &[]).await;
    let both = ["host.docker.internal.", "172.18.0.1"];
    server.check("host.kd.internal.", RecordType::A, ok, &both).await;
}

#[tokio::test]
async fn other_resolvers_are_asked_anew() {
    let server = Server::start(zone(&[])).await;
    let question = question("unknown.example.", RecordType::A);
    for _ in 0..2 {
        let denied = server.over_udp(&question).await.metadata.response_code;
        assert_eq!(denied, ResponseCode::NXDomain);
    }
    assert_eq!(server.asked.load(Ordering::SeqCst), 1, "the denial is kept");
    let (other, asked, _tasks) = upstream().await;
    server.upstreams.send(vec![other]).unwrap();
    server.over_udp(&question).await;
    assert_eq!(asked.load(Ordering::SeqCst), 1, "the others may know the name");
}
