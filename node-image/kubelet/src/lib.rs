//! The kubelet: pod workers, their lifecycle as pure functions, probes, volumes, logs, the node's
//! own object. Speaks the Kubernetes API to one side and a [`kd_runtime::Runtime`] to the other.

mod config;
mod error;
mod pod;
mod qos;
mod qos_groups;
mod quantity;

pub mod lifecycle;

mod addresses;
mod admission;
mod arguments;
mod bandwidth;
mod container_spec;
mod devices;
mod entry;
mod environment;
mod events;
mod eviction;
mod grpc;
mod hooks;
mod host_ports;
mod hosts_file;
mod image_gc;
mod images;
pub mod logs;
mod node;
mod objects;
mod plugins;
mod probes;
mod pull_secrets;
mod reflector;
mod resize;
mod resolv_conf;
mod resource_claims;
pub mod server;
mod shutdown;
mod static_pods;
pub mod stats;
mod status_sender;
mod user_namespaces;
mod volumes;
mod worker;

mod kubelet;
mod lookup;
mod source;

pub use addresses::Addresses;
pub use config::{Config, ImageCollection, LogRotation, Pressure};
pub use entry::PodEntry;
pub use error::{Error, Result};
pub use events::{EventType, Recorder};
pub use images::Puller;
pub use kubelet::Kubelet;
pub use lookup::FoundContainer;
pub use node::Machine;
pub use pod::{Member, PodExt, Role};
pub use pull_secrets::fitting_credentials;
