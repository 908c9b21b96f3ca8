//! Services and EndpointSlices: who answers at a Service's port.

use std::collections::{BTreeSet, HashMap};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http::StatusCode;
use k8s_openapi::api::core::v1::{Service, ServicePort};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kd_client::{Key, Object, View, resources};

use crate::route::{Backend, External, Protocol};

/// Ties a slice to its Service.
pub(crate) const SERVICE_NAME_LABEL: &str = "kubernetes.io/service-name";

/// How a rule names a Service's port.
#[derive(Clone, Copy, Debug)]
pub(crate) enum PortName<'a> {
    Name(&'a str),
    Number(u16),
}

/// Why there is no backend.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// The Service is not there.
    Service,
    /// It has no such port.
    Port,
}

/// The Services of one View.
pub(crate) struct Services<'a> {
    view: &'a View,
    slices: HashMap<Key, Vec<&'a Arc<Object>>>,
    asked: BTreeSet<Key>,
}

impl<'a> Services<'a> {
    pub(crate) fn new(view: &'a View) -> Services<'a> {
        let mut slices: HashMap<Key, Vec<&Arc<Object>>> = HashMap::new();
        for slice in view.objects(&resources::ENDPOINT_SLICES, None) {
            if let Some(service) = service_of(slice) {
                slices.entry(service).or_default().push(slice);
            }
        }
        Services { view, slices, asked: BTreeSet::new() }
    }

    /// The Services that were asked for: the table is about these.
    pub(crate) fn asked(self) -> BTreeSet<Key> {
        self.asked
    }

    /// The backend behind a Service's port.
    pub(crate) fn backend(&mut self, key: &Key, port: PortName<'_>) -> Result<Backend, Missing> {
        self.asked.insert(key.clone());
        let service: Service = self.view.get(&key.namespace, &key.name).ok_or(Missing::Service)?;
        let spec = service.spec.unwrap_or_default();
        let ports = spec.ports.unwrap_or_default();
        let wanted = |candidate: &&ServicePort| match port {
            PortName::Name(name) => candidate.name.as_deref() == Some(name),
            PortName::Number(number) => candidate.port == i32::from(number),
        };
        let found = ports.iter().find(wanted);
        if spec.type_.as_deref() == Some("ExternalName") {
            let name = spec.external_name.unwrap_or_default();
            return external(&name, port, &ports, found).ok_or(Missing::Port);
        }
        let port = found.ok_or(Missing::Port)?;
        let slices = self.slices.get(key).into_iter().flatten();
        let slices: Vec<EndpointSlice> = slices.filter_map(|slice| slice.decode()).collect();
        let endpoints = endpoints(port.name.as_deref().unwrap_or_default(), &slices);
        let mut hasher = DefaultHasher::new();
        (key, port.port).hash(&mut hasher);
        let turn = usize::try_from(hasher.finish() % TURNS as u64).unwrap_or(0);
        Ok(Backend { turn, protocol: protocol(port), endpoints, external: None })
    }
}

/// The backend of a Service that is only a name. Its ports need not be listed: a number is one then.
fn external(
    name: &str,
    asked: PortName<'_>,
    ports: &[ServicePort],
    found: Option<&ServicePort>,
) -> Option<Backend> {
    let (number, protocol) = match (found, asked) {
        (Some(port), _) => {
            let target = match &port.target_port {
                Some(IntOrString::Int(target)) => *target,
                _ => port.port,
            };
            (u16::try_from(target).ok()?, protocol(port))
        }
        (None, PortName::Number(number)) if ports.is_empty() => (number, Protocol::default()),
        (None, _) => return None,
    };
    let name = name.trim_end_matches('.').into();
    let external = Some(External { name, port: number });
    Some(Backend { turn: 0, protocol, endpoints: Vec::new(), external })
}

/// Counters of turns; Services share them.
pub(crate) const TURNS: usize = 1024;

/// What is answered when there is no backend.
pub(crate) const NO_BACKEND: StatusCode = StatusCode::SERVICE_UNAVAILABLE;

/// The Service of a slice.
pub(crate) fn service_of(slice: &Object) -> Option<Key> {
    let name = slice.metadata.labels.get(SERVICE_NAME_LABEL)?;
    Some(Key::new(&slice.metadata.namespace, name))
}

/// Ready endpoints; where there are none, those that still serve while they terminate.
fn endpoints(port: &str, slices: &[EndpointSlice]) -> Vec<SocketAddr> {
    let (mut ready, mut last) = (BTreeSet::new(), BTreeSet::new());
    for slice in slices {
        let ports = slice.ports.iter().flatten();
        let mut named = ports.filter(|p| p.name.as_deref().unwrap_or_default() == port);
        let number = named.find_map(|p| u16::try_from(p.port?).ok());
        let Some(number) = number else { continue };
        for endpoint in slice.endpoints.iter().flatten() {
            let address = endpoint.addresses.first().and_then(|text| text.parse::<IpAddr>().ok());
            let Some(address) = address else { continue };
            let address = SocketAddr::new(address, number);
            if is_ready(endpoint) {
                ready.insert(address);
            } else if serves_until_its_end(endpoint) {
                last.insert(address);
            }
        }
    }
    if ready.is_empty() { last } else { ready }.into_iter().collect()
}

fn is_ready(endpoint: &Endpoint) -> bool {
    endpoint.conditions.as_ref().and_then(|conditions| conditions.ready).unwrap_or(true)
}

fn serves_until_its_end(endpoint: &Endpoint) -> bool {
    let conditions = endpoint.conditions.as_ref();
    conditions.is_some_and(|c| c.serving == Some(true) && c.terminating == Some(true))
}

fn protocol(port: &ServicePort) -> Protocol {
    let name = port.app_protocol.as_deref().unwrap_or_default();
    match name.to_ascii_lowercase().as_str() {
        "kubernetes.io/h2c" | "h2c" | "grpc" => Protocol::Http2,
        "kubernetes.io/wss" | "https" => Protocol::Https,
        _ => Protocol::Http,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{object, view};

    fn check(endpoints: Value, port: PortName<'_>, expect: Result<&[&str], Missing>) {
        let view = view(&[
            object(
                "Service",
                "a",
                "s",
                json!({"spec": {"ports": [
                {"name": "web", "port": 80, "appProtocol": "kubernetes.io/h2c"},
                {"name": "none", "port": 81}]}}),
            ),
            object(
                "EndpointSlice",
                "a",
                "s-1",
                json!({
                "metadata": {"labels": {SERVICE_NAME_LABEL: "s"}}, "addressType": "IPv4",
                "ports": [{"name": "web", "port": 8080}], "endpoints": endpoints}),
            ),
        ]);
        let backend = Services::new(&view).backend(&Key::new("a", "s"), port);
        let shown =
            backend.map(|b| b.endpoints.iter().map(ToString::to_string).collect::<Vec<_>>());
        assert_eq!(shown, expect.map(|all| all.iter().map(ToString::to_string).collect()));
    }

    #[test]
    fn endpoints_of_ports() {
        let of = |last: u8, conditions: Value| json!({"addresses": [format!("10.0.0.{last}")], "conditions": conditions});
        let ready = of(3, json!({"ready": true}));
        let ending = of(2, json!({"ready": false, "serving": true, "terminating": true}));
        let both = json!([ready, ending, of(4, json!({"ready": false})), of(1, json!({}))]);
        check(both.clone(), PortName::Number(80), Ok(&["10.0.0.1:8080", "10.0.0.3:8080"]));
        check(both.clone(), PortName::Name("web"), Ok(&["10.0.0.1:8080", "10.0.0.3:8080"]));
        check(json!([ending]), PortName::Number(80), Ok(&["10.0.0.2:8080"]));
        check(both.clone(), PortName::Number(81), Ok(&[]));
        check(both, PortName::Name("x"), Err(Missing::Port));
        let none = View::default();
        let missing = Services::new(&none).backend(&Key::new("a", "t"), PortName::Number(1));
        assert_eq!(missing, Err(Missing::Service));
    }
    #[test]
    fn services_that_are_names() {
        let check = |ports: Value, port: PortName<'_>, expect: Option<(u16, Protocol)>| {
            let spec =
                json!({"type": "ExternalName", "externalName": "x.example.", "ports": ports});
            let view = view(&[object("Service", "a", "s", json!({"spec": spec}))]);
            let found = Services::new(&view).backend(&Key::new("a", "s"), port);
            let found = found.map(|backend| (backend.external.unwrap(), backend.protocol));
            let expect = expect.map(|(port, protocol)| {
                let name = "x.example".into();
                (External { name, port }, protocol)
            });
            assert_eq!(found, expect.ok_or(Missing::Port), "{ports} {port:?}");
        };
        let listed = json!([{"name": "web", "port": 80, "targetPort": 8080},
            {"name": "tls", "port": 443, "appProtocol": "https"}]);
        check(json!(null), PortName::Number(80), Some((80, Protocol::Http)));
        check(json!(null), PortName::Name("web"), None);
        check(listed.clone(), PortName::Name("web"), Some((8080, Protocol::Http)));
        check(listed.clone(), PortName::Number(443), Some((443, Protocol::Https)));
        check(listed, PortName::Number(81), None);
    }
}
