//! Which pods stand behind a Service, and under which ports: what Endpoints and EndpointSlices have
//! in common.

use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use k8s_openapi::api::core::v1::{Pod, Service, ServicePort};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kd_client::{Change, Key, Object, Resource, View, resources, selects_all};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::Target;
use crate::controller::shared;

/// Labels that the controllers put on what they make, and users' Services may not carry over.
pub const HEADLESS: &str = "service.kubernetes.io/headless";

#[derive(Default, Deserialize)]
#[serde(default)]
struct ServiceHead {
    spec: SpecHead,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct SpecHead {
    selector: BTreeMap<String, String>,
}

/// A pod behind a Service.
pub struct Backend {
    /// The object.
    pub object: Arc<Object>,
    /// The pod.
    pub pod: Pod,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Whether its Ready condition holds.
    pub ready: bool,
}

impl Backend {
    /// Its first address of a family.
    pub fn address(&self, ipv6: bool) -> Option<IpAddr> {
        self.addresses.iter().copied().find(|address| address.is_ipv6() == ipv6)
    }

    /// Its host name, when it is one of this Service's named pods.
    pub fn hostname(&self, service: &str) -> Option<&str> {
        let spec = self.pod.spec.as_ref()?;
        let hostname = spec.hostname.as_deref().filter(|name| !name.is_empty())?;
        (spec.subdomain.as_deref() == Some(service)).then_some(hostname)
    }

    /// The reference to it.
    pub fn target(&self) -> Value {
        let metadata = &self.object.metadata;
        json!({"kind": "Pod", "namespace": metadata.namespace, "name": metadata.name,
            "uid": metadata.uid})
    }

    /// The number of the pod's port that a Service's port leads to; None when the pod has no port of
    /// that name.
    pub fn port(&self, port: &ServicePort) -> Option<i32> {
        match &port.target_port {
            None => Some(port.port),
            Some(IntOrString::Int(0)) => Some(port.port),
            Some(IntOrString::Int(number)) => Some(*number),
            Some(IntOrString::String(name)) => self.named_port(name, protocol(port)),
        }
    }

    fn named_port(&self, name: &str, wanted: &str) -> Option<i32> {
        let spec = self.pod.spec.as_ref()?;
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
        let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
        let mut matching = ports.filter(|p| {
            p.name.as_deref() == Some(name) && p.protocol.as_deref().unwrap_or("TCP") == wanted
        });
        matching.next().map(|p| p.container_port)
    }
}

/// The protocol of a Service's port.
pub fn protocol(port: &ServicePort) -> &str {
    port.protocol.as_deref().unwrap_or("TCP")
}

/// The Services that a change of a pod, of a Service or of an object named by `service_of` concerns.
pub fn concerned_services(
    view: &View,
    change: &Change,
    own: &Resource,
    service_of: impl Fn(&Object) -> Option<String>,
) -> Vec<Target> {
    let Some(object) = change.object() else { return Vec::new() };
    let services = shared(&resources::SERVICES);
    let namespace = &object.metadata.namespace;
    if change.resource.same(&services) {
        return vec![Target::of(&services, object)];
    }
    if change.resource.same(own) {
        let name = service_of(object);
        let target = name.map(|name| Target::new(&services, Key::new(namespace, &name)));
        return target.into_iter().collect();
    }
    if !change.resource.same(&resources::PODS) {
        return Vec::new();
    }
    let states: Vec<&Arc<Object>> = change.old.iter().chain(&change.new).collect();
    let concerned = view.objects(&services, Some(namespace)).filter(|service| {
        let head = service.derived(|service| service.decode::<ServiceHead>().unwrap_or_default());
        let selector = &head.spec.selector;
        !selector.is_empty() && states.iter().any(|pod| selects_all(selector, &pod.metadata.labels))
    });
    concerned.map(|service| Target::of(&services, service)).collect()
}

/// The pods behind a Service that have an address and have not ended; None without a selector.
pub fn backends(view: &View, service: &Service) -> Option<Vec<Backend>> {
    let spec = service.spec.as_ref()?;
    let selector = spec.selector.as_ref().filter(|s| !s.is_empty())?;
    if spec.type_.as_deref() == Some("ExternalName") {
        return None;
    }
    let namespace = service.metadata.namespace.as_deref();
    let pods = view.objects(&resources::PODS, namespace);
    let selected = pods.filter(|pod| selects_all(selector, &pod.metadata.labels));
    Some(selected.filter_map(backend).collect())
}

fn backend(object: &Arc<Object>) -> Option<Backend> {
    let pod: Pod = object.decode()?;
    let status = pod.status.as_ref()?;
    let ended = matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"));
    let conditions = status.conditions.as_deref().unwrap_or_default();
    let ready = conditions.iter().any(|c| c.type_ == "Ready" && c.status == "True");
    let list = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
    let mut addresses: Vec<IpAddr> = list.filter_map(|ip| ip.parse().ok()).collect();
    if addresses.is_empty() {
        addresses.extend(status.pod_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()));
    }
    let usable = !ended && !addresses.is_empty();
    usable.then(|| Backend { object: object.clone(), addresses, ready, pod })
}

/// Whether a Service has no address of its own.
pub fn is_headless(service: &Service) -> bool {
    let spec = service.spec.as_ref();
    spec.and_then(|s| s.cluster_ip.as_deref()) == Some("None")
}

/// Whether a Service lists pods whether or not they are ready.
pub fn publishes_not_ready(service: &Service) -> bool {
    service.spec.as_ref().and_then(|s| s.publish_not_ready_addresses) == Some(true)
}
