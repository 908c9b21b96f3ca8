//! Policies with real packets: what passes, in both directions.

use std::collections::{BTreeMap, BTreeSet};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use kd_network::{
    Allow, Direction, Frontend, HostRoutes, Peer, Policies, PolicyRules, PortMatch, Protocol,
    ServicePort, Services,
};

use crate::world::{
    ANSWER_TIMEOUT, NODE, Namespace, OUTSIDE, ask_from, ask_udp, connects, outside, pod, serve,
    serve_udp, udp_client, with_node,
};

const PODS: [(&str, &str); 3] = [("a", "10.244.0.2"), ("b", "10.244.0.3"), ("c", "10.244.0.4")];

fn port(protocol: Protocol, first: u16, last: u16) -> PortMatch {
    PortMatch::Range { protocol, first, last }
}

fn range(range: &str, except: &[&str]) -> Peer {
    let except = except.iter().map(|range| range.parse().unwrap()).collect();
    Peer::Range { range: range.parse().unwrap(), except }
}

/// One policy of one pod.
fn direction(pod: &str, allowed: &[(Peer, PortMatch)]) -> Direction {
    let allow = |(peer, port): &(Peer, PortMatch)| Allow { peer: peer.clone(), port: port.clone() };
    let policies = BTreeMap::from([("p".to_owned(), allowed.iter().map(allow).collect())]);
    let pods = BTreeMap::from([(pod.parse().unwrap(), BTreeSet::from(["p".to_owned()]))]);
    Direction { policies, pods }
}

fn ingress(pod: &str, allowed: &[(Peer, PortMatch)]) -> PolicyRules {
    let group = BTreeSet::from([PODS[1].1.parse().unwrap()]);
    PolicyRules {
        ingress: direction(pod, allowed),
        groups: BTreeMap::from([("b".to_owned(), group)]),
        port_groups: BTreeMap::from([(
            "web".to_owned(),
            BTreeSet::from([(PODS[0].1.parse().unwrap(), Protocol::Tcp, 81)]),
        )]),
        ..PolicyRules::default()
    }
}

fn egress(pod: &str, allowed: &[(Peer, PortMatch)]) -> PolicyRules {
    let mut rules = ingress(pod, allowed);
    rules.egress = std::mem::take(&mut rules.ingress);
    rules
}

/// Three pods with servers on ports 80 and 81.
async fn pods(network: &HostRoutes) -> Vec<Namespace> {
    let mut made = Vec::new();
    for (name, address) in PODS {
        let pod = pod(network, name, address, 80).await;
        serve(&pod, 81, name);
        made.push(pod);
    }
    made
}

/// Which connections pods can make: `ab80` is from a to b's port 80.
fn matrix(pods: &[Namespace]) -> BTreeSet<String> {
    let mut made = BTreeSet::new();
    for (from, (name, _)) in pods.iter().zip(PODS) {
        for (to, address) in PODS.iter().filter(|(to, _)| *to != name) {
            for port in [80, 81] {
                if connects(from, &format!("{address}:{port}")) {
                    made.insert(format!("{name}{to}{port}"));
                }
            }
        }
    }
    made
}

/// All connections but these.
fn without(refused: &[&str]) -> BTreeSet<String> {
    let names = ["a", "b", "c"];
    let mut all = BTreeSet::new();
    for from in names {
        for to in names.iter().filter(|to| **to != from) {
            all.extend([80, 81].map(|port| format!("{from}{to}{port}")));
        }
    }
    all.retain(|name| !refused.contains(&name.as_str()));
    all
}

#[test]
fn the_matrix_of_pods_and_ports() {
    with_node(async |network: HostRoutes| {
        let pods = pods(&network).await;
        let mut policies = Policies::default();
        let mut check = |rules: &PolicyRules, refused: &[&str]| {
            policies.set(rules).unwrap();
            assert_eq!(matrix(&pods), without(refused), "{rules:?}");
        };
        let tcp = |first, last| port(Protocol::Tcp, first, last);
        let a = PODS[0].1;
        let to_a = ["ba80", "ba81", "ca80", "ca81"];
        check(&PolicyRules::default(), &[]);
        check(&ingress(a, &[]), &to_a);
        check(&ingress(a, &[(Peer::Anybody, PortMatch::Any)]), &[]);
        check(&ingress(a, &[(Peer::Group("b".into()), PortMatch::Any)]), &["ca80", "ca81"]);
        check(&ingress(a, &[(Peer::Anybody, tcp(80, 80))]), &["ba81", "ca81"]);
        check(&ingress(a, &[(Peer::Anybody, tcp(81, 90))]), &["ba80", "ca80"]);
        check(&ingress(a, &[(Peer::Anybody, port(Protocol::Udp, 80, 81))]), &to_a);
        check(&ingress(a, &[(Peer::Anybody, PortMatch::Group("web".into()))]), &["ba80", "ca80"]);
        let block = range("10.244.0.0/24", &["10.244.0.4/32"]);
        check(&ingress(a, &[(block, PortMatch::Any)]), &["ca80", "ca81"]);
        let from_a = ["ab80", "ab81", "ac80", "ac81"];
        check(&egress(a, &[]), &from_a);
        check(&egress(a, &[(Peer::Group("b".into()), tcp(80, 80))]), &["ab81", "ac80", "ac81"]);
        let mut both = ingress(PODS[2].1, &[(Peer::Group("b".into()), PortMatch::Any)]);
        both.egress = direction(a, &[(range("10.244.0.4/32", &[]), PortMatch::Any)]);
        check(&both, &["ab80", "ab81", "ac80", "ac81"]);
        check(&PolicyRules::default(), &[]);
    });
}

#[test]
fn the_node_reaches_its_pods_and_pods_only_what_they_may() {
    with_node(async |network: HostRoutes| {
        let pods = pods(&network).await;
        let (a, outside) = (PODS[0].1, outside(&network).await);
        let listener = TcpListener::bind((NODE, 10250)).unwrap();
        let mut policies = Policies::default();
        policies.set(&ingress(a, &[])).unwrap();
        assert!(ask_from(None, &format!("{a}:80")).is_ok(), "probes");
        assert!(!connects(&outside, &format!("{a}:80")));
        assert!(connects(&pods[0], &format!("{NODE}:10250")));
        policies.set(&egress(a, &[])).unwrap();
        assert!(!connects(&pods[0], &format!("{NODE}:10250")));
        assert!(connects(&pods[1], &format!("{NODE}:10250")));
        policies
            .set(&ingress(a, &[(range(&format!("{OUTSIDE}/32"), &[]), PortMatch::Any)]))
            .unwrap();
        assert!(connects(&outside, &format!("{a}:80")));
        drop(listener);
    });
}

#[test]
fn services_are_judged_by_their_endpoints() {
    with_node(async |network: HostRoutes| {
        let pods = pods(&network).await;
        let frontend = Frontend::ClusterAddress([10, 96, 0, 9].into());
        let endpoint = format!("{}:80", PODS[1].1).parse().unwrap();
        let service = ServicePort::plain(frontend, 8000, Protocol::Tcp, vec![endpoint]);
        Services::new(&[]).set([Arc::new(service)]).unwrap();
        let mut policies = Policies::default();
        let tcp = port(Protocol::Tcp, 80, 80);
        policies.set(&egress(PODS[0].1, &[(Peer::Group("b".into()), tcp)])).unwrap();
        assert!(connects(&pods[0], "10.96.0.9:8000"));
        policies.set(&egress(PODS[0].1, &[(range("10.96.0.0/16", &[]), PortMatch::Any)])).unwrap();
        assert!(!connects(&pods[0], "10.96.0.9:8000"));
    });
}

#[test]
fn connections_that_are_made_go_on() {
    with_node(async |network: HostRoutes| {
        let pods = pods(&network).await;
        // Rules for services have the kernel track connections from the start, as on every node.
        Services::new(&[]).set([]).unwrap();
        let listener = pods[0].run(|| TcpListener::bind("0.0.0.0:82").unwrap());
        let target = format!("{}:82", PODS[0].1);
        let mut client = pods[1].run(move || TcpStream::connect(target).unwrap());
        let (mut server, _) = listener.accept().unwrap();
        Policies::default().set(&ingress(PODS[0].1, &[])).unwrap();
        std::io::Write::write_all(&mut client, b"x").unwrap();
        server.set_read_timeout(Some(ANSWER_TIMEOUT)).unwrap();
        let mut byte = [0];
        std::io::Read::read_exact(&mut server, &mut byte).unwrap();
        assert!(!connects(&pods[1], &format!("{}:82", PODS[0].1)), "new ones do not");
    });
}

#[test]
fn datagrams_and_their_answers() {
    with_node(async |network: HostRoutes| {
        let pods = pods(&network).await;
        serve_udp(&pods[0], 53, "a");
        let target = format!("{}:53", PODS[0].1);
        let mut policies = Policies::default();
        let udp = port(Protocol::Udp, 53, 53);
        policies.set(&ingress(PODS[0].1, &[(Peer::Group("b".into()), udp)])).unwrap();
        assert_eq!(ask_udp(&udp_client(&pods[1]), &target), "a");
        assert_eq!(ask_udp(&udp_client(&pods[2]), &target), "");
    });
}
