//! gRPC as the node's plugins speak it, over HTTP/2 on unix sockets: messages written and read by
//! their field numbers, unary calls, streams of answers, and a server. Small, because every message
//! with a type of its own would be code in the node image.

mod client;
mod server;
mod status;
mod wire;

pub use client::{Channel, Connection, call};
pub use server::{Reply, Service, serve};
pub use status::{Code, Status};
pub use wire::{Fields, Malformed, Message};
