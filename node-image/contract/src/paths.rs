//! Paths and ports inside a node.

/// The kd binary in the node image.
pub const KD_BINARY: &str = "/kd";
/// Environment variable that carries the [`crate::NodeConfig`] as JSON.
pub const NODE_CONFIG_ENV: &str = "KD_NODE_CONFIG";
/// Environment variable that carries the [`crate::LoadBalancerConfig`] as JSON.
pub const LOAD_BALANCER_CONFIG_ENV: &str = "KD_LOAD_BALANCER_CONFIG";
/// The name on the cluster's network under which Docker knows all nodes that run.
pub const NODES_ALIAS: &str = "nodes.kd.internal";
/// The program that prints a node's rules for Services.
pub const SERVICE_RULES_PROGRAM: &str = "service-rules";
/// The program that a load balancer's container runs.
pub const LOAD_BALANCER_PROGRAM: &str = "load-balancer";
/// The node's own persistent state: a Docker volume mounted here.
pub const STATE_DIRECTORY: &str = "/var";
/// Blobs and unpacked layers: a Docker volume shared by all nodes of the host.
pub const IMAGES_DIRECTORY: &str = "/var/lib/kd-images";
/// The name of that volume.
pub const IMAGES_VOLUME: &str = "kd-images";
/// Which images a node has: a file of each, next to layers that all nodes share.
pub const IMAGE_RECORDS_DIRECTORY: &str = "/var/lib/kd/images";
/// The control plane's store.
pub const STORE_DIRECTORY: &str = "/var/lib/kd/store";
/// The API server's audit log, where it is asked for.
pub const AUDIT_LOG: &str = "/var/log/kubernetes/audit.log";
/// Certificates and keys of this node.
pub const PKI_DIRECTORY: &str = "/var/lib/kd/pki";
/// What lives only as long as the container: sockets, namespaces.
pub const RUN_DIRECTORY: &str = "/run/kd";
/// Written by the node once the API server serves and, on each node, once the kubelet has
/// registered: PID 1's standard output carries one JSON line per phase (see [`READY_LINE`]).
pub const READY_LINE: &str = "kd: ready";
/// The API server's port inside a server node.
pub const API_SERVER_PORT: u16 = 6443;
/// The kubelet's HTTPS port.
pub const KUBELET_PORT: u16 = 10250;
/// Pod address range of a cluster.
pub const POD_CIDR: &str = "10.244.0.0/16";
/// IPv6 pod address range of a cluster.
pub const POD_CIDR_V6: &str = "fd00:10:244::/56";
/// Service address range of a cluster.
pub const SERVICE_CIDR: &str = "10.96.0.0/16";
/// IPv6 service address range of a cluster.
pub const SERVICE_CIDR_V6: &str = "fd00:10:96::/112";
/// Prefix length of one node's pod range.
pub const NODE_CIDR_PREFIX: u8 = 24;
/// Prefix length of one node's IPv6 pod range.
pub const NODE_CIDR_PREFIX_V6: u8 = 64;
/// Where CNI configurations are on a node.
pub const CNI_CONFIGURATIONS: &str = "/etc/cni/net.d";
/// Where CNI plugins are on a node.
pub const CNI_PLUGINS: &str = "/opt/cni/bin";
/// DNS domain of a cluster.
pub const CLUSTER_DOMAIN: &str = "cluster.local";
/// Address of the cluster's DNS service.
pub const DNS_ADDRESS: &str = "10.96.0.10";
