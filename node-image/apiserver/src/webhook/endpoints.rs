//! From a Service to the addresses behind it. This server is in its node's network, which has routes
//! to all pods, so it goes to the endpoints themselves and waits for no service rules.

use std::net::{IpAddr, SocketAddr};

use kd_api::Object;
use serde_json::Value;

use crate::request::Reader;

const SERVICE_NAME: &str = "kubernetes.io/service-name";

/// Why a Service leads nowhere.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub(crate) enum ServiceError {
    /// There is no such Service.
    #[error("service {0:?} not found")]
    NotFound(String),
    /// It has no such port.
    #[error("no service port {port} found for service {name:?}")]
    NoPort {
        /// The Service.
        name: String,
        /// What was asked for.
        port: String,
    },
    /// Nothing behind it is ready.
    #[error("no endpoints available for service {0:?}")]
    NoEndpoints(String),
}

/// Where a Service's port leads: the ready endpoints, or the name of an external host.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Endpoints {
    Addresses(Vec<SocketAddr>),
    External(String, u16),
}

/// Where the numbered port of a Service leads.
pub(crate) fn service_endpoints(
    reader: &dyn Reader,
    namespace: &str,
    name: &str,
    port: u16,
) -> Result<Endpoints, ServiceError> {
    let service = reader.get("", "services", namespace, name);
    let service = service.ok_or_else(|| ServiceError::NotFound(name.into()))?;
    if service.str_at(&["spec", "type"]) == "ExternalName" {
        return Ok(Endpoints::External(service.str_at(&["spec", "externalName"]).into(), port));
    }
    let wanted = port.to_string();
    let port_name = service_port(&service, &wanted)
        .ok_or_else(|| ServiceError::NoPort { name: name.into(), port: wanted.clone() })?;
    match ready_endpoints(reader, namespace, name, port_name) {
        none if none.is_empty() => Err(ServiceError::NoEndpoints(name.into())),
        addresses => Ok(Endpoints::Addresses(addresses)),
    }
}

/// The name of the service port meant: by name, by number, or ("") the only one.
pub(crate) fn service_port<'a>(service: &'a Value, wanted: &str) -> Option<&'a str> {
    let ports = service.list_at(&["spec", "ports"]);
    let number = wanted.parse::<i64>().ok();
    let found = match wanted {
        "" => ports.first().filter(|_| ports.len() == 1),
        wanted => ports.iter().find(|port| {
            port.str_at(&["name"]) == wanted
                || (number.is_some() && port.i64_at(&["port"]) == number)
        }),
    };
    found.map(|port| port.str_at(&["name"]))
}

/// The ready endpoints of a Service for the port of this name.
pub(crate) fn ready_endpoints(
    reader: &dyn Reader,
    namespace: &str,
    service: &str,
    port_name: &str,
) -> Vec<SocketAddr> {
    let slices = reader.list("discovery.k8s.io", "endpointslices", Some(namespace));
    let own = slices.iter().filter(|slice| slice.label(SERVICE_NAME) == Some(service));
    own.flat_map(|slice| ready(slice, port_name)).collect()
}

fn ready(slice: &Value, port_name: &str) -> Vec<SocketAddr> {
    let mut ports = slice.list_at(&["ports"]).iter();
    let port = ports.find(|port| port.str_at(&["name"]) == port_name);
    let port = port.and_then(|port| u16::try_from(port.i64_at(&["port"])?).ok());
    let Some(port) = port else { return Vec::new() };
    let endpoints = slice.list_at(&["endpoints"]).iter();
    endpoints
        .filter(|endpoint| endpoint["conditions"]["ready"] != false)
        .filter_map(|endpoint| endpoint["addresses"][0].as_str()?.parse::<IpAddr>().ok())
        .map(|address| SocketAddr::new(address, port))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::FakeReader;
    use serde_json::json;

    #[test]
    fn service_ports_by_name_number_or_alone() {
        let two =
            json!({"spec": {"ports": [{"name": "a", "port": 80}, {"name": "b", "port": 81}]}});
        assert_eq!(service_port(&two, "b"), Some("b"));
        assert_eq!(service_port(&two, "80"), Some("a"));
        assert_eq!(service_port(&two, ""), None);
        assert_eq!(service_port(&json!({"spec": {"ports": [{"port": 80}]}}), ""), Some(""));
    }

    #[test]
    fn only_ready_endpoints_answer() {
        let reader = FakeReader::with([
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s", "namespace": "ns"},
                "spec": {"ports": [{"name": "a", "port": 443}, {"name": "b", "port": 80}]}}),
            json!({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x", "namespace": "ns"},
                "spec": {"type": "ExternalName", "externalName": "example.com"}}),
            json!({"apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
                "metadata": {"name": "s-1", "namespace": "ns", "labels": {SERVICE_NAME: "s"}},
                "ports": [{"name": "a", "port": 8443}],
                "endpoints": [{"addresses": ["10.0.0.1"], "conditions": {"ready": false}},
                    {"addresses": ["10.0.0.2"], "conditions": {"ready": true}},
                    {"addresses": ["10.0.0.3"]}]}),
        ]);
        let check = |name: &str, port: u16, expect: &str| {
            let got = match service_endpoints(&*reader, "ns", name, port) {
                Ok(endpoints) => format!("{endpoints:?}"),
                Err(error) => error.to_string(),
            };
            assert_eq!(got, expect);
        };
        check("s", 443, "Addresses([10.0.0.2:8443, 10.0.0.3:8443])");
        check("s", 80, "no endpoints available for service \"s\"");
        check("s", 81, "no service port 81 found for service \"s\"");
        check("no", 443, "service \"no\" not found");
        check("x", 443, "External(\"example.com\", 443)");
    }
}
