//! Services with real packets.

use std::collections::BTreeSet;
use std::io::Read;
use std::net::{IpAddr, TcpListener, TcpStream};
use std::sync::Arc;

use kd_network::{
    Family, Frontend, HostRoutes, Masquerade, Protocol, Refusal, ServicePort, Services,
};

use crate::world::{
    NODE, Namespace, OUTSIDE, ask, ask_from, ask_udp, connects, is_refused, outside, pod,
    serve_udp, udp_client, with_node,
};

const A: &str = "10.244.0.2:8080";
const B: &str = "10.244.0.3:8080";

fn services() -> Services {
    Services::new(&["10.244.0.0/16".parse().unwrap()])
}

fn plain(frontend: Frontend, port: u16, endpoints: &[&str]) -> ServicePort {
    let endpoints = endpoints.iter().map(|e| e.parse().unwrap()).collect();
    ServicePort::plain(frontend, port, Protocol::Tcp, endpoints)
}

fn cluster(ip: &str, endpoints: &[&str]) -> ServicePort {
    plain(Frontend::ClusterAddress(ip.parse().unwrap()), 80, endpoints)
}

fn set(services: &mut Services, ports: &[ServicePort]) {
    services.set(ports.iter().cloned().map(Arc::new)).unwrap();
}

/// Pods `a` and `b` behind ports 8080.
async fn pods(network: &HostRoutes) -> (Namespace, Namespace) {
    (pod(network, "a", "10.244.0.2", 8080).await, pod(network, "b", "10.244.0.3", 8080).await)
}

/// Which pods answered, of many connections.
fn answering(from: &Namespace, target: &str) -> String {
    let answers: BTreeSet<String> =
        (0..40).map(|_| ask(from, target).unwrap()[..1].to_owned()).collect();
    answers.into_iter().collect()
}

#[test]
fn cluster_addresses_lead_to_endpoints() {
    with_node(async |network: HostRoutes| {
        let (a, b) = pods(&network).await;
        let mut services = services();
        let (one, both) = (cluster("10.96.0.8", &[A]), cluster("10.96.0.9", &[A, B]));
        set(&mut services, &[one.clone(), both, cluster("10.96.0.10", &[])]);
        assert_eq!(ask(&b, "10.96.0.8:80").unwrap(), "a 10.244.0.3");
        assert_eq!(answering(&b, "10.96.0.9:80"), "ab");
        let hairpin = ask(&a, "10.96.0.8:80").unwrap();
        assert!(hairpin.starts_with("a ") && hairpin != "a 10.244.0.2", "{hairpin}");
        assert!(is_refused(Some(&b), "10.96.0.10:80"), "no endpoints");
        assert!(is_refused(Some(&b), "10.96.0.8:81"), "no such port");
        assert!(is_refused(None, "10.96.0.8:81"), "no such port, from the node");
        assert!(ask_from(None, "10.96.0.8:80").unwrap().starts_with("a "));

        set(&mut services, &[cluster("10.96.0.8", &[B]), cluster("10.96.0.10", &[A])]);
        assert!(ask(&a, "10.96.0.8:80").unwrap().starts_with("b "));
        assert!(ask(&b, "10.96.0.10:80").unwrap().starts_with("a "));
        set(&mut services, &[one]);
        assert!(ask(&b, "10.96.0.8:80").unwrap().starts_with("a "));
    });
}

#[test]
fn node_ports_answer_on_the_nodes_addresses() {
    with_node(async |network: HostRoutes| {
        let (a, _b) = pods(&network).await;
        let outside = outside(&network).await;
        let everybody = Masquerade::Everybody;
        let port = |endpoints: &[&str]| {
            let port = plain(Frontend::NodePort(Family::V4), 30080, endpoints);
            ServicePort { masquerade: everybody, ..port }
        };
        let mut services = services();
        set(&mut services, &[port(&[B])]);
        let target = format!("{NODE}:30080");
        assert_eq!(ask(&outside, &target).unwrap(), format!("b {NODE}"));
        assert!(ask(&a, &target).unwrap().starts_with("b "));
        assert!(ask_from(None, &target).unwrap().starts_with("b "));
        assert!(is_refused(Some(&a), &format!("{OUTSIDE}:30080")), "only the node's addresses");
        set(&mut services, &[port(&[])]);
        assert!(is_refused(Some(&outside), &target));
        assert!(is_refused(None, &target));
    });
}

#[test]
fn outsiders_keep_their_address_with_local_endpoints() {
    with_node(async |network: HostRoutes| {
        let (a, _b) = pods(&network).await;
        let outside = outside(&network).await;
        let external = Frontend::Address(IpAddr::from([198, 51, 100, 7]));
        let port = |local: &[&str]| ServicePort {
            for_outsiders: Some(local.iter().map(|e| e.parse().unwrap()).collect()),
            refusal: Refusal::Drop,
            masquerade: Masquerade::Everybody,
            ..plain(external, 80, &[B])
        };
        let mut services = services();
        set(&mut services, &[port(&[A])]);
        assert_eq!(ask(&outside, "198.51.100.7:80").unwrap(), format!("a {OUTSIDE}"));
        assert!(ask(&a, "198.51.100.7:80").unwrap().starts_with("b "));
        assert!(ask_from(None, "198.51.100.7:80").unwrap().starts_with("b "));
        set(&mut services, &[port(&[])]);
        assert!(!connects(&outside, "198.51.100.7:80"));
        assert!(ask(&a, "198.51.100.7:80").unwrap().starts_with("b "));
    });
}

#[test]
fn clients_stay_with_their_endpoint() {
    with_node(async |network: HostRoutes| {
        let (a, b) = pods(&network).await;
        let outside = outside(&network).await;
        let sticky = |frontend, endpoints: &[&str]| ServicePort {
            affinity_seconds: Some(60),
            ..plain(frontend, 80, endpoints)
        };
        let address = Frontend::ClusterAddress(IpAddr::from([10, 96, 0, 9]));
        let both = [sticky(address, &[A, B]), sticky(Frontend::NodePort(Family::V4), &[A, B])];
        let mut first = services();
        set(&mut first, &both);
        let (of_a, of_b) = (answering(&a, "10.96.0.9:80"), answering(&b, "10.96.0.9:80"));
        let of_outside = answering(&outside, &format!("{NODE}:80"));
        for answers in [&of_a, &of_b, &of_outside] {
            assert_eq!(answers.len(), 1, "{answers}");
        }
        // A new process finds what the old one left.
        let mut second = services();
        set(&mut second, &both);
        assert_eq!(answering(&b, "10.96.0.9:80"), of_b);
        let (other, name) = if of_b == "a" { (B, "b") } else { (A, "a") };
        set(&mut second, &[sticky(address, &[other])]);
        assert_eq!(answering(&b, "10.96.0.9:80"), name);
        set(&mut second, &both);
        assert_eq!(answering(&b, "10.96.0.9:80"), name, "the new choice lasts");
    });
}

#[test]
fn only_named_sources_connect() {
    with_node(async |network: HostRoutes| {
        let (a, b) = pods(&network).await;
        let external = Frontend::Address(IpAddr::from([198, 51, 100, 7]));
        let sources = ["10.244.0.3/32", "192.0.2.128/25"].map(|range| range.parse().unwrap());
        let guarded = ServicePort { sources: sources.to_vec(), ..plain(external, 80, &[A]) };
        let mut services = services();
        set(&mut services, &[guarded, cluster("10.96.0.8", &[A])]);
        assert!(connects(&b, "198.51.100.7:80"));
        assert!(!connects(&a, "198.51.100.7:80"));
        assert!(!connects(&outside(&network).await, "198.51.100.7:80"));
        assert!(connects(&a, "10.96.0.8:80"), "other addresses are open");
    });
}

#[test]
fn datagrams_follow_the_endpoints() {
    with_node(async |network: HostRoutes| {
        let (a, b) = pods(&network).await;
        serve_udp(&a, 53, "a");
        serve_udp(&b, 53, "b");
        let udp = |frontend, port, endpoints: &[&str]| ServicePort {
            protocol: Protocol::Udp,
            ..plain(frontend, port, endpoints)
        };
        let address = Frontend::ClusterAddress(IpAddr::from([10, 96, 0, 10]));
        let ports = |endpoints: &[&str]| {
            [udp(address, 53, endpoints), udp(Frontend::NodePort(Family::V4), 30053, endpoints)]
        };
        let client = udp_client(&outside(&network).await);
        let targets = ["10.96.0.10:53".to_owned(), format!("{NODE}:30053")];
        let mut services = services();
        for (endpoints, answer) in [
            (vec!["10.244.0.2:53"], "a"),
            (vec!["10.244.0.3:53"], "b"),
            (vec![], ""),
            (vec!["10.244.0.2:53"], "a"),
        ] {
            set(&mut services, &ports(&endpoints));
            for target in &targets {
                assert_eq!(ask_udp(&client, target), answer, "{target}");
            }
        }
    });
}

#[test]
fn changes_leave_connections_alone() {
    with_node(async |network: HostRoutes| {
        let (_a, b) = pods(&network).await;
        let listener = b.run(|| TcpListener::bind("0.0.0.0:81").unwrap());
        let mut services = services();
        set(&mut services, &[cluster("10.96.0.8", &["10.244.0.3:81"])]);
        let mut client = TcpStream::connect("10.96.0.8:80").unwrap();
        let (mut server, _) = listener.accept().unwrap();
        let say = |server: &mut TcpStream, client: &mut TcpStream| {
            std::io::Write::write_all(server, b"x").unwrap();
            let mut byte = [0];
            client.read_exact(&mut byte).unwrap();
        };
        set(&mut services, &[cluster("10.96.0.8", &[A])]);
        say(&mut server, &mut client);
        // A new process writes everything anew, before and after it knows the services.
        let mut restarted = self::services();
        set(&mut restarted, &[]);
        say(&mut server, &mut client);
        set(&mut restarted, &[cluster("10.96.0.8", &[A])]);
        say(&mut server, &mut client);
        set(&mut services, &[]);
        say(&mut server, &mut client);
    });
}

#[test]
fn owners_change_what_is_theirs() {
    with_node(async |network: HostRoutes| {
        let (_a, b) = pods(&network).await;
        let mut services = services();
        let of = |ip: &str, endpoint: &str| vec![Arc::new(cluster(ip, &[endpoint]))];
        let both = [("n/one", of("10.96.0.8", A)), ("n/two", of("10.96.0.9", A))];
        services.update(both).unwrap();
        services.update([("n/one", of("10.96.0.8", B))]).unwrap();
        assert!(ask(&b, "10.96.0.8:80").unwrap().starts_with("b "));
        assert!(ask(&b, "10.96.0.9:80").unwrap().starts_with("a "));
        services.update([("n/two", of("10.96.0.8", A))]).unwrap();
        assert!(ask(&b, "10.96.0.8:80").unwrap().starts_with("b "), "the first by name has it");
        services.update([("n/one", Vec::new())]).unwrap();
        assert!(ask(&b, "10.96.0.8:80").unwrap().starts_with("a "));
    });
}

#[test]
fn rules_that_others_removed_come_back() {
    with_node(async |network: HostRoutes| {
        let (_a, b) = pods(&network).await;
        let mut services = services();
        set(&mut services, &[cluster("10.96.0.8", &[A])]);
        // Another process with the same table.
        set(&mut Services::new(&[]), &[]);
        set(&mut services, &[cluster("10.96.0.8", &[B])]);
        assert!(ask(&b, "10.96.0.8:80").unwrap().starts_with("b "));
    });
}
