//! Protobuf's wire format, written.

/// The fields of one message, written in order.
#[derive(Default)]
pub(super) struct Message(Vec<u8>);

const LENGTH_DELIMITED: u64 = 2;

impl Message {
    /// A string; the empty one is left out, as proto3 does.
    pub(super) fn string(&mut self, number: u32, text: &str) {
        if !text.is_empty() {
            self.bytes(number, text.as_bytes());
        }
    }

    /// A boolean; false is left out.
    pub(super) fn boolean(&mut self, number: u32, value: bool) {
        if value {
            self.varint(u64::from(number) << 3);
            self.varint(1);
        }
    }

    /// A message, also when it is empty.
    pub(super) fn message(&mut self, number: u32, message: Message) {
        self.bytes(number, &message.0);
    }

    /// The bytes of the message.
    pub(super) fn finish(self) -> Vec<u8> {
        self.0
    }

    fn bytes(&mut self, number: u32, bytes: &[u8]) {
        self.varint(u64::from(number) << 3 | LENGTH_DELIMITED);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push(value as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
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
}
