//! What policies ask of a pod.

use std::collections::BTreeMap;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{ContainerPort, Pod};
use kd_network::Protocol;

/// On the mirror of a static pod: what the pod on the node is known by.
const MIRRORED: &str = "kubernetes.io/config.mirror";

/// A port of a pod that has a name.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NamedPort {
    /// Its name.
    pub name: String,
    /// Its protocol.
    pub protocol: Protocol,
    /// Its number.
    pub number: u16,
}

/// A pod on the cluster's network.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PodFacts {
    /// Its uid on its node.
    pub uid: String,
    /// Its namespace.
    pub namespace: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// The node it is bound to, or "".
    pub node: String,
    /// Its addresses.
    pub addresses: Vec<IpAddr>,
    /// Its ports that have names.
    pub ports: Vec<NamedPort>,
}

impl PodFacts {
    /// The facts of a pod; none when it is not on the cluster's network or has ended, so that its
    /// address may be another's.
    pub fn of(pod: &Pod) -> Option<PodFacts> {
        let (spec, status) = (pod.spec.as_ref()?, pod.status.clone().unwrap_or_default());
        if spec.host_network == Some(true)
            || matches!(status.phase.as_deref(), Some("Succeeded" | "Failed"))
        {
            return None;
        }
        let listed = status.pod_ips.iter().flatten().map(|ip| ip.ip.as_str());
        let mut addresses: Vec<IpAddr> = listed.filter_map(|ip| ip.parse().ok()).collect();
        if addresses.is_empty() {
            addresses.extend(status.pod_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok()));
        }
        let sidecars = spec.init_containers.iter().flatten();
        let sidecars = sidecars.filter(|c| c.restart_policy.as_deref() == Some("Always"));
        let ports = spec.containers.iter().chain(sidecars).flat_map(|c| c.ports.iter().flatten());
        Some(PodFacts {
            uid: uid(pod),
            namespace: pod.metadata.namespace.clone().unwrap_or_default(),
            labels: pod.metadata.labels.clone().unwrap_or_default(),
            node: spec.node_name.clone().unwrap_or_default(),
            addresses,
            ports: ports.filter_map(named_port).collect(),
        })
    }
}

/// The uid that the kubelet knows a pod by: a static pod's mirror has another one.
fn uid(pod: &Pod) -> String {
    let annotations = pod.metadata.annotations.as_ref();
    let mirrored = annotations.and_then(|annotations| annotations.get(MIRRORED));
    mirrored.or(pod.metadata.uid.as_ref()).cloned().unwrap_or_default()
}

fn named_port(port: &ContainerPort) -> Option<NamedPort> {
    Some(NamedPort {
        name: port.name.clone()?,
        protocol: protocol(port.protocol.as_deref())?,
        number: port.container_port.try_into().ok()?,
    })
}

/// A protocol by its name; TCP without one.
pub(super) fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{from_value, json};

    use super::*;

    #[test]
    fn who_is_on_the_network() {
        let check = |spec, phase: &str, expect: bool| {
            let pod = from_value(json!({"metadata": {"name": "p", "uid": "u"}, "spec": spec,
                "status": {"phase": phase, "podIP": "10.244.0.2"}}));
            assert_eq!(PodFacts::of(&pod.unwrap()).is_some(), expect);
        };
        check(json!({"containers": []}), "Running", true);
        check(json!({"containers": []}), "Pending", true);
        check(json!({"containers": []}), "Failed", false);
        check(json!({"containers": []}), "Succeeded", false);
        check(json!({"containers": [], "hostNetwork": true}), "Running", false);
    }

    #[test]
    fn named_ports() {
        let ports = json!([{"name": "web", "containerPort": 80}, {"containerPort": 81},
            {"name": "dns", "containerPort": 53, "protocol": "UDP"}]);
        let pod: Pod = from_value(json!({"metadata": {}, "spec": {"containers": [
            {"name": "c", "ports": ports}]}}))
        .unwrap();
        let facts = PodFacts::of(&pod).unwrap();
        let port = |name: &str, protocol, number| NamedPort { name: name.into(), protocol, number };
        let expect = [port("web", Protocol::Tcp, 80), port("dns", Protocol::Udp, 53)];
        assert_eq!(facts.ports, expect);
    }
}
