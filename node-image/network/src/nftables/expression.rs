//! The expressions that rules are made of (`nf_tables.h` of the kernel's UAPI).

use super::message::Attributes;

/// A 32-bit register, counted from `NFT_REG32_00`. Values longer than four bytes take the
/// following registers too.
pub(crate) type Register = u32;

const FIRST_REGISTER: u32 = 8;
const VERDICT_REGISTER: u32 = 0;

/// What a rule or a map element decides.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Verdict {
    /// Continue in a chain without coming back.
    Goto(String),
}

impl Verdict {
    pub(super) fn attributes(&self) -> Attributes {
        const GOTO: i32 = -4;
        match self {
            Verdict::Goto(chain) => Attributes::default().u32(1, GOTO as u32).string(2, chain),
        }
    }
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
    /// Keeps the masked bits.
    Mask { register: Register, mask: Vec<u8> },
    /// Goes on only when the register holds (or does not hold) the value.
    Compare { register: Register, equal: bool, value: Vec<u8> },
    /// A random number below `modulus`.
    Random { modulus: u32, into: Register },
    /// Goes on only when the registers' bytes are in the set; with `into`, loads what the map holds
    /// for them; a verdict map decides.
    Lookup { set: String, key: Register, into: Option<Register> },
    /// As `Lookup` in a verdict map.
    LookupVerdict { set: String, key: Register },
    /// New destination address and port.
    DestinationNat { address: Register, port: Register },
    /// The address of the outgoing interface as source.
    Masquerade,
    /// Refuses: TCP reset or ICMP port unreachable is chosen by the chain's rule.
    RejectTcpReset,
    /// ICMP port unreachable.
    RejectPortUnreachable,
}

impl Expression {
    pub(super) fn attributes(&self) -> Attributes {
        let (name, data) = self.encode();
        Attributes::default().string(1, name).nested(2, data)
    }

    fn encode(&self) -> (&'static str, Attributes) {
        const NETWORK_BASE: u32 = 1;
        const TRANSPORT_BASE: u32 = 2;
        const META_L4PROTO: u32 = 16;
        let new = Attributes::default;
        match self {
            Self::NetworkHeader { offset, length, into } => {
                ("payload", load(NETWORK_BASE, *offset, *length, *into))
            }
            Self::TransportHeader { offset, length, into } => {
                ("payload", load(TRANSPORT_BASE, *offset, *length, *into))
            }
            Self::Layer4Protocol { into } => {
                ("meta", new().u32(1, register(*into)).u32(2, META_L4PROTO))
            }
            Self::Mask { register: at, mask } => {
                let zero = vec![0; mask.len()];
                let data = new()
                    .u32(1, register(*at))
                    .u32(2, register(*at))
                    .u32(3, mask.len() as u32)
                    .nested(4, value(mask))
                    .nested(5, value(&zero));
                ("bitwise", data)
            }
            Self::Compare { register: at, equal, value: wanted } => {
                let operation = u32::from(!equal);
                ("cmp", new().u32(1, register(*at)).u32(2, operation).nested(3, value(wanted)))
            }
            Self::Random { modulus, into } => {
                const RANDOM: u32 = 1;
                ("numgen", new().u32(1, register(*into)).u32(2, *modulus).u32(3, RANDOM))
            }
            Self::Lookup { set, key, into } => {
                let data = new().string(1, set).u32(2, register(*key));
                ("lookup", into.iter().fold(data, |data, r| data.u32(3, register(*r))))
            }
            Self::LookupVerdict { set, key } => {
                ("lookup", new().string(1, set).u32(2, register(*key)).u32(3, VERDICT_REGISTER))
            }
            Self::DestinationNat { address, port } => {
                const DNAT: u32 = 1;
                const IPV4: u32 = 2;
                let data = new().u32(1, DNAT).u32(2, IPV4);
                ("nat", data.u32(3, register(*address)).u32(5, register(*port)))
            }
            Self::Masquerade => ("masq", new()),
            Self::RejectTcpReset => ("reject", new().u32(1, 1).bytes(2, &[0])),
            Self::RejectPortUnreachable => ("reject", new().u32(1, 0).bytes(2, &[3])),
        }
    }
}

fn load(base: u32, offset: u32, length: u32, into: Register) -> Attributes {
    Attributes::default().u32(1, register(into)).u32(2, base).u32(3, offset).u32(4, length)
}

fn register(index: Register) -> u32 {
    FIRST_REGISTER + index
}

/// A value in the nested form that comparisons and elements take.
pub(super) fn value(bytes: &[u8]) -> Attributes {
    Attributes::default().bytes(1, bytes)
}
