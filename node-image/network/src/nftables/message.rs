//! The wire form: netlink messages of nested attributes, numbers in network byte order.

/// Attributes under construction.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Attributes(Vec<u8>);

/// Set on attributes that hold attributes.
const NESTED: u16 = 0x8000;
/// Bits of an attribute's kind that are no flags.
const KIND_MASK: u16 = 0x3fff;
/// Netlink's header.
const HEADER_LENGTH: usize = 16;
/// The header that netfilter's messages have after it.
const FAMILY_HEADER_LENGTH: usize = 4;

impl Attributes {
    pub(crate) fn bytes(mut self, kind: u16, value: &[u8]) -> Self {
        self.push(kind, value);
        self
    }

    pub(crate) fn u32(self, kind: u16, value: u32) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn u64(self, kind: u16, value: u64) -> Self {
        self.bytes(kind, &value.to_be_bytes())
    }

    pub(crate) fn string(self, kind: u16, value: &str) -> Self {
        let mut terminated = value.as_bytes().to_vec();
        terminated.push(0);
        self.bytes(kind, &terminated)
    }

    pub(crate) fn nested(self, kind: u16, value: Attributes) -> Self {
        self.bytes(kind | NESTED, &value.0)
    }

    /// An attribute that holds attributes, as it was read.
    pub(crate) fn nested_bytes(self, kind: u16, value: &[u8]) -> Self {
        self.bytes(kind | NESTED, value)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }

    pub(super) fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn push(&mut self, kind: u16, value: &[u8]) {
        // An attribute's length field has 16 bits; callers keep lists of elements below it.
        debug_assert!(value.len() + 4 <= usize::from(u16::MAX));
        let length = (value.len() + 4) as u16;
        self.0.extend_from_slice(&length.to_ne_bytes());
        self.0.extend_from_slice(&kind.to_ne_bytes());
        self.0.extend_from_slice(value);
        self.0.resize(self.0.len().next_multiple_of(4), 0);
    }
}

/// One netlink message with an nfgenmsg header.
pub(crate) fn message(
    kind: u16,
    flags: u16,
    sequence: u32,
    family: u8,
    resource: u16,
    attributes: Attributes,
) -> Vec<u8> {
    let body = attributes.into_bytes();
    let length = (HEADER_LENGTH + FAMILY_HEADER_LENGTH + body.len()) as u32;
    let mut out = Vec::with_capacity(length as usize);
    out.extend_from_slice(&length.to_ne_bytes());
    out.extend_from_slice(&kind.to_ne_bytes());
    out.extend_from_slice(&flags.to_ne_bytes());
    out.extend_from_slice(&sequence.to_ne_bytes());
    out.extend_from_slice(&0u32.to_ne_bytes());
    out.push(family);
    out.push(0);
    out.extend_from_slice(&resource.to_be_bytes());
    out.extend_from_slice(&body);
    out
}

/// The messages of a datagram: their types and what follows their netlink header.
pub(super) fn messages(datagram: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = datagram;
    std::iter::from_fn(move || {
        let header = rest.get(..HEADER_LENGTH)?;
        let length = u32::from_ne_bytes([header[0], header[1], header[2], header[3]]) as usize;
        let kind = u16::from_ne_bytes([header[4], header[5]]);
        let body = rest.get(HEADER_LENGTH..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, body))
    })
}

/// The attributes of a netfilter message's body.
pub(crate) fn body_attributes(body: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    attributes(body.get(FAMILY_HEADER_LENGTH..).unwrap_or_default())
}

/// Attributes one after the other: their kinds and values.
pub(crate) fn attributes(bytes: &[u8]) -> impl Iterator<Item = (u16, &[u8])> {
    let mut rest = bytes;
    std::iter::from_fn(move || {
        let header = rest.get(..4)?;
        let length = usize::from(u16::from_ne_bytes([header[0], header[1]]));
        let kind = u16::from_ne_bytes([header[2], header[3]]) & KIND_MASK;
        let value = rest.get(4..length)?;
        rest = rest.get(length.next_multiple_of(4)..).unwrap_or_default();
        Some((kind, value))
    })
}

/// The first attribute of a kind.
pub(crate) fn attribute(bytes: &[u8], kind: u16) -> Option<&[u8]> {
    attributes(bytes).find(|(found, _)| *found == kind).map(|(_, value)| value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_read() {
        let inner = Attributes::default().u32(1, 7).bytes(2, &[1, 2, 3]);
        let written = Attributes::default().string(1, "x").nested(3, inner);
        let sent = message(5, 0, 1, 2, 0, written);
        let read: Vec<(u16, &[u8])> = messages(&sent).collect();
        assert_eq!(read.len(), 1);
        assert_eq!(read[0].0, 5);
        let nested = body_attributes(read[0].1).find(|(kind, _)| *kind == 3).unwrap().1;
        assert_eq!(attribute(nested, 1), Some(7u32.to_be_bytes().as_slice()));
        assert_eq!(attribute(nested, 2), Some([1, 2, 3].as_slice()));
        assert_eq!(attribute(nested, 4), None);
    }

    #[test]
    fn damaged_lengths_end_the_reading() {
        assert_eq!(attributes(&[0, 0, 1, 0]).count(), 0);
        assert_eq!(attributes(&[9, 0, 1, 0, 5]).count(), 0);
        assert_eq!(messages(&[255; 20]).count(), 0);
    }
}
