//! A batch of changes to one table, and the socket it is sent through.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    setsockopt, socket, sockopt,
};

use super::expression::{Expression, Verdict, value};
use super::message::{Attributes, message};

const BATCH_BEGIN: u16 = 0x10;
const BATCH_END: u16 = 0x11;
const SUBSYSTEM: u16 = 10;
const NEW_TABLE: u16 = 0;
const DELETE_TABLE: u16 = 2;
const NEW_CHAIN: u16 = 3;
const NEW_RULE: u16 = 6;
const NEW_SET: u16 = 9;
const NEW_ELEMENTS: u16 = 12;
const REQUEST: u16 = 1;
const ACKNOWLEDGE: u16 = 4;
const CREATE: u16 = 0x400;
const APPEND: u16 = 0x800;
const IPV4: u8 = 2;
/// Elements per message: the list is one attribute of at most 64 KiB.
const ELEMENTS_MAX: usize = 400;

/// Where a base chain hooks into the packet's way.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct ChainHook {
    /// `nat` or `filter`.
    pub kind: &'static str,
    /// `NF_INET_*`.
    pub hook: u32,
    /// Smaller runs earlier.
    pub priority: i32,
}

impl ChainHook {
    /// Destination NAT of packets that arrive.
    pub(crate) const PREROUTING_NAT: ChainHook = ChainHook { kind: "nat", hook: 0, priority: -100 };
    /// Destination NAT of the node's own packets.
    pub(crate) const OUTPUT_NAT: ChainHook = ChainHook { kind: "nat", hook: 3, priority: -100 };
    /// Source NAT of packets that leave.
    pub(crate) const POSTROUTING_NAT: ChainHook = ChainHook { kind: "nat", hook: 4, priority: 100 };
    /// Packets that arrive, before routing: also those that no route leads on.
    pub(crate) const PREROUTING_FILTER: ChainHook =
        ChainHook { kind: "filter", hook: 0, priority: 0 };
    /// The node's own packets.
    pub(crate) const OUTPUT_FILTER: ChainHook = ChainHook { kind: "filter", hook: 3, priority: 0 };
}

/// What a set's elements look like.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct MapSpec {
    /// Bytes of a key; every part of a concatenation is padded to four.
    pub key_length: u32,
    /// Bytes of what an element holds; none for a set or a verdict map.
    pub data_length: Option<u32>,
    /// Whether elements hold verdicts.
    pub verdicts: bool,
}

/// One element of a set or map.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Element {
    pub key: Vec<u8>,
    pub data: ElementData,
}

/// What an element holds.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum ElementData {
    None,
    Value(Vec<u8>),
    Verdict(Verdict),
}

/// Changes to one table, applied together.
pub(crate) struct Batch {
    table: &'static str,
    messages: Vec<Vec<u8>>,
}

impl Batch {
    /// A batch that replaces the whole table: what was in it before is gone once this is applied.
    pub(crate) fn replace(table: &'static str) -> Batch {
        let mut batch = Batch { table, messages: Vec::new() };
        let name = || Attributes::default().string(1, table);
        // Creating it first lets the delete succeed when it was not there.
        batch.push(NEW_TABLE, CREATE, name());
        batch.push(DELETE_TABLE, 0, name());
        batch.push(NEW_TABLE, CREATE, name());
        batch
    }

    pub(crate) fn chain(&mut self, name: &str, hook: Option<ChainHook>) {
        let mut chain = Attributes::default().string(1, self.table).string(3, name);
        if let Some(hook) = hook {
            let place = Attributes::default().u32(1, hook.hook).u32(2, hook.priority as u32);
            chain = chain.nested(4, place).string(7, hook.kind);
        }
        self.push(NEW_CHAIN, CREATE, chain);
    }

    pub(crate) fn rule(&mut self, chain: &str, expressions: &[Expression]) {
        let list = expressions.iter().fold(Attributes::default(), |list, expression| {
            list.nested(1, expression.attributes())
        });
        let rule = Attributes::default().string(1, self.table).string(2, chain).nested(4, list);
        self.push(NEW_RULE, CREATE | APPEND, rule);
    }

    pub(crate) fn map(&mut self, name: &str, spec: MapSpec) {
        const MAP: u32 = 8;
        const VERDICT_TYPE: u32 = 0xffff_ff00;
        let id = self.messages.len() as u32;
        let is_map = spec.verdicts || spec.data_length.is_some();
        let mut set = Attributes::default()
            .string(1, self.table)
            .string(2, name)
            .u32(3, if is_map { MAP } else { 0 })
            .u32(4, 0)
            .u32(5, spec.key_length);
        if spec.verdicts {
            set = set.u32(6, VERDICT_TYPE);
        } else if let Some(length) = spec.data_length {
            set = set.u32(6, 0).u32(7, length);
        }
        self.push(NEW_SET, CREATE, set.u32(10, id));
    }

    pub(crate) fn elements(&mut self, map: &str, elements: &[Element]) {
        for chunk in elements.chunks(ELEMENTS_MAX) {
            let list = chunk
                .iter()
                .fold(Attributes::default(), |list, element| list.nested(1, encode(element)));
            debug_assert!(list.len() < usize::from(u16::MAX));
            let attributes =
                Attributes::default().string(1, self.table).string(2, map).nested(3, list);
            self.push(NEW_ELEMENTS, CREATE, attributes);
        }
    }

    /// Sends the batch and waits for the kernel's answers.
    pub(crate) fn apply(self) -> io::Result<()> {
        let socket = open()?;
        let mut bytes = message(BATCH_BEGIN, REQUEST, 0, 0, SUBSYSTEM, Attributes::default());
        let count = self.messages.len();
        bytes.extend(self.messages.into_iter().flatten());
        let end = count as u32 + 1;
        bytes.extend(message(BATCH_END, REQUEST, end, 0, SUBSYSTEM, Attributes::default()));
        send(&socket, &bytes)?;
        receive(&socket, count)
    }

    fn push(&mut self, kind: u16, flags: u16, attributes: Attributes) {
        let sequence = self.messages.len() as u32 + 1;
        let kind = SUBSYSTEM << 8 | kind;
        let flags = REQUEST | ACKNOWLEDGE | flags;
        self.messages.push(message(kind, flags, sequence, IPV4, 0, attributes));
    }
}

fn encode(element: &Element) -> Attributes {
    let key = Attributes::default().nested(1, value(&element.key));
    match &element.data {
        ElementData::None => key,
        ElementData::Value(bytes) => key.nested(2, value(bytes)),
        ElementData::Verdict(verdict) => {
            key.nested(2, Attributes::default().nested(2, verdict.attributes()))
        }
    }
}

fn open() -> io::Result<OwnedFd> {
    let socket = socket(
        AddressFamily::Netlink,
        SockType::Raw,
        SockFlag::SOCK_CLOEXEC,
        SockProtocol::NetlinkNetFilter,
    )?;
    bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
    Ok(socket)
}

/// A batch is one datagram, so the buffer must hold it; acknowledgements come back together.
fn send(socket: &OwnedFd, bytes: &[u8]) -> io::Result<()> {
    let room = bytes.len() * 2 + (1 << 16);
    if setsockopt(socket, sockopt::SndBufForce, &room).is_err() {
        setsockopt(socket, sockopt::SndBuf, &room)?;
    }
    if setsockopt(socket, sockopt::RcvBufForce, &room).is_err() {
        setsockopt(socket, sockopt::RcvBuf, &room)?;
    }
    let sent = sendto(socket.as_raw_fd(), bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
    if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
}

/// Reads one acknowledgement per message. The kernel answers within the send call, so this never
/// waits for long; the first refusal is the result (later ones follow from it).
fn receive(socket: &OwnedFd, count: usize) -> io::Result<()> {
    const ERROR: u16 = 2;
    let mut buffer = vec![0u8; 1 << 16];
    let mut answered = 0;
    while answered < count {
        let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty())?;
        let mut rest = &buffer[..length];
        while let Some(header) = rest.get(..20) {
            let size = field(header, 0) as usize;
            if u16::from_ne_bytes([header[4], header[5]]) == ERROR {
                match field(header, 16) as i32 {
                    0 => answered += 1,
                    code => return Err(io::Error::from_raw_os_error(-code)),
                }
            }
            rest = rest.get(size.max(20).next_multiple_of(4)..).unwrap_or_default();
        }
    }
    Ok(())
}

fn field(bytes: &[u8], at: usize) -> u32 {
    u32::from_ne_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}
