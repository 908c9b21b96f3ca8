//! The cluster's reverse proxy: Ingresses and Gateways become a table of routes (pure), and requests
//! follow it to the endpoints of Services.

mod announcement;
mod backends;
mod body;
mod certificates;
mod compile;
mod error;
mod forward;
mod gateway;
mod ingresses;
mod names;
mod pool;
mod proxy;
mod request;
mod route;
mod run;
mod server;
mod stream;
mod verify;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

pub use error::{Error, Result};
pub use forward::forward;
pub use run::{Config, run};

/// The controller that IngressClasses and GatewayClasses of this proxy name.
pub(crate) const CONTROLLER: &str = "kd.dev/ingress";
