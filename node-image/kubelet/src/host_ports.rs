//! `hostPort`: ports of the node that lead to its pods.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{ContainerPort, Pod};
use kd_network::{Family, Frontend, HostPort, Protocol, ServicePort};

use crate::kubelet::Kubelet;
use crate::pod::PodExt;

/// Makes the node's ports equal to what its pods on the network ask for.
pub(crate) async fn publish(kubelet: &Kubelet) -> kd_network::Result<()> {
    // One at a time: whoever comes later sees more.
    let network = kubelet.publishing().lock().await;
    let node = &kubelet.config().node_ips;
    let mut wanted = Vec::new();
    for entry in kubelet.pods() {
        let pod = entry.pod();
        for address in kubelet.addresses().of(pod.uid()) {
            wanted.extend(service_ports(&pod, address, node));
        }
    }
    network.set_host_ports(wanted).await
}

/// Whether a pod asks for ports of the node.
pub(crate) fn has_host_ports(pod: &Pod) -> bool {
    !pod.on_host_network() && ports(pod).next().is_some()
}

fn ports(pod: &Pod) -> impl Iterator<Item = &ContainerPort> {
    let spec = pod.spec();
    let containers = spec.containers.iter().chain(spec.init_containers.iter().flatten());
    let ports = containers.flat_map(|container| container.ports.iter().flatten());
    ports.filter(|port| port.host_port.is_some_and(|number| number > 0))
}

/// The node's ports that a pod asks for.
pub(crate) fn host_ports(pod: &Pod) -> Vec<HostPort> {
    if pod.on_host_network() {
        return Vec::new();
    }
    let number = |port: Option<i32>| port.and_then(|port| u16::try_from(port).ok());
    let asked = ports(pod).filter_map(|port| {
        let address = port.host_ip.as_deref().and_then(|ip| ip.parse::<IpAddr>().ok());
        Some(HostPort {
            address: address.filter(|ip| !ip.is_unspecified()),
            port: number(port.host_port)?,
            pod_port: number(Some(port.container_port))?,
            protocol: protocol(port),
        })
    });
    asked.collect()
}

/// The node's ports that lead to a pod at `address`: on the address that was asked for, or on all
/// of the `node` that are of the same family.
fn service_ports(pod: &Pod, address: IpAddr, node: &[IpAddr]) -> Vec<ServicePort> {
    let mut found = Vec::new();
    for port in host_ports(pod) {
        let addresses = port.address.map_or_else(|| node.to_vec(), |ip| vec![ip]);
        let same = addresses.into_iter().filter(|ip| Family::of(ip) == Family::of(&address));
        let endpoints = vec![SocketAddr::new(address, port.pod_port)];
        found.extend(same.map(|ip| {
            let frontend = Frontend::Address(ip);
            ServicePort::plain(frontend, port.port, port.protocol, endpoints.clone())
        }));
    }
    found
}

fn protocol(port: &ContainerPort) -> Protocol {
    match port.protocol.as_deref() {
        Some("UDP") => Protocol::Udp,
        Some("SCTP") => Protocol::Sctp,
        _ => Protocol::Tcp,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn ports_of_a_pod() {
        let check = |port, expect: &[&str]| {
            let spec = json!({"spec": {"containers": [{"name": "c", "ports": [port]}]}});
            let pod: Pod = serde_json::from_value(spec).unwrap();
            let node = ["172.18.0.2".parse().unwrap(), "fd00::2".parse().unwrap()];
            let of_pod = ["10.244.0.2", "fd00:1::2"].map(|ip| ip.parse().unwrap());
            let found: Vec<ServicePort> =
                of_pod.into_iter().flat_map(|ip| service_ports(&pod, ip, &node)).collect();
            let shown = found.iter().map(|p| {
                let Frontend::Address(address) = p.frontend else { panic!("{p:?}") };
                format!("{address}:{} {:?} {}", p.port, p.protocol, p.endpoints[0])
            });
            assert_eq!(shown.collect::<Vec<_>>(), expect);
        };
        check(json!({"containerPort": 80}), &[]);
        check(
            json!({"containerPort": 80, "hostPort": 8080}),
            &["172.18.0.2:8080 Tcp 10.244.0.2:80", "fd00::2:8080 Tcp [fd00:1::2]:80"],
        );
        check(
            json!({"containerPort": 53, "hostPort": 53, "hostIP": "172.18.0.9", "protocol": "UDP"}),
            &["172.18.0.9:53 Udp 10.244.0.2:53"],
        );
        check(
            json!({"containerPort": 80, "hostPort": 80, "hostIP": "0.0.0.0"}),
            &["172.18.0.2:80 Tcp 10.244.0.2:80", "fd00::2:80 Tcp [fd00:1::2]:80"],
        );
    }
}
