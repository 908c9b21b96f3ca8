//! Pods, services and policies in fresh network namespaces, with real packets. Needs root, as every
//! test of the node does; each test leaves its namespaces to the kernel.

mod pod_network;
mod policies;
mod sctp;
mod services;
mod world;
