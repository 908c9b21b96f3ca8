//! Ingresses and Gateways: requests of this machine reach pods by host and path, over HTTP and TLS.

use std::net::TcpListener;
use std::process::Command;

use crate::harness::{Fixture, Ran, Test, eventually, run};

pub const TESTS: &[Test] =
    &[("ingresses_and_gateways", ingresses_and_gateways), ("without_ingress", without_ingress)];

struct Cluster<'a> {
    fixture: &'a Fixture,
    name: String,
    http: u16,
    https: u16,
}

impl Cluster<'_> {
    fn k(&self, arguments: &[&str]) -> Ran {
        self.fixture.kubectl_in(&self.name, arguments, "")
    }

    fn apply(&self, manifest: &str) {
        self.fixture.kubectl_in(&self.name, &["apply", "-f", "-"], manifest).ok();
    }

    /// What is answered to `HOST/PATH`: the status and the last line.
    fn ask(&self, url: &str) -> String {
        self.curl(&[&format!("http://{url}")])
    }

    fn curl(&self, arguments: &[&str]) -> String {
        let mut command = Command::new("curl");
        for (asked, port) in [(80, self.http), (443, self.https)] {
            command.args(["--connect-to", &format!(":{asked}:127.0.0.1:{port}")]);
        }
        command.args(["-sS", "-m", "10", "-w", "%{http_code} %{http_version}"]);
        let ran = run(command.args(arguments), "");
        ran.out.split_whitespace().collect::<Vec<_>>().join(" ") + &ran.err
    }

    /// Waits until a request is answered like this.
    fn expect(&self, url: &str, expect: &str) {
        let mut last = String::new();
        eventually(&format!("{url} is answered {expect:?}"), || {
            last = self.ask(url);
            last.contains(expect).then_some(())
        });
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

fn ingresses_and_gateways(fixture: &Fixture) {
    let (http, https, agent) = (free_port(), free_port(), free_port());
    let cluster = Cluster { fixture, name: fixture.name("ingress"), http, https };
    let ports = [(http, "80@loadbalancer"), (https, "443@loadbalancer"), (agent, "80@agent:0")];
    let ports = ports.map(|(own, of)| format!("127.0.0.1:{own}:{of}"));
    let mut create = vec!["cluster", "create", &cluster.name, "--agents", "1"];
    ports.iter().for_each(|port| create.extend(["-p", port]));
    fixture.kd(&create).ok();
    fixture.kd(&["image", "load", "kd-test/nginx:1", "--cluster", &cluster.name]).ok();
    for (name, node) in [("one", "server-0"), ("two", "agent-0")] {
        let node = format!("kd-{}-{node}", cluster.name);
        cluster.apply(&format!(
            r#"{{"apiVersion":"v1","kind":"Pod","metadata":{{"name":"{name}","labels":{{"app":"{name}"}}}},
            "spec":{{"nodeName":"{node}","containers":[{{"name":"web","image":"kd-test/nginx:1",
            "command":["sh","-c","cd /usr/share/nginx/html && echo {name} > index.html && mkdir deep && echo {name}-deep > deep/index.html && exec nginx -g 'daemon off;'"]}}]}}}}"#
        ));
        cluster.k(&["expose", "pod", name, "--port=80"]).ok();
    }
    cluster.k(&["wait", "--for=condition=Ready", "pods", "--all", "--timeout=90s"]).ok();
    hosts_and_paths(&cluster);
    every_node_answers(&Cluster { name: cluster.name.clone(), http: agent, ..cluster });
    names_outside(&cluster);
    certificates(&cluster);
    endpoints_come_and_go(&cluster);
    gateways(&cluster);
    fixture.kd(&["cluster", "delete", &cluster.name]).ok();
}

fn path(path: &str, service: &str) -> String {
    format!(
        r#"{{"path":"{path}","pathType":"Prefix","backend":{{"service":{{"name":"{service}","port":{{"number":80}}}}}}}}"#
    )
}

fn hosts_and_paths(cluster: &Cluster) {
    cluster.apply(&format!(
        r#"{{"apiVersion":"networking.k8s.io/v1","kind":"Ingress","metadata":{{"name":"web"}},"spec":{{
        "tls":[{{"hosts":["one.test"],"secretName":"cert"}}],"rules":[
        {{"host":"one.test","http":{{"paths":[{},{}]}}}},
        {{"host":"*.wild.test","http":{{"paths":[{}]}}}}]}}}}"#,
        path("/", "one"),
        path("/deep", "two"),
        path("/", "two"),
    ));
    cluster.expect("one.test/", "one 200");
    assert_eq!(cluster.ask("one.test/deep/"), "two-deep 200 1.1");
    assert_eq!(cluster.ask("a.wild.test/"), "two 200 1.1");
    assert!(cluster.ask("other.test/").contains("404 page not found 404"));
    assert!(cluster.curl(&["--http2-prior-knowledge", "http://one.test/"]).ends_with("one 200 2"));
    let listed = cluster.k(&["get", "ingress", "web"]).ok().out;
    assert!(listed.contains("kd") && listed.contains("one.test"), "{listed}");
    let shown = "jsonpath={.status.loadBalancer.ingress[0].ip}";
    eventually("the Ingress has an address", || {
        let address = cluster.k(&["get", "ingress", "web", "-o", shown]).ok().out;
        (!address.is_empty()).then_some(())
    });
}

/// This cluster's port is one of its agent, which serves nothing itself.
fn every_node_answers(cluster: &Cluster) {
    cluster.expect("one.test/", "one 200");
    assert_eq!(cluster.ask("a.wild.test/"), "two 200 1.1");
}

/// An ExternalName Service, whose name the cluster's DNS knows.
fn names_outside(cluster: &Cluster) {
    let name = "one.default.svc.cluster.local";
    cluster.k(&["create", "service", "externalname", "outside", "--external-name", name]).ok();
    cluster.k(&["create", "ingress", "outside", "--rule=outside.test/*=outside:80"]).ok();
    cluster.expect("outside.test/deep/", "one-deep 200");
    cluster.k(&["delete", "ingress,service", "outside"]).ok();
}

/// The Secret's certificate is shown to who asks for its name; others see the cluster's own.
fn certificates(cluster: &Cluster) {
    let (certificate, key) = ("ingress.crt", "ingress.key");
    let in_folder = |name: &str| cluster.fixture.directory().join(name).display().to_string();
    let (certificate, key) = (in_folder(certificate), in_folder(key));
    let mut openssl = Command::new("openssl");
    openssl.args(["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1"]);
    openssl.args(["-nodes", "-days", "2", "-subj", "/CN=one.test"]);
    openssl.args(["-addext", "subjectAltName=DNS:one.test", "-keyout", &key, "-out", &certificate]);
    run(&mut openssl, "").ok();
    let (certificate_flag, key_flag) = (format!("--cert={certificate}"), format!("--key={key}"));
    cluster.k(&["create", "secret", "tls", "cert", &certificate_flag, &key_flag]).ok();
    eventually("the certificate is shown", || {
        let answer = cluster.curl(&["--cacert", &certificate, "https://one.test/"]);
        answer.ends_with("one 200 2").then_some(())
    });
    let refused = cluster.curl(&["--cacert", &certificate, "https://a.wild.test/"]);
    assert!(refused.contains("certificate"), "{refused}");
    assert!(cluster.curl(&["-k", "https://a.wild.test/"]).ends_with("two 200 2"));
}

fn endpoints_come_and_go(cluster: &Cluster) {
    cluster.k(&["label", "pod", "two", "app=nobody", "--overwrite"]).ok();
    cluster.expect("a.wild.test/", "503 Service Unavailable 503");
    cluster.k(&["label", "pod", "two", "app=two", "--overwrite"]).ok();
    cluster.expect("a.wild.test/", "two 200");
    cluster.k(&["delete", "ingress", "web"]).ok();
    // Nothing listens any more, on no node.
    cluster.expect("one.test/", "000");
}

/// A definition as small as tests need it; users install upstream's.
fn definition(plural: &str, kind: &str, scope: &str, version: &str) -> String {
    let singular = kind.to_lowercase();
    format!(
        r#"{{"apiVersion":"apiextensions.k8s.io/v1","kind":"CustomResourceDefinition",
        "metadata":{{"name":"{plural}.gateway.networking.k8s.io",
        "annotations":{{"api-approved.kubernetes.io":"unapproved, tests of kd"}}}},
        "spec":{{"group":"gateway.networking.k8s.io","scope":"{scope}",
        "names":{{"plural":"{plural}","singular":"{singular}","kind":"{kind}","listKind":"{kind}List"}},
        "versions":[{{"name":"{version}","served":true,"storage":true,"subresources":{{"status":{{}}}},
        "schema":{{"openAPIV3Schema":{{"type":"object","properties":{{
        "spec":{{"type":"object","x-kubernetes-preserve-unknown-fields":true}},
        "status":{{"type":"object","x-kubernetes-preserve-unknown-fields":true}}}}}}}}}}]}}}}"#
    )
}

fn gateways(cluster: &Cluster) {
    for (plural, kind, scope, version) in [
        ("gatewayclasses", "GatewayClass", "Cluster", "v1"),
        ("gateways", "Gateway", "Namespaced", "v1"),
        ("httproutes", "HTTPRoute", "Namespaced", "v1"),
        ("referencegrants", "ReferenceGrant", "Namespaced", "v1beta1"),
    ] {
        cluster.apply(&definition(plural, kind, scope, version));
    }
    let accepted = r#"jsonpath={.status.conditions[?(@.type=="Accepted")].status}"#;
    eventually("the class is there", || {
        let class = cluster.k(&["get", "gatewayclass", "kd", "-o", accepted]);
        (class.out == "True").then_some(())
    });
    cluster.apply(
        r#"{"apiVersion":"gateway.networking.k8s.io/v1","kind":"Gateway","metadata":{"name":"g"},
        "spec":{"gatewayClassName":"kd","listeners":[{"name":"web","port":80,"protocol":"HTTP"}]}}"#,
    );
    cluster.k(&["wait", "--for=condition=Programmed", "gateway/g", "--timeout=60s"]).ok();
    cluster.apply(
        r#"{"apiVersion":"gateway.networking.k8s.io/v1","kind":"HTTPRoute","metadata":{"name":"r"},
        "spec":{"parentRefs":[{"name":"g"}],"hostnames":["gw.test"],"rules":[
        {"backendRefs":[{"name":"one","port":80}]},
        {"matches":[{"headers":[{"name":"x-two","value":"yes"}]}],"backendRefs":[{"name":"two","port":80}]},
        {"matches":[{"path":{"value":"/moved"}}],"filters":[{"type":"RequestRedirect",
            "requestRedirect":{"hostname":"new.test","statusCode":301}}]},
        {"matches":[{"path":{"value":"/shallow"}}],"filters":[{"type":"URLRewrite","urlRewrite":
            {"path":{"type":"ReplacePrefixMatch","replacePrefixMatch":"/deep"}}},
            {"type":"ResponseHeaderModifier","responseHeaderModifier":{"add":[{"name":"x-kd","value":"1"}]}}],
            "backendRefs":[{"name":"two","port":80}]}]}}"#,
    );
    cluster.expect("gw.test/", "one 200");
    assert_eq!(cluster.curl(&["-H", "x-two: yes", "http://gw.test/"]), "two 200 1.1");
    let moved = cluster.curl(&["-D", "-", "http://gw.test/moved"]);
    assert!(moved.contains("301") && moved.contains("location: http://new.test/moved"), "{moved}");
    let rewritten = cluster.curl(&["-D", "-", "http://gw.test/shallow/"]);
    assert!(rewritten.contains("two-deep") && rewritten.contains("x-kd: 1"), "{rewritten}");
    let path = r#"jsonpath={.status.parents[0].conditions[*].status}"#;
    let route = cluster.k(&["get", "httproute", "r", "-o", path]).ok().out;
    assert_eq!(route, "True True");
}

fn without_ingress(fixture: &Fixture) {
    let name = fixture.name("bare");
    fixture.kd(&["cluster", "create", &name, "--disable", "ingress"]).ok();
    fixture.kubectl_in(&name, &["get", "ingressclasses"], "").ok().says("No resources found");
    fixture.kd(&["cluster", "delete", &name]).ok();
    fixture.kd(&["cluster", "create", "e2e-never", "--disable", "moon"]).fails(2, "ingress");
}
