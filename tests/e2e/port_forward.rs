//! kd's and kubectl's port-forward.

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

use crate::harness::{Fixture, Test};

pub const TESTS: &[Test] = &[
    ("kd", kd),
    ("kubectl", kubectl),
    ("both_ways", both_ways),
    ("targets", targets),
    ("a_busy_port", a_busy_port),
    ("a_pod_that_goes", a_pod_that_goes),
];

/// A running port-forward, ended with the test.
struct Forward {
    child: Child,
    /// Local ports, in the order of the arguments.
    ports: Vec<u16>,
    lines: BufReader<std::process::ChildStdout>,
}

impl Forward {
    /// Starts it and waits for its `Forwarding from 127.0.0.1:port -> port` lines.
    fn start(mut command: Command, count: usize) -> Forward {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().unwrap();
        let mut lines = BufReader::new(child.stdout.take().unwrap());
        let mut ports = Vec::new();
        while ports.len() < count {
            let mut line = String::new();
            if lines.read_line(&mut line).unwrap() == 0 {
                let mut text = String::new();
                child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
                panic!("{command:?} ended: {text}");
            }
            if let Some(rest) = line.strip_prefix("Forwarding from 127.0.0.1:") {
                ports.push(rest.split(' ').next().unwrap().parse().unwrap());
            }
        }
        Forward { child, ports, lines }
    }
}

impl Drop for Forward {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn get(port: u16) -> std::io::Result<String> {
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n")?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    Ok(answer)
}

/// An nginx pod in a namespace of its own.
fn nginx(fixture: &Fixture, namespace: &str) {
    fixture.namespace(namespace);
    let k =
        |arguments: &[&str]| fixture.kubectl(&[&["-n", namespace][..], arguments].concat()).ok();
    k(&["run", "nginx", "--image=kd-test/nginx:1", "--port=80", "--labels=app=nginx"]);
    k(&["expose", "pod", "nginx", "--port=8080", "--target-port=80"]);
    k(&["wait", "--for=condition=Ready", "pod/nginx", "--timeout=90s"]);
}

fn kd_forward(fixture: &Fixture, arguments: &[&str]) -> Command {
    let mut command = fixture.command(env!("CARGO_BIN_EXE_kd"));
    command.arg("port-forward").arg("--cluster").arg(fixture.cluster()).args(arguments);
    command
}

fn kd(fixture: &Fixture) {
    nginx(fixture, "forward");
    let forward = Forward::start(kd_forward(fixture, &["-n", "forward", "nginx", ":80"]), 1);
    for _ in 0..20 {
        assert!(get(forward.ports[0]).unwrap().contains("Welcome to nginx!"));
    }
}

fn kubectl(fixture: &Fixture) {
    nginx(fixture, "forward-kubectl");
    for (name, value) in
        [("KUBECTL_PORT_FORWARD_WEBSOCKETS", "true"), ("KUBECTL_PORT_FORWARD_WEBSOCKETS", "false")]
    {
        let mut command = fixture.kubectl_command(fixture.cluster());
        command.env(name, value).args(["-n", "forward-kubectl", "port-forward", "nginx", ":80"]);
        let forward = Forward::start(command, 1);
        for _ in 0..5 {
            assert!(get(forward.ports[0]).unwrap().contains("Welcome to nginx!"), "{value}");
        }
    }
}

/// Who may reach the kubelet goes straight to it, others through the API server.
fn both_ways(fixture: &Fixture) {
    let namespace = fixture.namespace("forward-both");
    let k = |arguments: &[&str]| fixture.kubectl(&[&["-n", &namespace][..], arguments].concat());
    let listen = "while true; do nc -l -p 7 -e cat; done";
    k(&["run", "echo", "--image=kd-test/busybox:1", "--command", "--", "sh", "-c", listen]).ok();
    k(&["wait", "--for=condition=Ready", "pod/echo", "--timeout=90s"]).ok();
    let limited = limited_kubeconfig(fixture, &namespace);
    let as_admin = kd_forward(fixture, &["-n", &namespace, "echo", ":7"]);
    let mut as_limited = fixture.command(env!("CARGO_BIN_EXE_kd"));
    as_limited.env("KUBECONFIG", limited).args(["port-forward", "-n", &namespace, "echo", ":7"]);
    let sent: Vec<u8> = (0..3_000_000_u32).map(|byte| (byte % 251) as u8).collect();
    for command in [as_admin, as_limited] {
        let forward = Forward::start(command, 1);
        let mut stream = TcpStream::connect(("127.0.0.1", forward.ports[0])).unwrap();
        stream.set_read_timeout(Some(Duration::from_secs(20))).unwrap();
        let mut writer = stream.try_clone().unwrap();
        let mut received = Vec::new();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                writer.write_all(&sent).unwrap();
                writer.shutdown(std::net::Shutdown::Write).unwrap();
            });
            stream.read_to_end(&mut received).unwrap();
        });
        assert!(received == sent, "{} bytes came back of {}", received.len(), sent.len());
    }
}

/// A kubeconfig of somebody who may forward ports of a namespace's pods, and no more.
fn limited_kubeconfig(fixture: &Fixture, namespace: &str) -> PathBuf {
    let k =
        |arguments: &[&str]| fixture.kubectl(&[&["-n", namespace][..], arguments].concat()).ok();
    k(&["create", "serviceaccount", "forwarder"]);
    let may = ["--verb=get,list,watch,create", "--resource=pods,pods/portforward"];
    k(&[&["create", "role", "forwarder"][..], &may].concat());
    let account = format!("--serviceaccount={namespace}:forwarder");
    k(&["create", "rolebinding", "forwarder", "--role=forwarder", &account]);
    let token = k(&["create", "token", "forwarder"]).out;
    let config = k(&["config", "view", "--raw", "--minify", "--flatten"]).out;
    let path = fixture.file(&format!("kubeconfig-{namespace}"), &config);
    let file = path.to_str().unwrap();
    let change = |arguments: &[&str]| {
        fixture.kubectl(&[&["--kubeconfig", file, "config"][..], arguments].concat()).ok()
    };
    change(&["set-credentials", "limited", "--token", token.trim()]);
    change(&["set-context", "--current", "--user=limited"]);
    path
}

fn targets(fixture: &Fixture) {
    nginx(fixture, "forward-targets");
    for target in [&["pod/nginx", ":80"], &["service/nginx", ":8080"], &["svc/nginx", ":8080"]] {
        let arguments = [&["-n", "forward-targets"][..], target].concat();
        let forward = Forward::start(kd_forward(fixture, &arguments), 1);
        assert!(get(forward.ports[0]).unwrap().contains("Welcome to nginx!"), "{target:?}");
    }
    let two = ["-n", "forward-targets", "nginx", ":80", ":81"];
    let forward = Forward::start(kd_forward(fixture, &two), 2);
    assert!(get(forward.ports[0]).unwrap().contains("Welcome to nginx!"));
    // Nothing listens on port 81: the connection ends or breaks off without an answer.
    let refused = get(forward.ports[1]).unwrap_or_default();
    assert_eq!(refused, "");
}

fn a_busy_port(fixture: &Fixture) {
    nginx(fixture, "forward-busy");
    let busy = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let port = busy.local_addr().unwrap().port();
    let spec = format!("{port}:80");
    let ran = fixture.kd(&[
        "port-forward",
        "--cluster",
        fixture.cluster(),
        "-n",
        "forward-busy",
        "nginx",
        &spec,
    ]);
    assert!(ran.code != Some(0) && ran.err.contains(&port.to_string()), "{ran:?}");
}

fn a_pod_that_goes(fixture: &Fixture) {
    nginx(fixture, "forward-gone");
    let mut forward =
        Forward::start(kd_forward(fixture, &["-n", "forward-gone", "nginx", ":80"]), 1);
    assert!(get(forward.ports[0]).unwrap().contains("Welcome to nginx!"));
    fixture.kubectl(&["-n", "forward-gone", "delete", "pod", "nginx", "--now"]).ok();
    // A connection may be what finds out.
    let _ = get(forward.ports[0]);
    let status = forward.child.wait().unwrap();
    let mut text = String::new();
    forward.lines.read_to_string(&mut text).unwrap();
    forward.child.stderr.take().unwrap().read_to_string(&mut text).unwrap();
    assert!(!status.success() && text.contains("nginx"), "{status:?} {text}");
}
