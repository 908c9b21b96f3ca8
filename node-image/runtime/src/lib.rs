//! Images, layers, containers, exec, logs and cgroups. Knows no Kubernetes.

mod cgroup;
mod container;
mod disk_use;
mod images;
mod interface;
mod layout;
mod node;
mod process;
mod protocol;
mod record;
mod shim;
mod sys;
mod user_namespace;

pub use container::mount_image;
pub use disk_use::disk_use;
pub use images::{Endpoint, EndpointTls, ImageConfig, ImageStore, Registries};
pub use interface::*;
pub use node::{NodeRuntime, RuntimeConfig, ShimCommand};
pub use shim::shim_main;
