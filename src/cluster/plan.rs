//! What a new cluster will be made of: plain data, decided before anything is made.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::IpAddr;

use ipnet::IpNet;
use kd_contract::pki::{self, ClusterAuthority};
use kd_contract::registries::Registries;
use kd_contract::scheduler::SchedulerConfiguration;
use kd_contract::{
    API_SERVER_PORT, ApiServerFiles, AuthoritySecrets, BalancedPort, CLUSTER_DOMAIN, Component,
    Durability, HostAlias, LABEL_API_HOST, LABEL_API_PORT, LABEL_CLUSTER, LABEL_SECRETS,
    LoadBalancerConfig, NodeConfig, NodeIdentity, NodeRole, PublishedProtocol, ROLE_LOAD_BALANCER,
    ServerSecrets,
};

use super::addresses::{Addresses, NetworkRequest, joined};
use super::name;
use super::node_settings::NodeSettings;
use super::ports::Published;
use crate::docker::{ContainerSpec, HostPort, Limits, Program, PublishedPort};
use crate::error::{Error, ExitCode, Result};

/// The largest cluster that is created: the pod address range has room for 256 nodes.
const NODES_MAX: usize = 100;
/// Simulated nodes of a cluster; upstream is made for 5,000 nodes.
const SIMULATED_NODES_MAX: usize = 10_000;
/// Log filter of the nodes.
const NODE_LOG: &str = "info";

/// What the user asked for.
#[derive(Clone, Debug)]
pub struct Request {
    /// The cluster's name.
    pub name: String,
    /// How many servers.
    pub servers: usize,
    /// How many agents.
    pub agents: usize,
    /// The node image's name.
    pub image: String,
    /// Where the API server is published.
    pub api: HostPort,
    /// The name or address under which clients reach the API server.
    pub api_host: String,
    /// Registries that are spoken to without TLS.
    pub insecure_registries: Vec<String>,
    /// More certificate authorities of registries, PEM.
    pub registry_authorities: Vec<String>,
    /// Mirrors of registries, and how all of them are spoken to.
    pub registries: Registries,
    /// The kubelets' flags, `name=value`.
    pub kubelet_flags: Vec<String>,
    /// What each node may use.
    pub limits: Limits,
    /// What configures the API server.
    pub api_server_files: ApiServerFiles,
    /// Capabilities that the engine cannot give to nodes.
    pub lacking_capabilities: Vec<String>,
    /// Ports besides the API server's.
    pub published: Published,
    /// Names of hosts that pods and nodes know.
    pub host_aliases: Vec<HostAlias>,
    /// How many nodes that are only objects.
    pub simulated_nodes: usize,
    /// The scheduler's configuration.
    pub scheduler: Option<SchedulerConfiguration>,
    /// Whether there is none.
    pub disable_scheduler: bool,
    /// Who leads packets, and how.
    pub network: NetworkRequest,
    /// The ranges of pods and services.
    pub addresses: Addresses,
    /// What the cluster is without.
    pub disabled: Vec<Component>,
    /// What single nodes have, by name.
    pub settings: BTreeMap<String, NodeSettings>,
}

/// One node of the plan.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PlannedNode {
    /// The node's name.
    pub name: String,
    /// What runs on it.
    pub role: NodeRole,
}

/// Checks a request and names the nodes, servers first.
pub fn nodes(request: &Request) -> Result<Vec<PlannedNode>> {
    name::check(&request.name)?;
    if request.servers != 1 {
        let message = format!("a cluster of {} servers is not supported yet", request.servers);
        return Err(Error::new(ExitCode::Usage, message)
            .hint("use one server and as many agents as needed: --servers 1 --agents 2"));
    }
    if request.agents >= NODES_MAX {
        let message = format!("a cluster has at most {NODES_MAX} nodes");
        return Err(Error::new(ExitCode::Usage, message)
            .hint("nodes that run nothing cost little: --simulated-nodes 1000"));
    }
    if request.simulated_nodes > SIMULATED_NODES_MAX {
        let message = format!("a cluster has at most {SIMULATED_NODES_MAX} simulated nodes");
        return Err(Error::new(ExitCode::Usage, message));
    }
    let of_role = |role: NodeRole, count: usize| {
        (0..count).map(move |index| PlannedNode {
            name: name::node(&request.name, role_name(role), index),
            role,
        })
    };
    Ok(of_role(NodeRole::Server, request.servers)
        .chain(of_role(NodeRole::Agent, request.agents))
        .collect())
}

/// The word for a role in names and labels.
pub fn role_name(role: NodeRole) -> &'static str {
    match role {
        NodeRole::Server => "server",
        NodeRole::Agent => "agent",
    }
}

/// Makes the secrets of a new cluster.
pub fn secrets(cluster: &str) -> Result<ServerSecrets> {
    let make = || -> std::result::Result<ServerSecrets, pki::Error> {
        let authority = ClusterAuthority::generate(cluster)?;
        let front_proxies = ClusterAuthority::generate(&format!("{cluster}-front-proxy"))?;
        Ok(ServerSecrets {
            ca_certificate: authority.certificate_pem().to_owned(),
            ca_key: authority.key_pem(),
            service_account_key: pki::service_account_key()?,
            front_proxy: Some(AuthoritySecrets {
                certificate: front_proxies.certificate_pem().to_owned(),
                key: front_proxies.key_pem(),
            }),
        })
    };
    make().map_err(|source| Error::failure("make the cluster's certificates").because(source))
}

/// The labels of the cluster's network.
pub fn network_labels(cluster: &str, secrets: &ServerSecrets) -> Result<HashMap<String, String>> {
    let secrets = serde_json::to_string(secrets)
        .map_err(|source| Error::failure("encode the cluster's secrets").because(source))?;
    Ok(HashMap::from([
        (LABEL_CLUSTER.to_owned(), cluster.to_owned()),
        (LABEL_SECRETS.to_owned(), secrets),
    ]))
}

/// The containers: the nodes', and the load balancer's if there is one.
pub fn containers(
    request: &Request,
    nodes: &[PlannedNode],
    secrets: &ServerSecrets,
) -> Result<Vec<ContainerSpec>> {
    let failed = |source| Error::failure("issue the nodes' certificates").because(source);
    let authority =
        ClusterAuthority::from_pem(&secrets.ca_certificate, &secrets.ca_key).map_err(failed)?;
    let server = &nodes[0].name;
    let nodes_containers = nodes.iter().map(|node| {
        let identity = identity(&authority, &node.name).map_err(failed)?;
        let config = node_config(request, node, server, secrets, identity);
        container(request, node, &config)
    });
    let published = &request.published.balancer;
    let has_ipv6 = request.network.family.has_ipv6();
    let balancer = load_balancer(&request.name, &request.image, published, has_ipv6);
    nodes_containers.chain(balancer).collect()
}

/// As the engine writes them: `NAME:ADDRESS`.
pub fn extra_hosts(aliases: &[HostAlias]) -> Vec<String> {
    let of = |alias: &HostAlias| {
        let address = alias.ip;
        alias.hostnames.clone().into_iter().map(move |name| format!("{name}:{address}"))
    };
    aliases.iter().flat_map(of).collect()
}

/// The container that leads ports of this machine to nodes; none without ports.
pub fn load_balancer(
    cluster: &str,
    image: &str,
    published: &[PublishedPort],
    has_ipv6: bool,
) -> Option<Result<ContainerSpec>> {
    if published.is_empty() {
        return None;
    }
    let port = |of: &PublishedPort| BalancedPort { port: of.port, protocol: of.protocol };
    let ports: BTreeSet<BalancedPort> = published.iter().map(port).collect();
    let config =
        LoadBalancerConfig { ports: ports.into_iter().collect(), log: NODE_LOG.to_owned() };
    let config = serde_json::to_string(&config).map_err(|source| {
        Error::failure("encode the load balancer's configuration").because(source)
    });
    Some(config.map(|config| ContainerSpec {
        name: name::load_balancer(cluster),
        image: image.to_owned(),
        cluster: cluster.to_owned(),
        program: Program::LoadBalancer,
        role: ROLE_LOAD_BALANCER.to_owned(),
        labels: HashMap::new(),
        network: name::network(cluster),
        config,
        published: published.to_vec(),
        lacking_capabilities: Vec::new(),
        limits: Limits::default(),
        extra_hosts: Vec::new(),
        has_ipv6,
        folders: Vec::new(),
    }))
}

/// Issues a node's certificates.
pub fn identity(
    authority: &ClusterAuthority,
    node: &str,
) -> std::result::Result<NodeIdentity, pki::Error> {
    let user = format!("system:node:{node}");
    let client = authority.issue_client(&user, &["system:nodes"])?;
    let serving = authority.issue_server(&user, &[node.to_owned()])?;
    Ok(NodeIdentity {
        client_certificate: client.certificate_pem,
        client_key: client.key_pem,
        serving_certificate: serving.certificate_pem,
        serving_key: serving.key_pem,
    })
}

fn node_config(
    request: &Request,
    node: &PlannedNode,
    server: &str,
    secrets: &ServerSecrets,
    identity: NodeIdentity,
) -> NodeConfig {
    let is_server = node.role == NodeRole::Server;
    let settings = request.settings.get(&node.name).cloned().unwrap_or_default();
    NodeConfig {
        cluster: request.name.clone(),
        name: node.name.clone(),
        role: node.role,
        api_server: format!("https://{server}:{API_SERVER_PORT}"),
        api_server_names: api_server_names(request),
        pod_cidr: joined(&request.addresses.pods),
        service_cidr: joined(&request.addresses.services),
        non_masquerade_cidrs: cidrs(&request.network.non_masquerade),
        network_backend: request.network.backend,
        disable_default_cni: request.network.disable_default_cni,
        disable_kube_proxy: request.network.disable_kube_proxy,
        cluster_domain: CLUSTER_DOMAIN.to_owned(),
        dns_address: request.addresses.dns.to_string(),
        node_labels: settings.labels,
        node_taints: settings.taints,
        ca_certificate: secrets.ca_certificate.clone(),
        identity,
        secrets: is_server.then(|| secrets.clone()),
        api_server_files: match is_server {
            true => request.api_server_files.clone(),
            false => ApiServerFiles::default(),
        },
        durability: Durability::default(),
        insecure_registries: request.insecure_registries.clone(),
        registry_authorities: request.registry_authorities.clone(),
        registries: request.registries.clone(),
        kubelet_flags: request.kubelet_flags.clone(),
        host_aliases: request.host_aliases.clone(),
        simulated_nodes: if is_server { request.simulated_nodes } else { 0 },
        scheduler: request.scheduler.clone().filter(|_| is_server),
        disable_scheduler: request.disable_scheduler,
        disabled: request.disabled.clone(),
        log: NODE_LOG.to_owned(),
    }
}

fn cidrs(ranges: &[IpNet]) -> Vec<String> {
    ranges.iter().map(ToString::to_string).collect()
}

fn api_server_names(request: &Request) -> Vec<String> {
    let mut names = ["localhost", "127.0.0.1", "::1"].map(str::to_owned).to_vec();
    for name in [request.api_host.clone(), request.api.address.to_string()] {
        let any_address = name.parse::<IpAddr>().is_ok_and(|address| address.is_unspecified());
        if !any_address && !names.contains(&name) {
            names.push(name);
        }
    }
    names
}

fn container(request: &Request, node: &PlannedNode, config: &NodeConfig) -> Result<ContainerSpec> {
    let config = serde_json::to_string(config)
        .map_err(|source| Error::failure("encode the node's configuration").because(source))?;
    let api = (node.role == NodeRole::Server).then_some(request.api);
    let settings = request.settings.get(&node.name);
    let mut labels = HashMap::new();
    let mut published = request.published.nodes.get(&node.name).cloned().unwrap_or_default();
    if let Some(host) = api {
        let protocol = PublishedProtocol::Tcp;
        published.push(PublishedPort { port: API_SERVER_PORT, protocol, host });
        labels.insert(LABEL_API_PORT.to_owned(), request.api.port.to_string());
        labels.insert(LABEL_API_HOST.to_owned(), request.api_host.clone());
    }
    Ok(ContainerSpec {
        name: node.name.clone(),
        image: request.image.clone(),
        cluster: request.name.clone(),
        program: Program::Node,
        role: role_name(node.role).to_owned(),
        labels,
        network: name::network(&request.name),
        config,
        published,
        lacking_capabilities: request.lacking_capabilities.clone(),
        limits: request.limits,
        extra_hosts: extra_hosts(&request.host_aliases),
        has_ipv6: request.network.family.has_ipv6(),
        folders: settings.map(|settings| settings.folders.clone()).unwrap_or_default(),
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::super::addresses::resolve;
    use super::*;

    fn request(servers: usize, agents: usize) -> Request {
        Request {
            name: "x".to_owned(),
            servers,
            agents,
            image: "kd-node:1".to_owned(),
            api: HostPort { address: Ipv4Addr::LOCALHOST.into(), port: 7000 },
            api_host: "127.0.0.1".to_owned(),
            insecure_registries: Vec::new(),
            registry_authorities: Vec::new(),
            registries: Registries::default(),
            kubelet_flags: Vec::new(),
            limits: Limits::default(),
            api_server_files: ApiServerFiles::default(),
            lacking_capabilities: Vec::new(),
            published: Published::default(),
            host_aliases: Vec::new(),
            simulated_nodes: 0,
            scheduler: None,
            disable_scheduler: false,
            network: NetworkRequest::default(),
            addresses: resolve(&NetworkRequest::default(), &[]).unwrap(),
            disabled: Vec::new(),
            settings: BTreeMap::new(),
        }
    }

    #[test]
    fn nodes_are_named_by_role() {
        let names = |request: &Request| -> Option<Vec<String>> {
            Some(nodes(request).ok()?.into_iter().map(|node| node.name).collect())
        };
        let expect = ["kd-x-server-0", "kd-x-agent-0", "kd-x-agent-1"].map(str::to_owned).to_vec();
        assert_eq!(names(&request(1, 2)), Some(expect));
        assert_eq!(names(&request(0, 0)), None);
        assert_eq!(names(&request(3, 0)), None);
        assert_eq!(names(&request(1, 1000)), None);
        assert_eq!(names(&Request { name: "X".to_owned(), ..request(1, 0) }), None);
    }

    #[test]
    fn only_servers_hold_the_secrets() {
        let request = request(1, 1);
        let planned = nodes(&request).unwrap();
        let secrets = secrets("x").unwrap();
        let containers = containers(&request, &planned, &secrets).unwrap();
        let config = |index: usize| -> NodeConfig {
            serde_json::from_str(&containers[index].config).unwrap()
        };
        assert_eq!(config(0).secrets, Some(secrets));
        assert_eq!(config(1).secrets, None);
        assert_eq!(config(1).api_server, "https://kd-x-server-0:6443");
        assert_eq!(containers[0].labels[LABEL_API_PORT], "7000");
        let ports = |index: usize| containers[index].published.iter().map(|p| p.port);
        assert_eq!(ports(0).collect::<Vec<_>>(), [API_SERVER_PORT]);
        assert_eq!(ports(1).count(), 0);
        assert!(containers[1].labels.is_empty());
    }

    #[test]
    fn a_load_balancer_is_made_for_its_ports() {
        let protocol = PublishedProtocol::Tcp;
        let host = HostPort { address: Ipv4Addr::LOCALHOST.into(), port: 8080 };
        let port = PublishedPort { port: 80, protocol, host };
        let published = Published { balancer: vec![port], ..Published::default() };
        let request = Request { published, ..request(1, 1) };
        let planned = nodes(&request).unwrap();
        let containers = containers(&request, &planned, &secrets("x").unwrap()).unwrap();
        assert_eq!(containers.len(), 3);
        let balancer = &containers[2];
        assert_eq!(balancer.name, "kd-x-loadbalancer");
        assert_eq!(balancer.published, [port]);
        let config: LoadBalancerConfig = serde_json::from_str(&balancer.config).unwrap();
        assert_eq!(config.ports, [BalancedPort { port: 80, protocol }]);
    }

    #[test]
    fn the_api_server_is_known_by_its_published_names() {
        let check = |host: &str, address: &str, more: &[&str]| {
            let address = address.parse().unwrap();
            let api = HostPort { address, port: 1 };
            let request = Request { api, api_host: host.to_owned(), ..request(1, 0) };
            assert_eq!(api_server_names(&request)[3..], *more);
        };
        check("127.0.0.1", "127.0.0.1", &[]);
        check("127.0.0.1", "0.0.0.0", &[]);
        check("dev.example", "0.0.0.0", &["dev.example"]);
        check("192.0.2.7", "192.0.2.7", &["192.0.2.7"]);
    }
}
