//! Local ports that lead to a pod.

mod listen;
mod ports;
mod relay;
mod target;

pub use listen::{Addresses, Forward, bind};
pub use ports::PortSpec;
pub use relay::{PodAddress, serve};
pub use target::TargetReference;
