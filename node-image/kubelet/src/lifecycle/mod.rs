//! A pod's life as pure functions: what is observed, remembered and asked for gives what to do next
//! ([`decide`]) and what to tell ([`status::pod_status`]). No I/O and no clock in here.

pub mod backoff;
mod conditions;
mod container_status;
mod decide;
mod observation;
mod phase;
mod pod_resources;
pub mod resize;
mod restart;
pub mod status;

#[cfg(test)]
mod decide_tests;
#[cfg(test)]
mod status_tests;
#[cfg(test)]
pub(crate) mod testing;

pub use container_status::find_status;
pub use decide::{Kill, Plan, Start, backoff_key, deadline, decide};
pub use observation::{
    Memory, Observation, Outcome, ProbeKind, Stop, Waiting, annotation, is_running,
};
pub use restart::container_hash;
