//! From `nodes/proxy`, `pods/proxy` and `services/proxy` to an address.

use std::net::IpAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use kd_api::Status;
use rustls::ClientConfig;
use serde_json::Value;

use super::forward::{Destination, Security};
use crate::connect::ConnectRequest;
use crate::request::{Reader, RequestInfo};
use crate::webhook::{ready_endpoints, service_port};

/// Where kubelets serve when a node does not say.
const KUBELET_PORT: u16 = 10250;

/// A proxy's `[scheme:]name[:port]`.
#[derive(Debug, PartialEq)]
struct Named<'a> {
    scheme: &'a str,
    port: &'a str,
}

/// The error names what was asked for: a pod, a service, a node.
fn parse<'a>(name: &'a str, what: &str) -> Result<Named<'a>, Status> {
    let named = match name.split(':').collect::<Vec<_>>().as_slice() {
        [name] => Some((*name, Named { scheme: "", port: "" })),
        [name, port] => Some((*name, Named { scheme: "", port })),
        [scheme, name, port] => Some((*name, Named { scheme, port })),
        _ => None,
    };
    let valid = |(name, named): &(&str, Named<'_>)| {
        !name.is_empty() && matches!(named.scheme, "" | "http" | "https")
    };
    let named = named.filter(valid).map(|(_, named)| named);
    named.ok_or_else(|| Status::bad_request(format!("invalid {what} request {name:?}")))
}

/// A node's kubelet, reached as this server reaches it for logs; or another of its ports.
pub(super) fn node(
    request: &ConnectRequest,
    kubelets: &Arc<ClientConfig>,
    unverified: &Arc<ClientConfig>,
) -> Result<Destination, Status> {
    let named = parse(&request.info.name, "node")?;
    let (address, kubelet_port) = node_address(&request.object)?;
    let name = text(&request.object, "/metadata/name").to_owned();
    let port = match named.port {
        "" => kubelet_port,
        port => number(port)?,
    };
    let security = match port == kubelet_port {
        true => Security::Tls { name, config: kubelets.clone() },
        false => security(named.scheme, address, unverified),
    };
    Ok(Destination { address, port, security, path: path(request), keeps_host: true })
}

/// A pod, at the named port or the first that it declares.
pub(super) fn pod(
    request: &ConnectRequest,
    unverified: &Arc<ClientConfig>,
) -> Result<Destination, Status> {
    let named = parse(&request.info.name, "pod")?;
    let pod = &*request.object;
    let not_allowed = || Status::bad_request("address not allowed");
    let address = address(text(pod, "/status/podIP")).filter(is_proxyable);
    let address = address.ok_or_else(not_allowed)?;
    let declared = |port: &Value| port["containerPort"].as_u64();
    let port = match named.port {
        "" => container_ports(pod).find_map(declared).unwrap_or(match named.scheme {
            "https" => 443,
            _ => 80,
        }),
        port if port.parse::<u16>().is_ok() => number(port)?.into(),
        port => container_ports(pod)
            .find(|p| p["name"] == port)
            .and_then(declared)
            .ok_or_else(|| Status::bad_request(format!("pod has no port named {port:?}")))?,
    };
    let port = u16::try_from(port).map_err(|_| not_allowed())?;
    let security = security(named.scheme, address, unverified);
    Ok(Destination { address, port, security, path: path(request), keeps_host: true })
}

/// Nobody reaches this server's own loopback through it.
fn is_proxyable(address: &IpAddr) -> bool {
    let link_local = match address {
        IpAddr::V4(address) => address.is_link_local() || address.is_broadcast(),
        IpAddr::V6(address) => address.is_unicast_link_local(),
    };
    !(address.is_loopback() || address.is_unspecified() || address.is_multicast() || link_local)
}

/// One ready endpoint of a service's port.
pub(super) fn service(
    request: &ConnectRequest,
    reader: &dyn Reader,
    unverified: &Arc<ClientConfig>,
) -> Result<Destination, Status> {
    let named = parse(&request.info.name, "service")?;
    let name = text(&request.object, "/metadata/name");
    let port_name = match service_port(&request.object, named.port) {
        Some(port_name) => port_name,
        None if named.port.parse::<u64>().is_ok() => {
            return Err(Status::unavailable(format!(
                "no service port {} found for service {name:?}",
                named.port
            )));
        }
        // An endpoint may have a port of a name that its service has not.
        None => named.port,
    };
    let endpoints = ready_endpoints(reader, &request.info.namespace, name, port_name);
    static TURN: AtomicUsize = AtomicUsize::new(0);
    let turn = TURN.fetch_add(1, Ordering::Relaxed).checked_rem(endpoints.len());
    let endpoint = turn.map(|turn| endpoints[turn]).ok_or_else(|| {
        Status::unavailable(format!("no endpoints available for service {name:?}"))
    })?;
    let (address, port) = (endpoint.ip(), endpoint.port());
    let security = security(named.scheme, address, unverified);
    Ok(Destination { address, port, security, path: path(request), keeps_host: true })
}

fn security(scheme: &str, address: IpAddr, unverified: &Arc<ClientConfig>) -> Security {
    match scheme {
        "https" => Security::Tls { name: address.to_string(), config: unverified.clone() },
        _ => Security::Plain,
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

/// Splits a path behind `/proxy`. What follows is "" or begins with a slash, and stays as the client
/// wrote it.
pub(super) fn split_path<'a>(info: &RequestInfo, path: &'a str) -> (&'a str, &'a str) {
    // /api/v1/namespaces/<namespace>/services/<name>/proxy, /api/v1/nodes/<name>/proxy
    let segments = if info.namespace.is_empty() { 5 } else { 7 };
    let slashes = path.match_indices('/').map(|(index, _)| index);
    path.split_at(slashes.skip(1).nth(segments - 1).unwrap_or(path.len()))
}

/// What follows `/proxy`, with the query.
fn path(request: &ConnectRequest) -> String {
    let uri = request.request.uri();
    let (_, rest) = split_path(&request.info, uri.path());
    let rest = if rest.is_empty() { "/" } else { rest };
    match uri.query() {
        Some(query) => format!("{rest}?{query}"),
        None => rest.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn names_hold_scheme_and_port() {
        let check = |name: &str, expect: Result<(&str, &str), &str>| {
            let got = parse(name, "service").map(|named| (named.scheme, named.port));
            assert_eq!(got.map_err(|status| status.message), expect.map_err(str::to_owned));
        };
        check("https:web:443", Ok(("https", "443")));
        check("web:http", Ok(("", "http")));
        check("web", Ok(("", "")));
        check("http:web:", Ok(("http", "")));
        check("ftp:web:1", Err("invalid service request \"ftp:web:1\""));
        check(":80", Err("invalid service request \":80\""));
        check("a:b:c:d", Err("invalid service request \"a:b:c:d\""));
    }

    #[test]
    fn paths_stay_as_they_are_written() {
        let info =
            |namespace: &str| RequestInfo { namespace: namespace.into(), ..RequestInfo::default() };
        let check = |namespace: &str, path: &str, expect: (&str, &str)| {
            assert_eq!(split_path(&info(namespace), path), expect);
        };
        let service = "/api/v1/namespaces/a/services/s:80/proxy";
        check("a", service, (service, ""));
        check("a", &format!("{service}/"), (service, "/"));
        check("a", &format!("{service}/x//y%2Fz/"), (service, "/x//y%2Fz/"));
        check("", "/api/v1/nodes/n/proxy/metrics", ("/api/v1/nodes/n/proxy", "/metrics"));
    }

    #[test]
    fn loopback_is_no_pod() {
        for (address, expect) in
            [("10.244.0.5", true), ("127.0.0.1", false), ("::1", false), ("169.254.1.1", false)]
        {
            assert_eq!(is_proxyable(&address.parse().unwrap()), expect, "{address}");
        }
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
