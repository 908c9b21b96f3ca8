//! The service proxy of a node: Services and EndpointSlices become rules of its kernel.

mod endpoints;
mod health;
mod ports;
mod proxy;
mod state;

pub use endpoints::Place;
pub use health::HEALTH_PORT;
pub use ports::{ServiceRules, service_rules};
pub use proxy::{Config, run};
