//! Admission to a connection that somebody else has opened: who is told the ticket may have it.

use serde::{Deserialize, Serialize};

/// The length of a ticket on the wire.
pub const TICKET_BYTES: usize = 64;

/// 256 random bits in hexadecimal digits, good for one connection and a short time. Its holder sends
/// the digits first and is at the other end then.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Ticket(String);

impl Ticket {
    /// A ticket that nobody can guess.
    pub fn random() -> Ticket {
        let halves: [u128; 2] = rand::random();
        Ticket(format!("{:032x}{:032x}", halves[0], halves[1]))
    }

    /// The ticket that came over a connection, if these can be one.
    pub fn from_wire(bytes: &[u8; TICKET_BYTES]) -> Option<Ticket> {
        let text = str::from_utf8(bytes).ok()?;
        Some(Ticket(text.to_owned()))
    }

    /// What its holder sends: [`TICKET_BYTES`] bytes.
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }
}

/// A connection that waits for its other end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offer {
    /// The TCP port to connect to, at the address where the offer came from.
    pub port: u16,
    /// Admits to the connection.
    pub ticket: Ticket,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_ticket_is_the_same_after_its_way() {
        let ticket = Ticket::random();
        let bytes: [u8; TICKET_BYTES] = ticket.as_bytes().try_into().unwrap();
        assert_eq!(Ticket::from_wire(&bytes), Some(ticket.clone()));
        assert_ne!(Ticket::random(), ticket);
        assert_eq!(Ticket::from_wire(&[0xff; TICKET_BYTES]), None);
        let offer = Offer { port: 80, ticket };
        let text = serde_json::to_string(&offer).unwrap();
        assert_eq!(serde_json::from_str::<Offer>(&text).unwrap(), offer);
    }
}
