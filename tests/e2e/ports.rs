//! Ports and nodes that come and go while a cluster runs, and clusters that files describe.

use std::net::{TcpListener, UdpSocket};
use std::time::Duration;

use crate::harness::{Fixture, Test, docker, eventually};
use crate::services::ask;

pub const TESTS: &[Test] = &[
    ("ports_come_and_go", ports_come_and_go),
    ("nodes_come_and_go", nodes_come_and_go),
    ("a_file_of_kind", a_file_of_kind),
];

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

const WEB: &str = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"type":"LoadBalancer",
    "selector":{"run":"web"},"ports":[{"name":"tcp","port":8000,"targetPort":80}]}}"#;

/// The same port under another number, without touching the node.
fn ports_come_and_go(fixture: &Fixture) {
    let name = fixture.name("edit");
    let (first, second) = (free_port(), free_port());
    fixture.kd(&["cluster", "create", &name]).ok();
    fixture.kd(&["image", "load", "kd-test/nginx:1", "kd-test/plugin:1", "--cluster", &name]).ok();
    let k = |arguments: &[&str], stdin: &str| fixture.kubectl_in(&name, arguments, stdin).ok();
    k(&["run", "web", "--image=kd-test/nginx:1"], "");
    k(&["apply", "-f", "-"], WEB);
    let node = format!("kd-{name}-server-0");
    let started = || docker(&["inspect", "-f", "{{.State.StartedAt}}", &node]).ok().out;
    let before = started();
    let mapping = |port: u16| format!("127.0.0.1:{port}:8000@loadbalancer");
    fixture.kd(&["cluster", "edit", &name, "--port-add", &mapping(first)]).ok().says("8000/tcp");
    eventually("the port answers", || ask(&format!("127.0.0.1:{first}")));
    let taken = TcpListener::bind("127.0.0.1:0").unwrap();
    let busy = taken.local_addr().unwrap().port();
    let edit = ["cluster", "edit", &name, "--port-add", &mapping(busy)];
    fixture.kd(&edit).fails(8, "is already in use by e2e");
    assert!(ask(&format!("127.0.0.1:{first}")).is_some(), "what failed changes nothing");
    let edit = ["--port-delete", &mapping(first), "--port-add", &mapping(second)];
    fixture.kd(&[&["cluster", "edit", &name][..], &edit].concat()).ok();
    eventually("the other port answers", || ask(&format!("127.0.0.1:{second}")));
    assert!(ask(&format!("127.0.0.1:{first}")).is_none());
    datagrams(fixture, &name);
    fixture.kd(&["cluster", "edit", &name, "--port-delete", "8000"]).ok();
    fixture.kd(&["cluster", "edit", &name, "--port-delete", "8000"]).fails(6, "no such port");
    fixture.kd(&["cluster", "edit", &name, "--port-add", "80@server:0"]).fails(2, "ports of nodes");
    assert_eq!(started(), before, "the node was not touched");
    fixture.kd(&["cluster", "delete", &name]).ok();
}

/// UDP goes through the load balancer, too.
fn datagrams(fixture: &Fixture, name: &str) {
    let port = free_port();
    let mapping = format!("127.0.0.1:{port}:8001/udp@loadbalancer");
    fixture.kd(&["cluster", "edit", name, "--port-add", &mapping]).ok();
    let program = "import socket\ns = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)\n\
                   s.bind(('', 9000))\nwhile True: s.sendto(*s.recvfrom(99))";
    let python = ["--command", "--", "python3", "-c", program];
    let run = [&["run", "echo", "--image=kd-test/plugin:1"][..], &python].concat();
    fixture.kubectl_in(name, &run, "").ok();
    let service = r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"echo"},"spec":{"type":"LoadBalancer",
        "selector":{"run":"echo"},"ports":[{"port":8001,"targetPort":9000,"protocol":"UDP"}]}}"#;
    fixture.kubectl_in(name, &["apply", "-f", "-"], service).ok();
    eventually("a datagram comes back", || {
        let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
        socket.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
        socket.send_to(b"ping", ("127.0.0.1", port)).unwrap();
        let mut answer = [0; 16];
        let length = socket.recv(&mut answer).ok()?;
        (&answer[..length] == b"ping").then_some(())
    });
}

/// A node that comes later has the images of before, and the load balancer leads to it.
fn nodes_come_and_go(fixture: &Fixture) {
    let name = fixture.name("grow");
    let port = free_port();
    let mapping = format!("127.0.0.1:{port}:8081@loadbalancer");
    fixture.kd(&["cluster", "create", &name, "-p", &mapping]).ok();
    fixture.kd(&["image", "load", "kd-test/nginx:1", "--cluster", &name]).ok();
    let create = ["node", "create", "--cluster", &name, "--node-label", "disk=ssd"];
    fixture.kd(&create).ok().says("agent-0");
    let k = |arguments: &[&str]| fixture.kubectl_in(&name, arguments, "");
    let pod = r#"{"spec":{"nodeSelector":{"disk":"ssd"},"containers":[{"name":"web",
        "image":"kd-test/nginx:1","imagePullPolicy":"Never",
        "ports":[{"containerPort":80,"hostPort":8081}]}]}}"#;
    k(&["run", "web", "--image=kd-test/nginx:1", "--overrides", pod]).ok();
    k(&["wait", "--for=condition=Ready", "pod/web", "--timeout=60s"]).ok();
    let agent = format!("kd-{name}-agent-0");
    let placed = k(&["get", "pod", "web", "-o", "jsonpath={.spec.nodeName}"]).ok().out;
    assert_eq!(placed, agent);
    eventually("the new node's port answers", || ask(&format!("127.0.0.1:{port}")));
    fixture.kd(&["node", "stop", &agent]).ok();
    fixture.kd(&["node", "list", &agent, "--no-headers"]).ok().prints("exited");
    fixture.kd(&["node", "start", &agent]).ok();
    eventually("the node's port answers again", || ask(&format!("127.0.0.1:{port}")));
    fixture.kd(&["node", "delete", &agent]).ok();
    assert!(!k(&["get", "nodes", "-o", "name"]).ok().out.contains("agent"));
    fixture.kd(&["node", "delete", &agent]).fails(6, "no node named");
    fixture.kd(&["node", "delete", &format!("kd-{name}-server-0")]).fails(2, "no agent");
    k(&["run", "here", "--image=kd-test/nginx:1"]).ok();
    k(&["wait", "--for=condition=Ready", "pod/here", "--timeout=60s"]).ok();
    let folder = fixture.directory().join("logs").display().to_string();
    fixture.kd(&["export", "logs", &folder, "--name", &name]).ok().prints(&folder);
    let server = fixture.directory().join(format!("logs/kd-{name}-server-0"));
    assert!(server.join("node.log").exists() && server.join("pods").exists());
    let facts = std::fs::read_to_string(server.join("inspect.json")).unwrap();
    assert!(!facts.contains("PRIVATE KEY"));
    fixture.kd(&["cluster", "delete", &name]).ok();
}

fn a_file_of_kind(fixture: &Fixture) {
    let name = fixture.name("kind");
    let port = free_port();
    let shared = fixture.file("shared.txt", "from this machine");
    let shared = shared.parent().unwrap().display();
    let file = fixture.file(
        "kind.yaml",
        &format!(
            "kind: Cluster
apiVersion: kind.x-k8s.io/v1alpha4
name: {name}
nodes:
- role: control-plane
  kubeadmConfigPatches:
  - |
    kind: InitConfiguration
    nodeRegistration:
      kubeletExtraArgs:
        node-labels: \"ingress-ready=true\"
  extraPortMappings:
  - {{containerPort: 30080, hostPort: {port}, listenAddress: 127.0.0.1}}
- role: worker
  labels: {{tier: front}}
  extraMounts: [{{hostPath: {shared}, containerPath: /files, readOnly: true}}]
"
        ),
    );
    fixture.kd(&["create", "cluster", "--config", &file.display().to_string()]).ok();
    fixture.kd(&["image", "load", "kd-test/nginx:1", "--cluster", &name]).ok();
    let k = |arguments: &[&str], stdin: &str| fixture.kubectl_in(&name, arguments, stdin).ok();
    assert!(k(&["get", "nodes", "-l", "ingress-ready=true"], "").out.contains("server-0"));
    k(
        &["apply", "-f", "-"],
        r#"{"apiVersion":"v1","kind":"Pod","metadata":{"name":"web","labels":{"run":"web"}},"spec":{
        "nodeSelector":{"tier":"front"},"volumes":[{"name":"v","hostPath":{"path":"/files"}}],
        "containers":[{"name":"web","image":"kd-test/nginx:1","volumeMounts":[{"name":"v",
        "mountPath":"/usr/share/nginx/html"}],"command":["sh","-c",
        "sed 's/listen 80;/listen 80; index shared.txt;/' /etc/nginx/nginx.conf > /etc/nginx/n.conf && exec nginx -c /etc/nginx/n.conf -g 'daemon off;'"]}]}}"#,
    );
    k(
        &["apply", "-f", "-"],
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"web"},"spec":{"type":"NodePort",
        "selector":{"run":"web"},"ports":[{"port":80,"nodePort":30080}]}}"#,
    );
    let answer = eventually("the mapped port answers", || ask(&format!("127.0.0.1:{port}")));
    assert!(answer.contains("from this machine"), "{answer}");
    fixture.kd(&["delete", "cluster", "--name", &name]).ok();
    let wrong =
        fixture.file("wrong.yaml", "kind: Cluster\napiVersion: kind.x-k8s.io/v1alpha4\nx: 1\n");
    let wrong = wrong.display().to_string();
    fixture.kd(&["create", "cluster", "--config", &wrong]).fails(2, "unknown field `x`");
}
