//! NetworkPolicies of a node's pods: decided by a pure function of policies, pods and namespaces, and
//! in force before a pod's first packet.

mod enforcer;
mod gate;
mod pods;
mod rules;

pub use enforcer::{PolicyConfig, enforce};
pub use gate::{GuardedNetwork, PolicyGate, policy_gate};
pub use pods::{NamedPort, PodFacts};
pub use rules::{Surroundings, policy_rules};
