//! Packets that leave the cluster get the node's address: nobody outside knows the pods'.

use ipnet::IpNet;

use super::{ChainHook, End, Expression, KeptSocket, Register, Table, TableChange, TableName};
use crate::family::octets;
use crate::{Error, Family, Result};

/// Makes the masquerade rule for the pods of a cluster whose addresses are of `pods`. What is sent to
/// one of these ranges keeps its source, and so does what is sent to one of `others`.
pub(crate) fn masquerade(pods: IpNet, others: &[IpNet]) -> Result<()> {
    let operation = format!("masquerade what leaves {pods}");
    let family = Family::of_range(&pods);
    let mut rule = Vec::from(in_range(End::Source, pods, true, 0));
    rule.extend(in_range(End::Destination, pods, false, 0));
    for range in others.iter().filter(|range| Family::of_range(range) == family) {
        rule.extend(in_range(End::Destination, *range, false, 0));
    }
    rule.push(Expression::Masquerade);
    let mut table = Table::default();
    table.chain("postrouting", Some(ChainHook::POSTROUTING_NAT)).rules = vec![rule];
    let name = TableName { family, name: "kd-masquerade" };
    let change = TableChange::whole(&table);
    KeptSocket::default().with(|socket| change.replace(socket, name)).map_err(Error::of(operation))
}

/// Goes on only when an address of the packet is in the range, or is not. Takes as many registers as
/// an address.
pub(crate) fn in_range(
    end: End,
    range: IpNet,
    inside: bool,
    register: Register,
) -> [Expression; 3] {
    let range = range.trunc();
    [
        address(Family::of_range(&range), end, register),
        Expression::mask(register, octets(range.netmask())),
        Expression::Compare { register, equal: inside, value: octets(range.network()) },
    ]
}

/// Loads an address of the packet.
pub(crate) fn address(family: Family, end: End, into: Register) -> Expression {
    let offset = match (family, end) {
        (Family::V4, End::Source) => 12,
        (Family::V4, End::Destination) => 16,
        (Family::V6, End::Source) => 8,
        (Family::V6, End::Destination) => 24,
    };
    Expression::NetworkHeader { offset, length: family.address_length(), into }
}
