//! Labels on kd's Docker objects: all state of kd on a host is in Docker.

/// Marks every container, network and volume of kd; the value is the cluster's name.
pub const LABEL_CLUSTER: &str = "io.kd.cluster";
/// On containers: `server`, `agent` or [`ROLE_LOAD_BALANCER`].
pub const LABEL_ROLE: &str = "io.kd.role";
/// On node containers: the host port of the API server.
pub const LABEL_API_PORT: &str = "io.kd.api-port";
/// On server containers: the host name or address under which clients reach the API server.
pub const LABEL_API_HOST: &str = "io.kd.api-host";
/// On a cluster's network: the secrets of the cluster ([`crate::ServerSecrets`] as JSON), from which
/// kubeconfigs and more nodes are made.
pub const LABEL_SECRETS: &str = "io.kd.secrets";
/// On node images: the content hash of what they were built from.
pub const LABEL_CONTENT: &str = "io.kd.content";
/// The role of a cluster's load balancer, which is no node.
pub const ROLE_LOAD_BALANCER: &str = "loadbalancer";
