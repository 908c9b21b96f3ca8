//! What a node's kernel does with packets: Services and EndpointSlices become rules that lead them, and
//! NetworkPolicies rules that stop them.

mod endpoints;
mod health;
mod policies;
mod ports;
mod proxy;
mod state;

pub use endpoints::Place;
pub use health::HEALTH_PORT;
pub use policies::{
    GuardedNetwork, NamedPort, PodFacts, PolicyConfig, PolicyGate, Surroundings, enforce,
    policy_gate, policy_rules,
};
pub use ports::{ServiceRules, service_rules};
pub use proxy::{Config, run};
