//! The service proxy of a node: Services and EndpointSlices become rules of its kernel.

mod ports;
mod proxy;

pub use ports::service_ports;
pub use proxy::run;
