//! Elements of sets and maps: written in batches, and read back from maps that the kernel fills.

use std::io;

use super::batch::SUBSYSTEM;
use super::expression::{Verdict, value};
use super::message::{Attributes, attribute, attributes, body_attributes};
use super::socket::NetfilterSocket;
use super::table::TableName;

const GET_ELEMENTS: u16 = 13;
const ELEMENT_KEY: u16 = 1;
const ELEMENT_DATA: u16 = 2;
const ELEMENT_TIMEOUT: u16 = 4;
const ELEMENT_EXPIRATION: u16 = 5;

/// One element of a set or map.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Element {
    pub key: Vec<u8>,
    pub data: ElementData,
}

/// What an element holds.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum ElementData {
    None,
    Value(Vec<u8>),
    Verdict(Verdict),
    /// A value that goes by itself: how long it was to stay when it was last used, and how long
    /// it has left.
    Passing {
        value: Vec<u8>,
        lifetime_ms: u64,
        left_ms: u64,
    },
}

pub(super) fn encode(element: &Element) -> Attributes {
    let key = Attributes::default().nested(ELEMENT_KEY, value(&element.key));
    match &element.data {
        ElementData::None => key,
        ElementData::Value(bytes) => key.nested(ELEMENT_DATA, value(bytes)),
        ElementData::Verdict(verdict) => {
            key.nested(ELEMENT_DATA, Attributes::default().nested(2, verdict.attributes()))
        }
        ElementData::Passing { value: bytes, lifetime_ms, left_ms } => key
            .nested(ELEMENT_DATA, value(bytes))
            .u64(ELEMENT_TIMEOUT, *lifetime_ms)
            .u64(ELEMENT_EXPIRATION, *left_ms),
    }
}

/// What a set or map holds now; one that is not there holds nothing.
pub(crate) fn elements(
    socket: &NetfilterSocket,
    table: TableName,
    set: &str,
) -> io::Result<Vec<Element>> {
    let wanted = Attributes::default().string(1, table.name).string(2, set);
    let kind = SUBSYSTEM << 8 | GET_ELEMENTS;
    let bodies = match socket.dump(kind, table.family, wanted) {
        Err(error) if error.raw_os_error() == Some(libc::ENOENT) => return Ok(Vec::new()),
        bodies => bodies?,
    };
    Ok(bodies.iter().flat_map(|body| elements_of(body)).collect())
}

fn elements_of(body: &[u8]) -> Vec<Element> {
    const LIST: u16 = 3;
    let lists = body_attributes(body).filter(|(kind, _)| *kind == LIST);
    lists.flat_map(|(_, list)| attributes(list)).filter_map(|(_, one)| decode(one)).collect()
}

fn decode(element: &[u8]) -> Option<Element> {
    const VALUE: u16 = 1;
    const VERDICT: u16 = 2;
    let milliseconds = |kind| {
        let value: [u8; 8] = attribute(element, kind)?.try_into().ok()?;
        Some(u64::from_be_bytes(value))
    };
    let key = attribute(attribute(element, ELEMENT_KEY)?, VALUE)?.to_vec();
    let Some(data) = attribute(element, ELEMENT_DATA) else {
        return Some(Element { key, data: ElementData::None });
    };
    let data = match (attribute(data, VALUE), attribute(data, VERDICT)) {
        (Some(value), _) => {
            let passing = milliseconds(ELEMENT_TIMEOUT).zip(milliseconds(ELEMENT_EXPIRATION));
            let value = value.to_vec();
            match passing {
                Some((lifetime_ms, left_ms)) => {
                    ElementData::Passing { value, lifetime_ms, left_ms }
                }
                None => ElementData::Value(value),
            }
        }
        (None, Some(verdict)) => ElementData::Verdict(Verdict::decode(verdict)?),
        (None, None) => return None,
    };
    Some(Element { key, data })
}
