//! Queue, cycle and plugins that bind pods to nodes. The cycle is a pure function of the cluster's
//! state; the scheduler feeds that state from watches and performs what the cycle decides.

mod budget;
mod cluster;
mod cycle;
mod node;
mod plugin;
mod plugins;
mod pod;
mod preemption;
mod queue;
mod resource_amounts;
mod scheduler;
mod siblings;
mod storage;
#[cfg(test)]
mod testing;

pub use scheduler::{Config, Scheduler};
