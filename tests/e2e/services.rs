//! Services and policies on three nodes, from pods and from this machine: node ports, load balancers,
//! affinity, traffic policies, who may reach whom.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::Duration;

use crate::harness::{Fixture, Ran, Test, docker, eventually};

pub const TESTS: &[Test] = &[
    ("ports_of_nodes", ports_of_nodes),
    ("ports_that_cannot_be", ports_that_cannot_be),
    ("three_nodes", three_nodes),
];

const ROLES: [&str; 3] = ["server-0", "agent-0", "agent-1"];
/// A packet without an answer for this long was dropped.
const SILENCE: Duration = Duration::from_secs(1);

/// A cluster with a web server on each node, which tells the name of its pod.
struct Cluster<'a> {
    fixture: &'a Fixture,
    name: String,
}

impl Cluster<'_> {
    fn k(&self, arguments: &[&str]) -> Ran {
        self.fixture.kubectl_in(&self.name, arguments, "")
    }

    fn apply(&self, manifest: &str) {
        self.fixture.kubectl_in(&self.name, &["apply", "-f", "-"], manifest).ok();
    }

    fn start_servers(&self) {
        for (index, role) in ROLES.iter().enumerate() {
            let node = format!("kd-{}-{role}", self.name);
            self.apply(&format!(
                r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"web-{index}",
                "labels":{{"app":"web","number":"{index}"}}}},"spec":{{"nodeName":"{node}",
                "containers":[{{"name":"web","image":"kd-test/nginx:1",
                "ports":[{{"name":"http","containerPort":80}}],
                "command":["sh","-c","hostname > /usr/share/nginx/html/index.html && exec nginx -g 'daemon off;'"]}}]}}}}"#
            ));
        }
        self.k(&["wait", "--for=condition=Ready", "pods", "--all", "--timeout=90s"]).ok();
    }

    fn service(&self, name: &str, spec: &str) {
        self.apply(&format!(
            r#"{{"apiVersion":"v1","kind":"Service","metadata":{{"name":"{name}"}},"spec":{spec}}}"#
        ));
    }

    /// The address of a node in Docker's network.
    fn node(&self, role: &str) -> String {
        let format = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}";
        let container = format!("kd-{}-{role}", self.name);
        docker(&["inspect", "-f", format, &container]).ok().out.trim().to_owned()
    }

    /// What a web server tells a pod; none when it cannot be reached.
    fn ask_from(&self, pod: &str, target: &str) -> Option<String> {
        let (host, port) = target.split_once(':').unwrap();
        let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {host} {port}");
        let asked = self.k(&["exec", pod, "--", "sh", "-c", &script]);
        let answer = asked.out.lines().last().map(str::to_owned);
        answer.filter(|_| asked.code == Some(0))
    }

    fn ingress(&self, service: &str) -> Vec<String> {
        let path = "jsonpath={.status.loadBalancer.ingress[*].ip}";
        let found = self.k(&["get", "service", service, "-o", path]).ok().out;
        found.split_whitespace().map(str::to_owned).collect()
    }
}

/// What a web server tells this machine; none when it cannot be reached.
pub fn ask(target: &str) -> Option<String> {
    let target: SocketAddr = target.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&target, SILENCE).ok()?;
    stream.set_read_timeout(Some(SILENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().last().map(str::to_owned)
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn three_nodes(fixture: &Fixture) {
    let name = fixture.name("services");
    let port = free_port();
    let mapping = format!("127.0.0.1:{port}:80@loadbalancer");
    fixture.kd(&["cluster", "create", &name, "--agents", "2", "-p", &mapping]).ok();
    fixture.kd(&["image", "load", "kd-test/busybox:1", "kd-test/nginx:1", "--cluster", &name]).ok();
    let cluster = Cluster { fixture, name };
    cluster.start_servers();
    node_ports(&cluster);
    load_balancers(&cluster, port);
    local_traffic(&cluster);
    affinity(&cluster);
    policies(&cluster);
    a_restart(&cluster, port);
    fixture.kd(&["cluster", "delete", &cluster.name]).ok();
}

/// On every node's address, from this machine and from pods, all three servers answer.
fn node_ports(cluster: &Cluster) {
    cluster.service(
        "ports",
        r#"{"type":"NodePort","selector":{"app":"web"},"ports":[{"port":80,"nodePort":30080}]}"#,
    );
    for role in ROLES {
        let target = format!("{}:30080", cluster.node(role));
        eventually("the node port answers", || ask(&target));
        let answers: BTreeSet<String> = (0..40).filter_map(|_| ask(&target)).collect();
        assert_eq!(answers.len(), 3, "{role}: {answers:?}");
        assert!(cluster.ask_from("web-0", &target).is_some(), "{role}");
    }
}

/// LoadBalancer Services have addresses at once, and this machine reaches them by its own port.
fn load_balancers(cluster: &Cluster, port: u16) {
    cluster.service(
        "balanced",
        r#"{"type":"LoadBalancer","selector":{"app":"web"},"ports":[{"port":80}]}"#,
    );
    let ingress = eventually("the Service has addresses", || {
        Some(cluster.ingress("balanced")).filter(|ingress| !ingress.is_empty())
    });
    assert_eq!(ingress.len(), 3);
    for address in &ingress {
        let target = format!("{address}:80");
        eventually("the address answers", || ask(&target));
        assert!(cluster.ask_from("web-1", &target).is_some());
    }
    eventually("the load balancer answers", || ask(&format!("127.0.0.1:{port}")));
    cluster.service(
        "second",
        r#"{"type":"LoadBalancer","selector":{"app":"web"},"ports":[{"port":80}]}"#,
    );
    let path = r#"jsonpath={.items[?(@.reason=="SyncLoadBalancerFailed")].message}"#;
    eventually("the second Service is told", || {
        let told = cluster.k(&["get", "events", "-o", path]).ok().out;
        told.contains("port 80/TCP is taken by default/balanced").then_some(())
    });
    assert!(cluster.ingress("second").is_empty());
    cluster.k(&["delete", "service", "second"]).ok();
}

/// With local policies only a node with endpoints answers this machine; it sees who asks.
fn local_traffic(cluster: &Cluster) {
    cluster.service(
        "local",
        r#"{"type":"LoadBalancer","externalTrafficPolicy":"Local","selector":{"number":"1"},
            "ports":[{"port":81,"targetPort":80,"nodePort":30081}]}"#,
    );
    let has = format!("{}:30081", cluster.node("agent-0"));
    let has_not = format!("{}:30081", cluster.node("agent-1"));
    assert_eq!(eventually("the node with the endpoint answers", || ask(&has)), "web-1");
    assert_eq!(ask(&has_not), None);
    assert_eq!(cluster.ingress("local"), [cluster.node("agent-0")]);
    let path = "jsonpath={.spec.healthCheckNodePort}";
    let health = cluster.k(&["get", "service", "local", "-o", path]).ok().out;
    let check = |role: &str| ask(&format!("{}:{health}", cluster.node(role))).unwrap();
    assert!(check("agent-0").contains(r#""localEndpoints":1"#));
    assert!(check("agent-1").contains(r#""localEndpoints":0"#));
}

fn affinity(cluster: &Cluster) {
    cluster.service(
        "sticky",
        r#"{"sessionAffinity":"ClientIP","selector":{"app":"web"},"ports":[{"port":80}]}"#,
    );
    let path = "jsonpath={.spec.clusterIP}:80";
    let target = cluster.k(&["get", "service", "sticky", "-o", path]).ok().out;
    eventually("the Service answers", || cluster.ask_from("web-0", &target));
    let answers: BTreeSet<_> = (0..10).map(|_| cluster.ask_from("web-0", &target)).collect();
    assert_eq!(answers.len(), 1, "{answers:?}");
}

/// A policy is in force at once for pods on other nodes, and gone as fast.
fn policies(cluster: &Cluster) {
    let address =
        |pod: &str| cluster.k(&["get", "pod", pod, "-o", "jsonpath={.status.podIP}"]).ok().out;
    let target = format!("{}:80", address("web-0"));
    assert!(cluster.ask_from("web-1", &target).is_some());
    cluster.apply(
        r#"{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy",
        "metadata":{"name":"one"},"spec":{"podSelector":{"matchLabels":{"number":"0"}},
        "policyTypes":["Ingress","Egress"],
        "ingress":[{"from":[{"podSelector":{"matchLabels":{"number":"2"}}}],
            "ports":[{"port":"http"}]}],
        "egress":[{"to":[{"namespaceSelector":{},
            "podSelector":{"matchLabels":{"k8s-app":"kube-dns"}}}],
            "ports":[{"port":53,"protocol":"UDP"},{"port":53,"protocol":"TCP"}]}]}}"#,
    );
    eventually("the policy holds", || cluster.ask_from("web-1", &target).is_none().then_some(()));
    assert!(cluster.ask_from("web-2", &target).is_some(), "who is allowed");
    assert!(cluster.ask_from("web-0", &format!("{}:80", address("web-2"))).is_none(), "egress");
    cluster.k(&["exec", "web-0", "--", "nslookup", "kubernetes.default.svc.cluster.local"]).ok();
    cluster.k(&["delete", "networkpolicy", "one"]).ok();
    eventually("the policy is gone", || cluster.ask_from("web-1", &target));
}

/// Addresses may be others after a restart; the port of this machine leads to them.
fn a_restart(cluster: &Cluster, port: u16) {
    cluster.fixture.kd(&["cluster", "stop", &cluster.name]).ok();
    cluster.fixture.kd(&["cluster", "start", &cluster.name]).ok();
    eventually("the load balancer answers again", || ask(&format!("127.0.0.1:{port}")));
}

/// A port of a node's own, and of a pod on the host's network behind it.
fn ports_of_nodes(fixture: &Fixture) {
    let name = fixture.name("ports");
    let port = free_port();
    let mapping = format!("127.0.0.1:{port}:30080@server:0");
    fixture.kd(&["cluster", "create", &name, "-p", &mapping]).ok();
    fixture.kd(&["image", "load", "kd-test/nginx:1", "--cluster", &name]).ok();
    let cluster = Cluster { fixture, name };
    cluster.k(&["run", "web", "--image=kd-test/nginx:1", "--labels=app=web"]).ok();
    cluster.service(
        "ports",
        r#"{"type":"NodePort","selector":{"app":"web"},"ports":[{"port":80,"nodePort":30080}]}"#,
    );
    let answer = eventually("the node's port answers", || ask(&format!("127.0.0.1:{port}")));
    assert!(answer.contains("nginx"), "{answer}");
    fixture.kd(&["cluster", "delete", &cluster.name]).ok();
}

fn ports_that_cannot_be(fixture: &Fixture) {
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = taken.local_addr().unwrap().port();
    let mapping = format!("127.0.0.1:{port}:80");
    fixture.kd(&["cluster", "create", "e2e-never", "-p", &mapping]).fails(8, "already in use");
    fixture.kd(&["cluster", "create", "e2e-never", "-p", "80@moon"]).fails(2, "moon");
    fixture.kd(&["cluster", "create", "e2e-never", "-p", "80@agent:0"]).fails(2, "no node");
}
