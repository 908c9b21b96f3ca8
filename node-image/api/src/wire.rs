//! Protobuf's wire format, written and read.

/// The fields of one message, written in order.
#[derive(Default)]
pub(crate) struct Message(Vec<u8>);

const VARINT: u64 = 0;
const FIXED64: u64 = 1;
const LENGTH_DELIMITED: u64 = 2;
const FIXED32: u64 = 5;
/// A varint of 64 bits has no more bytes.
const VARINT_BYTES_MAX: usize = 10;

impl Message {
    /// A string; the empty one is left out, as proto3 does.
    pub(crate) fn string(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    /// A boolean; false is left out.
    pub(crate) fn boolean(&mut self, number: u32, value: bool) {
        if value {
            self.integer(number, 1);
        }
    }

    /// An integer, also when it is 0.
    pub(crate) fn integer(&mut self, number: u32, value: i64) {
        self.tag(number, VARINT);
        self.varint(value as u64);
    }

    /// A floating-point number.
    pub(crate) fn double(&mut self, number: u32, value: f64) {
        self.tag(number, FIXED64);
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    /// A message, also when it is empty.
    pub(crate) fn message(&mut self, number: u32, message: Message) {
        self.bytes(number, &message.0);
    }

    /// Bytes, also when there are none.
    pub(crate) fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.length(number, bytes.len());
        self.0.extend_from_slice(bytes);
    }

    /// What precedes so many bytes.
    pub(crate) fn length(&mut self, number: u32, length: usize) {
        self.tag(number, LENGTH_DELIMITED);
        self.varint(length as u64);
    }

    /// The bytes of the message.
    pub(crate) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn tag(&mut self, number: u32, wire_type: u64) {
        self.varint(u64::from(number) << 3 | wire_type);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// A field's content as it is on the wire.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) enum Content<'b> {
    Varint(u64),
    Fixed64([u8; 8]),
    Fixed32([u8; 4]),
    Bytes(&'b [u8]),
}

/// Bytes that are no protobuf message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proto: the message is cut off or malformed")]
pub(crate) struct Malformed;

/// Reads the fields of a message, in the order in which they come.
pub(crate) struct Fields<'b>(&'b [u8]);

impl<'b> Fields<'b> {
    pub(crate) fn of(message: &'b [u8]) -> Fields<'b> {
        Fields(message)
    }

    fn field(&mut self) -> Result<(u32, Content<'b>), Malformed> {
        let tag = self.varint()?;
        let number = u32::try_from(tag >> 3).map_err(|_| Malformed)?;
        let content = match tag & 7 {
            VARINT => Content::Varint(self.varint()?),
            FIXED64 => Content::Fixed64(self.array()?),
            FIXED32 => Content::Fixed32(self.array()?),
            LENGTH_DELIMITED => {
                let len = usize::try_from(self.varint()?).map_err(|_| Malformed)?;
                Content::Bytes(self.take(len)?)
            }
            _ => return Err(Malformed),
        };
        Ok((number, content))
    }

    fn take(&mut self, len: usize) -> Result<&'b [u8], Malformed> {
        let (taken, rest) = self.0.split_at_checked(len).ok_or(Malformed)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Malformed> {
        self.take(N)?.try_into().map_err(|_| Malformed)
    }

    fn varint(&mut self) -> Result<u64, Malformed> {
        let (value, rest) = read_varint(self.0).ok_or(Malformed)?;
        self.0 = rest;
        Ok(value)
    }
}

impl<'b> Iterator for Fields<'b> {
    type Item = Result<(u32, Content<'b>), Malformed>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.0.is_empty() {
            return None;
        }
        let field = self.field();
        if field.is_err() {
            self.0 = &[];
        }
        Some(field)
    }
}

/// A varint at the beginning of some bytes, and what follows it.
pub(crate) fn read_varint(bytes: &[u8]) -> Option<(u64, &[u8])> {
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            return Some((value, &bytes[index + 1..]));
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn fields() {
        let mut inner = Message::default();
        inner.string(2, "testing");
        inner.string(3, "");
        inner.boolean(4, true);
        inner.boolean(5, false);
        let mut outer = Message::default();
        outer.message(16, inner);
        let expected = b"\x82\x01\x0b\x12\x07testing\x20\x01";
        assert_eq!(outer.finish(), expected);
    }

    #[test]
    fn long_lengths() {
        let mut message = Message::default();
        message.string(1, &"a".repeat(300));
        assert_eq!(message.finish()[..3], [0x0a, 0xac, 0x02]);
    }

    #[test]
    fn read_again() {
        let mut message = Message::default();
        message.integer(1, -2);
        message.double(2, 1.5);
        message.bytes(3, b"x");
        let bytes = message.finish();
        let fields: Vec<_> = Fields::of(&bytes).map(Result::unwrap).collect();
        let expected = [
            (1, Content::Varint(-2i64 as u64)),
            (2, Content::Fixed64(1.5f64.to_le_bytes())),
            (3, Content::Bytes(b"x")),
        ];
        assert_eq!(fields, expected);
    }

    #[test]
    fn malformed() {
        for bytes in [&b"\x0a\x05a"[..], b"\x0f", b"\x80", &[0xff; 11]] {
            assert!(Fields::of(bytes).any(|field| field.is_err()), "{bytes:?}");
        }
    }
}
