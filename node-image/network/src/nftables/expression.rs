//! The expressions that rules are made of (`nf_tables.h` of the kernel's UAPI).

use super::message::{Attributes, attribute};
use crate::Family;

/// A 32-bit register, counted from `NFT_REG32_00`. Values longer than four bytes take the
/// following registers too.
pub(crate) type Register = u32;

const FIRST_REGISTER: u32 = 8;
const VERDICT_REGISTER: u32 = 0;

/// A bit of a connection's state, as [`Expression::ConnectionState`] loads them: packets in both
/// directions were seen.
pub(crate) const STATE_ESTABLISHED: u32 = 2;
/// Started by another connection, and errors about one.
pub(crate) const STATE_RELATED: u32 = 4;
/// The first packet.
pub(crate) const STATE_NEW: u32 = 8;
/// What [`Expression::AddressType`] loads for an address of this host.
pub(crate) const ADDRESS_LOCAL: u32 = 2;

/// What a rule or a map element decides.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Verdict {
    /// The packet passes this base chain.
    Accept,
    /// The packet is gone.
    Drop,
    /// Continue in a chain, and here when it ends.
    Jump(String),
    /// Continue in a chain without coming back.
    Goto(String),
    /// Back to where the chain was jumped to from.
    Return,
}

impl Verdict {
    pub(super) fn attributes(&self) -> Attributes {
        let code = |code: i32| Attributes::default().u32(1, code as u32);
        match self {
            Verdict::Drop => code(0),
            Verdict::Accept => code(1),
            Verdict::Jump(chain) => code(-3).string(2, chain),
            Verdict::Goto(chain) => code(-4).string(2, chain),
            Verdict::Return => code(-5),
        }
    }

    /// As it was read.
    pub(super) fn decode(bytes: &[u8]) -> Option<Verdict> {
        let code: [u8; 4] = attribute(bytes, 1)?.try_into().ok()?;
        let chain = || {
            let name = attribute(bytes, 2)?;
            Some(String::from_utf8_lossy(name.strip_suffix(&[0]).unwrap_or(name)).into_owned())
        };
        match i32::from_be_bytes(code) {
            0 => Some(Verdict::Drop),
            1 => Some(Verdict::Accept),
            -3 => Some(Verdict::Jump(chain()?)),
            -4 => Some(Verdict::Goto(chain()?)),
            -5 => Some(Verdict::Return),
            _ => None,
        }
    }
}

/// The source or the destination of a packet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum End {
    Source,
    Destination,
}

/// One step of a rule.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Expression {
    /// Loads bytes of the IP header.
    NetworkHeader { offset: u32, length: u32, into: Register },
    /// Loads bytes of the TCP, UDP or SCTP header.
    TransportHeader { offset: u32, length: u32, into: Register },
    /// Loads the layer 4 protocol number.
    Layer4Protocol { into: Register },
    /// Loads a constant.
    Constant { value: Vec<u8>, into: Register },
    /// Loads the kind of an address (`RTN_*`), a number in the machine's byte order.
    AddressType { end: End, into: Register },
    /// Loads the state bits of the packet's connection, in the machine's byte order.
    ConnectionState { into: Register },
    /// Loads the packet's mark, in the machine's byte order.
    Mark { into: Register },
    /// Gives the packet the register's value as its mark.
    SetMark { from: Register },
    /// Keeps the masked bits, then flips those of `flip`.
    Bits { register: Register, mask: Vec<u8>, flip: Vec<u8> },
    /// Goes on only when the register holds (or does not hold) the value.
    Compare { register: Register, equal: bool, value: Vec<u8> },
    /// Goes on only when the register is at least `first` and at most `last`, as bytes.
    Range { register: Register, first: Vec<u8>, last: Vec<u8> },
    /// A random number from `first`, below `first + modulus`.
    Random { modulus: u32, first: u32, into: Register },
    /// Goes on only when the registers' bytes are in the set; with `into`, loads what the map holds
    /// for them; a verdict map decides.
    Lookup { set: String, key: Register, into: Option<Register> },
    /// As `Lookup` in a verdict map.
    LookupVerdict { set: String, key: Register },
    /// Puts an element into a map, or makes the one that is there last longer. A full map ends the
    /// rule.
    Remember { map: String, key: Register, data: Register, lifetime_ms: u64 },
    /// New destination address and port.
    DestinationNat { family: Family, address: Register, port: Register },
    /// The address of the outgoing interface as source, and any port.
    Masquerade,
    /// Refuses with a TCP reset.
    RejectTcpReset,
    /// Refuses with ICMP's "port unreachable".
    RejectPortUnreachable { family: Family },
    /// Decides.
    Decide(Verdict),
}

impl Expression {
    /// Keeps the masked bits.
    pub(crate) fn mask(register: Register, mask: Vec<u8>) -> Expression {
        let flip = vec![0; mask.len()];
        Expression::Bits { register, mask, flip }
    }

    /// Goes on only when one of the bits of a number in the machine's byte order is set.
    pub(crate) fn any_bit(register: Register, bits: u32) -> [Expression; 2] {
        [
            Expression::mask(register, bits.to_ne_bytes().to_vec()),
            Expression::Compare { register, equal: false, value: vec![0; 4] },
        ]
    }

    pub(super) fn attributes(&self) -> Attributes {
        let (name, data) = self.encode();
        Attributes::default().string(1, name).nested(2, data)
    }

    fn encode(&self) -> (&'static str, Attributes) {
        const NETWORK_BASE: u32 = 1;
        const TRANSPORT_BASE: u32 = 2;
        match self {
            Self::NetworkHeader { offset, length, into } => {
                ("payload", load(NETWORK_BASE, *offset, *length, *into))
            }
            Self::TransportHeader { offset, length, into } => {
                ("payload", load(TRANSPORT_BASE, *offset, *length, *into))
            }
            Self::Constant { value: bytes, into } => {
                ("immediate", new().u32(1, register(*into)).nested(2, value(bytes)))
            }
            Self::Decide(verdict) => {
                let data = new().nested(2, verdict.attributes());
                ("immediate", new().u32(1, VERDICT_REGISTER).nested(2, data))
            }
            Self::Layer4Protocol { .. }
            | Self::AddressType { .. }
            | Self::ConnectionState { .. }
            | Self::Mark { .. }
            | Self::SetMark { .. } => self.encode_meta(),
            Self::Bits { .. } | Self::Compare { .. } | Self::Range { .. } => self.encode_test(),
            Self::Random { .. }
            | Self::Lookup { .. }
            | Self::LookupVerdict { .. }
            | Self::Remember { .. } => self.encode_choice(),
            Self::DestinationNat { .. }
            | Self::Masquerade
            | Self::RejectTcpReset
            | Self::RejectPortUnreachable { .. } => self.encode_end(),
        }
    }

    /// What is known of a packet besides its bytes.
    fn encode_meta(&self) -> (&'static str, Attributes) {
        const META_MARK: u32 = 3;
        const META_L4PROTO: u32 = 16;
        const CT_STATE: u32 = 0;
        const FIB_ADDRESS_TYPE: u32 = 3;
        match self {
            Self::Layer4Protocol { into } => {
                ("meta", new().u32(1, register(*into)).u32(2, META_L4PROTO))
            }
            Self::AddressType { end, into } => {
                let flags = match end {
                    End::Source => 1,
                    End::Destination => 2,
                };
                ("fib", new().u32(1, register(*into)).u32(2, FIB_ADDRESS_TYPE).u32(3, flags))
            }
            Self::Mark { into } => ("meta", new().u32(1, register(*into)).u32(2, META_MARK)),
            Self::SetMark { from } => ("meta", new().u32(2, META_MARK).u32(3, register(*from))),
            Self::ConnectionState { into } => {
                ("ct", new().u32(1, register(*into)).u32(2, CT_STATE))
            }
            other => unreachable_group(other),
        }
    }

    fn encode_test(&self) -> (&'static str, Attributes) {
        match self {
            Self::Bits { register: at, mask, flip } => {
                let data = new()
                    .u32(1, register(*at))
                    .u32(2, register(*at))
                    .u32(3, mask.len() as u32)
                    .nested(4, value(mask))
                    .nested(5, value(flip));
                ("bitwise", data)
            }
            Self::Compare { register: at, equal, value: wanted } => {
                let operation = u32::from(!equal);
                ("cmp", new().u32(1, register(*at)).u32(2, operation).nested(3, value(wanted)))
            }
            Self::Range { register: at, first, last } => {
                const INSIDE: u32 = 0;
                let data = new().u32(1, register(*at)).u32(2, INSIDE);
                ("range", data.nested(3, value(first)).nested(4, value(last)))
            }
            other => unreachable_group(other),
        }
    }

    fn encode_choice(&self) -> (&'static str, Attributes) {
        match self {
            Self::Random { modulus, first, into } => {
                const RANDOM: u32 = 1;
                let data = new().u32(1, register(*into)).u32(2, *modulus).u32(3, RANDOM);
                ("numgen", data.u32(4, *first))
            }
            Self::Lookup { set, key, into } => {
                let data = new().string(1, set).u32(2, register(*key));
                ("lookup", into.iter().fold(data, |data, r| data.u32(3, register(*r))))
            }
            Self::LookupVerdict { set, key } => {
                ("lookup", new().string(1, set).u32(2, register(*key)).u32(3, VERDICT_REGISTER))
            }
            Self::Remember { map, key, data, lifetime_ms } => {
                const UPDATE: u32 = 1;
                let of = new().string(1, map).u32(3, UPDATE).u32(4, register(*key));
                ("dynset", of.u32(5, register(*data)).bytes(6, &lifetime_ms.to_be_bytes()))
            }
            other => unreachable_group(other),
        }
    }

    fn encode_end(&self) -> (&'static str, Attributes) {
        match self {
            Self::DestinationNat { family, address, port } => {
                const DNAT: u32 = 1;
                let data = new().u32(1, DNAT).u32(2, family.number().into());
                ("nat", data.u32(3, register(*address)).u32(5, register(*port)))
            }
            Self::Masquerade => {
                const FULLY_RANDOM_PORT: u32 = 1 << 4;
                ("masq", new().u32(1, FULLY_RANDOM_PORT))
            }
            Self::RejectTcpReset => ("reject", new().u32(1, 1).bytes(2, &[0])),
            Self::RejectPortUnreachable { family } => {
                let code = match family {
                    Family::V4 => 3,
                    Family::V6 => 4,
                };
                ("reject", new().u32(1, 0).bytes(2, &[code]))
            }
            other => unreachable_group(other),
        }
    }
}

fn new() -> Attributes {
    Attributes::default()
}

/// `encode` sends every expression to the group that knows it.
fn unreachable_group(expression: &Expression) -> (&'static str, Attributes) {
    debug_assert!(false, "no encoding of {expression:?}");
    ("", new())
}

fn load(base: u32, offset: u32, length: u32, into: Register) -> Attributes {
    new().u32(1, register(into)).u32(2, base).u32(3, offset).u32(4, length)
}

fn register(index: Register) -> u32 {
    FIRST_REGISTER + index
}

/// A value in the nested form that comparisons and elements take.
pub(super) fn value(bytes: &[u8]) -> Attributes {
    new().bytes(1, bytes)
}
