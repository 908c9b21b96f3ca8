//! Names and what they lead to, in one cluster of every kind of Service.

use jiff::Timestamp;
use kd_client::Keep;
use serde_json::{Value, json};

use super::*;

fn view(objects: &[Value]) -> View {
    let read = [&resources::SERVICES, &resources::ENDPOINT_SLICES, &resources::NAMESPACES];
    let mut view = View::default();
    read.iter().for_each(|resource| view.sync(resource, 42));
    for object in objects {
        let resource = read.iter().find(|resource| object["kind"] == *resource.kind).unwrap();
        let bytes = serde_json::to_vec(object).unwrap();
        let object = Object::parse(resource, &bytes, Keep::Full, Timestamp::UNIX_EPOCH).unwrap();
        view.insert(resource, object);
    }
    view
}

pub(crate) fn zone(objects: &[Value]) -> Zone {
    let mut zone = Zone::new("Cluster.Local", vec!["10.96.0.10".parse().unwrap()]).unwrap();
    zone.fill(&view(objects));
    zone
}

pub(crate) fn namespace(name: &str) -> Value {
    json!({"kind": "Namespace", "metadata": {"name": name}})
}

pub(crate) fn service(name: &str, spec: Value) -> Value {
    json!({"kind": "Service", "metadata": {"namespace": "n", "name": name}, "spec": spec})
}

pub(crate) fn slice(service: &str, ports: Value, endpoints: Value) -> Value {
    let labels = json!({SERVICE_NAME_LABEL: service});
    json!({"kind": "EndpointSlice",
        "metadata": {"namespace": "n", "name": format!("{service}-1"), "labels": labels},
        "addressType": "IPv4", "ports": ports, "endpoints": endpoints})
}

fn cluster() -> Vec<Value> {
    vec![
        namespace("n"),
        service(
            "web",
            json!({"clusterIP": "10.96.0.9", "clusterIPs": ["10.96.0.9", "fd00::9"], "ports": [
                {"name": "http", "port": 80, "protocol": "TCP"},
                {"name": "https", "port": 443},
                {"name": "dns", "port": 53, "protocol": "UDP"}]}),
        ),
        slice(
            "web",
            json!([{"name": "http", "port": 8080}]),
            json!([{"addresses": ["10.244.0.9"]}]),
        ),
        service("db", json!({"clusterIP": "None", "ports": [{"name": "sql", "port": 5432}]})),
        slice(
            "db",
            json!([{"name": "sql", "port": 5432, "protocol": "TCP"}]),
            json!([
                {"addresses": ["10.244.0.2"], "hostname": "db-0", "conditions": {"ready": true}},
                {"addresses": ["10.244.1.2"], "hostname": "db-1"},
                {"addresses": ["10.244.1.3"]},
                {"addresses": ["10.244.1.4"], "hostname": "db-3", "conditions": {"ready": false}}]),
        ),
        service("bare", json!({"clusterIP": "None"})),
        slice("bare", json!([]), json!([{"addresses": ["10.244.0.5"], "hostname": "one"}])),
        service("empty", json!({"clusterIP": "None"})),
        service("away", json!({"type": "ExternalName", "externalName": "Example.com"})),
        service(
            "near",
            json!({"type": "ExternalName", "externalName": "web.n.svc.cluster.local."}),
        ),
        service("number", json!({"type": "ExternalName", "externalName": "192.0.2.1"})),
    ]
}

fn text(record: &Record) -> String {
    format!("{} {} {} {}", record.name, record.ttl, record.record_type(), record.data)
}

fn told(outcome: Outcome) -> Vec<String> {
    match outcome {
        Outcome::Foreign => vec!["foreign".into()],
        Outcome::Unknown => vec!["unknown".into()],
        Outcome::NoName => vec!["no such name".into()],
        Outcome::Records(answers, additionals) => {
            let more = additionals.iter().map(|record| format!("+ {}", text(record)));
            answers.iter().map(text).chain(more).collect()
        }
        Outcome::Alias(target) => vec![format!("-> {target}")],
    }
}

fn check(name: &str, record_type: RecordType, expect: &[&str]) {
    let outcome = zone(&cluster()).resolve(&Name::from_ascii(name).unwrap(), record_type);
    let short: Vec<String> =
        told(outcome).iter().map(|line| line.replace("cluster.local.", "~")).collect();
    assert_eq!(short, expect, "{name} {record_type}");
}

const NO_NAME: &[&str] = &["no such name"];
const NO_DATA: &[&str] = &[];
const FOREIGN: &[&str] = &["foreign"];

#[test]
fn services_with_addresses() {
    use RecordType::*;
    check("web.n.svc.cluster.local.", A, &["web.n.svc.~ 5 A 10.96.0.9"]);
    check("web.n.svc.cluster.local.", AAAA, &["web.n.svc.~ 5 AAAA fd00::9"]);
    check("WEB.N.svc.Cluster.LOCAL.", A, &["WEB.N.svc.Cluster.LOCAL. 5 A 10.96.0.9"]);
    check("web.n.svc.cluster.local.", MX, NO_DATA);
    check("other.n.svc.cluster.local.", A, NO_NAME);
    check("web.other.svc.cluster.local.", A, NO_NAME);
    check("web.n.cluster.local.", A, NO_NAME);
    check("10-244-0-9.web.n.svc.cluster.local.", A, &["10-244-0-9.web.n.svc.~ 5 A 10.244.0.9"]);
    check("10-244-0-8.web.n.svc.cluster.local.", A, NO_NAME);
}

#[test]
fn ports() {
    use RecordType::*;
    check(
        "_http._tcp.web.n.svc.cluster.local.",
        SRV,
        &[
            "_http._tcp.web.n.svc.~ 5 SRV 0 100 80 web.n.svc.~",
            "+ web.n.svc.~ 5 A 10.96.0.9",
            "+ web.n.svc.~ 5 AAAA fd00::9",
        ],
    );
    check("_http._tcp.web.n.svc.cluster.local.", A, &["_http._tcp.web.n.svc.~ 5 A 10.96.0.9"]);
    check("_http._udp.web.n.svc.cluster.local.", SRV, NO_NAME);
    check("_none._tcp.web.n.svc.cluster.local.", SRV, NO_NAME);
    check("http._tcp.web.n.svc.cluster.local.", SRV, NO_NAME);
    check("_x._http._tcp.web.n.svc.cluster.local.", SRV, NO_NAME);
    check("_tcp.web.n.svc.cluster.local.", A, NO_DATA);
    check("_sctp.web.n.svc.cluster.local.", A, NO_NAME);
    check(
        "_sql._tcp.db.n.svc.cluster.local.",
        SRV,
        &[
            "_sql._tcp.db.n.svc.~ 5 SRV 0 33 5432 db-0.db.n.svc.~",
            "_sql._tcp.db.n.svc.~ 5 SRV 0 33 5432 db-1.db.n.svc.~",
            "_sql._tcp.db.n.svc.~ 5 SRV 0 33 5432 10-244-1-3.db.n.svc.~",
            "+ db-0.db.n.svc.~ 5 A 10.244.0.2",
            "+ db-1.db.n.svc.~ 5 A 10.244.1.2",
            "+ 10-244-1-3.db.n.svc.~ 5 A 10.244.1.3",
        ],
    );
}

#[test]
fn headless_services() {
    use RecordType::*;
    check(
        "db.n.svc.cluster.local.",
        A,
        &["db.n.svc.~ 5 A 10.244.0.2", "db.n.svc.~ 5 A 10.244.1.2", "db.n.svc.~ 5 A 10.244.1.3"],
    );
    check("db.n.svc.cluster.local.", AAAA, NO_DATA);
    check("db-1.db.n.svc.cluster.local.", A, &["db-1.db.n.svc.~ 5 A 10.244.1.2"]);
    check("10-244-1-3.db.n.svc.cluster.local.", A, &["10-244-1-3.db.n.svc.~ 5 A 10.244.1.3"]);
    check("db-3.db.n.svc.cluster.local.", A, NO_NAME);
    check("bare.n.svc.cluster.local.", A, &["bare.n.svc.~ 5 A 10.244.0.5"]);
    check("one.bare.n.svc.cluster.local.", A, &["one.bare.n.svc.~ 5 A 10.244.0.5"]);
    check("bare.n.svc.cluster.local.", SRV, NO_DATA);
    check("empty.n.svc.cluster.local.", A, NO_NAME);
}

#[test]
fn other_names() {
    use RecordType::*;
    let away = ["-> Example.com."];
    check("away.n.svc.cluster.local.", A, &away);
    check("away.n.svc.cluster.local.", CNAME, &away);
    check("x.away.n.svc.cluster.local.", A, NO_NAME);
    check("near.n.svc.cluster.local.", AAAA, &["-> web.n.svc.~"]);
    check("number.n.svc.cluster.local.", A, NO_NAME);
}

#[test]
fn pods() {
    use RecordType::*;
    check("10-244-0-7.n.pod.cluster.local.", A, &["10-244-0-7.n.pod.~ 5 A 10.244.0.7"]);
    check("fd00--7.n.pod.cluster.local.", AAAA, &["fd00--7.n.pod.~ 5 AAAA fd00::7"]);
    check("10-244-0-7.n.pod.cluster.local.", AAAA, NO_DATA);
    check("10-244-0-7.other.pod.cluster.local.", A, NO_NAME);
    check("web.n.pod.cluster.local.", A, NO_NAME);
}

#[test]
fn the_zone_itself() {
    use RecordType::*;
    let soa = "~ 5 SOA ns.dns.~ hostmaster.~ 42 7200 1800 86400 5";
    check("cluster.local.", SOA, &[soa]);
    check("cluster.local.", NS, &["~ 5 NS ns.dns.~", "+ ns.dns.~ 5 A 10.96.0.10"]);
    check("cluster.local.", A, NO_DATA);
    check("ns.dns.cluster.local.", A, &["ns.dns.~ 5 A 10.96.0.10"]);
    check("dns.cluster.local.", A, NO_DATA);
    check("dns-version.cluster.local.", TXT, &["dns-version.~ 5 TXT 1.1.0"]);
    check("svc.cluster.local.", A, NO_DATA);
    check("n.svc.cluster.local.", A, NO_DATA);
    check("n.pod.cluster.local.", A, NO_DATA);
    check("other.svc.cluster.local.", A, NO_NAME);
    check("example.cluster.local.", A, NO_NAME);
    check("example.com.", A, FOREIGN);
    check("local.", A, FOREIGN);
    check("notcluster.local.", A, FOREIGN);
    check(".", NS, FOREIGN);
}

#[test]
fn addresses_lead_back_to_names() {
    use RecordType::*;
    check("9.0.96.10.in-addr.arpa.", PTR, &["9.0.96.10.in-addr.arpa. 5 PTR web.n.svc.~"]);
    check("2.1.244.10.in-addr.arpa.", PTR, &["2.1.244.10.in-addr.arpa. 5 PTR db-1.db.n.svc.~"]);
    check("9.0.96.10.in-addr.arpa.", A, NO_DATA);
    check("3.1.244.10.in-addr.arpa.", PTR, FOREIGN);
    check("1.1.168.192.in-addr.arpa.", PTR, FOREIGN);
    let nine = format!("9.{}d.f.ip6.arpa.", "0.".repeat(29));
    check(&nine, PTR, &[&format!("{nine} 5 PTR web.n.svc.~")]);
}

#[test]
fn changes_are_taken_over_one_by_one() {
    let mut objects = cluster();
    let mut zone = zone(&objects);
    let ask = |zone: &Zone, name: &str| {
        told(zone.resolve(&Name::from_ascii(name).unwrap(), RecordType::A)).join(" ")
    };
    objects[1]["spec"]["clusterIPs"] = json!(["10.96.0.99"]);
    objects[1]["spec"]["clusterIP"] = json!("10.96.0.99");
    objects[4]["endpoints"] = json!([{"addresses": ["10.244.1.2"], "hostname": "db-9"}]);
    objects.push(namespace("new"));
    objects.remove(5);
    let touched = ["web", "db", "bare"].map(|name| Key::new("n", name));
    zone.update(&view(&objects), &touched.into(), &["new".into(), "gone".into()].into());
    assert!(ask(&zone, "web.n.svc.cluster.local.").ends_with("10.96.0.99"));
    assert!(ask(&zone, "db-9.db.n.svc.cluster.local.").ends_with("10.244.1.2"));
    assert_eq!(ask(&zone, "db-1.db.n.svc.cluster.local."), "no such name");
    assert_eq!(ask(&zone, "bare.n.svc.cluster.local."), "no such name");
    assert_eq!(ask(&zone, "new.svc.cluster.local."), "");
    let address = |text: &str| text.parse::<IpAddr>().unwrap();
    assert!(!zone.holders.contains_key(&address("10.96.0.9")));
    assert!(zone.holders.contains_key(&address("10.96.0.99")));
    assert_eq!(zone.holders[&address("10.244.1.2")].len(), 1);
    zone.update(
        &view(&[]),
        &["web", "db", "bare"].map(|n| Key::new("n", n)).into(),
        &["n".into()].into(),
    );
    assert!(zone.holders.is_empty() && !zone.namespaces.contains("n"));
}

#[test]
fn nothing_is_denied_before_the_api_is_read() {
    let zone = Zone::new("cluster.local", Vec::new()).unwrap();
    let check = |name: &str, expect: Outcome| {
        assert_eq!(zone.resolve(&Name::from_ascii(name).unwrap(), RecordType::A), expect);
    };
    check("web.n.svc.cluster.local.", Outcome::Unknown);
    check("9.0.96.10.in-addr.arpa.", Outcome::Unknown);
    check("example.com.", Outcome::Foreign);
}

#[test]
fn domains() {
    assert!(Zone::new("k8s.example", Vec::new()).is_ok());
    assert!(Zone::new("local", Vec::new()).is_ok());
    for bad in ["", ".", "a b", &"x".repeat(64)] {
        assert!(Zone::new(bad, Vec::new()).is_err(), "{bad:?}");
    }
}
