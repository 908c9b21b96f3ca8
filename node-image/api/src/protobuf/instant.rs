//! Times as protobuf has them: seconds and nanoseconds of an epoch.

use jiff::Timestamp;

use crate::wire::{Content, Fields, Malformed, Message};

/// The message of a time; the empty one for what is no time.
pub(super) fn encode(text: &str) -> Message {
    let mut message = Message::default();
    if let Ok(time) = text.parse::<Timestamp>() {
        // Upstream counts nanoseconds upwards from the second below.
        let nanos = time.as_nanosecond();
        message.integer(1, nanos.div_euclid(NANOS_PER_SECOND) as i64);
        message.integer(2, nanos.rem_euclid(NANOS_PER_SECOND) as i64);
    }
    message
}

/// The time of a message; `None` for the empty one, which is no time.
pub(super) fn decode(message: &[u8]) -> Result<Option<Timestamp>, Malformed> {
    let (mut seconds, mut nanos) = (0i64, 0i64);
    for field in Fields::of(message) {
        match field? {
            (1, Content::Varint(value)) => seconds = value as i64,
            (2, Content::Varint(value)) => nanos = value as i64,
            _ => {}
        }
    }
    if message.is_empty() {
        return Ok(None);
    }
    let nanos = i32::try_from(nanos).map_err(|_| Malformed)?;
    Timestamp::new(seconds, nanos).map(Some).map_err(|_| Malformed)
}

const NANOS_PER_SECOND: i128 = 1_000_000_000;
