//! The Docker engine: finding it, the node image, node containers, programs run in nodes.

mod archive;
mod capabilities;
mod endpoint;
mod engine;
mod exec;
mod files;
mod node_container;
mod node_image;
mod node_output;

pub use capabilities::lacking as lacking_capabilities;
pub use engine::{Engine, has_status, label_filter, refused};
pub use exec::Input;
pub use node_container::{
    Container, ContainerSpec, HostFolder, HostPort, Limits, Program, PublishedPort,
    environment_variable, limits_of, published_ports,
};
pub use node_image::NodeImage;
pub use node_output::{NodeEvent, NodeOutput};
