//! Where a Service is reached and what answers there, as one node sees it: a pure function of the
//! Service and its EndpointSlices.

use std::net::{IpAddr, SocketAddr};

use k8s_openapi::api::core::v1::{Service, ServicePort as Port, ServiceSpec};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kd_network::{Family, Frontend, Masquerade, Protocol, Refusal, ServicePort};

use crate::endpoints::{Choice, Place, choose};

/// Services with this label are another proxy's.
const OTHER_PROXY_LABEL: &str = "service.kubernetes.io/service-proxy-name";
const AFFINITY_SECONDS_DEFAULT: i32 = 10_800;

/// What a node does for one Service.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ServiceRules {
    /// Its ports.
    pub ports: Vec<ServicePort>,
    /// The port at which load balancers ask for local endpoints, and how many there are.
    pub health: Option<(u16, usize)>,
}

/// The rules of a Service, as `place` needs them.
pub fn service_rules(service: &Service, slices: &[EndpointSlice], place: &Place) -> ServiceRules {
    let labels = service.metadata.labels.as_ref();
    let is_others = labels.is_some_and(|labels| labels.contains_key(OTHER_PROXY_LABEL));
    let spec = service.spec.as_ref().filter(|spec| spec.type_.as_deref() != Some("ExternalName"));
    let (Some(spec), false) = (spec, is_others) else { return ServiceRules::default() };
    let policies = Policies::of(spec);
    let mut rules = ServiceRules::default();
    let mut local = 0;
    for port in spec.ports.iter().flatten() {
        let (Some(protocol), Ok(number)) =
            (protocol(port.protocol.as_deref()), u16::try_from(port.port))
        else {
            continue;
        };
        for family in families(spec) {
            let choice = choose(port, slices, place, family);
            local = local.max(choice.local.len());
            let shape = Shape { service, spec, port, family, number, protocol, choice, policies };
            rules.ports.extend(shape.inside());
            rules.ports.extend(shape.outside());
        }
    }
    let health = spec.health_check_node_port.and_then(|port| u16::try_from(port).ok());
    let health = health.filter(|port| *port > 0 && policies.external_local);
    rules.health = health.map(|port| (port, local));
    rules
}

/// The families that a Service is reached by; of old ones and headless ones nothing is told.
fn families(spec: &ServiceSpec) -> Vec<Family> {
    let named = spec.ip_families.iter().flatten();
    let named = named.map(|name| if name == "IPv6" { Family::V6 } else { Family::V4 });
    let named: Vec<Family> = named.collect();
    if named.is_empty() {
        let first = spec.cluster_ip.as_deref().and_then(|ip| ip.parse().ok());
        return vec![first.as_ref().map_or(Family::V4, Family::of)];
    }
    named
}

#[derive(Clone, Copy)]
struct Policies {
    internal_local: bool,
    external_local: bool,
    affinity_seconds: Option<u32>,
}

impl Policies {
    fn of(spec: &ServiceSpec) -> Policies {
        let affinity = spec.session_affinity.as_deref() == Some("ClientIP");
        let config = spec.session_affinity_config.as_ref().and_then(|c| c.client_ip.as_ref());
        let seconds = config.and_then(|c| c.timeout_seconds).unwrap_or(AFFINITY_SECONDS_DEFAULT);
        Policies {
            internal_local: spec.internal_traffic_policy.as_deref() == Some("Local"),
            external_local: spec.external_traffic_policy.as_deref() == Some("Local"),
            affinity_seconds: affinity.then(|| u32::try_from(seconds).unwrap_or(1).max(1)),
        }
    }
}

/// One port of a Service with all that decides about it.
struct Shape<'a> {
    service: &'a Service,
    spec: &'a ServiceSpec,
    port: &'a Port,
    family: Family,
    number: u16,
    protocol: Protocol,
    choice: Choice,
    policies: Policies,
}

impl Shape<'_> {
    /// The cluster's own addresses of the Service.
    fn inside(&self) -> Vec<ServicePort> {
        let listed = match &self.spec.cluster_ips {
            Some(addresses) => addresses.iter().collect::<Vec<_>>(),
            None => self.spec.cluster_ip.iter().collect(),
        };
        let endpoints = match self.policies.internal_local {
            true => &self.choice.local,
            false => &self.choice.cluster,
        };
        let of = |address| ServicePort {
            masquerade: Masquerade::Outsiders,
            ..self.at(Frontend::ClusterAddress(address), self.number, endpoints)
        };
        self.addresses(listed).map(of).collect()
    }

    /// What the world reaches it by.
    fn outside(&self) -> Vec<ServicePort> {
        let local = self.policies.external_local;
        let of = |frontend, number, sources: &[ipnet::IpNet]| ServicePort {
            for_outsiders: local.then(|| self.choice.local.clone()),
            masquerade: Masquerade::Everybody,
            sources: sources.to_vec(),
            ..self.at(frontend, number, &self.choice.cluster)
        };
        let external = self.addresses(self.spec.external_ips.iter().flatten());
        let mut found: Vec<ServicePort> =
            external.map(|a| of(Frontend::Address(a), self.number, &[])).collect();
        let sources = sources(self.spec);
        let ingress = load_balancer_addresses(self.service);
        let ingress = ingress.filter(|address| Family::of(address) == self.family);
        found.extend(ingress.map(|a| of(Frontend::Address(a), self.number, &sources)));
        let node_port = self.port.node_port.and_then(|port| u16::try_from(port).ok());
        let node_port = node_port.filter(|port| *port > 0);
        found.extend(node_port.map(|port| of(Frontend::NodePort(self.family), port, &[])));
        found
    }

    /// The addresses of this family.
    fn addresses<'t>(
        &self,
        texts: impl IntoIterator<Item = &'t String>,
    ) -> impl Iterator<Item = IpAddr> {
        let family = self.family;
        let all = texts.into_iter().filter_map(|text| text.parse().ok());
        all.filter(move |address| Family::of(address) == family)
    }

    fn at(&self, frontend: Frontend, number: u16, endpoints: &[SocketAddr]) -> ServicePort {
        ServicePort {
            affinity_seconds: self.policies.affinity_seconds,
            // Others have endpoints: a retry may reach one.
            refusal: if self.choice.any { Refusal::Drop } else { Refusal::Reject },
            ..ServicePort::plain(frontend, number, self.protocol, endpoints.to_vec())
        }
    }
}

/// The load balancer's addresses that its packets still carry when they come to a node.
fn load_balancer_addresses(service: &Service) -> impl Iterator<Item = IpAddr> {
    let status = service.status.as_ref().and_then(|status| status.load_balancer.as_ref());
    let ingress = status.into_iter().flat_map(|balancer| balancer.ingress.iter().flatten());
    let kept = ingress.filter(|ingress| ingress.ip_mode.as_deref() != Some("Proxy"));
    kept.filter_map(|ingress| ingress.ip.as_deref()?.parse().ok())
}

fn sources(spec: &ServiceSpec) -> Vec<ipnet::IpNet> {
    let ranges = spec.load_balancer_source_ranges.iter().flatten();
    ranges.filter_map(|range| range.trim().parse().ok()).collect()
}

fn protocol(name: Option<&str>) -> Option<Protocol> {
    match name {
        None | Some("TCP") => Some(Protocol::Tcp),
        Some("UDP") => Some(Protocol::Udp),
        Some("SCTP") => Some(Protocol::Sctp),
        Some(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::*;

    const LOCAL: &str = "10.244.0.2";
    const REMOTE: &str = "10.244.1.2";

    fn rules(service: Value, endpoints: &[&str]) -> ServiceRules {
        let on = |address: &&str| {
            let node = if *address == LOCAL { "here" } else { "there" };
            json!({"addresses": [address], "nodeName": node})
        };
        let endpoints: Vec<Value> = endpoints.iter().map(on).collect();
        let slice = json!({"metadata": {}, "addressType": "IPv4",
            "ports": [{"name": "web", "port": 8080}, {"port": 8080}], "endpoints": endpoints});
        let place = Place { node: "here".into(), zone: String::new() };
        service_rules(&from_value(service).unwrap(), &[from_value(slice).unwrap()], &place)
    }

    /// A line for each port: where, what answers (insiders | outsiders), and what else.
    fn check(spec: Value, endpoints: &[&str], expected: &[&str]) {
        let rules = rules(
            json!({"metadata": {}, "spec": spec, "status": {"loadBalancer": {
            "ingress": [{"ip": "203.0.113.1", "ipMode": "VIP"},
                {"ip": "203.0.113.2", "ipMode": "Proxy"}]}}}),
            endpoints,
        );
        let lines: Vec<String> = rules.ports.iter().map(line).collect();
        assert_eq!(lines, expected);
    }

    fn line(port: &ServicePort) -> String {
        let frontend = match port.frontend {
            Frontend::ClusterAddress(address) | Frontend::Address(address) => address.to_string(),
            Frontend::NodePort(_) => "node".to_owned(),
        };
        let ends = |endpoints: &[SocketAddr]| -> String {
            endpoints.iter().map(|e| if e.ip().to_string() == LOCAL { 'L' } else { 'R' }).collect()
        };
        let mut line = format!("{frontend}:{} {:?} ", port.port, port.protocol);
        line.push_str(&ends(&port.endpoints));
        if let Some(outsiders) = &port.for_outsiders {
            line.push_str(&format!("|{}", ends(outsiders)));
        }
        line.push_str(&format!(" {:?} {:?}", port.masquerade, port.refusal));
        for source in &port.sources {
            line.push_str(&format!(" {source}"));
        }
        line
    }

    #[test]
    fn cluster_addresses() {
        let spec = |policy: &str| {
            json!({"clusterIPs": ["10.96.0.9", "fd00::9"], "internalTrafficPolicy": policy,
                "ports": [{"port": 80}]})
        };
        check(
            spec("Cluster"),
            &[LOCAL, REMOTE],
            &["10.96.0.9:80 Tcp LR Outsiders Drop", "203.0.113.1:80 Tcp LR Everybody Drop"],
        );
        check(
            spec("Local"),
            &[LOCAL, REMOTE],
            &["10.96.0.9:80 Tcp L Outsiders Drop", "203.0.113.1:80 Tcp LR Everybody Drop"],
        );
        check(
            spec("Local"),
            &[REMOTE],
            &["10.96.0.9:80 Tcp  Outsiders Drop", "203.0.113.1:80 Tcp R Everybody Drop"],
        );
        check(
            spec("Local"),
            &[],
            &["10.96.0.9:80 Tcp  Outsiders Reject", "203.0.113.1:80 Tcp  Everybody Reject"],
        );
    }

    #[test]
    fn both_families() {
        let service = json!({"metadata": {}, "spec": {"type": "NodePort",
            "ipFamilies": ["IPv6", "IPv4"], "clusterIPs": ["fd00::9", "10.96.0.9"],
            "externalIPs": ["2001:db8::1"], "ports": [{"port": 80, "nodePort": 30080}]}});
        let slice = |kind: &str, address: &str| {
            from_value(json!({"metadata": {}, "addressType": kind, "ports": [{"port": 8080}],
                "endpoints": [{"addresses": [address], "nodeName": "here"}]}))
            .unwrap()
        };
        let slices = [slice("IPv4", "10.244.0.2"), slice("IPv6", "fd00:1::2")];
        let place = Place { node: "here".into(), zone: String::new() };
        let rules = service_rules(&from_value(service).unwrap(), &slices, &place);
        let shown = rules.ports.iter().map(|p| format!("{:?} {}", p.frontend, p.endpoints[0]));
        assert_eq!(
            shown.collect::<Vec<_>>(),
            [
                "ClusterAddress(fd00::9) [fd00:1::2]:8080",
                "Address(2001:db8::1) [fd00:1::2]:8080",
                "NodePort(V6) [fd00:1::2]:8080",
                "ClusterAddress(10.96.0.9) 10.244.0.2:8080",
                "NodePort(V4) 10.244.0.2:8080",
            ]
        );
    }

    #[test]
    fn addresses_for_the_world() {
        let spec = |policy: &str| {
            json!({"type": "LoadBalancer", "clusterIP": "10.96.0.9",
                "externalTrafficPolicy": policy, "externalIPs": ["198.51.100.1"],
                "loadBalancerSourceRanges": ["192.0.2.0/24", "fd00::/8"],
                "ports": [{"port": 53, "nodePort": 30053, "protocol": "UDP"}]})
        };
        check(
            spec("Cluster"),
            &[LOCAL, REMOTE],
            &[
                "10.96.0.9:53 Udp LR Outsiders Drop",
                "198.51.100.1:53 Udp LR Everybody Drop",
                "203.0.113.1:53 Udp LR Everybody Drop 192.0.2.0/24 fd00::/8",
                "node:30053 Udp LR Everybody Drop",
            ],
        );
        check(
            spec("Local"),
            &[LOCAL, REMOTE],
            &[
                "10.96.0.9:53 Udp LR Outsiders Drop",
                "198.51.100.1:53 Udp LR|L Everybody Drop",
                "203.0.113.1:53 Udp LR|L Everybody Drop 192.0.2.0/24 fd00::/8",
                "node:30053 Udp LR|L Everybody Drop",
            ],
        );
        check(
            spec("Local"),
            &[],
            &[
                "10.96.0.9:53 Udp  Outsiders Reject",
                "198.51.100.1:53 Udp | Everybody Reject",
                "203.0.113.1:53 Udp | Everybody Reject 192.0.2.0/24 fd00::/8",
                "node:30053 Udp | Everybody Reject",
            ],
        );
    }

    #[test]
    fn ports_match_by_name() {
        let service = json!({"metadata": {}, "spec": {"clusterIP": "10.96.0.9", "ports": [
            {"name": "web", "port": 80}, {"name": "none", "port": 81, "protocol": "SCTP"}]}});
        let lines: Vec<String> = rules(service, &[LOCAL]).ports.iter().map(line).collect();
        let expected = ["10.96.0.9:80 Tcp L Outsiders Drop", "10.96.0.9:81 Sctp  Outsiders Reject"];
        assert_eq!(lines, expected);
    }

    #[test]
    fn services_without_rules() {
        let check = |service: Value| assert_eq!(rules(service, &[LOCAL]), ServiceRules::default());
        check(json!({"metadata": {}, "spec": {"clusterIP": "None", "clusterIPs": ["None"],
            "ports": [{"port": 80}]}}));
        check(json!({"metadata": {}, "spec": {"type": "ExternalName",
            "externalName": "x.example", "ports": [{"port": 80, "nodePort": 30000}]}}));
        check(json!({"metadata": {"labels": {OTHER_PROXY_LABEL: "mine"}},
            "spec": {"clusterIP": "10.96.0.9", "ports": [{"port": 80}]}}));
    }

    #[test]
    fn affinity_has_a_timeout() {
        let check = |spec: Value, expect: Option<u32>| {
            let service = json!({"metadata": {}, "spec": spec});
            assert_eq!(rules(service, &[LOCAL]).ports[0].affinity_seconds, expect);
        };
        let with = |more: Value| {
            let mut spec = json!({"clusterIP": "10.96.0.9", "ports": [{"port": 80}]});
            spec.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
            spec
        };
        check(with(json!({"sessionAffinity": "None"})), None);
        check(with(json!({"sessionAffinity": "ClientIP"})), Some(10_800));
        let config = json!({"clientIP": {"timeoutSeconds": 5}});
        let own = json!({"sessionAffinity": "ClientIP", "sessionAffinityConfig": config});
        check(with(own), Some(5));
    }

    #[test]
    fn load_balancers_ask_for_local_endpoints() {
        let check = |policy: &str, endpoints: &[&str], expect| {
            let service = json!({"metadata": {}, "spec": {"clusterIP": "10.96.0.9",
                "externalTrafficPolicy": policy, "healthCheckNodePort": 31000,
                "ports": [{"port": 80}]}});
            assert_eq!(rules(service, endpoints).health, expect);
        };
        check("Local", &[LOCAL, REMOTE], Some((31000, 1)));
        check("Local", &[REMOTE], Some((31000, 0)));
        check("Cluster", &[LOCAL], None);
    }
}
