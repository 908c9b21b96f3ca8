//! The node itself: what the machine has, the Node object, its lease, the ways to other nodes.

mod agent;
mod lease;
mod machine;
mod status;

pub(crate) use agent::{follow_network, pod_ranges, run_node_agent, watch_nodes};
pub(crate) use lease::run_lease;
pub use machine::Machine;
pub(crate) use status::RUNTIME_HANDLERS;
