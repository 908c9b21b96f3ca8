//! What a node's pods may send and receive: allow rules in chains of their own, and maps that lead from
//! a pod's address to its rules. A packet's cost does not grow with the number of pods; packets of
//! established connections pass at once, so a change leaves these alone.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::net::IpAddr;

use ipnet::IpNet;

use crate::family::octets;
use crate::nftables::{
    ChainHook, ElementData, End, Expression, Holds, KeptSocket, STATE_ESTABLISHED, STATE_RELATED,
    Table, TableChange, TableName, Verdict, address, in_range,
};
use crate::{Error, Family, Protocol, Result};

const TABLE: &str = "kd-policies";
const DESTINATION_PORT_OFFSET: u32 = 2;

/// Whose packets a rule lets pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Peer {
    /// Everybody's.
    Anybody,
    /// Those of a group's members.
    Group(String),
    /// Those of a range, but not of its exceptions.
    Range {
        /// The range.
        range: IpNet,
        /// Parts of it that are left out.
        except: Vec<IpNet>,
    },
}

/// Which ports of the destination a rule lets packets pass to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum PortMatch {
    /// All, of all protocols.
    Any,
    /// Those from the first to the last, of one protocol.
    Range {
        /// The protocol.
        protocol: Protocol,
        /// The first port.
        first: u16,
        /// The last port.
        last: u16,
    },
    /// Those that a group names for the destination's address.
    Group(String),
}

/// What lets a packet pass.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Allow {
    /// The other end.
    pub peer: Peer,
    /// The destination's port.
    pub port: PortMatch,
}

/// One direction of traffic, as the pods see it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Direction {
    /// What policies allow, by a name of at most 200 bytes.
    pub policies: BTreeMap<String, BTreeSet<Allow>>,
    /// The policies of each pod that has any: what none of them allows does not pass.
    pub pods: BTreeMap<IpAddr, BTreeSet<String>>,
}

/// All policies of a node's pods.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct PolicyRules {
    /// What reaches pods.
    pub ingress: Direction,
    /// What leaves pods.
    pub egress: Direction,
    /// The members of groups that rules name.
    pub groups: BTreeMap<String, BTreeSet<IpAddr>>,
    /// The ports of groups that rules name.
    pub port_groups: BTreeMap<String, BTreeSet<(IpAddr, Protocol, u16)>>,
}

/// Programs policies into this network namespace.
#[derive(Debug, Default)]
pub struct Policies {
    /// By family. None: nothing is known of what is in the kernel.
    applied: [Option<Table>; 2],
    netfilter: KeptSocket,
}

impl Policies {
    /// Makes exactly these policies. Writes only what changed; all of it the first time and after
    /// an error.
    pub fn set(&mut self, rules: &PolicyRules) -> Result<()> {
        let mut outcome = Ok(());
        for (family, applied) in Family::ALL.into_iter().zip(&mut self.applied) {
            let wanted = table(family, rules);
            let known = applied.take();
            let written = match known.as_ref() == Some(&wanted) {
                true => Ok(()),
                false => write(&mut self.netfilter, family, known.as_ref(), &wanted),
            };
            match written {
                // A kernel may lack a family that nobody uses.
                Err(source) if family == Family::V4 || has_hooks(&wanted) => {
                    let operation = "program the network policies".to_owned();
                    outcome = outcome.and(Err(Error { operation, source }));
                }
                _ => *applied = Some(wanted),
            }
        }
        outcome
    }
}

fn has_hooks(table: &Table) -> bool {
    table.chains.values().any(|chain| chain.hook.is_some())
}

fn write(
    netfilter: &mut KeptSocket,
    family: Family,
    known: Option<&Table>,
    wanted: &Table,
) -> io::Result<()> {
    let name = TableName { family, name: TABLE };
    let change = known.map(|known| TableChange::between(known, wanted));
    if let Some(change) = change
        && netfilter.with(|socket| change.apply(socket, name)).is_ok()
    {
        return Ok(());
    }
    let whole = TableChange::whole(wanted);
    netfilter.with(|socket| whole.replace(socket, name))
}

/// How one direction is looked at.
struct Side {
    name: &'static str,
    /// The pod's own end of its packets.
    own: End,
    /// The other one.
    peer: End,
    hooks: &'static [(&'static str, ChainHook)],
}

const INGRESS: Side = Side {
    name: "ingress",
    own: End::Destination,
    peer: End::Source,
    // The node itself always reaches its pods: it probes them.
    hooks: &[("ingress", ChainHook::FORWARD_FILTER_LATE)],
};

const EGRESS: Side = Side {
    name: "egress",
    own: End::Source,
    peer: End::Destination,
    hooks: &[("egress", ChainHook::FORWARD_FILTER), ("egress-to-node", ChainHook::INPUT_FILTER)],
};

fn table(family: Family, rules: &PolicyRules) -> Table {
    let mut table = Table::default();
    let length = family.address_length();
    for (name, members) in &rules.groups {
        let set = group_name(name);
        table.set(&set, length, Holds::Nothing);
        for member in members.iter().filter(|member| Family::of(member) == family) {
            table.element(&set, octets(*member), ElementData::None);
        }
    }
    for (name, members) in &rules.port_groups {
        let set = port_group_name(name);
        table.set(&set, length + 8, Holds::Nothing);
        let members = members.iter().filter(|(member, ..)| Family::of(member) == family);
        for (address, protocol, port) in members {
            let mut key = octets(*address);
            key.extend_from_slice(&[protocol.number(), 0, 0, 0]);
            key.extend_from_slice(&port.to_be_bytes());
            key.extend_from_slice(&[0, 0]);
            table.element(&set, key, ElementData::None);
        }
    }
    direction(family, &mut table, &INGRESS, &rules.ingress);
    direction(family, &mut table, &EGRESS, &rules.egress);
    table
}

fn group_name(name: &str) -> String {
    format!("group/{name}")
}

fn port_group_name(name: &str) -> String {
    format!("ports/{name}")
}

fn direction(family: Family, table: &mut Table, side: &Side, direction: &Direction) {
    let mut pods = direction.pods.iter().filter(|(pod, _)| Family::of(pod) == family).peekable();
    if pods.peek().is_none() {
        // Without policies no packet pays for them.
        return;
    }
    for (name, allowed) in &direction.policies {
        let chain = table.chain(&format!("{}/{name}", side.name), None);
        let allowed = allowed.iter().filter(|allow| is_of_family(&allow.peer, family));
        chain.rules = allowed.map(|allow| allow_rule(family, side, allow)).collect();
    }
    let map = format!("{}-pods", side.name);
    table.set(&map, family.address_length(), Holds::Verdicts);
    for (pod, policies) in pods {
        let name = format!("{}-of/{pod}", side.name);
        let jump = |policy| Verdict::Jump(format!("{}/{policy}", side.name));
        let mut rules: Vec<_> =
            policies.iter().map(|policy| vec![Expression::Decide(jump(policy))]).collect();
        rules.push(vec![Expression::Decide(Verdict::Drop)]);
        table.chain(&name, None).rules = rules;
        let verdict = ElementData::Verdict(Verdict::Goto(name));
        table.element(&map, octets(*pod), verdict);
    }
    let mut known = vec![Expression::ConnectionState { into: 0 }];
    known.extend(Expression::any_bit(0, STATE_ESTABLISHED | STATE_RELATED));
    known.push(Expression::Decide(Verdict::Accept));
    let judged = vec![address(family, side.own, 0), Expression::LookupVerdict { set: map, key: 0 }];
    for (name, hook) in side.hooks {
        table.chain(name, Some(*hook)).rules = vec![known.clone(), judged.clone()];
    }
}

fn is_of_family(peer: &Peer, family: Family) -> bool {
    match peer {
        Peer::Anybody | Peer::Group(_) => true,
        Peer::Range { range, .. } => Family::of_range(range) == family,
    }
}

/// Accepting ends only the base chain of one direction: the other one's is asked, too.
fn allow_rule(family: Family, side: &Side, allow: &Allow) -> Vec<Expression> {
    let mut rule = Vec::new();
    match &allow.peer {
        Peer::Anybody => {}
        Peer::Group(name) => rule.extend([
            address(family, side.peer, 0),
            Expression::Lookup { set: group_name(name), key: 0, into: None },
        ]),
        Peer::Range { range, except } => {
            rule.extend(in_range(side.peer, *range, true, 0));
            let outside = |range: &IpNet| in_range(side.peer, *range, false, 0);
            let except = except.iter().filter(|part| Family::of_range(part) == family);
            rule.extend(except.flat_map(outside));
        }
    }
    let port =
        |into| Expression::TransportHeader { offset: DESTINATION_PORT_OFFSET, length: 2, into };
    match &allow.port {
        PortMatch::Any => {}
        PortMatch::Range { protocol, first, last } => {
            rule.extend([
                Expression::Layer4Protocol { into: 0 },
                Expression::Compare { register: 0, equal: true, value: vec![protocol.number()] },
            ]);
            let bytes = |port: u16| port.to_be_bytes().to_vec();
            match (*first, *last) {
                (0, u16::MAX) => {}
                (first, last) if first == last => rule.extend([
                    port(0),
                    Expression::Compare { register: 0, equal: true, value: bytes(first) },
                ]),
                (first, last) => rule.extend([
                    port(0),
                    Expression::Range { register: 0, first: bytes(first), last: bytes(last) },
                ]),
            }
        }
        PortMatch::Group(name) => rule.extend([
            address(family, End::Destination, 0),
            Expression::Layer4Protocol { into: family.registers() },
            port(family.registers() + 1),
            Expression::Lookup { set: port_group_name(name), key: 0, into: None },
        ]),
    }
    rule.push(Expression::Decide(Verdict::Accept));
    rule
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rules() -> PolicyRules {
        let port = PortMatch::Range { protocol: Protocol::Tcp, first: 80, last: 80 };
        let allow = Allow { peer: Peer::Group("web".into()), port };
        let pod = IpAddr::from([10, 244, 0, 2]);
        PolicyRules {
            ingress: Direction {
                policies: BTreeMap::from([("p".to_owned(), BTreeSet::from([allow]))]),
                pods: BTreeMap::from([(pod, BTreeSet::from(["p".to_owned()]))]),
            },
            groups: BTreeMap::from([("web".to_owned(), BTreeSet::from([pod]))]),
            ..PolicyRules::default()
        }
    }

    #[test]
    fn no_policies_no_hooks() {
        let empty = table(Family::V4, &PolicyRules::default());
        assert!(empty.chains.is_empty());
        let hooked: Vec<String> = table(Family::V4, &rules())
            .chains
            .into_iter()
            .filter_map(|(name, chain)| chain.hook.map(|_| name))
            .collect();
        assert_eq!(hooked, ["ingress"], "egress is nobody's matter here");
        assert!(!has_hooks(&table(Family::V6, &rules())), "nor is the other family");
    }

    #[test]
    fn a_pods_chain_ends_in_a_drop() {
        let table = table(Family::V4, &rules());
        let chain = &table.chains["ingress-of/10.244.0.2"].rules;
        let jump = Verdict::Jump("ingress/p".into());
        let expect = [jump, Verdict::Drop].map(|verdict| vec![Expression::Decide(verdict)]);
        assert_eq!(*chain, expect);
    }

    #[test]
    fn a_member_more_is_one_element() {
        let (old, mut more) = (rules(), rules());
        let member = IpAddr::from([10, 244, 0, 3]);
        more.groups.get_mut("web").unwrap().insert(member);
        let change = TableChange::between(&table(Family::V4, &old), &table(Family::V4, &more));
        assert_eq!(change.written(), 1);
    }
}
