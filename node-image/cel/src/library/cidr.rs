//! Networks: an address and the length of its prefix.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::ip::parse_address;
use super::{Context, Opaque, Outcome, Row, global, member, mismatch, text};
use crate::cost::Cost;
use crate::error::Error;
use crate::value::Value;

pub(super) const ROWS: &[Row] = &[
    global("cidr", "string -> net.CIDR", Cost::Read, |_, args| {
        Ok(Value::Opaque(Opaque::Cidr(parse_cidr(text(args, 0)?)?)))
    }),
    global("isCIDR", "string -> bool", Cost::Read, |_, args| {
        Ok(Value::Bool(parse_cidr(text(args, 0)?).is_ok()))
    }),
    member(
        "containsCIDR",
        "net.CIDR, string -> bool",
        Cost::Network { network: true, text: true },
        contains_cidr,
    ),
    member(
        "containsCIDR",
        "net.CIDR, net.CIDR -> bool",
        Cost::Network { network: true, text: false },
        contains_cidr,
    ),
    member("ip", "net.CIDR -> net.IP", Cost::Nominal, |_, args| {
        Ok(Value::Opaque(Opaque::Ip(network(args, 0)?.address)))
    }),
    member("prefixLength", "net.CIDR -> int", Cost::Nominal, |_, args| {
        Ok(Value::Int(i64::from(network(args, 0)?.prefix)))
    }),
    member("masked", "net.CIDR -> net.CIDR", Cost::Nominal, |_, args| {
        Ok(Value::Opaque(Opaque::Cidr(network(args, 0)?.masked())))
    }),
];

/// A network as it was written: the address may have bits after the prefix.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    pub(crate) address: IpAddr,
    pub(crate) prefix: u8,
}

impl Cidr {
    fn bits(address: IpAddr, prefix: u8) -> u128 {
        let (bits, width) = match address {
            IpAddr::V4(v4) => (u128::from(v4.to_bits()), 32),
            IpAddr::V6(v6) => (v6.to_bits(), 128),
        };
        bits.checked_shr(width - u32::from(prefix)).unwrap_or(0)
    }

    pub(super) fn contains(&self, address: IpAddr) -> bool {
        self.address.is_ipv4() == address.is_ipv4()
            && Cidr::bits(self.address, self.prefix) == Cidr::bits(address, self.prefix)
    }

    fn masked(&self) -> Cidr {
        let prefix = u32::from(self.prefix);
        let address = match self.address {
            IpAddr::V4(v4) => {
                let mask = u32::MAX.checked_shl(32 - prefix).unwrap_or(0);
                IpAddr::V4(Ipv4Addr::from_bits(v4.to_bits() & mask))
            }
            IpAddr::V6(v6) => {
                let mask = u128::MAX.checked_shl(128 - prefix).unwrap_or(0);
                IpAddr::V6(Ipv6Addr::from_bits(v6.to_bits() & mask))
            }
        };
        Cidr { address, prefix: self.prefix }
    }
}

impl fmt::Display for Cidr {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.address, self.prefix)
    }
}

fn network(args: &[Value], index: usize) -> Result<Cidr, Error> {
    match args.get(index) {
        Some(Value::Opaque(Opaque::Cidr(cidr))) => Ok(*cidr),
        Some(Value::String(text)) => parse_cidr(text),
        _ => Err(mismatch()),
    }
}

pub(super) fn parse_cidr(text: &str) -> Result<Cidr, Error> {
    const WHAT: &str = "network address parse error during conversion from string";
    let refused =
        |why: String| Error::other(format!("{WHAT}: {WHAT}: netip.ParsePrefix({text:?}): {why}"));
    let (address, length) = text.rsplit_once('/').ok_or_else(|| refused("no '/'".into()))?;
    let address = match parse_address(address) {
        Ok(address) => address,
        Err(error) if error.to_string().contains("mapped") => {
            return Err(Error::other(format!(
                "{WHAT}: IPv4-mapped IPv6 address {text:?} is not allowed"
            )));
        }
        Err(_) => return Err(refused(format!("ParseAddr({address:?}): unable to parse IP"))),
    };
    let bad_length = || refused(format!("bad bits after slash: {length:?}"));
    let plain =
        length.bytes().all(|b| b.is_ascii_digit()) && (length == "0" || !length.starts_with('0'));
    let prefix: u8 =
        if plain { length.parse().map_err(|_| bad_length())? } else { return Err(bad_length()) };
    let widest = if address.is_ipv4() { 32 } else { 128 };
    match prefix <= widest {
        true => Ok(Cidr { address, prefix }),
        false => Err(refused("prefix length out of range".into())),
    }
}

fn contains_cidr(_: &mut Context<'_>, args: &[Value]) -> Outcome {
    let (outer, inner) = (network(args, 0)?, network(args, 1)?);
    Ok(Value::Bool(outer.prefix <= inner.prefix && outer.contains(inner.address)))
}
