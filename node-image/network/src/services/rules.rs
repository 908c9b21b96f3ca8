//! Service rules in the "classes" form: maps hold all services, chains exist only per distinct
//! fan-out and behaviour. The cost of a packet does not grow with the number of services.
//!
//! `services` leads from a port to the chain of its class, which picks a slot and finds the endpoint
//! in `endpoints` by port and slot.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use ipnet::{IpNet, Ipv4Net, Ipv6Net};

use super::{Frontend, Masquerade, Protocol, Refusal, ServicePort};
use crate::Family;
use crate::conntrack::FlowTarget;
use crate::family::octets;
use crate::nftables::{
    ADDRESS_LOCAL, ChainHook, Element, ElementData, End, Expression, Holds, Register, STATE_NEW,
    Table, Verdict, address, in_range,
};

/// Which client stays with which endpoint.
pub(super) const AFFINITY: &str = "affinity";
pub(super) const SERVICES: &str = "services";
pub(super) const ENDPOINTS: &str = "endpoints";
/// Ports and endpoints that belong together.
const MEMBERS: &str = "members";
pub(super) const REFUSED: &str = "refused";
pub(super) const SOURCES: &str = "sources";
const HAIRPIN: &str = "hairpin";
const CLUSTER_ADDRESSES: &str = "cluster-addresses";
pub(super) const REJECT: &str = "reject";

/// Clients remembered at a time, over all services.
const CLIENTS_MAX: u32 = 65_536;
/// Slots of endpoints for outsiders begin here.
pub(super) const OUTSIDERS_FIRST_SLOT: u32 = 1 << 16;
/// The bit of a packet's mark that asks for masquerading, as everywhere in Kubernetes.
const MASQUERADE_MARK: u32 = 0x4000;
const DESTINATION_PORT_OFFSET: u32 = 2;
/// A port in the maps. Node ports have the unspecified address of their family.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct FrontendKey {
    pub address: IpAddr,
    pub protocol: Protocol,
    pub port: u16,
}

impl FrontendKey {
    pub(super) fn of(port: &ServicePort) -> FrontendKey {
        let address = match port.frontend {
            Frontend::ClusterAddress(address) | Frontend::Address(address) => address,
            Frontend::NodePort(family) => unspecified(family),
        };
        FrontendKey { address, protocol: port.protocol, port: port.port }
    }

    /// Address, protocol and port, each padded to registers.
    fn bytes(&self) -> Vec<u8> {
        let mut key = octets(self.address);
        key.extend_from_slice(&[self.protocol.number(), 0, 0, 0]);
        key.extend_from_slice(&self.port.to_be_bytes());
        key.extend_from_slice(&[0, 0]);
        key
    }

    /// What flows to the port are addressed to.
    pub(super) fn flow_target(&self) -> FlowTarget {
        let address = (!self.address.is_unspecified()).then_some(self.address);
        FlowTarget { address, port: self.port }
    }
}

fn unspecified(family: Family) -> IpAddr {
    match family {
        Family::V4 => Ipv4Addr::UNSPECIFIED.into(),
        Family::V6 => Ipv6Addr::UNSPECIFIED.into(),
    }
}

fn loopback(family: Family) -> IpNet {
    match family {
        Family::V4 => IpNet::V4(Ipv4Net::new_assert(Ipv4Addr::new(127, 0, 0, 0), 8)),
        Family::V6 => IpNet::V6(Ipv6Net::new_assert(Ipv6Addr::LOCALHOST, 128)),
    }
}

/// An element by its set and key.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct ElementKey {
    pub set: &'static str,
    pub key: Vec<u8>,
}

/// What ports have in common that share a chain.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Class {
    /// One of several endpoints.
    Pick { fan_out: u32, first_slot: u32, node_port: bool, extra: Extra },
    /// One class for pods and the node, another for everybody else.
    Split { insiders: Option<Box<Class>>, outsiders: Option<Box<Class>> },
    /// Only these sources.
    Sources(Vec<IpNet>),
}

/// What is done besides picking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Extra {
    masquerade: Masquerade,
    affinity_seconds: Option<u32>,
}

/// The chain's name.
impl fmt::Display for Class {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Class::Pick { fan_out, first_slot, node_port, extra } => {
                write!(f, "pick-{fan_out}")?;
                f.write_str(if *first_slot > 0 { "-outsiders" } else { "" })?;
                f.write_str(if *node_port { "-node-port" } else { "" })?;
                f.write_str(match extra.masquerade {
                    Masquerade::Hairpin => "",
                    Masquerade::Outsiders => "-masquerade-outsiders",
                    Masquerade::Everybody => "-masquerade",
                })?;
                match extra.affinity_seconds {
                    Some(seconds) => write!(f, "-affinity-{seconds}"),
                    None => Ok(()),
                }
            }
            Class::Split { insiders, outsiders } => {
                let name = |class: &Option<Box<Class>>| {
                    class.as_ref().map_or_else(|| "none".to_owned(), ToString::to_string)
                };
                write!(f, "split/{}/{}", name(insiders), name(outsiders))
            }
            Class::Sources(ranges) => {
                f.write_str("sources")?;
                ranges.iter().try_for_each(|range| write!(f, "/{range}"))
            }
        }
    }
}

/// The chains that a port needs.
pub(super) fn classes(port: &ServicePort) -> Vec<Class> {
    let mut all = Vec::new();
    if let Some(class) = entry_class(port) {
        if let Class::Split { insiders, outsiders } = &class {
            let parts = [insiders, outsiders].into_iter().flatten();
            all.extend(parts.map(|part| Class::clone(part)));
        }
        all.push(class);
    }
    if !port.sources.is_empty() {
        all.push(sources_class(port));
    }
    all
}

/// The chain that `services` leads to; none when nothing answers anybody.
fn entry_class(port: &ServicePort) -> Option<Class> {
    let pick = |endpoints: &[_], first_slot, masquerade| {
        let extra = Extra { masquerade, affinity_seconds: port.affinity_seconds };
        let node_port = matches!(port.frontend, Frontend::NodePort(_));
        let fan_out = endpoints.len() as u32;
        (fan_out > 0).then_some(Class::Pick { fan_out, first_slot, node_port, extra })
    };
    let own = pick(&port.endpoints, 0, port.masquerade);
    let Some(theirs) = &port.for_outsiders else { return own };
    let outsiders = pick(theirs, OUTSIDERS_FIRST_SLOT, Masquerade::Hairpin).map(Box::new);
    let insiders = own.map(Box::new);
    (insiders.is_some() || outsiders.is_some()).then_some(Class::Split { insiders, outsiders })
}

fn sources_class(port: &ServicePort) -> Class {
    let family = port.frontend.family();
    let own = port.sources.iter().filter(|range| Family::of_range(range) == family);
    let mut ranges: Vec<IpNet> = own.map(IpNet::trunc).collect();
    ranges.sort_unstable();
    ranges.dedup();
    Class::Sources(ranges)
}

/// What a port needs in the maps.
pub(super) fn elements(key: &FrontendKey, port: &ServicePort) -> Vec<(ElementKey, ElementData)> {
    let mut all = Vec::new();
    let mut add = |set, key: Vec<u8>, data| all.push((ElementKey { set, key }, data));
    let goto = |class: Class| ElementData::Verdict(Verdict::Goto(class.to_string()));
    let key = key.bytes();
    if let Some(class) = entry_class(port) {
        add(SERVICES, key.clone(), goto(class));
    }
    let answered = port.for_outsiders.as_ref().unwrap_or(&port.endpoints);
    if answered.is_empty() {
        let verdict = match port.refusal {
            Refusal::Reject => Verdict::Goto(REJECT.to_owned()),
            Refusal::Drop => Verdict::Drop,
        };
        add(REFUSED, key.clone(), ElementData::Verdict(verdict));
    }
    if !port.sources.is_empty() {
        add(SOURCES, key.clone(), goto(sources_class(port)));
    }
    if let Frontend::ClusterAddress(address) = port.frontend {
        add(CLUSTER_ADDRESSES, octets(address), ElementData::None);
    }
    let outsiders = port.for_outsiders.iter().flatten();
    let slots = (0u32..).zip(&port.endpoints).chain((OUTSIDERS_FIRST_SLOT..).zip(outsiders));
    for (slot, endpoint) in slots {
        let address = octets(endpoint.ip());
        let mut target = address.clone();
        target.extend_from_slice(&endpoint.port().to_be_bytes());
        target.extend_from_slice(&[0, 0]);
        if port.affinity_seconds.is_some() {
            add(MEMBERS, [key.as_slice(), &target].concat(), ElementData::None);
        }
        // numgen writes its register in the machine's own byte order.
        let slot_key = [key.as_slice(), &slot.to_ne_bytes()].concat();
        add(ENDPOINTS, slot_key, ElementData::Value(target));
        add(HAIRPIN, address.repeat(2), ElementData::None);
    }
    all
}

/// The element of `members` that an entry of `affinity` needs.
pub(super) fn membership(family: Family, entry: &Element) -> Option<ElementKey> {
    let ElementData::Passing { value, .. } = &entry.data else { return None };
    let frontend = entry.key.get(family.address_length() as usize..)?;
    Some(ElementKey { set: MEMBERS, key: [frontend, value.as_slice()].concat() })
}

/// All chains and sets, without the elements.
pub(super) fn structure<'a>(
    family: Family,
    classes: impl Iterator<Item = &'a Class>,
    pod_range: Option<IpNet>,
) -> Table {
    let address_length = family.address_length();
    let (frontend, target) = (address_length + 8, address_length + 4);
    let mut table = Table::default();
    table.set(SERVICES, frontend, Holds::Verdicts);
    table.set(REFUSED, frontend, Holds::Verdicts);
    table.set(SOURCES, frontend, Holds::Verdicts);
    table.set(ENDPOINTS, frontend + 4, Holds::Values(target));
    table.set(MEMBERS, frontend + target, Holds::Nothing);
    table.set(HAIRPIN, address_length * 2, Holds::Nothing);
    table.set(CLUSTER_ADDRESSES, address_length, Holds::Nothing);
    let clients = Holds::Passing { length: target, entries_max: CLIENTS_MAX };
    table.set(AFFINITY, address_length + frontend, clients);
    let mut any_sources = false;
    for class in classes {
        any_sources |= matches!(class, Class::Sources(_));
        table.chain(&class.to_string(), None).rules = class_rules(family, class, pod_range);
    }
    translate_chains(family, &mut table);
    refuse_chains(family, &mut table);
    if any_sources {
        source_chains(family, &mut table);
    }
    let marked = [
        vec![Expression::Mark { into: 0 }],
        Vec::from(Expression::any_bit(0, MASQUERADE_MARK)),
        vec![Expression::Masquerade],
    ];
    // A pod that reaches itself through a service must see another source address, or its answer
    // would not come back this way.
    let hairpin = vec![
        address(family, End::Source, 0),
        address(family, End::Destination, family.registers()),
        Expression::Lookup { set: HAIRPIN.into(), key: 0, into: None },
        Expression::Masquerade,
    ];
    let postrouting = table.chain("postrouting", Some(ChainHook::POSTROUTING_NAT));
    postrouting.rules = vec![marked.concat(), hairpin];
    table
}

/// New connections are led to endpoints, on their way in and from the node itself.
fn translate_chains(family: Family, table: &mut Table) {
    let verdict = || Expression::LookupVerdict { set: SERVICES.into(), key: 0 };
    let mut by_address = load_key(family, false, 0);
    by_address.push(verdict());
    let mut by_port = to_this_node(family);
    by_port.extend(load_key(family, true, 0));
    by_port.push(verdict());
    for (name, hook) in
        [("prerouting", ChainHook::PREROUTING_NAT), ("output", ChainHook::OUTPUT_NAT)]
    {
        table.chain(name, Some(hook)).rules = vec![by_address.clone(), by_port.clone()];
    }
}

/// Connections that no endpoint takes are refused or dropped; so are those to a cluster address on
/// a port that it does not have.
fn refuse_chains(family: Family, table: &mut Table) {
    let verdict = || Expression::LookupVerdict { set: REFUSED.into(), key: 0 };
    let by_address = [load_key(family, false, 0), vec![verdict()]].concat();
    let by_port = [to_this_node(family), load_key(family, true, 0), vec![verdict()]].concat();
    let unknown_port = vec![
        address(family, End::Destination, 0),
        Expression::Lookup { set: CLUSTER_ADDRESSES.into(), key: 0, into: None },
        Expression::Decide(Verdict::Goto(REJECT.into())),
    ];
    for (name, hook) in
        [("refuse", ChainHook::PREROUTING_FILTER), ("refuse-output", ChainHook::OUTPUT_FILTER)]
    {
        let rules = vec![known_passes(), by_address.clone(), by_port.clone(), unknown_port.clone()];
        table.chain(name, Some(hook)).rules = rules;
    }
    let reset = vec![
        Expression::Layer4Protocol { into: 0 },
        Expression::Compare { register: 0, equal: true, value: vec![Protocol::Tcp.number()] },
        Expression::RejectTcpReset,
    ];
    table.chain(REJECT, None).rules =
        vec![reset, vec![Expression::RejectPortUnreachable { family }]];
}

/// Who may connect is looked at before the destination is translated.
fn source_chains(family: Family, table: &mut Table) {
    let verdict = Expression::LookupVerdict { set: SOURCES.into(), key: 0 };
    let rule = [load_key(family, false, 0), vec![verdict]].concat();
    for (name, hook) in [
        ("sources-prerouting", ChainHook::PREROUTING_BEFORE_NAT),
        ("sources-output", ChainHook::OUTPUT_BEFORE_NAT),
    ] {
        table.chain(name, Some(hook)).rules = vec![known_passes(), rule.clone()];
    }
}

fn class_rules(family: Family, class: &Class, pod_range: Option<IpNet>) -> Vec<Vec<Expression>> {
    match class {
        Class::Pick { fan_out, first_slot, node_port, extra } => {
            let mut rules = mark_rules(extra.masquerade, pod_range);
            let slot = family.registers() + 2;
            let pick = |into| Expression::Random { modulus: *fan_out, first: *first_slot, into };
            if let Some(seconds) = extra.affinity_seconds {
                rules.extend(affinity_rules(family, *node_port, pick, u64::from(seconds) * 1000));
            }
            let mut rule = load_key(family, *node_port, 0);
            rule.extend([
                pick(slot),
                Expression::Lookup { set: ENDPOINTS.into(), key: 0, into: Some(slot) },
                translate_to(family, slot),
            ]);
            rules.push(rule);
            rules
        }
        Class::Split { insiders, outsiders } => split_rules(insiders, outsiders, pod_range),
        Class::Sources(ranges) => {
            let passes = |range: &IpNet| {
                let mut rule = Vec::from(in_range(End::Source, *range, true, 0));
                rule.push(Expression::Decide(Verdict::Return));
                rule
            };
            let mut rules: Vec<_> = ranges.iter().map(passes).collect();
            rules.push(vec![Expression::Decide(Verdict::Drop)]);
            rules
        }
    }
}

fn split_rules(
    insiders: &Option<Box<Class>>,
    outsiders: &Option<Box<Class>>,
    pod_range: Option<IpNet>,
) -> Vec<Vec<Expression>> {
    let goto = |class: &Option<Box<Class>>| match class {
        Some(class) => Expression::Decide(Verdict::Goto(class.to_string())),
        None => Expression::Decide(Verdict::Return),
    };
    let mut rules = Vec::new();
    if let Some(range) = pod_range {
        let mut from_pods = Vec::from(in_range(End::Source, range, true, 0));
        from_pods.push(goto(insiders));
        rules.push(from_pods);
    }
    rules.push([is_local(End::Source), vec![goto(insiders)]].concat());
    rules.push(vec![goto(outsiders)]);
    rules
}

/// The destination becomes the endpoint in the registers from `target` on.
fn translate_to(family: Family, target: Register) -> Expression {
    Expression::DestinationNat { family, address: target, port: target + family.registers() }
}

/// Marks what must be masqueraded on its way out.
fn mark_rules(masquerade: Masquerade, pod_range: Option<IpNet>) -> Vec<Vec<Expression>> {
    let mut rule = match (masquerade, pod_range) {
        (Masquerade::Hairpin, _) | (Masquerade::Outsiders, None) => return Vec::new(),
        (Masquerade::Outsiders, Some(range)) => Vec::from(in_range(End::Source, range, false, 0)),
        (Masquerade::Everybody, _) => Vec::new(),
    };
    rule.extend([
        Expression::Mark { into: 0 },
        Expression::Bits {
            register: 0,
            mask: (!MASQUERADE_MARK).to_ne_bytes().to_vec(),
            flip: MASQUERADE_MARK.to_ne_bytes().to_vec(),
        },
        Expression::SetMark { from: 0 },
    ]);
    vec![rule]
}

/// A client that is known goes where it went before, if that is an endpoint still. Others are
/// remembered; when that fails, the rule after these picks for them.
///
/// The registers hold the client, the port's key, and then the endpoint: every key of a map is a part
/// of that row, and even IPv6 fits into the sixteen that there are.
fn affinity_rules(
    family: Family,
    node_port: bool,
    pick: impl Fn(Register) -> Expression,
    lifetime_ms: u64,
) -> [Vec<Expression>; 2] {
    let port = family.registers();
    let target = port + family.registers() + 2;
    let remember =
        || Expression::Remember { map: AFFINITY.into(), key: 0, data: target, lifetime_ms };
    let mut row = vec![address(family, End::Source, 0)];
    row.extend(load_key(family, node_port, port));
    let mut known = row.clone();
    known.extend([
        Expression::Lookup { set: AFFINITY.into(), key: 0, into: Some(target) },
        Expression::Lookup { set: MEMBERS.into(), key: port, into: None },
        remember(),
        translate_to(family, target),
    ]);
    let mut new = row;
    new.extend([
        pick(target),
        Expression::Lookup { set: ENDPOINTS.into(), key: port, into: Some(target) },
        remember(),
        translate_to(family, target),
    ]);
    [known, new]
}

/// The registers from `first` hold the port's key.
fn load_key(family: Family, node_port: bool, first: Register) -> Vec<Expression> {
    let to = match node_port {
        true => Expression::Constant { value: octets(unspecified(family)), into: first },
        false => address(family, End::Destination, first),
    };
    let after = first + family.registers();
    let port =
        Expression::TransportHeader { offset: DESTINATION_PORT_OFFSET, length: 2, into: after + 1 };
    vec![to, Expression::Layer4Protocol { into: after }, port]
}

/// The first rule of what is only asked of new connections: every packet pays for this one, and none
/// but the first of a connection for the others.
fn known_passes() -> Vec<Expression> {
    vec![
        Expression::ConnectionState { into: 0 },
        Expression::mask(0, STATE_NEW.to_ne_bytes().to_vec()),
        Expression::Compare { register: 0, equal: true, value: vec![0; 4] },
        Expression::Decide(Verdict::Accept),
    ]
}

/// The node itself is addressed, and not by a loopback address: Docker's resolver has one.
fn to_this_node(family: Family) -> Vec<Expression> {
    let mut test = Vec::from(in_range(End::Destination, loopback(family), false, 0));
    test.extend(is_local(End::Destination));
    test
}

fn is_local(end: End) -> Vec<Expression> {
    let value = ADDRESS_LOCAL.to_ne_bytes().to_vec();
    vec![
        Expression::AddressType { end, into: 0 },
        Expression::Compare { register: 0, equal: true, value },
    ]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn service(address: &str, endpoints: &[&str]) -> ServicePort {
        ServicePort::plain(
            Frontend::ClusterAddress(address.parse().unwrap()),
            80,
            Protocol::Tcp,
            endpoints.iter().map(|e| e.parse().unwrap()).collect(),
        )
    }

    /// The sets that a port has elements in, and the chains it needs.
    fn check(port: &ServicePort, sets: &[&str], chains: &[&str]) {
        let elements = elements(&FrontendKey::of(port), port);
        let found: Vec<&str> = elements.iter().map(|(key, _)| key.set).collect();
        assert_eq!(found, sets);
        let names: Vec<String> = classes(port).iter().map(ToString::to_string).collect();
        assert_eq!(names, chains);
    }

    #[test]
    fn an_endpoint_is_found_by_port_and_slot() {
        let port = service("10.96.0.9", &["10.244.0.2:8080", "10.244.1.2:8081"]);
        let all = elements(&FrontendKey::of(&port), &port);
        let found: Vec<_> = all.iter().filter(|(key, _)| key.set == ENDPOINTS).collect();
        assert_eq!(found.len(), 2);
        let (key, data) = found[1];
        assert_eq!(key.key[..12], [10, 96, 0, 9, 6, 0, 0, 0, 0, 80, 0, 0]);
        assert_eq!(key.key[12..], 1u32.to_ne_bytes());
        assert_eq!(*data, ElementData::Value(vec![10, 244, 1, 2, 0x1f, 0x91, 0, 0]));
    }

    #[test]
    fn what_ports_need() {
        let one = service("10.96.0.9", &["10.244.0.2:80"]);
        let of_one = [SERVICES, CLUSTER_ADDRESSES, ENDPOINTS, HAIRPIN];
        check(&one, &of_one, &["pick-1"]);
        check(&service("10.96.0.9", &[]), &[REFUSED, CLUSTER_ADDRESSES], &[]);
        let sticky = ServicePort { affinity_seconds: Some(60), ..one.clone() };
        let of_sticky = [SERVICES, CLUSTER_ADDRESSES, MEMBERS, ENDPOINTS, HAIRPIN];
        check(&sticky, &of_sticky, &["pick-1-affinity-60"]);
        let local = ServicePort {
            frontend: Frontend::NodePort(Family::V4),
            masquerade: Masquerade::Everybody,
            for_outsiders: Some(Vec::new()),
            refusal: Refusal::Drop,
            ..one.clone()
        };
        let pick = "pick-1-node-port-masquerade";
        let of_local = [SERVICES, REFUSED, ENDPOINTS, HAIRPIN];
        check(&local, &of_local, &[pick, &format!("split/{pick}/none")]);
        let ranges = ["192.0.2.7/24", "10.0.0.0/8"].map(|range| range.parse().unwrap());
        let frontend = Frontend::Address(IpAddr::from([192, 0, 2, 1]));
        let guarded = ServicePort { frontend, sources: ranges.to_vec(), ..one };
        let of_guarded = [SERVICES, SOURCES, ENDPOINTS, HAIRPIN];
        check(&guarded, &of_guarded, &["pick-1", "sources/10.0.0.0/8/192.0.2.0/24"]);
    }

    #[test]
    fn keys_tell_what_flows_are_addressed_to() {
        let port = ServicePort { protocol: Protocol::Udp, ..service("10.96.0.9", &[]) };
        let address = Some("10.96.0.9".parse().unwrap());
        assert_eq!(FrontendKey::of(&port).flow_target(), FlowTarget { address, port: 80 });
        let node_port = ServicePort { frontend: Frontend::NodePort(Family::V6), ..port };
        let target = FrontendKey::of(&node_port).flow_target();
        assert_eq!(target, FlowTarget { address: None, port: 80 });
    }

    #[test]
    fn packets_of_known_connections_pass_by_one_rule() {
        let ranges = ["192.0.2.0/24".parse().unwrap()];
        let class = Class::Sources(ranges.to_vec());
        let table = structure(Family::V4, [&class].into_iter(), None);
        let filters = table.chains.values().filter(|c| c.hook.is_some_and(|h| h.kind == "filter"));
        let first: Vec<_> = filters.map(|chain| chain.rules[0].clone()).collect();
        assert_eq!(first, vec![known_passes(); 4]);
    }

    #[test]
    fn registers_are_enough_for_both_families() {
        for family in Family::ALL {
            let extra = Extra { masquerade: Masquerade::Outsiders, affinity_seconds: Some(1) };
            let class = Class::Pick { fan_out: 2, first_slot: 0, node_port: true, extra };
            for rule in class_rules(family, &class, None) {
                for expression in rule {
                    if let Expression::DestinationNat { port, .. } = expression {
                        assert!(port < 16, "{family:?}");
                    }
                }
            }
        }
    }
}
