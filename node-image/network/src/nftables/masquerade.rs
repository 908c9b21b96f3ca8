//! Packets that leave the cluster get the node's address: nobody outside knows the pods'.

use ipnet::IpNet;

use super::{Batch, ChainHook, Expression};
use crate::{Error, Result};

const SOURCE_OFFSET: u32 = 12;
const DESTINATION_OFFSET: u32 = 16;

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
    let in_range = |offset, equal| {
        [
            Expression::NetworkHeader { offset, length: 4, into: 0 },
            Expression::Mask { register: 0, mask: range.netmask().octets().to_vec() },
            Expression::Compare { register: 0, equal, value: range.network().octets().to_vec() },
        ]
    };
    let mut batch = Batch::replace("kd-masquerade");
    batch.chain("postrouting", Some(ChainHook::POSTROUTING_NAT));
    let mut rule = Vec::from(in_range(SOURCE_OFFSET, true));
    rule.extend(in_range(DESTINATION_OFFSET, false));
    rule.push(Expression::Masquerade);
    batch.rule("postrouting", &rule);
    batch.apply().map_err(Error::of(operation))
}
