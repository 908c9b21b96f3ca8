//! Networks of other kinds than the usual one: both IP families, VXLAN, somebody's CNI plugins, no
//! service proxy; limits of bandwidth; ranges that cannot be.

use std::collections::BTreeSet;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

use crate::harness::{Fixture, Ran, Test, docker, eventually};

pub const TESTS: &[Test] = &[
    ("both_families", both_families),
    ("plugins", plugins),
    ("ranges_that_cannot_be", ranges_that_cannot_be),
    ("vxlan", vxlan),
];

/// Programs of Debian's containernetworking-plugins, and what the dynamic ones need.
const PLUGINS: [&str; 4] = ["bandwidth", "host-local", "ptp", "tuning"];
const LIBRARIES: [&str; 2] = ["/lib64/ld-linux-x86-64.so.2", "/lib/x86_64-linux-gnu/libc.so.6"];
/// A web server on both families and two ports; its page is the pod's name.
const SERVER: &str = r"hostname > /usr/share/nginx/html/index.html; sed -i 's/listen 80;/listen 80; listen [::]:80; listen 81; listen [::]:81;/' /etc/nginx/nginx.conf; exec nginx -g 'daemon off;'";

struct Cluster<'a> {
    fixture: &'a Fixture,
    name: String,
}

impl Cluster<'_> {
    fn make<'a>(fixture: &'a Fixture, suffix: &str, flags: &[&str]) -> Cluster<'a> {
        let name = fixture.name(suffix);
        let mut arguments = vec!["cluster", "create", &name];
        arguments.extend(flags);
        fixture.kd(&arguments).ok();
        fixture
            .kd(&["image", "load", "kd-test/busybox:1", "kd-test/nginx:1", "--cluster", &name])
            .ok();
        Cluster { fixture, name }
    }

    fn delete(self) {
        self.fixture.kd(&["cluster", "delete", &self.name]).ok();
    }

    fn k(&self, arguments: &[&str]) -> Ran {
        self.fixture.kubectl_in(&self.name, arguments, "")
    }

    fn apply(&self, manifest: &str) {
        self.fixture.kubectl_in(&self.name, &["apply", "-f", "-"], manifest).ok();
    }

    fn node(&self, role: &str) -> String {
        format!("kd-{}-{role}", self.name)
    }

    fn server(&self, name: &str, role: &str, annotations: &str) {
        let node = self.node(role);
        let command = serde_json::json!(["sh", "-c", SERVER]);
        self.apply(&format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{"app":"web","name":"{name}"}},
                "annotations":{annotations}}},"spec":{{"nodeName":"{node}","terminationGracePeriodSeconds":0,
                "containers":[{{"name":"web","image":"kd-test/nginx:1","command":{command}}}]}}}}"#
        ));
    }

    fn wait(&self) {
        self.k(&["wait", "--for=condition=Ready", "pods", "--all", "--timeout=90s"]).ok();
    }

    fn get(&self, what: &[&str], path: &str) -> String {
        let mut arguments = vec!["get"];
        arguments.extend(what);
        let path = format!("jsonpath={path}");
        arguments.extend(["-o", &path]);
        self.k(&arguments).ok().out
    }

    fn addresses(&self, pod: &str) -> Vec<String> {
        let found = self.get(&["pod", pod], "{.status.podIPs[*].ip}");
        found.split_whitespace().map(str::to_owned).collect()
    }

    /// What a web server tells a pod; none when it cannot be reached.
    fn ask_from(&self, pod: &str, address: &str) -> Option<String> {
        let script = format!("printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc -w 2 {address} 80");
        let asked = self.k(&["exec", pod, "--", "sh", "-c", &script]);
        let answer = asked.out.lines().last().map(str::to_owned);
        answer.filter(|_| asked.code == Some(0))
    }

    /// Which of these addresses and ports a pod can connect to.
    fn reached(&self, pod: &str, targets: &BTreeSet<String>) -> BTreeSet<String> {
        let list: Vec<&str> = targets.iter().map(String::as_str).collect();
        let script = format!(
            "for t in {}; do (nc -w 1 ${{t%/*}} ${{t#*/}} </dev/null >/dev/null 2>&1 && echo $t) & done; wait",
            list.join(" ")
        );
        let asked = self.k(&["exec", pod, "--", "sh", "-c", &script]).ok();
        asked.out.lines().map(str::to_owned).collect()
    }
}

/// What a web server tells this machine; none when it cannot be reached.
fn ask(target: &str) -> Option<String> {
    let target: SocketAddr = target.parse().unwrap();
    let mut stream = TcpStream::connect_timeout(&target, Duration::from_secs(1)).ok()?;
    stream.set_read_timeout(Some(Duration::from_secs(1))).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").ok()?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer).ok()?;
    answer.lines().last().map(str::to_owned)
}

fn both_families(fixture: &Fixture) {
    let cluster = Cluster::make(fixture, "dual", &["--ip-family", "dual", "--agents", "1"]);
    for (pod, role) in [("a", "server-0"), ("b", "server-0"), ("c", "agent-0")] {
        cluster.server(pod, role, "{}");
    }
    cluster.wait();
    services_of_both_families(&cluster);
    the_matrix(&cluster);
    cluster.delete();
}

fn services_of_both_families(cluster: &Cluster) {
    cluster.apply(
        r#"{"apiVersion":"v1","kind":"Service","metadata":{"name":"both"},"spec":{"type":"NodePort",
            "ipFamilyPolicy":"RequireDualStack","selector":{"app":"web"},
            "ports":[{"port":80,"nodePort":30080}]}}"#,
    );
    let addresses = cluster.get(&["service", "both"], "{.spec.clusterIPs[*]}");
    let addresses: Vec<&str> = addresses.split_whitespace().collect();
    assert!(addresses[0].contains('.') && addresses[1].contains(':'), "{addresses:?}");
    for address in addresses {
        eventually("the Service answers", || cluster.ask_from("a", address));
    }
    let asked =
        cluster.k(&["exec", "c", "--", "nslookup", "-type=aaaa", "both.default.svc.cluster.local"]);
    asked.ok().prints("fd00:10:96:");
    for role in ["server-0", "agent-0"] {
        let format =
            "{{range .NetworkSettings.Networks}}[{{.GlobalIPv6Address}}] {{.IPAddress}}{{end}}";
        let found = docker(&["inspect", "-f", format, &cluster.node(role)]).ok().out;
        for address in found.split_whitespace() {
            eventually("the node port answers", || ask(&format!("{address}:30080")));
        }
    }
    let patched = |policy: &str| {
        let patch = format!(r#"{{"spec":{{"ipFamilyPolicy":"{policy}"}}}}"#);
        let arguments =
            ["patch", "service", "both", "-p", &patch, "-o", "jsonpath={.spec.ipFamilies}"];
        cluster.k(&arguments).ok().out
    };
    assert_eq!(patched("SingleStack"), r#"["IPv4"]"#);
    assert_eq!(patched("PreferDualStack"), r#"["IPv4","IPv6"]"#);
    let patch = r#"{"spec":{"ipFamilies":["IPv6","IPv4"]}}"#;
    let refused = cluster.k(&["patch", "service", "both", "-p", patch]);
    refused.fails(1, r#"spec.ipFamilies[0]: Invalid value: "IPv6": may not change once set"#);
}

/// Pods x pods x ports x families, with a policy each time: what it allows passes, nothing else.
fn the_matrix(cluster: &Cluster) {
    let pods = ["a", "b", "c"];
    let addresses = pods.map(|pod| cluster.addresses(pod));
    let check = |spec: &str, allowed: &dyn Fn(&str, &str, u16) -> bool| {
        cluster.apply(&format!(
            r#"{{"apiVersion":"networking.k8s.io/v1","kind":"NetworkPolicy","metadata":{{"name":"p"}},"spec":{spec}}}"#
        ));
        for from in pods {
            let (mut all, mut expect) = (BTreeSet::new(), BTreeSet::new());
            for (to, of_pod) in pods.iter().zip(&addresses).filter(|(to, _)| **to != from) {
                for (address, port) in of_pod.iter().flat_map(|a| [(a, 80), (a, 81)]) {
                    let target = format!("{address}/{port}");
                    all.insert(target.clone());
                    if allowed(from, to, port) {
                        expect.insert(target);
                    }
                }
            }
            eventually(&format!("{spec} from {from}: {expect:?}"), || {
                (cluster.reached(from, &all) == expect).then_some(())
            });
        }
    };
    check(
        r#"{"podSelector":{"matchLabels":{"name":"a"}},"policyTypes":["Ingress"]}"#,
        &|_, to, _| to != "a",
    );
    check(
        r#"{"podSelector":{"matchLabels":{"name":"a"}},"ingress":[{"from":[{"podSelector":
            {"matchLabels":{"name":"c"}}}],"ports":[{"port":80}]}]}"#,
        &|from, to, port| to != "a" || (from == "c" && port == 80),
    );
    check(
        r#"{"podSelector":{"matchLabels":{"name":"b"}},"policyTypes":["Egress"],"egress":[{"to":
            [{"ipBlock":{"cidr":"10.244.0.0/16"}},{"ipBlock":{"cidr":"fd00:10:244::/56"}}],
            "ports":[{"port":81}]}]}"#,
        &|from, _, port| from != "b" || port == 81,
    );
    cluster.k(&["delete", "networkpolicy", "p"]).ok();
}

fn vxlan(fixture: &Fixture) {
    let cluster = Cluster::make(fixture, "vxlan", &["--network-backend", "vxlan", "--agents", "1"]);
    cluster.server("a", "server-0", "{}");
    cluster.server("b", "agent-0", r#"{"kubernetes.io/egress-bandwidth":"8M"}"#);
    cluster.wait();
    let of_b = cluster.addresses("b").remove(0);
    assert_eq!(cluster.ask_from("a", &of_b).as_deref(), Some("b"));
    let link = cluster.k(&["exec", "a", "--", "ip", "link", "show", "eth0"]).ok().out;
    assert!(link.contains("mtu 1450") || link.contains("mtu 1350"), "{link}");
    // Of two megabytes half arrives in a second.
    let make = "dd if=/dev/zero of=/usr/share/nginx/html/big bs=1M count=2";
    cluster.k(&["exec", "b", "--", "sh", "-c", make]).ok();
    let fetch = format!(
        "(printf 'GET /big HTTP/1.0\\r\\n\\r\\n'; sleep 2) | timeout 1 nc {of_b} 80 | wc -c"
    );
    let arrived = cluster.k(&["exec", "a", "--", "sh", "-c", &fetch]).ok().out;
    let arrived: u32 = arrived.trim().parse().unwrap();
    assert!((200_000..1_600_000).contains(&arrived), "{arrived}");
    cluster.k(&["expose", "pod", "b", "--port=80"]).ok();
    let address = cluster.get(&["service", "b"], "{.spec.clusterIP}");
    let rules = || fixture.kd(&["debug", "proxy", &cluster.name]).ok().out;
    let line = eventually("the rule is there", || {
        let rules = rules();
        let line = rules.lines().find(|line| line.starts_with(&format!("{address}:80/TCP")));
        line.filter(|line| line.contains(&format!("{of_b}:80"))).map(str::to_owned)
    });
    assert!(line.contains("pick-1"), "{line}");
    cluster.delete();
}

/// Debian's plugins in the place of kd's network, and nothing in the place of its proxy.
fn plugins(fixture: &Fixture) {
    let flags = ["--disable-default-cni", "--disable-kube-proxy"];
    let cluster = Cluster::make(fixture, "cni", &flags);
    let node = cluster.node("server-0");
    let ready = r#"{.status.conditions[?(@.type=="Ready")].message}"#;
    let told = cluster.get(&["node", &node], ready);
    assert!(told.ends_with("cni plugin not initialized"), "{told}");
    let copy = |from: &str, to: &str| {
        docker(&["cp", "-L", from, &format!("{node}:{to}")]).ok();
    };
    let staged = fixture.directory().join("stage");
    for (file, to) in PLUGINS
        .map(|name| (format!("/usr/lib/cni/{name}"), format!("opt/cni/bin/{name}")))
        .into_iter()
        .chain(LIBRARIES.map(|file| (file.to_owned(), file.trim_start_matches('/').to_owned())))
    {
        let to = staged.join(to);
        std::fs::create_dir_all(to.parent().unwrap()).unwrap();
        std::fs::copy(file, to).expect("Debian's containernetworking-plugins are needed");
    }
    copy(&format!("{}/.", staged.display()), "/");
    let list = fixture.file(
        "10-test.conflist",
        r#"{"cniVersion":"1.0.0","name":"test","plugins":[
            {"type":"ptp","mtu":1400,"ipam":{"type":"host-local","subnet":"10.77.0.0/24"}},
            {"type":"tuning","sysctl":{"net.core.somaxconn":"300"}},
            {"type":"bandwidth","capabilities":{"bandwidth":true}}]}"#,
    );
    copy(list.to_str().unwrap(), "/etc/cni/net.d/10-test.conflist");
    cluster.k(&["wait", "--for=condition=Ready", "node", &node, "--timeout=60s"]).ok();
    cluster.server("a", "server-0", "{}");
    cluster.server("b", "server-0", r#"{"kubernetes.io/ingress-bandwidth":"10M"}"#);
    cluster.wait();
    let of_b = cluster.addresses("b").remove(0);
    assert!(of_b.starts_with("10.77.0."), "{of_b}");
    assert_eq!(cluster.ask_from("a", &of_b).as_deref(), Some("b"));
    let tuned = cluster.k(&["exec", "a", "--", "cat", "/proc/sys/net/core/somaxconn"]).ok().out;
    assert_eq!(tuned.trim(), "300");
    let rules = fixture.kd(&["debug", "proxy", &cluster.name]).ok().out;
    assert!(!rules.contains("443/TCP"), "{rules}");
    cluster.k(&["delete", "pod", "b", "--now"]).ok();
    let lease = format!("/var/lib/cni/networks/test/{of_b}");
    eventually("the address is given back", || {
        let copied = docker(&["cp", &format!("{node}:{lease}"), "-"]);
        (copied.code != Some(0)).then_some(())
    });
    cluster.delete();
}

fn ranges_that_cannot_be(fixture: &Fixture) {
    let create = |flags: &[&str], code: i32, text: &str| {
        let mut arguments = vec!["cluster", "create", "e2e-never"];
        arguments.extend(flags);
        fixture.kd(&arguments).fails(code, text);
    };
    create(&["--pod-cidr", "fd00::/56"], 2, "--ip-family");
    create(&["--pod-cidr", "10.96.0.0/12"], 2, "overlap");
    create(&["--service-cidr", "10.2.0.0/30"], 2, "too few");
    create(&["--ip-family", "both"], 2, "invalid value");
}
