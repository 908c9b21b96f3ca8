//! Addresses for Services of type LoadBalancer: those of the nodes, whose proxies answer there. A port
//! of the nodes belongs to one Service; the one that came first keeps it. Services with a
//! loadBalancerClass are another's.

use std::collections::BTreeSet;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{
    LoadBalancerIngress, LoadBalancerStatus, Node, Service, ServiceSpec,
};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kd_client::{Change, EventType, Interest, Key, Object, View, resources};

use crate::controller::shared;
use crate::plan::event;
use crate::{Controller, Plan, Step, Target};

const SERVICE_NAME: &str = "kubernetes.io/service-name";
/// Nodes with this label get nobody's traffic from outside.
const EXCLUDED: &str = "node.kubernetes.io/exclude-from-external-load-balancers";
/// What the nodes themselves listen on: API server, kubelet, health of the proxy, DNS.
const RESERVED: [(&str, i32); 5] =
    [("TCP", 6443), ("TCP", 10250), ("TCP", 10256), ("TCP", 53), ("UDP", 53)];

pub(super) struct ServiceLoadBalancer;

impl Controller for ServiceLoadBalancer {
    fn name(&self) -> &'static str {
        "service-load-balancer-controller"
    }

    fn account(&self) -> &'static str {
        "service-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![
            Interest::full(&resources::SERVICES),
            Interest::full(&resources::NODES),
            Interest::full(&resources::ENDPOINT_SLICES),
        ]
    }

    fn targets(&self, view: &View, change: &Change) -> Vec<Target> {
        let services = shared(&resources::SERVICES);
        if change.resource.same(&resources::ENDPOINT_SLICES) {
            let slice = change.object();
            let of = |slice: &Object| {
                let name = slice.metadata.labels.get(SERVICE_NAME)?;
                Some(Target::new(&services, Key::new(&slice.metadata.namespace, name)))
            };
            return slice.and_then(|slice| of(slice)).into_iter().collect();
        }
        if change.resource.same(&resources::NODES) && !is_node_different(change) {
            return Vec::new();
        }
        // Ports and addresses are shared: one Service's change may be another's chance.
        let own = change.resource.same(&services).then(|| change.object()).flatten();
        let others = view
            .objects(&resources::SERVICES, None)
            .filter(|object| own.is_none_or(|own| concerns_others(own)) && concerns_others(object));
        own.into_iter().chain(others).map(|object| Target::of(&services, object)).collect()
    }

    fn reconcile(&self, view: &View, target: &Target, _: Timestamp) -> Plan {
        let Some(object) = view.object(&resources::SERVICES, &target.key) else {
            return Plan::nothing();
        };
        let Some(service) = object.decode::<Service>() else { return Plan::nothing() };
        if object.metadata.is_deleting() {
            return Plan::nothing();
        }
        match claim(&service) {
            Claim::Others => Plan::nothing(),
            Claim::None => set(object, service, Vec::new()),
            Claim::Ports(ports) => match conflict(view, &target.key, &ports) {
                Some(reason) => {
                    let message = format!(
                        "Error syncing load balancer: failed to ensure load balancer: {reason}"
                    );
                    let mut plan = set(object, service, Vec::new());
                    let kind = EventType::Warning;
                    let told = "SyncLoadBalancerFailed";
                    plan.events.push(event(&target.resource, object, kind, told, message));
                    plan
                }
                None => {
                    let addresses = addresses(view, &service);
                    set(object, service, addresses)
                }
            },
        }
    }
}

/// What a Service wants of the nodes.
enum Claim {
    /// Another load balancer's matter.
    Others,
    /// Nothing.
    None,
    /// These ports, by protocol and number.
    Ports(BTreeSet<(String, i32)>),
}

fn claim(service: &Service) -> Claim {
    let Some(spec) = &service.spec else { return Claim::None };
    if spec.type_.as_deref() != Some("LoadBalancer") {
        return Claim::None;
    }
    if spec.load_balancer_class.as_deref().is_some_and(|class| !class.is_empty()) {
        return Claim::Others;
    }
    let ports = spec.ports.iter().flatten();
    let key = |port: &k8s_openapi::api::core::v1::ServicePort| {
        (port.protocol.clone().unwrap_or_else(|| "TCP".into()), port.port)
    };
    Claim::Ports(ports.map(key).collect())
}

fn concerns_others(object: &Object) -> bool {
    object.decode::<Service>().is_some_and(|service| {
        matches!(claim(&service), Claim::Ports(_)) || !ingress(&service).is_empty()
    })
}

/// Why a Service cannot have its ports: one is the node's own or an older Service's.
fn conflict(view: &View, key: &Key, ports: &BTreeSet<(String, i32)>) -> Option<String> {
    let reserved = ports.iter().find(|(protocol, port)| RESERVED.contains(&(protocol, *port)));
    if let Some((protocol, port)) = reserved {
        return Some(format!("port {port}/{protocol} is used by the nodes themselves"));
    }
    let mut claims = Vec::new();
    for object in view.objects(&resources::SERVICES, None) {
        let Some(service) = object.decode::<Service>() else { continue };
        if let (Claim::Ports(ports), false) = (claim(&service), object.metadata.is_deleting()) {
            let is_new = ingress(&service).is_empty();
            claims.push(((is_new, object.metadata.creation_timestamp, object.key()), ports));
        }
    }
    claims.sort_by(|(one, _), (other, _)| one.cmp(other));
    let mut taken: Vec<((String, i32), Key)> = Vec::new();
    for ((_, _, owner), wanted) in claims {
        let clash = taken.iter().find(|(port, _)| wanted.contains(port));
        let refused =
            clash.map(|((protocol, port), by)| format!("port {port}/{protocol} is taken by {by}"));
        if owner == *key {
            return refused;
        }
        let is_reserved = wanted.iter().any(|(name, port)| RESERVED.contains(&(name, *port)));
        if refused.is_none() && !is_reserved {
            taken.extend(wanted.into_iter().map(|port| (port, owner.clone())));
        }
    }
    None
}

/// The addresses of the nodes that answer for a Service; with a local traffic policy those that have
/// endpoints.
fn addresses(view: &View, service: &Service) -> Vec<IpAddr> {
    let local = service.spec.as_ref().is_some_and(is_local);
    let serving = if local { nodes_with_endpoints(view, service) } else { BTreeSet::new() };
    let nodes: Vec<Node> = view.list(None);
    let nodes = nodes.iter().filter(|node| {
        let name = node.metadata.name.as_deref().unwrap_or_default();
        takes_traffic(node) && (!local || serving.contains(name))
    });
    let families = families(service);
    let wanted = |address: &IpAddr| families.contains(&address.is_ipv6());
    let mut addresses: Vec<IpAddr> = nodes.flat_map(node_addresses).filter(wanted).collect();
    addresses.sort_unstable();
    addresses
}

/// Whether IPv6, of each family of a Service.
fn families(service: &Service) -> Vec<bool> {
    let named = service.spec.as_ref().and_then(|spec| spec.ip_families.as_ref());
    let families: Vec<bool> = named.into_iter().flatten().map(|name| name == "IPv6").collect();
    if families.is_empty() { vec![false] } else { families }
}

fn is_local(spec: &ServiceSpec) -> bool {
    spec.external_traffic_policy.as_deref() == Some("Local")
}

fn nodes_with_endpoints(view: &View, service: &Service) -> BTreeSet<String> {
    let name = service.metadata.name.as_deref().unwrap_or_default();
    let namespace = service.metadata.namespace.as_deref();
    let slices = view
        .objects(&resources::ENDPOINT_SLICES, namespace)
        .filter(|slice| slice.metadata.labels.get(SERVICE_NAME).is_some_and(|of| of == name));
    let slices = slices.filter_map(|slice| slice.decode::<EndpointSlice>());
    let endpoints = slices.flat_map(|slice| slice.endpoints.unwrap_or_default());
    let ready = endpoints
        .filter(|e| e.conditions.as_ref().is_none_or(|conditions| conditions.ready != Some(false)));
    ready.filter_map(|endpoint| endpoint.node_name).collect()
}

fn takes_traffic(node: &Node) -> bool {
    let labels = node.metadata.labels.as_ref();
    let is_excluded = labels.is_some_and(|labels| labels.contains_key(EXCLUDED));
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let is_ready =
        conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True");
    is_ready && !is_excluded && node.metadata.deletion_timestamp.is_none()
}

fn node_addresses(node: &Node) -> Vec<IpAddr> {
    let addresses = node.status.iter().flat_map(|status| status.addresses.iter().flatten());
    let internal = addresses.filter(|address| address.type_ == "InternalIP");
    internal.filter_map(|address| address.address.parse().ok()).collect()
}

/// Heartbeats change nodes all the time, but nothing that matters here.
fn is_node_different(change: &Change) -> bool {
    let state = |object: &Option<std::sync::Arc<Object>>| {
        let node = object.as_ref()?.decode::<Node>()?;
        takes_traffic(&node).then(|| node_addresses(&node))
    };
    state(&change.old) != state(&change.new)
}

fn ingress(service: &Service) -> Vec<LoadBalancerIngress> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    status.and_then(|balancer| balancer.ingress.clone()).unwrap_or_default()
}

fn set(object: &Object, mut service: Service, addresses: Vec<IpAddr>) -> Plan {
    let of = |address: IpAddr| LoadBalancerIngress {
        ip: Some(address.to_string()),
        ip_mode: Some("VIP".into()),
        ..LoadBalancerIngress::default()
    };
    let before = ingress(&service);
    let wanted: Vec<LoadBalancerIngress> = addresses.into_iter().map(of).collect();
    if before == wanted {
        return Plan::nothing();
    }
    let is_first = before.is_empty();
    let status = service.status.get_or_insert_default();
    status.load_balancer = Some(LoadBalancerStatus { ingress: Some(wanted) });
    let step = Step::update_status(&resources::SERVICES, object.key(), &service);
    let told = event(
        &resources::SERVICES,
        object,
        EventType::Normal,
        "EnsuredLoadBalancer",
        "Ensured load balancer",
    );
    Plan::one(if is_first { step.telling(told) } else { step })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;
    use crate::testing::{body, lines, merge, object, plan, time, view};

    fn service(name: &str, port: i32, more: Value) -> Value {
        let mut service = object(
            "Service",
            "a",
            name,
            json!({"spec": {"type": "LoadBalancer", "ports": [{"port": port}]}}),
        );
        merge(&mut service, more);
        service
    }

    fn node(name: &str, address: &str, ready: &str, labels: Value) -> Value {
        object(
            "Node",
            "",
            name,
            json!({"metadata": {"labels": labels}, "status": {
                "addresses": [{"type": "InternalIP", "address": address}],
                "conditions": [{"type": "Ready", "status": ready}]}}),
        )
    }

    fn slice(service: &str, node: &str, ready: bool) -> Value {
        object(
            "EndpointSlice",
            "a",
            &format!("{service}-x"),
            json!({"metadata": {"labels": {SERVICE_NAME: service}}, "addressType": "IPv4",
                "endpoints": [{"addresses": ["10.244.0.2"], "nodeName": node,
                    "conditions": {"ready": ready}}]}),
        )
    }

    fn reconcile(objects: &[Value], name: &str) -> Plan {
        let mut all = vec![
            node("n1", "172.18.0.2", "True", json!({})),
            node("n2", "172.18.0.3", "True", json!({})),
            node("gone", "172.18.0.4", "Unknown", json!({})),
            node("out", "172.18.0.5", "True", json!({EXCLUDED: ""})),
        ];
        all.extend_from_slice(objects);
        plan(&ServiceLoadBalancer, &view(&all), &resources::SERVICES, ("a", name), 0)
    }

    /// The addresses that a Service gets; none when nothing is written.
    fn check(objects: &[Value], name: &str, expect: Option<&[&str]>) {
        let plan = reconcile(objects, name);
        let wanted = expect.map(|_| vec![format!("update services/status a/{name}")]);
        assert_eq!(lines(&plan), wanted.unwrap_or_default());
        let Some(expect) = expect else { return };
        let ingress = &body(&plan, 0)["status"]["loadBalancer"]["ingress"];
        let of = |ip: &&str| json!({"ip": ip, "ipMode": "VIP"});
        assert_eq!(*ingress, expect.iter().map(of).collect::<Value>());
    }

    fn has(address: &str) -> Value {
        json!({"status": {"loadBalancer": {"ingress": [{"ip": address, "ipMode": "VIP"}]}}})
    }

    #[test]
    fn nodes_answer() {
        let both: &[&str] = &["172.18.0.2", "172.18.0.3"];
        check(&[service("s", 80, json!({}))], "s", Some(both));
        check(&[service("s", 80, has("172.18.0.9"))], "s", Some(both));
        let local = json!({"spec": {"externalTrafficPolicy": "Local"}});
        let local = service("s", 80, local);
        check(&[local.clone(), slice("s", "n2", true)], "s", Some(&["172.18.0.3"]));
        check(&[local.clone(), slice("s", "n2", false)], "s", None);
        let class = json!({"spec": {"loadBalancerClass": "example.com/other"}});
        check(&[service("s", 80, class)], "s", None);
        check(&[service("s", 80, json!({"spec": {"type": "ClusterIP"}}))], "s", None);
        let mut changed = service("s", 80, has("172.18.0.2"));
        merge(&mut changed, json!({"spec": {"type": "ClusterIP"}}));
        check(&[changed], "s", Some(&[]));
    }

    #[test]
    fn a_port_has_one_owner() {
        let both: &[&str] = &["172.18.0.2", "172.18.0.3"];
        let first = service("first", 80, json!({}));
        let later = json!({"metadata": {"creationTimestamp": time(5)}});
        let second = service("second", 80, later.clone());
        let all = [first.clone(), second.clone()];
        check(&all, "first", Some(both));
        check(&all, "second", None);
        let events = reconcile(&all, "second").events;
        assert!(events[0].message.ends_with("port 80/TCP is taken by a/first"), "{events:?}");
        // Who has an address keeps it.
        let mut kept = second;
        merge(&mut kept, has("172.18.0.2"));
        check(&[first.clone(), kept.clone()], "first", None);
        check(&[first.clone(), kept], "second", Some(both));
        let udp = json!({"metadata": {"creationTimestamp": time(5)},
            "spec": {"ports": [{"port": 80, "protocol": "UDP"}]}});
        check(&[first.clone(), service("udp", 80, udp)], "udp", Some(both));
        check(&[service("api", 6443, json!({}))], "api", None);
    }

    #[test]
    fn heartbeats_are_nothing() {
        let of = |node: Value| {
            let bytes = serde_json::to_vec(&node).unwrap();
            let now = Timestamp::UNIX_EPOCH;
            let parsed = Object::parse(&resources::NODES, &bytes, kd_client::Keep::Full, now);
            Some(std::sync::Arc::new(parsed.unwrap()))
        };
        let check = |old: Value, new: Value, expect: bool| {
            let resource = shared(&resources::NODES);
            let change = Change { resource, old: of(old), new: of(new) };
            assert_eq!(is_node_different(&change), expect);
        };
        let ready = || node("n", "172.18.0.2", "True", json!({}));
        check(ready(), node("n", "172.18.0.2", "True", json!({"a": "b"})), false);
        check(ready(), node("n", "172.18.0.3", "True", json!({})), true);
        check(ready(), node("n", "172.18.0.2", "Unknown", json!({})), true);
    }
}
