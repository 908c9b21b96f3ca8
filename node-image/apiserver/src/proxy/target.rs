//! From `nodes/proxy`, `pods/proxy` and `services/proxy` to an address.

use std::net::IpAddr;
use std::sync::Arc;

use kd_api::Status;
use percent_encoding::{AsciiSet, CONTROLS, utf8_percent_encode};
use rustls::ClientConfig;
use serde_json::Value;

use super::forward::{Destination, Security};
use crate::connect::ConnectRequest;
use crate::request::Reader;
use crate::webhook::{ready_endpoints, service_port};

/// Where kubelets serve when a node does not say.
const KUBELET_PORT: u16 = 10250;
/// What a path must not hold as it is.
const IN_PATH: &AsciiSet = &CONTROLS.add(b' ').add(b'"').add(b'#').add(b'<').add(b'>').add(b'?');

/// A proxy's `[scheme:]name[:port]`.
#[derive(Debug, PartialEq)]
struct Named<'a> {
    scheme: &'a str,
    port: &'a str,
}

fn parse(name: &str) -> Named<'_> {
    match name.split(':').collect::<Vec<_>>().as_slice() {
        [scheme, _, port] => Named { scheme, port },
        [_, port] => Named { scheme: "", port },
        _ => Named { scheme: "", port: "" },
    }
}

/// A node's kubelet, reached as this server reaches it for logs.
pub(super) fn node(
    request: &ConnectRequest,
    kubelets: &Arc<ClientConfig>,
) -> Result<Destination, Status> {
    let named = parse(&request.info.name);
    let (address, kubelet_port) = node_address(&request.object)?;
    let name = text(&request.object, "/metadata/name").to_owned();
    let port = match named.port {
        "" => kubelet_port,
        port => number(port)?,
    };
    let security = match port == kubelet_port {
        true => Security::Tls { name, config: kubelets.clone() },
        false => Security::Plain,
    };
    Ok(Destination { address, port, security, path: path(request) })
}

/// A pod, at the named port or the first that it declares.
pub(super) fn pod(
    request: &ConnectRequest,
    unverified: &Arc<ClientConfig>,
) -> Result<Destination, Status> {
    let named = parse(&request.info.name);
    let pod = &*request.object;
    let address = address(text(pod, "/status/podIP"))
        .ok_or_else(|| Status::bad_request("address not allowed"))?;
    let port = match named.port {
        "" => container_ports(pod).next().and_then(|p| p["containerPort"].as_u64()).unwrap_or(80),
        port if port.parse::<u16>().is_ok() => number(port)?.into(),
        port => container_ports(pod)
            .find(|p| p["name"] == port)
            .and_then(|p| p["containerPort"].as_u64())
            .ok_or_else(|| Status::bad_request(format!("pod has no port named {port:?}")))?,
    };
    let port = u16::try_from(port).map_err(|_| Status::bad_request("address not allowed"))?;
    let security = security(named.scheme, address, unverified)?;
    Ok(Destination { address, port, security, path: path(request) })
}

/// One ready endpoint of a service's port.
pub(super) fn service(
    request: &ConnectRequest,
    reader: &dyn Reader,
    unverified: &Arc<ClientConfig>,
) -> Result<Destination, Status> {
    let named = parse(&request.info.name);
    let name = text(&request.object, "/metadata/name");
    let port_name = service_port(&request.object, named.port).ok_or_else(|| {
        Status::unavailable(format!("no service port {:?} found for service {name:?}", named.port))
    })?;
    let endpoints = ready_endpoints(reader, &request.info.namespace, name, port_name);
    let endpoint = endpoints.first().ok_or_else(|| {
        Status::unavailable(format!("no endpoints available for service {name:?}"))
    })?;
    let (address, port) = (endpoint.ip(), endpoint.port());
    let security = security(named.scheme, address, unverified)?;
    Ok(Destination { address, port, security, path: path(request) })
}

fn security(
    scheme: &str,
    address: IpAddr,
    unverified: &Arc<ClientConfig>,
) -> Result<Security, Status> {
    match scheme {
        "" | "http" => Ok(Security::Plain),
        "https" => Ok(Security::Tls { name: address.to_string(), config: unverified.clone() }),
        other => Err(Status::bad_request(format!("invalid proxy scheme {other:?}"))),
    }
}

/// A node's internal address and its kubelet's port.
pub(super) fn node_address(node: &Value) -> Result<(IpAddr, u16), Status> {
    let addresses = node.pointer("/status/addresses").and_then(Value::as_array);
    let of_type = |wanted: &str| {
        addresses?
            .iter()
            .filter(|a| a["type"] == wanted)
            .find_map(|a| address(a["address"].as_str()?))
    };
    let found = of_type("InternalIP").or_else(|| of_type("ExternalIP")).ok_or_else(|| {
        Status::internal(format!(
            "no preferred addresses found on node {}",
            text(node, "/metadata/name")
        ))
    })?;
    let port = node.pointer("/status/daemonEndpoints/kubeletEndpoint/Port").and_then(Value::as_u64);
    let port = port.and_then(|port| u16::try_from(port).ok()).filter(|port| *port != 0);
    Ok((found, port.unwrap_or(KUBELET_PORT)))
}

fn container_ports(pod: &Value) -> impl Iterator<Item = &Value> {
    let containers = pod.pointer("/spec/containers").and_then(Value::as_array);
    containers.into_iter().flatten().filter_map(|c| c["ports"].as_array()).flatten()
}

fn number(port: &str) -> Result<u16, Status> {
    port.parse().map_err(|_| Status::bad_request(format!("{port:?} is not a port number")))
}

fn address(text: &str) -> Option<IpAddr> {
    text.parse().ok()
}

fn text<'a>(object: &'a Value, pointer: &str) -> &'a str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}

/// What follows `/proxy`, with the query.
fn path(request: &ConnectRequest) -> String {
    let rest = utf8_percent_encode(&request.info.rest, IN_PATH);
    let slash =
        if request.info.path.ends_with('/') && !request.info.rest.is_empty() { "/" } else { "" };
    let slash = if request.info.rest.ends_with('/') { "" } else { slash };
    match request.request.uri().query() {
        Some(query) => format!("/{rest}{slash}?{query}"),
        None => format!("/{rest}{slash}"),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_hold_scheme_and_port() {
        assert_eq!(parse("https:web:443"), Named { scheme: "https", port: "443" });
        assert_eq!(parse("web:http"), Named { scheme: "", port: "http" });
        assert_eq!(parse("web"), Named { scheme: "", port: "" });
    }

    #[test]
    fn nodes_say_where_their_kubelet_is() {
        let node = json!({"status": {
            "addresses": [{"type": "Hostname", "address": "n"}, {"type": "InternalIP", "address": "172.18.0.2"}],
            "daemonEndpoints": {"kubeletEndpoint": {"Port": 10255}}}});
        assert_eq!(node_address(&node).unwrap(), ("172.18.0.2".parse().unwrap(), 10255));
        assert!(node_address(&json!({})).is_err());
    }
}
