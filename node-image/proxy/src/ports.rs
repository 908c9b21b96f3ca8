//! Which service ports there are and what answers on each: a pure function of Services and
//! EndpointSlices.

use std::collections::HashMap;
use std::net::{Ipv4Addr, SocketAddrV4};

use k8s_openapi::api::core::v1::{Service, ServicePort as Port};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointPort, EndpointSlice};
use kd_network::{Protocol, ServicePort};

/// Ties a slice to its Service.
const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// The IPv4 cluster addresses of all Services with their endpoints, as `node` reaches them. Ready
/// endpoints answer; when a port has none, those that still serve while they terminate do
/// (<https://kubernetes.io/docs/concepts/services-networking/endpoint-slices/#conditions>).
/// `internalTrafficPolicy: Local` leaves the endpoints on the node itself.
pub fn service_ports(
    services: &[Service],
    slices: &[EndpointSlice],
    node: &str,
) -> Vec<ServicePort> {
    let mut of_service: HashMap<(&str, &str), Vec<&EndpointSlice>> = HashMap::new();
    for slice in slices.iter().filter(|slice| slice.address_type == "IPv4") {
        let labels = slice.metadata.labels.as_ref();
        let Some(name) = labels.and_then(|labels| labels.get(SERVICE_NAME_LABEL)) else { continue };
        let namespace = slice.metadata.namespace.as_deref().unwrap_or_default();
        of_service.entry((namespace, name)).or_default().push(slice);
    }
    let mut ports = Vec::new();
    for service in services {
        let namespace = service.metadata.namespace.as_deref().unwrap_or_default();
        let name = service.metadata.name.as_deref().unwrap_or_default();
        let slices = of_service.get(&(namespace, name)).map(Vec::as_slice).unwrap_or_default();
        ports.extend(ports_of(service, slices, node));
    }
    ports
}

fn ports_of(service: &Service, slices: &[&EndpointSlice], node: &str) -> Vec<ServicePort> {
    let Some(spec) = &service.spec else { return Vec::new() };
    let addresses: Vec<Ipv4Addr> = match &spec.cluster_ips {
        Some(addresses) => addresses.iter().filter_map(|text| text.parse().ok()).collect(),
        None => spec.cluster_ip.iter().filter_map(|text| text.parse().ok()).collect(),
    };
    let local = (spec.internal_traffic_policy.as_deref() == Some("Local")).then_some(node);
    let mut ports = Vec::new();
    for port in spec.ports.iter().flatten() {
        let (Some(protocol), Ok(number)) =
            (protocol(port.protocol.as_deref()), port.port.try_into())
        else {
            continue;
        };
        let endpoints = endpoints(port, slices, local);
        ports.extend(addresses.iter().map(|address| ServicePort {
            address: *address,
            port: number,
            protocol,
            endpoints: endpoints.clone(),
        }));
    }
    ports
}

fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

/// The endpoints of one port, only those on the node `local` if there is one.
fn endpoints(port: &Port, slices: &[&EndpointSlice], local: Option<&str>) -> Vec<SocketAddrV4> {
    let reached = |endpoint: &Endpoint| local.is_none() || endpoint.node_name.as_deref() == local;
    let ready = addresses(port, slices, |endpoint| reached(endpoint) && is_ready(endpoint));
    let mut chosen = match ready.is_empty() {
        true => addresses(port, slices, |e| reached(e) && is_terminating_but_serving(e)),
        false => ready,
    };
    chosen.sort_unstable();
    chosen.dedup();
    chosen
}

fn addresses(
    port: &Port,
    slices: &[&EndpointSlice],
    takes: impl Fn(&Endpoint) -> bool,
) -> Vec<SocketAddrV4> {
    let mut found = Vec::new();
    for slice in slices {
        let Some(number) = target(port, slice.ports.as_deref().unwrap_or_default()) else {
            continue;
        };
        for endpoint in slice.endpoints.iter().flatten().filter(|endpoint| takes(endpoint)) {
            let addresses = endpoint.addresses.iter().filter_map(|text| text.parse().ok());
            found.extend(addresses.map(|address: Ipv4Addr| SocketAddrV4::new(address, number)));
        }
    }
    found
}

/// The endpoints' port that carries this Service port's name.
fn target(port: &Port, of_slice: &[EndpointPort]) -> Option<u16> {
    let name = port.name.as_deref().unwrap_or_default();
    let matching = of_slice.iter().find(|p| p.name.as_deref().unwrap_or_default() == name)?;
    matching.port?.try_into().ok()
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false))
}

fn is_terminating_but_serving(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().is_some_and(|conditions| {
        conditions.serving == Some(true) && conditions.terminating == Some(true)
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    fn service(spec: Value) -> Service {
        from_value(json!({"metadata": {"namespace": "n", "name": "s"}, "spec": spec})).unwrap()
    }

    fn slice(ports: Value, endpoints: Value) -> EndpointSlice {
        from_value(json!({
            "metadata": {"namespace": "n", "name": "s-x", "labels": {SERVICE_NAME_LABEL: "s"}},
            "addressType": "IPv4", "ports": ports, "endpoints": endpoints,
        }))
        .unwrap()
    }

    /// `address:port/protocol -> endpoint endpoint` per port.
    fn check(service: Service, slices: &[EndpointSlice], expected: &[&str]) {
        let lines: Vec<String> = service_ports(&[service], slices, "here")
            .iter()
            .map(|port| {
                let ends: Vec<String> = port.endpoints.iter().map(ToString::to_string).collect();
                format!("{}:{}/{:?} -> {}", port.address, port.port, port.protocol, ends.join(" "))
            })
            .collect();
        assert_eq!(lines, expected);
    }

    fn endpoint(address: &str, ready: bool, serving: bool, terminating: bool) -> Value {
        let conditions = json!({"ready": ready, "serving": serving, "terminating": terminating});
        json!({"addresses": [address], "conditions": conditions})
    }

    #[test]
    fn ready_endpoints_answer() {
        let spec = json!({"clusterIPs": ["10.96.0.9"], "ports": [{"port": 80}]});
        let slice = slice(
            json!([{"port": 8080}]),
            json!([endpoint("10.244.0.3", true, true, false), endpoint("10.244.0.2", true, true, false),
                   endpoint("10.244.0.4", false, false, false), {"addresses": ["10.244.0.5"]}]),
        );
        check(
            service(spec),
            &[slice],
            &["10.96.0.9:80/Tcp -> 10.244.0.2:8080 10.244.0.3:8080 10.244.0.5:8080"],
        );
    }

    #[test]
    fn terminating_endpoints_answer_only_when_alone() {
        let spec = || json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80}]});
        let terminating = endpoint("10.244.0.2", false, true, true);
        let alone = slice(json!([{"port": 80}]), json!([terminating]));
        check(service(spec()), &[alone], &["10.96.0.9:80/Tcp -> 10.244.0.2:80"]);
        let ready = endpoint("10.244.0.3", true, true, false);
        let both = slice(json!([{"port": 80}]), json!([terminating, ready]));
        check(service(spec()), &[both], &["10.96.0.9:80/Tcp -> 10.244.0.3:80"]);
    }

    #[test]
    fn local_traffic_stays_on_the_node() {
        let on = |node: &str, address: &str| json!({"addresses": [address], "nodeName": node});
        let spec = |policy: &str| {
            json!({"clusterIP": "10.96.0.9", "internalTrafficPolicy": policy,
                "ports": [{"port": 80}]})
        };
        let endpoints = json!([on("here", "10.244.0.2"), on("there", "10.244.1.2")]);
        let both = [slice(json!([{"port": 80}]), endpoints)];
        let local = service(spec("Local"));
        check(local.clone(), &both, &["10.96.0.9:80/Tcp -> 10.244.0.2:80"]);
        let all = "10.96.0.9:80/Tcp -> 10.244.0.2:80 10.244.1.2:80";
        check(service(spec("Cluster")), &both, &[all]);
        let elsewhere = slice(json!([{"port": 80}]), json!([on("there", "10.244.1.2")]));
        check(local, &[elsewhere], &["10.96.0.9:80/Tcp -> "]);
    }

    #[test]
    fn ports_match_by_name() {
        let spec = json!({"clusterIPs": ["10.96.0.9"], "ports": [
            {"name": "web", "port": 80}, {"name": "dns", "port": 53, "protocol": "UDP"},
            {"name": "none", "port": 81}]});
        let ports = json!([{"name": "dns", "port": 5353}, {"name": "web", "port": 8080}]);
        let slice = slice(ports, json!([endpoint("10.244.0.2", true, true, false)]));
        check(
            service(spec),
            &[slice],
            &[
                "10.96.0.9:80/Tcp -> 10.244.0.2:8080",
                "10.96.0.9:53/Udp -> 10.244.0.2:5353",
                "10.96.0.9:81/Tcp -> ",
            ],
        );
    }

    #[test]
    fn headless_services_have_no_address() {
        let spec = json!({"clusterIP": "None", "clusterIPs": ["None"], "ports": [{"port": 80}]});
        check(service(spec), &[], &[]);
        check(service(json!({"type": "ExternalName", "externalName": "x.example"})), &[], &[]);
    }
}
