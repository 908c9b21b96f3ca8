//! The two versions of IP, as sockets and nftables number them.

use std::net::IpAddr;

use ipnet::IpNet;

/// A version of IP.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Family {
    /// IPv4.
    V4,
    /// IPv6.
    V6,
}

impl Family {
    /// Both.
    pub const ALL: [Family; 2] = [Family::V4, Family::V6];

    /// The family of an address.
    pub fn of(address: &IpAddr) -> Family {
        if address.is_ipv4() { Family::V4 } else { Family::V6 }
    }

    /// The family of a range.
    pub fn of_range(range: &IpNet) -> Family {
        Family::of(&range.addr())
    }

    /// `AF_INET` or `AF_INET6`, which `NFPROTO_*` equals.
    pub(crate) fn number(self) -> u8 {
        match self {
            Family::V4 => 2,
            Family::V6 => 10,
        }
    }

    /// Registers of nftables that an address fills.
    pub(crate) fn registers(self) -> u32 {
        match self {
            Family::V4 => 1,
            Family::V6 => 4,
        }
    }

    /// Bytes of an address.
    pub(crate) fn address_length(self) -> u32 {
        self.registers() * 4
    }
}

/// An address as it stands in packets.
pub(crate) fn octets(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(address) => address.octets().to_vec(),
        IpAddr::V6(address) => address.octets().to_vec(),
    }
}
