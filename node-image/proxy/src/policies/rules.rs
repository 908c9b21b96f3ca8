//! From NetworkPolicies to what a node's pods may send and receive
//! (<https://kubernetes.io/docs/concepts/services-networking/network-policies/>).

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use k8s_openapi::api::networking::v1::{
    IPBlock, NetworkPolicy, NetworkPolicyPeer, NetworkPolicyPort, NetworkPolicySpec,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::LabelSelector;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kd_api::selector::Selector;
use kd_client::{label_selector, selects};
use kd_network::{Allow, Direction, Peer, PolicyRules, PortMatch, Protocol};

use super::pods::{PodFacts, protocol};

type Labels = BTreeMap<String, String>;

/// The labels and the namespace of the cluster's DNS. It runs on the nodes; for policies it is the
/// pod that they expect it to be.
const DNS_LABEL: (&str, &str) = ("k8s-app", "kube-dns");
const DNS_NAMESPACE: &str = "kube-system";
const DNS_PORT: u16 = 53;

/// What policies are judged by.
#[derive(Clone, Debug, Default)]
pub struct Surroundings {
    /// The node that rules are made for.
    pub node: String,
    /// Where the pods of this node are answered names.
    pub dns: Vec<IpAddr>,
    /// The labels of namespaces.
    pub namespaces: BTreeMap<String, Labels>,
}

/// The rules for the pods of one node. A policy that cannot be read is taken for one that allows
/// nothing.
pub fn policy_rules(
    policies: &[NetworkPolicy],
    pods: &[PodFacts],
    surroundings: &Surroundings,
) -> PolicyRules {
    let mut rules = PolicyRules::default();
    for policy in policies {
        let Some(spec) = &policy.spec else { continue };
        let namespace = policy.metadata.namespace.as_deref().unwrap_or_default();
        let selector = selector(spec.pod_selector.as_ref());
        let own = pods.iter().filter(|pod| pod.node == surroundings.node);
        let selected: Vec<&PodFacts> = own
            .filter(|pod| pod.namespace == namespace && selects(&selector, &pod.labels))
            .filter(|pod| !pod.addresses.is_empty())
            .collect();
        if selected.is_empty() {
            continue;
        }
        let uid = policy.metadata.uid.as_deref().unwrap_or_default();
        let maker = Maker { uid, namespace, pods, selected: &selected, surroundings };
        if has_direction(spec, "Ingress") {
            maker.ingress(spec, &mut rules);
        }
        if has_direction(spec, "Egress") {
            maker.egress(spec, &mut rules);
        }
    }
    rules
}

/// Ingress is always meant where nothing is said, egress where there are rules for it.
fn has_direction(spec: &NetworkPolicySpec, direction: &str) -> bool {
    match spec.policy_types.as_deref() {
        Some(types) if !types.is_empty() => types.iter().any(|t| t == direction),
        _ => direction == "Ingress" || spec.egress.as_ref().is_some_and(|e| !e.is_empty()),
    }
}

fn selector(selector: Option<&LabelSelector>) -> Selector {
    let empty = LabelSelector::default();
    let given = Some(selector.unwrap_or(&empty));
    label_selector(given).unwrap_or_else(|_| Selector::nothing())
}

/// Makes the rules of one policy.
struct Maker<'a> {
    uid: &'a str,
    namespace: &'a str,
    pods: &'a [PodFacts],
    selected: &'a [&'a PodFacts],
    surroundings: &'a Surroundings,
}

impl Maker<'_> {
    fn ingress(&self, spec: &NetworkPolicySpec, rules: &mut PolicyRules) {
        let mut allowed = BTreeSet::new();
        for (index, rule) in spec.ingress.iter().flatten().enumerate() {
            let name = format!("{}/in/{index}", self.uid);
            let peers = self.peers(&name, rule.from.as_deref(), rules);
            let targets: Vec<&PodFacts> = self.selected.to_vec();
            let ports = ports(&name, rule.ports.as_deref(), &targets, rules);
            allowed.extend(products(&peers, &ports));
        }
        self.bind(allowed, &mut rules.ingress);
    }

    fn egress(&self, spec: &NetworkPolicySpec, rules: &mut PolicyRules) {
        let mut allowed = BTreeSet::new();
        for (index, rule) in spec.egress.iter().flatten().enumerate() {
            let name = format!("{}/out/{index}", self.uid);
            let peers = self.peers(&name, rule.to.as_deref(), rules);
            let targets: Vec<&PodFacts> = self.pods.iter().collect();
            let ports = ports(&name, rule.ports.as_deref(), &targets, rules);
            allowed.extend(products(&peers, &ports));
            let to = rule.to.as_deref().unwrap_or_default();
            if to.iter().any(|peer| self.names_dns(peer)) {
                allowed.extend(self.dns(&ports));
            }
        }
        self.bind(allowed, &mut rules.egress);
    }

    fn bind(&self, allowed: BTreeSet<Allow>, direction: &mut Direction) {
        direction.policies.insert(self.uid.to_owned(), allowed);
        for address in self.selected.iter().flat_map(|pod| &pod.addresses) {
            direction.pods.entry(*address).or_default().insert(self.uid.to_owned());
        }
    }

    /// The peers of a rule: ranges as they are, all pods together as one group.
    fn peers(
        &self,
        name: &str,
        peers: Option<&[NetworkPolicyPeer]>,
        rules: &mut PolicyRules,
    ) -> Vec<Peer> {
        let peers = peers.unwrap_or_default();
        if peers.is_empty() {
            return vec![Peer::Anybody];
        }
        let blocks = peers.iter().filter_map(|peer| peer.ip_block.as_ref());
        let mut found: Vec<Peer> = blocks.filter_map(range).collect();
        let selecting: Vec<_> = peers.iter().filter_map(|peer| self.pods_of(peer)).collect();
        if !selecting.is_empty() {
            let members = self.pods.iter().filter(|pod| selecting.iter().any(|s| s.takes(pod)));
            let members = members.flat_map(|pod| pod.addresses.iter().copied()).collect();
            rules.groups.insert(name.to_owned(), members);
            found.push(Peer::Group(name.to_owned()));
        }
        found
    }

    fn pods_of(&self, peer: &NetworkPolicyPeer) -> Option<PodSelection> {
        if peer.ip_block.is_some() {
            return None;
        }
        let namespaces = match &peer.namespace_selector {
            None => BTreeSet::from([self.namespace.to_owned()]),
            Some(given) => {
                let selector = selector(Some(given));
                let all = self.surroundings.namespaces.iter();
                let selected = all.filter(|(_, labels)| selects(&selector, labels));
                selected.map(|(name, _)| name.clone()).collect()
            }
        };
        Some(PodSelection { namespaces, pods: selector(peer.pod_selector.as_ref()) })
    }

    fn names_dns(&self, peer: &NetworkPolicyPeer) -> bool {
        let labels = Labels::from([(DNS_LABEL.0.to_owned(), DNS_LABEL.1.to_owned())]);
        self.pods_of(peer).is_some_and(|selection| {
            selection.namespaces.contains(DNS_NAMESPACE) && selects(&selection.pods, &labels)
        })
    }

    /// The way to this node's DNS, as far as the ports of a rule allow it.
    fn dns(&self, ports: &[PortMatch]) -> Vec<Allow> {
        let allowed = |wanted: Protocol| {
            ports.iter().any(|port| match port {
                PortMatch::Any => true,
                PortMatch::Range { protocol, first, last } => {
                    *protocol == wanted && (*first..=*last).contains(&DNS_PORT)
                }
                PortMatch::Group(_) => false,
            })
        };
        let protocols = [Protocol::Tcp, Protocol::Udp].into_iter().filter(|p| allowed(*p));
        let addresses = &self.surroundings.dns;
        protocols
            .flat_map(|protocol| {
                addresses.iter().map(move |address| Allow {
                    peer: Peer::Range { range: IpNet::from(*address), except: Vec::new() },
                    port: PortMatch::Range { protocol, first: DNS_PORT, last: DNS_PORT },
                })
            })
            .collect()
    }
}

/// Pods of some namespaces.
struct PodSelection {
    namespaces: BTreeSet<String>,
    pods: Selector,
}

impl PodSelection {
    fn takes(&self, pod: &PodFacts) -> bool {
        self.namespaces.contains(&pod.namespace) && selects(&self.pods, &pod.labels)
    }
}

fn range(block: &IPBlock) -> Option<Peer> {
    let range: IpNet = block.cidr.parse().ok()?;
    let except = block.except.iter().flatten().filter_map(|part| part.parse().ok()).collect();
    Some(Peer::Range { range, except })
}

/// The ports of a rule. Names mean the numbers that each destination gives them.
fn ports(
    name: &str,
    ports: Option<&[NetworkPolicyPort]>,
    targets: &[&PodFacts],
    rules: &mut PolicyRules,
) -> Vec<PortMatch> {
    let ports = ports.unwrap_or_default();
    if ports.is_empty() {
        return vec![PortMatch::Any];
    }
    let (mut found, mut named) = (Vec::new(), BTreeSet::new());
    let mut has_names = false;
    for port in ports {
        let Some(protocol) = protocol(port.protocol.as_deref()) else { continue };
        let number = |number: i32| u16::try_from(number).ok();
        match &port.port {
            None => found.push(PortMatch::Range { protocol, first: 0, last: u16::MAX }),
            Some(IntOrString::Int(first)) => {
                let last = port.end_port.unwrap_or(*first);
                if let (Some(first), Some(last)) = (number(*first), number(last)) {
                    found.push(PortMatch::Range { protocol, first, last });
                }
            }
            Some(IntOrString::String(wanted)) => {
                has_names = true;
                for pod in targets {
                    let of_pod = pod.ports.iter();
                    let same = of_pod.filter(|p| p.name == *wanted && p.protocol == protocol);
                    named.extend(same.flat_map(|p| {
                        pod.addresses.iter().map(move |address| (*address, protocol, p.number))
                    }));
                }
            }
        }
    }
    if has_names {
        rules.port_groups.insert(name.to_owned(), named);
        found.push(PortMatch::Group(name.to_owned()));
    }
    found
}

fn products(peers: &[Peer], ports: &[PortMatch]) -> Vec<Allow> {
    let with = |peer: &Peer| {
        let peer = peer.clone();
        ports.iter().map(move |port| Allow { peer: peer.clone(), port: port.clone() })
    };
    peers.iter().flat_map(with).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, from_value, json};

    use super::super::pods::NamedPort;
    use super::*;

    fn pod(namespace: &str, app: &str, last: u8) -> PodFacts {
        let number = if app == "web" { 8080 } else { 9090 };
        PodFacts {
            uid: format!("uid-{last}"),
            namespace: namespace.into(),
            labels: Labels::from([("app".into(), app.into())]),
            node: if last < 10 { "here".into() } else { "there".into() },
            addresses: vec![IpAddr::from([10, 244, 0, last])],
            ports: vec![NamedPort { name: "http".into(), protocol: Protocol::Tcp, number }],
        }
    }

    fn world() -> (Vec<PodFacts>, Surroundings) {
        let pods =
            vec![pod("a", "web", 2), pod("a", "db", 3), pod("b", "web", 12), pod("b", "db", 13)];
        let named =
            |name: &str| (name.to_owned(), Labels::from([("team".to_owned(), name.to_owned())]));
        let namespaces = ["a", "b", DNS_NAMESPACE].map(named).into();
        let dns = vec![IpAddr::from([172, 18, 0, 2])];
        (pods, Surroundings { node: "here".into(), dns, namespaces })
    }

    fn rules(spec: Value) -> PolicyRules {
        let policy: NetworkPolicy =
            from_value(json!({"metadata": {"namespace": "a", "name": "p", "uid": "u"},
                "spec": spec}))
            .unwrap();
        let (pods, surroundings) = world();
        policy_rules(&[policy], &pods, &surroundings)
    }

    /// A direction as text: the pods it is for, then a line for each thing allowed.
    fn lines(rules: &PolicyRules, direction: &Direction) -> Vec<String> {
        let last = |address: &IpAddr| -> String {
            address.to_string().rsplit('.').next().unwrap_or_default().to_owned()
        };
        let mut lines = Vec::new();
        if !direction.pods.is_empty() {
            lines.push(direction.pods.keys().map(last).collect::<Vec<_>>().join(" "));
        }
        for allow in direction.policies.values().flatten() {
            let peer = match &allow.peer {
                Peer::Anybody => "*".to_owned(),
                Peer::Group(name) => {
                    rules.groups[name].iter().map(last).collect::<Vec<_>>().join(",")
                }
                Peer::Range { range, except } => {
                    except.iter().fold(range.to_string(), |text, part| format!("{text}-{part}"))
                }
            };
            let port = match &allow.port {
                PortMatch::Any => "*".to_owned(),
                PortMatch::Range { protocol, first, last } => {
                    format!("{protocol:?} {first}-{last}")
                }
                PortMatch::Group(name) => {
                    let of = |(address, _, port): &(IpAddr, Protocol, u16)| {
                        format!("{}:{port}", last(address))
                    };
                    rules.port_groups[name].iter().map(of).collect::<Vec<_>>().join(",")
                }
            };
            lines.push(format!("{peer} {port}"));
        }
        lines
    }

    fn check_ingress(spec: Value, expect: &[&str]) {
        let rules = rules(spec);
        assert_eq!(lines(&rules, &rules.ingress), expect);
    }

    fn check_egress(spec: Value, expect: &[&str]) {
        let rules = rules(spec);
        assert_eq!(lines(&rules, &rules.egress), expect);
    }

    #[test]
    fn whom_a_policy_is_for() {
        check_ingress(json!({"podSelector": {}}), &["2 3"]);
        check_ingress(json!({"podSelector": {"matchLabels": {"app": "web"}}}), &["2"]);
        check_ingress(json!({"podSelector": {"matchLabels": {"app": "other"}}}), &[]);
        check_ingress(json!({"podSelector": {}, "policyTypes": ["Egress"]}), &[]);
        check_egress(json!({"podSelector": {}}), &[]);
        check_egress(json!({"podSelector": {}, "policyTypes": ["Egress"]}), &["2 3"]);
        check_egress(json!({"podSelector": {}, "egress": [{}]}), &["2 3", "* *"]);
    }

    #[test]
    fn peers() {
        let check = |from: Value, expect: &str| {
            check_ingress(
                json!({"podSelector": {}, "ingress": [{"from": from}]}),
                &["2 3", expect],
            );
        };
        let web = json!({"matchLabels": {"app": "web"}});
        let team_b = json!({"matchLabels": {"team": "b"}});
        check(json!([]), "* *");
        check(json!([{"podSelector": web}]), "2 *");
        check(json!([{"namespaceSelector": team_b}]), "12,13 *");
        check(json!([{"namespaceSelector": {}}]), "2,3,12,13 *");
        check(json!([{"namespaceSelector": team_b, "podSelector": web}]), "12 *");
        check(json!([{"podSelector": web}, {"namespaceSelector": team_b}]), "2,12,13 *");
        let expression = json!({"matchExpressions": [
            {"key": "app", "operator": "NotIn", "values": ["web"]}]});
        check(json!([{"podSelector": expression}]), "3 *");
        let block = json!({"cidr": "192.0.2.0/24", "except": ["192.0.2.8/29"]});
        check(json!([{"ipBlock": block}]), "192.0.2.0/24-192.0.2.8/29 *");
        check_ingress(
            json!({"podSelector": {}, "ingress": [{"from": [{"ipBlock": {"cidr": "fd00::/8"}}]}]}),
            &["2 3", "fd00::/8 *"],
        );
    }

    #[test]
    fn ports_of_rules() {
        let check = |ports: Value, expect: &[&str]| {
            let spec = json!({"podSelector": {}, "ingress": [{"ports": ports}]});
            let lines: Vec<&str> = std::iter::once("2 3").chain(expect.iter().copied()).collect();
            check_ingress(spec, &lines);
        };
        check(json!([{"port": 80}]), &["* Tcp 80-80"]);
        check(json!([{"port": 80, "endPort": 90, "protocol": "UDP"}]), &["* Udp 80-90"]);
        check(json!([{"protocol": "SCTP"}]), &["* Sctp 0-65535"]);
        check(json!([{"port": "http"}]), &["* 2:8080,3:9090"]);
        check(json!([{"port": "none"}]), &["* "]);
        check(json!([{"port": 80}, {"port": 81}]), &["* Tcp 80-80", "* Tcp 81-81"]);
    }

    #[test]
    fn named_ports_of_others() {
        let to = json!([{"namespaceSelector": {"matchLabels": {"team": "b"}}}]);
        check_egress(
            json!({"podSelector": {"matchLabels": {"app": "web"}}, "policyTypes": ["Egress"],
                "egress": [{"to": to, "ports": [{"port": "http"}]}]}),
            &["2", "12,13 2:8080,3:9090,12:8080,13:9090"],
        );
    }

    #[test]
    fn the_clusters_dns_is_a_pod() {
        let check = |ports: Value, expect: &[&str]| {
            let to = json!([{"namespaceSelector": {"matchLabels": {"team": DNS_NAMESPACE}},
                "podSelector": {"matchLabels": {"k8s-app": "kube-dns"}}}]);
            let spec = json!({"podSelector": {}, "policyTypes": ["Egress"],
                "egress": [{"to": to, "ports": ports}]});
            check_egress(spec, expect);
        };
        let dns = "172.18.0.2/32 Udp 53-53";
        check(json!([{"port": 53, "protocol": "UDP"}]), &["2 3", " Udp 53-53", dns]);
        check(json!([{"port": 54, "protocol": "UDP"}]), &["2 3", " Udp 54-54"]);
        check(json!([]), &["2 3", " *", "172.18.0.2/32 Tcp 53-53", dns]);
    }
}
