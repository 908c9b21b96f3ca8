//! Queue, cycle and plugins that bind pods to nodes. The cycle is a pure function of the cluster's
//! state; the scheduler feeds that state from watches and performs what the cycle decides.

mod budget;
mod cluster;
mod csi;
mod cycle;
mod devices;
mod extender;
mod metrics;
mod node;
mod plugin;
mod plugins;
mod pod;
mod pod_set;
mod preemption;
mod profile;
mod pure;
mod queue;
mod resource_amounts;
mod scheduler;
mod siblings;
mod spread;
mod storage;
mod tallies;
#[cfg(test)]
mod testing;
mod topology;

pub use extender::Extender;
pub use metrics::Metrics;
pub use profile::Profile;
pub use pure::{PureScheduler, ReadPod};
pub use queue::Limits;
pub use scheduler::{Config, Scheduler};
