//! Images, layers, containers, exec, logs and cgroups. Knows no Kubernetes.

mod images;
mod interface;

pub use images::{ImageConfig, ImageStore};
pub use interface::*;
