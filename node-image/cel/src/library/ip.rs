//! IP addresses.

use std::net::IpAddr;

use super::cidr::{Cidr, parse_cidr};
use super::{Context, Opaque, Outcome, Row, global, member, mismatch, text};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

macro_rules! tests {
    ($($name:literal $test:expr;)*) => {
        pub(super) const ROWS: &[Row] = &[
            $(member($name, "net.IP -> bool", Cost::Nominal, |_, args| {
                let test: fn(IpAddr) -> bool = $test;
                address(args, 0).map(test).map(Value::Bool)
            }),)*
            global("ip", "string -> net.IP", Cost::Read, ip),
            global("isIP", "string -> bool", Cost::Read, |_, args| {
                Ok(Value::Bool(parse_address(text(args, 0)?).is_ok()))
            }),
            global("ip.isCanonical", "string -> bool", Cost::ReadTwice, |_, args| {
                let text = text(args, 0)?;
                Ok(Value::Bool(parse_address(text)?.to_string() == text))
            }),
            member("family", "net.IP -> int", Cost::Nominal, |_, args| {
                Ok(Value::Int(if address(args, 0)?.is_ipv4() { 4 } else { 6 }))
            }),
            member("containsIP", "net.CIDR, string -> bool", CONTAINS_TEXT, contains_ip),
            member("containsIP", "net.CIDR, net.IP -> bool", CONTAINS, contains_ip),
        ];
    };
}

const CONTAINS: Cost = Cost::Network { network: false, text: false };
const CONTAINS_TEXT: Cost = Cost::Network { network: false, text: true };

tests! {
    "isUnspecified" |ip| ip.is_unspecified();
    "isLoopback" |ip| ip.is_loopback();
    "isLinkLocalMulticast" is_link_local_multicast;
    "isLinkLocalUnicast" is_link_local_unicast;
    "isGlobalUnicast" is_global_unicast;
}

fn is_link_local_multicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.octets()[..3] == [224, 0, 0],
        IpAddr::V6(ip) => ip.segments()[0] & 0xff0f == 0xff02,
    }
}

fn is_link_local_unicast(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => ip.is_link_local(),
        IpAddr::V6(ip) => ip.segments()[0] & 0xffc0 == 0xfe80,
    }
}

fn is_global_unicast(ip: IpAddr) -> bool {
    let broadcast = matches!(ip, IpAddr::V4(ip) if ip.is_broadcast());
    let special = ip.is_unspecified() || ip.is_loopback() || ip.is_multicast();
    !broadcast && !special && !is_link_local_unicast(ip)
}

fn address(args: &[Value], index: usize) -> Result<IpAddr, Error> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Ip(address))) => Ok(*address),
        Some(Value::String(text)) => parse_address(text),
        _ => Err(mismatch()),
    }
}

/// An address, neither with a zone nor an IPv4 address within IPv6.
pub(super) fn parse_address(text: &str) -> Result<IpAddr, Error> {
    if text.contains(':') && text.contains('%') {
        return Err(Error::other(format!("IP address {text:?} with zone value is not allowed")));
    }
    let address: IpAddr = text.parse().map_err(|_| {
        let reason = format!("ParseAddr({text:?}): unable to parse IP");
        Error::other(format!(
            "IP Address {text:?} parse error during conversion from string: {reason}"
        ))
    })?;
    match address {
        IpAddr::V6(v6) if v6.to_ipv4_mapped().is_some() => {
            Err(Error::other(format!("IPv4-mapped IPv6 address {text:?} is not allowed")))
        }
        address => Ok(address),
    }
}

/// `ip(text)`, and the address of a network.
fn ip(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    Ok(Value::Opaque(Opaque::Ip(parse_address(text(args, 0)?)?)))
}

fn contains_ip(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let network: Cidr = match args.first() {
        Some(Value::Opaque(Opaque::Cidr(cidr))) => *cidr,
        Some(Value::String(text)) => parse_cidr(text)?,
        _ => return Err(mismatch()),
    };
    Ok(Value::Bool(network.contains(address(args, 1)?)))
}
