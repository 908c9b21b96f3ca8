//! Elements of sets and maps: written in batches, and read back from maps that the kernel fills.

use std::io;

use super::batch::SUBSYSTEM;
use super::expression::{Verdict, value};
use super::message::{Attributes, attribute, attributes, body_attributes};
use super::socket::NetfilterSocket;

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

/// What a map of passing elements holds now; a map that is not there holds nothing.
pub(crate) fn passing_elements(table: &str, map: &str) -> io::Result<Vec<Element>> {
    let wanted = Attributes::default().string(1, table).string(2, map);
    let kind = SUBSYSTEM << 8 | GET_ELEMENTS;
    let bodies = match NetfilterSocket::open()?.dump(kind, wanted) {
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
    let bytes = |kind| attribute(attribute(element, kind)?, 1);
    let milliseconds = |kind| {
        let value: [u8; 8] = attribute(element, kind)?.try_into().ok()?;
        Some(u64::from_be_bytes(value))
    };
    let data = ElementData::Passing {
        value: bytes(ELEMENT_DATA)?.to_vec(),
        lifetime_ms: milliseconds(ELEMENT_TIMEOUT)?,
        left_ms: milliseconds(ELEMENT_EXPIRATION)?,
    };
    Some(Element { key: bytes(ELEMENT_KEY)?.to_vec(), data })
}
