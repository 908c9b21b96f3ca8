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
    /// Pod address ranges of the cluster, one of a family, separated by commas, the first one first.
    pub pod_cidr: String,
    /// Service address ranges of the cluster, in the same form.
    pub service_cidr: String,
    /// Ranges outside of the cluster to which pods keep their own addresses.
    #[serde(default)]
    pub non_masquerade_cidrs: Vec<String>,
    /// How packets get to other nodes' pods.
    #[serde(default)]
    pub network_backend: NetworkBackend,
    /// Pods are on the network of somebody's CNI plugins.
    #[serde(default)]
    pub disable_default_cni: bool,
    /// Somebody else leads Services' packets.
    #[serde(default)]
    pub disable_kube_proxy: bool,
    /// DNS domain of the cluster.
    pub cluster_domain: String,
    /// Address of the DNS service.
    pub dns_address: String,
    /// Labels of the Node object.
    #[serde(default)]
    pub node_labels: std::collections::BTreeMap<String, String>,
    /// Taints that the Node object is created with: `key=value:effect`.
    #[serde(default)]
    pub node_taints: Vec<String>,
    /// The cluster's CA certificate, PEM.
    pub ca_certificate: String,
    /// Who this node is.
    pub identity: NodeIdentity,
    /// On servers only.
    pub secrets: Option<ServerSecrets>,
    /// On servers: how the API server is configured beyond its defaults.
    #[serde(default)]
    pub api_server_files: ApiServerFiles,
    /// How hard the store syncs.
    #[serde(default)]
    pub durability: Durability,
    /// Registries (`host` or `host:port`) that are spoken to without TLS. Loopback ones always are.
    #[serde(default)]
    pub insecure_registries: Vec<String>,
    /// More certificate authorities of registries, PEM.
    #[serde(default)]
    pub registry_authorities: Vec<String>,
    /// Mirrors of registries, and how all of them are spoken to.
    #[serde(default)]
    pub registries: crate::registries::Registries,
    /// The kubelet's flags, `name=value`.
    #[serde(default)]
    pub kubelet_flags: Vec<String>,
    /// Names of hosts that pods and nodes know besides those of DNS.
    #[serde(default)]
    pub host_aliases: Vec<HostAlias>,
    /// Nodes that are only objects, kept by the server.
    #[serde(default)]
    pub simulated_nodes: usize,
    /// How the scheduler is configured, where it is.
    #[serde(default)]
    pub scheduler: Option<crate::scheduler::SchedulerConfiguration>,
    /// Whether pods are left to a scheduler of the user's.
    #[serde(default)]
    pub disable_scheduler: bool,
    /// What does not run.
    #[serde(default)]
    pub disabled: Vec<Component>,
    /// Log filter (tracing's syntax), e.g. `info`.
    pub log: String,
}

/// A part of a node that a cluster can be without.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Component {
    /// The reverse proxy for Ingresses and Gateways.
    Ingress,
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
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
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

/// The texts of files that configure the API server, as they were when the cluster was made.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct ApiServerFiles {
    /// `audit.k8s.io` Policy.
    pub audit_policy: Option<String>,
    /// `apiserver.config.k8s.io` AuthenticationConfiguration.
    pub authentication: Option<String>,
    /// `apiserver.config.k8s.io` AuthorizationConfiguration.
    pub authorization: Option<String>,
    /// `apiserver.config.k8s.io` EncryptionConfiguration.
    pub encryption: Option<String>,
    /// The kubeconfigs that these name, by path.
    pub kubeconfigs: std::collections::BTreeMap<String, String>,
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

/// How packets get to other nodes' pods.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum NetworkBackend {
    /// Nodes are each other's next hops.
    #[default]
    HostRoutes,
    /// In VXLAN datagrams.
    Vxlan,
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
