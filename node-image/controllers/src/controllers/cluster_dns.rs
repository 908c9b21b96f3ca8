//! The Service that pods ask for names, `kube-system/kube-dns`, and its EndpointSlice: every node
//! answers on its own address, and internalTrafficPolicy keeps a pod's questions on its node. A
//! Service with a selector is somebody's own DNS and is left alone.

use std::collections::BTreeMap;
use std::net::IpAddr;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::{Node, Service};
use k8s_openapi::api::discovery::v1::{Endpoint, EndpointSlice};
use kd_client::{Change, DeleteOptions, Interest, Keep, Key, Object, View, resources};
use serde_json::{Value, json};

use crate::claims::owner_reference;
use crate::controller::shared;
use crate::{Config, Controller, Plan, Step, Target};

const NAMESPACE: &str = "kube-system";
/// Upstream's name, which programs look for; the slice has it, too.
const NAME: &str = "kube-dns";
const MANAGED_BY: &str = "endpointslice.kubernetes.io/managed-by";
const OURS: &str = "cluster-dns-controller.kd";
const ZONE: &str = "topology.kubernetes.io/zone";
const PORT: u16 = 53;

pub(super) struct ClusterDns {
    /// The Service's address; without one there is no Service.
    address: Option<IpAddr>,
}

impl ClusterDns {
    pub(super) fn new(config: &Config) -> ClusterDns {
        ClusterDns { address: config.cluster_dns }
    }
}

impl Controller for ClusterDns {
    fn name(&self) -> &'static str {
        "cluster-dns-controller"
    }

    fn interests(&self) -> Vec<Interest> {
        let named = |resource| Interest {
            keep: Keep::Only(|metadata, _| metadata.name == NAME),
            ..Interest::full(resource)
        };
        vec![
            Interest::full(&resources::NODES),
            named(&resources::SERVICES),
            named(&resources::ENDPOINT_SLICES),
        ]
    }

    fn targets(&self, _: &View, change: &Change) -> Vec<Target> {
        let ours = |object: &Object| {
            object.metadata.name == NAME && object.metadata.namespace == NAMESPACE
        };
        let concerned = change.resource.same(&resources::NODES)
            || change.object().is_some_and(|object| ours(object));
        let target = || Target::new(&shared(&resources::SERVICES), Key::new(NAMESPACE, NAME));
        concerned.then(target).into_iter().collect()
    }

    fn reconcile(&self, view: &View, target: &Target, _: Timestamp) -> Plan {
        let Some(address) = self.address else { return Plan::nothing() };
        let Some(object) = view.object(&resources::SERVICES, &target.key) else {
            return Plan::one(Step::create(&resources::SERVICES, NAMESPACE, &service(address)));
        };
        let Some(service) = object.decode::<Service>() else { return Plan::nothing() };
        if object.metadata.is_deleting() {
            return Plan::nothing();
        }
        let existing = view.get::<EndpointSlice>(NAMESPACE, NAME).filter(is_ours);
        let has_selector =
            service.spec.and_then(|spec| spec.selector).is_some_and(|s| !s.is_empty());
        match existing {
            Some(slice) if has_selector => {
                let options = DeleteOptions::of(slice.metadata.uid.as_deref().unwrap_or_default());
                Plan::one(Step::delete(&resources::ENDPOINT_SLICES, target.key.clone(), options))
            }
            None if has_selector => Plan::nothing(),
            Some(slice) => update(view, address, slice),
            None => {
                let slice = slice(object, address, &endpoints(view, address));
                Plan::one(Step::create(&resources::ENDPOINT_SLICES, NAMESPACE, &slice))
            }
        }
    }
}

fn is_ours(slice: &EndpointSlice) -> bool {
    let labels = slice.metadata.labels.as_ref();
    labels.and_then(|labels| labels.get(MANAGED_BY)).is_some_and(|by| by == OURS)
}

fn labels() -> BTreeMap<&'static str, &'static str> {
    BTreeMap::from([
        ("k8s-app", "kube-dns"),
        ("kubernetes.io/cluster-service", "true"),
        ("kubernetes.io/name", "CoreDNS"),
    ])
}

fn service(address: IpAddr) -> Value {
    json!({
        "apiVersion": "v1", "kind": "Service",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels()},
        "spec": {
            "clusterIP": address,
            "clusterIPs": [address],
            "internalTrafficPolicy": "Local",
            "ports": [
                {"name": "dns", "port": PORT, "protocol": "UDP", "targetPort": PORT},
                {"name": "dns-tcp", "port": PORT, "protocol": "TCP", "targetPort": PORT},
            ],
        },
    })
}

fn slice(service: &Object, address: IpAddr, endpoints: &[Endpoint]) -> Value {
    let mut labels = labels();
    labels.extend([("kubernetes.io/service-name", NAME), (MANAGED_BY, OURS)]);
    json!({
        "apiVersion": "discovery.k8s.io/v1", "kind": "EndpointSlice",
        "metadata": {"name": NAME, "namespace": NAMESPACE, "labels": labels,
            "ownerReferences": [owner_reference(&resources::SERVICES, service)]},
        "addressType": if address.is_ipv6() { "IPv6" } else { "IPv4" },
        "endpoints": endpoints,
        "ports": [
            {"name": "dns", "port": PORT, "protocol": "UDP"},
            {"name": "dns-tcp", "port": PORT, "protocol": "TCP"},
        ],
    })
}

fn update(view: &View, address: IpAddr, mut slice: EndpointSlice) -> Plan {
    let endpoints = endpoints(view, address);
    if slice.endpoints.as_deref().unwrap_or_default() == endpoints {
        return Plan::nothing();
    }
    slice.endpoints = Some(endpoints);
    Plan::one(Step::update(&resources::ENDPOINT_SLICES, Key::new(NAMESPACE, NAME), &slice))
}

/// One endpoint for every node that has an address of the Service's family.
fn endpoints(view: &View, service: IpAddr) -> Vec<Endpoint> {
    let nodes: Vec<Node> = view.list(None);
    nodes.iter().filter_map(|node| endpoint(node, service.is_ipv6())).collect()
}

fn endpoint(node: &Node, ipv6: bool) -> Option<Endpoint> {
    let status = node.status.as_ref()?;
    let own = status.addresses.iter().flatten().filter(|address| address.type_ == "InternalIP");
    let mut parsed = own.filter_map(|address| address.address.parse::<IpAddr>().ok());
    let address = parsed.find(|address| address.is_ipv6() == ipv6)?;
    let mut conditions = status.conditions.iter().flatten();
    let ready = conditions.any(|c| c.type_ == "Ready" && c.status == "True");
    let zone = node.metadata.labels.as_ref().and_then(|labels| labels.get(ZONE));
    serde_json::from_value(json!({
        "addresses": [address],
        "conditions": {"ready": ready, "serving": ready, "terminating": false},
        "nodeName": node.metadata.name,
        "zone": zone,
    }))
    .ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{body, lines, merge, object, plan, view};

    fn reconcile(objects: &[Value]) -> Plan {
        let mut config = Config::new("10.244.0.0/16".parse().unwrap(), 24, "");
        config.cluster_dns = Some("10.96.0.10".parse().unwrap());
        let dns = ClusterDns::new(&config);
        plan(&dns, &view(objects), &resources::SERVICES, (NAMESPACE, NAME), 0)
    }

    fn node(name: &str, address: &str, ready: &str) -> Value {
        let addresses = json!([{"type": "Hostname", "address": name},
            {"type": "InternalIP", "address": "fd00::1"}, {"type": "InternalIP", "address": address}]);
        let conditions = json!([{"type": "Ready", "status": ready}]);
        object(
            "Node",
            "",
            name,
            json!({"status": {"addresses": addresses, "conditions": conditions}}),
        )
    }

    #[test]
    fn made_once() {
        let nodes = [node("a", "172.18.0.2", "True"), node("b", "172.18.0.3", "False")];
        let created = reconcile(&nodes);
        assert_eq!(lines(&created), ["create services kube-system/kube-dns"]);
        assert_eq!(body(&created, 0)["spec"]["clusterIP"], "10.96.0.10");
        let service = object("Service", NAMESPACE, NAME, body(&created, 0).clone());
        let mut all = vec![service];
        all.extend(nodes);
        let created = reconcile(&all);
        assert_eq!(lines(&created), ["create endpointslices kube-system/kube-dns"]);
        let endpoints = &body(&created, 0)["endpoints"];
        assert_eq!(endpoints[0]["addresses"], json!(["172.18.0.2"]));
        assert_eq!(endpoints[0]["nodeName"], "a");
        assert_eq!(endpoints[1]["conditions"]["ready"], false);
        all.push(object("EndpointSlice", NAMESPACE, NAME, body(&created, 0).clone()));
        assert!(reconcile(&all).is_empty());
        all[1] = node("a", "172.18.0.9", "True");
        let updated = reconcile(&all);
        assert_eq!(lines(&updated), ["update endpointslices kube-system/kube-dns"]);
        assert_eq!(body(&updated, 0)["endpoints"][0]["addresses"], json!(["172.18.0.9"]));
    }

    #[test]
    fn somebodys_own_dns() {
        let mut own = object("Service", NAMESPACE, NAME, service("10.96.0.10".parse().unwrap()));
        merge(&mut own, json!({"spec": {"selector": {"k8s-app": "kube-dns"}}}));
        assert!(reconcile(std::slice::from_ref(&own)).is_empty());
        let labels = json!({"metadata": {"labels": {MANAGED_BY: OURS}}, "addressType": "IPv4"});
        let slice = object("EndpointSlice", NAMESPACE, NAME, labels);
        let plan = reconcile(&[own, slice]);
        assert_eq!(lines(&plan), ["delete endpointslices kube-system/kube-dns"]);
    }

    #[test]
    fn none_without_an_address() {
        let dns = ClusterDns { address: None };
        let plan = plan(&dns, &view(&[]), &resources::SERVICES, (NAMESPACE, NAME), 0);
        assert!(plan.is_empty());
    }
}
