//! Local ports that lead to a pod.

mod client;
mod listen;
mod ports;
mod relay;
mod route;
mod target;

pub use client::client;
pub use listen::{Addresses, Forward, bind};
pub use ports::PortSpec;
pub use relay::serve;
pub use route::{NodeAddress, PodAddress, Route};
pub use target::{Target, TargetReference};
