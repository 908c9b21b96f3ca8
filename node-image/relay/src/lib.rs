//! Bytes between two TCP connections. On Linux they stay in the kernel (splice(2)): a relayed byte
//! is never copied to this process.
//!
//! [`Offer`] is how a node lets somebody in who has proved himself elsewhere.

mod join;
mod offer;
#[cfg(target_os = "linux")]
mod pipe;

pub use join::join;
pub use offer::{Offer, TICKET_BYTES, Ticket};
