//! Messages in the protobuf encoding, by field numbers: a builder that leaves defaults out, and what
//! was read, asked by number. Unknown fields are skipped, as everybody must.

use std::collections::BTreeMap;

use bytes::Bytes;

/// The encodings of a field that are in use: numbers, 8 bytes, lengths, 4 bytes.
const VARINT: u64 = 0;
const FIXED_64: u64 = 1;
const LENGTH: u64 = 2;
const FIXED_32: u64 = 5;
/// No message here has more fields; one that does is an attack on the memory.
const FIELDS_MAX: usize = 1 << 16;

/// A message to be sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Message(Vec<u8>);

impl Message {
    /// One without fields.
    pub fn new() -> Message {
        Message::default()
    }

    /// A string, unless it is empty.
    pub fn text(self, field: u32, text: &str) -> Message {
        if text.is_empty() { self } else { self.bytes(field, text.as_bytes()) }
    }

    /// All strings of a list.
    pub fn texts<T: AsRef<str>>(self, field: u32, texts: impl IntoIterator<Item = T>) -> Message {
        texts.into_iter().fold(self, |made, text| made.bytes(field, text.as_ref().as_bytes()))
    }

    /// A number, unless it is zero.
    pub fn number(mut self, field: u32, number: i64) -> Message {
        if number != 0 {
            self.varint(u64::from(field) << 3 | VARINT);
            self.varint(number.cast_unsigned());
        }
        self
    }

    /// A truth, unless it is false.
    pub fn flag(self, field: u32, flag: bool) -> Message {
        self.number(field, i64::from(flag))
    }

    /// A message, even an empty one.
    pub fn message(self, field: u32, message: &Message) -> Message {
        self.bytes(field, &message.0)
    }

    /// All messages of a list.
    pub fn messages(self, field: u32, messages: impl IntoIterator<Item = Message>) -> Message {
        messages.into_iter().fold(self, |made, message| made.message(field, &message))
    }

    /// A map from string to string.
    pub fn map(self, field: u32, map: &BTreeMap<String, String>) -> Message {
        let entries = map.iter().map(|(key, value)| Message::new().text(1, key).text(2, value));
        self.messages(field, entries)
    }

    /// The encoded message.
    pub fn encoded(&self) -> &[u8] {
        &self.0
    }

    fn bytes(mut self, field: u32, bytes: &[u8]) -> Message {
        self.varint(u64::from(field) << 3 | LENGTH);
        self.varint(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
        self
    }

    fn varint(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.0.push((value & 0x7f) as u8 | 0x80);
            value >>= 7;
        }
        self.0.push(value as u8);
    }
}

/// What was received is no message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("proto: cannot parse invalid wire-format data")]
pub struct Malformed;

#[derive(Clone, Debug, PartialEq, Eq)]
enum Field {
    Number(u64),
    Bytes(Bytes),
}

/// A message that was received.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fields {
    whole: Bytes,
    fields: Vec<(u64, Field)>,
}

impl Fields {
    /// Reads a message.
    pub fn read(whole: Bytes) -> Result<Fields, Malformed> {
        let mut fields = Vec::new();
        let mut rest = whole.clone();
        while !rest.is_empty() {
            let key = take_varint(&mut rest)?;
            let field = match key & 7 {
                VARINT => Field::Number(take_varint(&mut rest)?),
                FIXED_64 => Field::Bytes(take(&mut rest, 8)?),
                LENGTH => {
                    let length = take_varint(&mut rest)?;
                    Field::Bytes(take(&mut rest, usize::try_from(length).map_err(|_| Malformed)?)?)
                }
                FIXED_32 => Field::Bytes(take(&mut rest, 4)?),
                _ => return Err(Malformed),
            };
            if fields.len() == FIELDS_MAX || key >> 3 == 0 {
                return Err(Malformed);
            }
            fields.push((key >> 3, field));
        }
        Ok(Fields { whole, fields })
    }

    /// The bytes that it was read from.
    pub fn encoded(&self) -> &Bytes {
        &self.whole
    }

    /// A string; the last one counts.
    pub fn text(&self, field: u32) -> String {
        self.all_bytes(field).last().map(text).unwrap_or_default()
    }

    /// All strings of a list.
    pub fn texts(&self, field: u32) -> Vec<String> {
        self.all_bytes(field).map(text).collect()
    }

    /// A number; the last one counts.
    pub fn number(&self, field: u32) -> i64 {
        let numbers = self.of(field).filter_map(|found| match found {
            Field::Number(number) => Some(number.cast_signed()),
            Field::Bytes(_) => None,
        });
        numbers.last().unwrap_or(0)
    }

    /// A truth.
    pub fn flag(&self, field: u32) -> bool {
        self.number(field) != 0
    }

    /// Whether the field is there at all.
    #[cfg(test)]
    pub fn has(&self, field: u32) -> bool {
        self.of(field).next().is_some()
    }

    /// A message, an empty one when it is absent.
    pub fn message(&self, field: u32) -> Result<Fields, Malformed> {
        self.all_bytes(field).last().map_or(Ok(Fields::default()), |b| Fields::read(b.clone()))
    }

    /// All messages of a list.
    pub fn messages(&self, field: u32) -> Result<Vec<Fields>, Malformed> {
        self.all_bytes(field).map(|bytes| Fields::read(bytes.clone())).collect()
    }

    /// A map from string to string.
    pub fn map(&self, field: u32) -> Result<BTreeMap<String, String>, Malformed> {
        let entries = self.messages(field)?.into_iter();
        Ok(entries.map(|entry| (entry.text(1), entry.text(2))).collect())
    }

    fn of(&self, field: u32) -> impl Iterator<Item = &Field> {
        self.fields.iter().filter(move |(number, _)| *number == u64::from(field)).map(|(_, f)| f)
    }

    fn all_bytes(&self, field: u32) -> impl Iterator<Item = &Bytes> {
        self.of(field).filter_map(|found| match found {
            Field::Bytes(bytes) => Some(bytes),
            Field::Number(_) => None,
        })
    }
}

fn text(bytes: &Bytes) -> String {
    String::from_utf8_lossy(bytes).into_owned()
}

fn take(rest: &mut Bytes, length: usize) -> Result<Bytes, Malformed> {
    if length > rest.len() { Err(Malformed) } else { Ok(rest.split_to(length)) }
}

fn take_varint(rest: &mut Bytes) -> Result<u64, Malformed> {
    let mut value = 0_u64;
    for (at, byte) in rest.iter().enumerate().take(10) {
        value |= u64::from(byte & 0x7f) << (7 * at);
        if byte & 0x80 == 0 {
            let _ = rest.split_to(at + 1);
            return Ok(value);
        }
    }
    Err(Malformed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(message: &Message) -> Fields {
        Fields::read(Bytes::copy_from_slice(message.encoded())).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let map = BTreeMap::from([("a".to_owned(), "1".to_owned()), ("b".into(), String::new())]);
        let inner = Message::new().number(1, -5);
        let written = Message::new()
            .text(1, "name")
            .texts(2, ["x", "", "y"])
            .number(3, 1 << 40)
            .flag(4, true)
            .message(5, &inner)
            .map(6, &map)
            .message(7, &Message::new());
        let fields = read(&written);
        assert_eq!(fields.text(1), "name");
        assert_eq!(fields.texts(2), ["x", "", "y"]);
        assert_eq!(fields.number(3), 1 << 40);
        assert!(fields.flag(4) && fields.has(7) && !fields.has(8));
        assert_eq!(fields.message(5).unwrap().number(1), -5);
        assert_eq!(fields.map(6).unwrap(), map);
        assert_eq!((fields.text(9), fields.number(9)), (String::new(), 0));
    }

    #[test]
    fn defaults_take_no_room() {
        assert!(Message::new().text(1, "").number(2, 0).flag(3, false).encoded().is_empty());
        assert_eq!(Message::new().text(1, "ab").encoded(), [0x0a, 2, b'a', b'b']);
        assert_eq!(Message::new().number(2, 300).encoded(), [0x10, 0xac, 2]);
    }

    #[test]
    fn what_is_no_message() {
        let check = |bytes: &'static [u8], ok: bool| {
            assert_eq!(Fields::read(Bytes::from_static(bytes)).is_ok(), ok, "{bytes:?}");
        };
        check(&[], true);
        check(&[0x0d, 1, 2, 3, 4], true);
        check(&[0x09, 1, 2, 3, 4, 5, 6, 7, 8], true);
        check(&[0x0a, 5, b'a'], false);
        check(&[0x0a], false);
        check(&[0x0b], false);
        check(&[0x00, 0x01], false);
        check(&[0x08, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], false);
        check(&[0x0a, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0xff, 0x01], false);
    }
}
