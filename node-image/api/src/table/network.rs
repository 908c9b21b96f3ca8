//! Services, their endpoints, and what routes to them.

use std::collections::BTreeSet;

use jiff::Timestamp;
use serde_json::{Value, json};

use super::age::since;
use super::rows::or_none;
use super::workload::{labels, selector};
use crate::walk::Walk;

/// How many elements of a list are spelled out.
const SHOWN: usize = 3;

fn name(object: &Value) -> Value {
    object["metadata"]["name"].clone()
}

fn age(object: &Value, now: Timestamp) -> Value {
    since(&object["metadata"]["creationTimestamp"], now)
}

fn texts(list: &[Value]) -> Vec<&str> {
    list.iter().filter_map(Value::as_str).collect()
}

/// The first few, and how many more.
fn shortened(all: &[String], empty: &str) -> Value {
    let shown = all.iter().take(SHOWN).cloned().collect::<Vec<_>>().join(",");
    match all.len() {
        0 => json!(empty),
        count if count > SHOWN => json!(format!("{shown} + {} more...", count - SHOWN)),
        _ => json!(shown),
    }
}

pub(super) fn service(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let address = match spec["clusterIPs"][0].as_str() {
        Some(first) => first,
        None => spec.text("clusterIP"),
    };
    let ports: Vec<String> = spec.list("ports").iter().map(port).collect();
    vec![
        name(object),
        json!(spec.text("type")),
        or_none(address),
        json!(external_address(object)),
        or_none(&ports.join(",")),
        age(object, now),
        labels(&spec["selector"]),
    ]
}

fn port(port: &Value) -> String {
    let number = port.integer("port").unwrap_or(0);
    let protocol = port.text("protocol");
    match port.integer("nodePort").unwrap_or(0) {
        0 => format!("{number}/{protocol}"),
        node_port => format!("{number}:{node_port}/{protocol}"),
    }
}

fn external_address(service: &Value) -> String {
    let spec = &service["spec"];
    let external = texts(spec.list("externalIPs")).join(",");
    match spec.text("type") {
        "ClusterIP" | "NodePort" if external.is_empty() => "<none>".to_owned(),
        "ClusterIP" | "NodePort" => external,
        "LoadBalancer" => {
            let balanced = ingress_points(service);
            match (balanced.is_empty(), external.is_empty()) {
                (true, true) => "<pending>".to_owned(),
                (true, false) => external,
                (false, true) => balanced,
                (false, false) => format!("{balanced},{external}"),
            }
        }
        "ExternalName" => spec.text("externalName").to_owned(),
        _ => "<unknown>".to_owned(),
    }
}

/// The load balancer's addresses or host names, sorted.
fn ingress_points(object: &Value) -> String {
    let points = object["status"]["loadBalancer"].list("ingress").iter();
    let addresses: BTreeSet<&str> = points
        .map(|point| match point.text("ip") {
            "" => point.text("hostname"),
            ip => ip,
        })
        .filter(|address| !address.is_empty())
        .collect();
    addresses.into_iter().collect::<Vec<_>>().join(",")
}

pub(super) fn endpoints(object: &Value, now: Timestamp) -> Vec<Value> {
    let mut all = Vec::new();
    for subset in object.list("subsets") {
        let addresses = subset.list("addresses").iter().map(|a| a.text("ip"));
        if subset.list("ports").is_empty() {
            all.extend(addresses.map(str::to_owned));
            continue;
        }
        for port in subset.list("ports") {
            let number = port.integer("port").unwrap_or(0);
            all.extend(addresses.clone().map(|address| joined(address, number)));
        }
    }
    let empty = if object.list("subsets").is_empty() { "<none>" } else { "" };
    vec![name(object), shortened(&all, empty), age(object, now)]
}

fn joined(address: &str, port: i64) -> String {
    if address.contains(':') { format!("[{address}]:{port}") } else { format!("{address}:{port}") }
}

pub(super) fn endpoint_slice(object: &Value, now: Timestamp) -> Vec<Value> {
    let ports: Vec<String> = object
        .list("ports")
        .iter()
        .map(|port| match (port.integer("port"), port["name"].as_str()) {
            (Some(number), _) => number.to_string(),
            (None, Some(name)) => name.to_owned(),
            (None, None) => "*".to_owned(),
        })
        .collect();
    let addresses: Vec<String> = object
        .list("endpoints")
        .iter()
        .flat_map(|endpoint| texts(endpoint.list("addresses")))
        .map(str::to_owned)
        .collect();
    vec![
        name(object),
        json!(object.text("addressType")),
        shortened(&ports, "<unset>"),
        shortened(&addresses, "<unset>"),
        age(object, now),
    ]
}

pub(super) fn ingress(object: &Value, now: Timestamp) -> Vec<Value> {
    let spec = &object["spec"];
    let class = spec["ingressClassName"].as_str().unwrap_or("<none>");
    let ports = if spec.list("tls").is_empty() { "80" } else { "80, 443" };
    vec![
        name(object),
        json!(class),
        json!(hosts(spec.list("rules"))),
        json!(ingress_points(object)),
        json!(ports),
        age(object, now),
    ]
}

fn hosts(rules: &[Value]) -> String {
    let named: Vec<&str> =
        rules.iter().map(|rule| rule.text("host")).filter(|host| !host.is_empty()).collect();
    let shown = named.iter().take(SHOWN).copied().collect::<Vec<_>>().join(",");
    match named.len() {
        0 => "*".to_owned(),
        count if count > SHOWN => format!("{shown} + {} more...", rules.len() - SHOWN),
        _ => shown,
    }
}

pub(super) fn ingress_class(object: &Value, now: Timestamp) -> Vec<Value> {
    let parameters = &object["spec"]["parameters"];
    let shown = match (parameters.is_null(), parameters["apiGroup"].as_str()) {
        (true, _) => "<none>".to_owned(),
        (_, Some(group)) => {
            format!("{}.{group}/{}", parameters.text("kind"), parameters.text("name"))
        }
        (_, None) => format!("{}/{}", parameters.text("kind"), parameters.text("name")),
    };
    vec![name(object), json!(object["spec"].text("controller")), json!(shown), age(object, now)]
}

pub(super) fn network_policy(object: &Value, now: Timestamp) -> Vec<Value> {
    vec![name(object), selector(&object["spec"]["podSelector"]), age(object, now)]
}

pub(super) fn service_cidr(object: &Value, now: Timestamp) -> Vec<Value> {
    let ranges = texts(object["spec"].list("cidrs")).join(",");
    vec![name(object), json!(ranges), age(object, now)]
}

pub(super) fn ip_address(object: &Value, _: Timestamp) -> Vec<Value> {
    let parent = &object["spec"]["parentRef"];
    let parts = ["group", "resource", "namespace", "name"].map(|field| parent.text(field));
    let shown = parts.into_iter().filter(|part| !part.is_empty()).collect::<Vec<_>>().join("/");
    vec![name(object), or_none(&shown)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn services() {
        let check = |spec: Value, status: Value, want: [&str; 4]| {
            let cells = service(&json!({"spec": spec, "status": status}), Timestamp::UNIX_EPOCH);
            assert_eq!(
                [&cells[1], &cells[2], &cells[3], &cells[4]],
                want.map(Value::from).each_ref()
            );
        };
        check(
            json!({"type": "ClusterIP", "clusterIPs": ["10.0.0.1"], "ports": [{"port": 443, "protocol": "TCP"}]}),
            json!({}),
            ["ClusterIP", "10.0.0.1", "<none>", "443/TCP"],
        );
        check(
            json!({"type": "NodePort", "clusterIP": "10.0.0.2",
                "ports": [{"port": 80, "nodePort": 30080, "protocol": "TCP"}, {"port": 53, "protocol": "UDP"}]}),
            json!({}),
            ["NodePort", "10.0.0.2", "<none>", "80:30080/TCP,53/UDP"],
        );
        check(
            json!({"type": "LoadBalancer"}),
            json!({}),
            ["LoadBalancer", "<none>", "<pending>", "<none>"],
        );
        check(
            json!({"type": "LoadBalancer", "externalIPs": ["9.9.9.9"]}),
            json!({"loadBalancer": {"ingress": [{"ip": "1.2.3.4"}, {"hostname": "x"}]}}),
            ["LoadBalancer", "<none>", "1.2.3.4,x,9.9.9.9", "<none>"],
        );
        check(
            json!({"type": "ExternalName", "externalName": "a.b"}),
            json!({}),
            ["ExternalName", "<none>", "a.b", "<none>"],
        );
    }

    #[test]
    fn long_lists_are_cut() {
        let subsets = json!([{"addresses": [{"ip": "1"}, {"ip": "2"}, {"ip": "3"}, {"ip": "4"}], "ports": [{"port": 80}]}]);
        let cells = endpoints(&json!({ "subsets": subsets }), Timestamp::UNIX_EPOCH);
        assert_eq!(cells[1], "1:80,2:80,3:80 + 1 more...");
        assert_eq!(endpoints(&json!({}), Timestamp::UNIX_EPOCH)[1], "<none>");
    }
}
