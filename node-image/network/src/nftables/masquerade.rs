//! Packets that leave the cluster get the node's address: nobody outside knows the pods'.

use ipnet::{IpNet, Ipv4Net};

use super::{ChainHook, End, Expression, Register, Table, TableChange};
use crate::{Error, Result};

/// Makes the masquerade rule for a cluster's pod range.
pub(crate) fn masquerade(cluster_cidr: IpNet) -> Result<()> {
    let operation = format!("masquerade what leaves {cluster_cidr}");
    let IpNet::V4(range) = cluster_cidr.trunc() else {
        let source = std::io::Error::new(
            std::io::ErrorKind::Unsupported,
            "masquerading IPv6 pods is not supported yet",
        );
        return Err(Error { operation, source });
    };
    let mut rule = Vec::from(in_range(End::Source, range, true, 0));
    rule.extend(in_range(End::Destination, range, false, 0));
    rule.push(Expression::Masquerade);
    let mut table = Table::default();
    table.chain("postrouting", Some(ChainHook::POSTROUTING_NAT)).rules = vec![rule];
    TableChange::whole(&table).replace("kd-masquerade").map_err(Error::of(operation))
}

/// Goes on only when an address of the packet is in the range, or is not.
pub(crate) fn in_range(
    end: End,
    range: Ipv4Net,
    inside: bool,
    register: Register,
) -> [Expression; 3] {
    [
        address(end, register),
        Expression::mask(register, range.netmask().octets().to_vec()),
        Expression::Compare { register, equal: inside, value: range.network().octets().to_vec() },
    ]
}

/// Loads an address of the packet.
pub(crate) fn address(end: End, into: Register) -> Expression {
    let offset = match end {
        End::Source => 12,
        End::Destination => 16,
    };
    Expression::NetworkHeader { offset, length: 4, into }
}
