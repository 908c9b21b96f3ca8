//! Calls of webhooks: JSON posted over TLS to a URL or to a Service of the cluster, on connections
//! that are kept. Admission and conversion name theirs by a `clientConfig`; others by a [`Target`].

mod call;
mod connector;
mod endpoints;
mod error;
mod target;
mod trust;

pub use call::WebhookClients;
pub(crate) use call::{cause, keeping_client};
pub(crate) use connector::Connector;
pub(crate) use endpoints::{ready_endpoints, service_port};
pub use error::WebhookError;
pub use target::{Place, Target};
pub use trust::Identity;
pub(crate) use trust::{client_config, trust_anyone};
