//! The configuration a node is born with.

use serde::{Deserialize, Serialize};

/// Everything a node's programs are told. kd writes it when it creates the container; it is plain
/// data and holds no address of the day, so it stays true over stop, start and reboot.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeConfig {
    /// The cluster's name.
    pub cluster: String,
    /// This node's name: Kubernetes node name, container name and host name in one.
    pub name: String,
    /// What runs here.
    pub role: NodeRole,
    /// Where the API server is for kubelet, proxy and DNS: `https://<server's name>:6443`.
    pub api_server: String,
    /// Names and addresses the API server's certificate must hold besides those the node knows
    /// (`localhost`, `127.0.0.1`, a `--api-host`).
    pub api_server_names: Vec<String>,
    /// Pod address range of the cluster.
    pub pod_cidr: String,
    /// Service address range of the cluster.
    pub service_cidr: String,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Address of the DNS service.
    pub dns_address: String,
    /// Labels of the Node object.
    #[serde(default)]
    pub node_labels: std::collections::BTreeMap<String, String>,
    /// The cluster's CA certificate, PEM.
    pub ca_certificate: String,
    /// Who this node is.
    pub identity: NodeIdentity,
    /// On servers only.
    pub secrets: Option<ServerSecrets>,
    /// How hard the store syncs.
    #[serde(default)]
    pub durability: Durability,
    /// Registries (`host` or `host:port`) that are spoken to without TLS. Loopback ones always are.
    #[serde(default)]
    pub insecure_registries: Vec<String>,
    /// More certificate authorities of registries, PEM.
    #[serde(default)]
    pub registry_authorities: Vec<String>,
    /// Names of hosts that pods and nodes know besides those of DNS.
    #[serde(default)]
    pub host_aliases: Vec<HostAlias>,
    /// Log filter (tracing's syntax), e.g. `info`.
    pub log: String,
}

/// An address with names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct HostAlias {
    /// The address.
    pub ip: std::net::IpAddr,
    /// Its names.
    pub hostnames: Vec<String>,
}

/// What runs on a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum NodeRole {
    /// Control plane and kubelet.
    Server,
    /// Kubelet only.
    Agent,
}

/// A node's certificates, issued by kd from the cluster's CA.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct NodeIdentity {
    /// Client certificate `CN=system:node:<name>`, `O=system:nodes`, PEM.
    pub client_certificate: String,
    /// Its key, PEM.
    pub client_key: String,
    /// Serving certificate of the kubelet for the node's name, PEM.
    pub serving_certificate: String,
    /// Its key, PEM.
    pub serving_key: String,
}

/// What only control planes (and kd itself) hold.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ServerSecrets {
    /// The cluster's CA certificate, PEM.
    pub ca_certificate: String,
    /// Its key, PEM.
    pub ca_key: String,
    /// Signs ServiceAccount tokens (ECDSA P-256, PKCS#8 PEM).
    pub service_account_key: String,
    /// The authority of front proxies, which speak for users. Clusters of old have none.
    #[serde(default)]
    pub front_proxy: Option<AuthoritySecrets>,
}

/// An authority with its key.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct AuthoritySecrets {
    /// Its certificate, PEM.
    pub certificate: String,
    /// Its key, PEM.
    pub key: String,
}

/// How hard the store syncs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Durability {
    /// Nothing acknowledged is lost when a process dies; power loss may cost the last moments.
    #[default]
    Process,
    /// fsync per commit.
    Full,
}

/// The configuration of a cluster's load balancer.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct LoadBalancerConfig {
    /// Names of the nodes that connections are spread over.
    pub nodes: Vec<String>,
    /// The ports, the same on both sides.
    pub ports: Vec<BalancedPort>,
    /// Log filter (tracing's syntax).
    pub log: String,
}

/// A port of the load balancer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BalancedPort {
    /// Its number, on the load balancer and on the nodes.
    pub port: u16,
    /// Its protocol.
    pub protocol: PublishedProtocol,
}

/// A protocol that Docker publishes ports of.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum PublishedProtocol {
    /// TCP.
    Tcp,
    /// UDP.
    Udp,
}

/// As Docker writes it.
impl std::fmt::Display for PublishedProtocol {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            PublishedProtocol::Tcp => "tcp",
            PublishedProtocol::Udp => "udp",
        })
    }
}
