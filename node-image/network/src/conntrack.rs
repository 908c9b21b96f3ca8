//! Connections that the kernel tracks (`nfnetlink_conntrack.h`). UDP has no end of a connection: a flow
//! to an endpoint that is gone would go there for as long as its client sends.

use std::collections::HashMap;
use std::io;
use std::net::{IpAddr, SocketAddr};

use crate::Family;
use crate::nftables::{
    ACKNOWLEDGE, Attributes, NetfilterSocket, REQUEST, attribute, body_attributes, message,
};

const SUBSYSTEM: u16 = 1;
const GET: u16 = 1;
const DELETE: u16 = 2;
const UDP: u8 = 17;
const TUPLE_ORIGINAL: u16 = 1;
const TUPLE_REPLY: u16 = 2;

/// What a flow was addressed to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct FlowTarget {
    /// Any address that no other target names, if there is none.
    pub address: Option<IpAddr>,
    pub port: u16,
}

/// One tracked UDP flow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Flow {
    target: SocketAddr,
    /// What answers.
    answering: SocketAddr,
}

/// Forgets the UDP flows to these targets that are answered by others than the endpoints.
pub(crate) fn forget_udp(
    socket: &NetfilterSocket,
    family: Family,
    targets: &HashMap<FlowTarget, Vec<SocketAddr>>,
) -> io::Result<()> {
    let entries = socket.dump(SUBSYSTEM << 8 | GET, family, Attributes::default())?;
    for entry in &entries {
        let Some(tuple) = body_attributes(entry).find(|(kind, _)| *kind == TUPLE_ORIGINAL) else {
            continue;
        };
        if !flow(family, entry).is_some_and(|flow| is_stale(&flow, targets)) {
            continue;
        }
        let which = Attributes::default().nested_bytes(TUPLE_ORIGINAL, tuple.1);
        let flags = REQUEST | ACKNOWLEDGE;
        let delete = message(SUBSYSTEM << 8 | DELETE, flags, 1, family.number(), 0, which);
        match socket.exchange(&delete, 1) {
            // It ended by itself.
            Err(error) if error.raw_os_error() == Some(libc::ENOENT) => {}
            done => done?,
        }
    }
    Ok(())
}

fn is_stale(flow: &Flow, targets: &HashMap<FlowTarget, Vec<SocketAddr>>) -> bool {
    let (address, port) = (Some(flow.target.ip()), flow.target.port());
    if let Some(endpoints) = targets.get(&FlowTarget { address, port }) {
        return !endpoints.contains(&flow.answering);
    }
    // An untranslated flow to a port of the node is the node's own business, unless it was there
    // before the port was a service's.
    let by_port = targets.get(&FlowTarget { address: None, port });
    by_port.is_some_and(|endpoints| {
        flow.answering != flow.target && !endpoints.contains(&flow.answering)
    })
}

fn flow(family: Family, entry: &[u8]) -> Option<Flow> {
    // CTA_IP_V4_SRC, CTA_IP_V4_DST, then the same for IPv6.
    let (source_address, destination_address) = match family {
        Family::V4 => (1, 2),
        Family::V6 => (3, 4),
    };
    const SOURCE_PORT: u16 = 2;
    const DESTINATION_PORT: u16 = 3;
    let tuple = |kind| body_attributes(entry).find(|(found, _)| *found == kind).map(|(_, t)| t);
    Some(Flow {
        target: end(tuple(TUPLE_ORIGINAL)?, destination_address, DESTINATION_PORT)?,
        answering: end(tuple(TUPLE_REPLY)?, source_address, SOURCE_PORT)?,
    })
}

/// One end of a UDP tuple.
fn end(tuple: &[u8], address: u16, port: u16) -> Option<SocketAddr> {
    const ADDRESSES: u16 = 1;
    const LAYER_4: u16 = 2;
    const PROTOCOL: u16 = 1;
    let layer_4 = attribute(tuple, LAYER_4)?;
    if attribute(layer_4, PROTOCOL)? != [UDP] {
        return None;
    }
    let address = attribute(attribute(tuple, ADDRESSES)?, address)?;
    let address = match <[u8; 4]>::try_from(address) {
        Ok(v4) => IpAddr::from(v4),
        Err(_) => IpAddr::from(<[u8; 16]>::try_from(address).ok()?),
    };
    let port: [u8; 2] = attribute(layer_4, port)?.try_into().ok()?;
    Some(SocketAddr::new(address, u16::from_be_bytes(port)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flows_to_what_is_gone_are_stale() {
        let address = Some(IpAddr::from([10, 96, 0, 10]));
        let endpoint: SocketAddr = "10.244.0.2:53".parse().unwrap();
        let targets = HashMap::from([
            (FlowTarget { address, port: 53 }, vec![endpoint]),
            (FlowTarget { address: None, port: 30053 }, vec![endpoint]),
        ]);
        let check = |target: &str, answering: &str, expect: bool| {
            let flow =
                Flow { target: target.parse().unwrap(), answering: answering.parse().unwrap() };
            assert_eq!(is_stale(&flow, &targets), expect, "{flow:?}");
        };
        check("10.96.0.10:53", "10.244.0.2:53", false);
        check("10.96.0.10:53", "10.244.0.3:53", true);
        check("10.96.0.10:53", "10.96.0.10:53", true);
        check("10.96.0.10:54", "10.244.0.3:53", false);
        check("172.18.0.2:30053", "10.244.0.3:53", true);
        check("172.18.0.2:30053", "10.244.0.2:53", false);
        check("172.18.0.2:30053", "172.18.0.2:30053", false);
    }
}
