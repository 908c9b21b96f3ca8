//! Images, layers, containers, exec, logs and cgroups. Knows no Kubernetes.

mod interface;

pub use interface::*;
