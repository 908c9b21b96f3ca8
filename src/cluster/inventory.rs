//! Which clusters are there. Docker's labels are the only record of them.

use std::collections::BTreeMap;

use bollard::models::{ContainerSummary, ContainerSummaryStateEnum, Network, Volume};
use bollard::query_parameters::{
    ListContainersOptionsBuilder, ListNetworksOptionsBuilder, ListVolumesOptionsBuilder,
};
use kd_contract::{
    LABEL_API_HOST, LABEL_API_PORT, LABEL_CLUSTER, LABEL_ROLE, LABEL_SECRETS, ROLE_LOAD_BALANCER,
    ServerSecrets,
};
use serde::Serialize;

use super::name;
use crate::docker::{Container, Engine, label_filter, refused};
use crate::error::{Error, ExitCode, Result};
use crate::output::Listed;

/// Everything that belongs to one cluster.
#[derive(Clone, Debug, Default)]
pub struct Cluster {
    /// The cluster's name.
    pub name: String,
    /// Its nodes: servers first, in the order of their numbers.
    pub nodes: Vec<Node>,
    /// The container of its load balancer, if it has one.
    pub load_balancer: Option<Node>,
    /// IDs of its networks.
    pub networks: Vec<String>,
    /// Names of its volumes.
    pub volumes: Vec<String>,
    /// Its secrets, if its network holds them.
    pub secrets: Option<ServerSecrets>,
}

/// A node's container.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Node {
    /// The node's name.
    pub name: String,
    /// The cluster's name.
    pub cluster: String,
    /// `server` or `agent`.
    pub role: String,
    /// The container's state in Docker's words.
    pub state: String,
    /// The container's address in the cluster's network while it runs.
    pub address: Option<String>,
    /// The gateway of that network: the machine of the engine, as seen from there.
    #[serde(skip)]
    pub gateway: Option<String>,
    /// The image's name.
    pub image: String,
    /// The container's ID.
    pub container: String,
    #[serde(skip)]
    api_host: Option<String>,
    #[serde(skip)]
    api_port: Option<u16>,
}

/// How a cluster is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ClusterState {
    /// Every node runs.
    Running,
    /// No node runs.
    Stopped,
    /// Some nodes run.
    Degraded,
    /// A create or delete did not come to its end.
    Incomplete,
}

/// A cluster as it is listed.
#[derive(Clone, Debug, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct ClusterSummary {
    name: String,
    state: ClusterState,
    servers: usize,
    agents: usize,
    api_server: Option<String>,
    context: String,
    nodes: Vec<Node>,
}

impl Cluster {
    /// How the cluster is.
    pub fn state(&self) -> ClusterState {
        let is = |state: &'static str| move |node: &&Node| node.state == state;
        let servers = self.nodes.iter().filter(|node| node.role == "server").count();
        let never_started = self.containers().filter(is("created")).count();
        let running = self.containers().filter(is("running")).count();
        if servers == 0 || never_started > 0 || self.secrets.is_none() {
            ClusterState::Incomplete
        } else if running == self.containers().count() {
            ClusterState::Running
        } else if running == 0 {
            ClusterState::Stopped
        } else {
            ClusterState::Degraded
        }
    }

    /// All its containers.
    pub fn containers(&self) -> impl Iterator<Item = &Node> {
        self.nodes.iter().chain(&self.load_balancer)
    }

    /// The URL of the API server as clients on this machine reach it.
    pub fn api_server(&self) -> Option<String> {
        let server = self.nodes.iter().find(|node| node.api_port.is_some())?;
        let host = server.api_host.as_deref().unwrap_or("127.0.0.1");
        Some(api_url(host, server.api_port?))
    }

    /// The cluster as it is listed.
    pub fn summary(&self) -> ClusterSummary {
        let count = |role| self.nodes.iter().filter(|node| node.role == role).count();
        ClusterSummary {
            name: self.name.clone(),
            state: self.state(),
            servers: count("server"),
            agents: count("agent"),
            api_server: self.api_server(),
            context: name::context(&self.name),
            nodes: self.nodes.clone(),
        }
    }
}

impl Node {
    /// The node's container.
    pub fn as_container(&self) -> Container {
        Container { id: self.container.clone(), name: self.name.clone() }
    }

    /// The container runs.
    pub fn is_running(&self) -> bool {
        self.state == "running"
    }
}

impl Listed for ClusterSummary {
    const HEADERS: &'static [&'static str] = &["NAME", "STATE", "SERVERS", "AGENTS", "API SERVER"];

    fn row(&self) -> Vec<String> {
        let ready = |role: &str| {
            let of_role = || self.nodes.iter().filter(|node| node.role == role);
            format!("{}/{}", of_role().filter(|node| node.is_running()).count(), of_role().count())
        };
        let state = match self.state {
            ClusterState::Running => "running",
            ClusterState::Stopped => "stopped",
            ClusterState::Degraded => "degraded",
            ClusterState::Incomplete => "incomplete",
        };
        vec![
            self.name.clone(),
            state.to_owned(),
            ready("server"),
            ready("agent"),
            self.api_server.clone().unwrap_or_else(|| "-".to_owned()),
        ]
    }

    fn name(&self) -> &str {
        &self.name
    }
}

impl Listed for Node {
    const HEADERS: &'static [&'static str] = &["NAME", "CLUSTER", "ROLE", "STATE", "ADDRESS"];

    fn row(&self) -> Vec<String> {
        let address = self.address.clone().unwrap_or_else(|| "-".to_owned());
        [&self.name, &self.cluster, &self.role, &self.state, &address].map(Clone::clone).to_vec()
    }

    fn name(&self) -> &str {
        &self.name
    }
}

/// `https://host:port`, with brackets around an IPv6 address.
pub fn api_url(host: &str, port: u16) -> String {
    if host.contains(':') {
        format!("https://[{host}]:{port}")
    } else {
        format!("https://{host}:{port}")
    }
}

/// All clusters, by name.
pub async fn clusters(engine: &Engine) -> Result<Vec<Cluster>> {
    let (containers, networks, volumes) = tokio::try_join!(
        containers(engine, LABEL_CLUSTER),
        networks(engine, LABEL_CLUSTER),
        volumes(engine, LABEL_CLUSTER),
    )?;
    Ok(group(containers, networks, volumes))
}

/// What is there of one cluster, which may be nothing.
pub async fn cluster(engine: &Engine, name: &str) -> Result<Option<Cluster>> {
    let label = format!("{LABEL_CLUSTER}={name}");
    let (containers, networks, volumes) = tokio::try_join!(
        containers(engine, &label),
        networks(engine, &label),
        volumes(engine, &label),
    )?;
    Ok(group(containers, networks, volumes).into_iter().find(|cluster| cluster.name == name))
}

/// One cluster that must be there.
pub async fn existing(engine: &Engine, name: &str) -> Result<Cluster> {
    match cluster(engine, name).await? {
        Some(cluster) => Ok(cluster),
        None => Err(not_found(name)),
    }
}

/// One of these clusters.
pub fn of_name<'c>(clusters: &'c [Cluster], name: &str) -> Result<&'c Cluster> {
    clusters.iter().find(|cluster| cluster.name == name).ok_or_else(|| not_found(name))
}

/// The error of a cluster that is not there.
pub fn not_found(name: &str) -> Error {
    Error::new(ExitCode::NotFound, format!("there is no cluster named {name:?}"))
        .hint("see `kd cluster list`")
        .hint(format!("create it: kd cluster create {name}"))
}

async fn containers(engine: &Engine, label: &str) -> Result<Vec<ContainerSummary>> {
    let options =
        ListContainersOptionsBuilder::default().all(true).filters(&label_filter(label)).build();
    let listed = engine.docker.list_containers(Some(options)).await;
    listed.map_err(|source| refused("list the containers", source))
}

async fn networks(engine: &Engine, label: &str) -> Result<Vec<Network>> {
    let options = ListNetworksOptionsBuilder::default().filters(&label_filter(label)).build();
    let listed = engine.docker.list_networks(Some(options)).await;
    listed.map_err(|source| refused("list the networks", source))
}

async fn volumes(engine: &Engine, label: &str) -> Result<Vec<Volume>> {
    let options = ListVolumesOptionsBuilder::default().filters(&label_filter(label)).build();
    let listed = engine.docker.list_volumes(Some(options)).await;
    let listed = listed.map_err(|source| refused("list the volumes", source))?;
    Ok(listed.volumes.unwrap_or_default())
}

fn group(
    containers: Vec<ContainerSummary>,
    networks: Vec<Network>,
    volumes: Vec<Volume>,
) -> Vec<Cluster> {
    let mut clusters = BTreeMap::<String, Cluster>::new();
    for node in containers.into_iter().filter_map(node) {
        let cluster = clusters.entry(node.cluster.clone()).or_default();
        match node.role == ROLE_LOAD_BALANCER {
            true => cluster.load_balancer = Some(node),
            false => cluster.nodes.push(node),
        }
    }
    for network in networks {
        let labels = network.labels.unwrap_or_default();
        let Some(name) = labels.get(LABEL_CLUSTER) else { continue };
        let cluster = clusters.entry(name.clone()).or_default();
        cluster.networks.extend(network.id);
        let secrets = labels.get(LABEL_SECRETS);
        cluster.secrets = secrets.and_then(|text| serde_json::from_str(text).ok());
    }
    for volume in volumes {
        let Some(name) = volume.labels.get(LABEL_CLUSTER) else { continue };
        clusters.entry(name.clone()).or_default().volumes.push(volume.name);
    }
    // The volume of images belongs to no cluster.
    clusters.remove("");
    for (name, cluster) in &mut clusters {
        cluster.name = name.clone();
        cluster
            .nodes
            .sort_by_key(|node| (node.role != "server", node.name.len(), node.name.clone()));
    }
    clusters.into_values().collect()
}

fn node(container: ContainerSummary) -> Option<Node> {
    let labels = container.labels.unwrap_or_default();
    let networks = container.network_settings.and_then(|settings| settings.networks);
    let state = container.state.unwrap_or(ContainerSummaryStateEnum::EMPTY);
    let cluster = labels.get(LABEL_CLUSTER)?.clone();
    let endpoint = networks.and_then(|mut networks| networks.remove(&name::network(&cluster)));
    let (address, gateway) =
        endpoint.map(|endpoint| (endpoint.ip_address, endpoint.gateway)).unwrap_or_default();
    let known = |address: Option<String>| address.filter(|address| !address.is_empty());
    Some(Node {
        name: container.names?.first()?.trim_start_matches('/').to_owned(),
        cluster,
        role: labels.get(LABEL_ROLE).cloned().unwrap_or_default(),
        state: state.to_string(),
        address: known(address),
        gateway: known(gateway),
        image: container.image.unwrap_or_default(),
        container: container.id?,
        api_host: labels.get(LABEL_API_HOST).cloned(),
        api_port: labels.get(LABEL_API_PORT).and_then(|port| port.parse().ok()),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;
    use crate::cluster::plan;

    fn container(name: &str, role: &str, state: ContainerSummaryStateEnum) -> ContainerSummary {
        let labels = [(LABEL_CLUSTER, "x"), (LABEL_ROLE, role), (LABEL_API_PORT, "7000")];
        let labels = labels.iter().take(if role == "server" { 3 } else { 2 });
        ContainerSummary {
            id: Some(format!("id-{name}")),
            names: Some(vec![format!("/{name}")]),
            labels: Some(labels.map(|(k, v)| ((*k).to_owned(), (*v).to_owned())).collect()),
            state: Some(state),
            ..ContainerSummary::default()
        }
    }

    fn network(complete: bool) -> Network {
        let labels = if complete {
            plan::network_labels("x", &plan::secrets("x").unwrap()).unwrap()
        } else {
            HashMap::from([(LABEL_CLUSTER.to_owned(), "x".to_owned())])
        };
        Network { id: Some("net".to_owned()), labels: Some(labels), ..Network::default() }
    }

    #[test]
    fn the_state_of_a_cluster() {
        use ContainerSummaryStateEnum as State;
        let check = |states: &[State], complete: bool, expect: ClusterState| {
            let roles = ["server", "agent", "agent"];
            let containers = states.iter().enumerate();
            let containers = containers
                .map(|(index, state)| container(&format!("n{index}"), roles[index], *state));
            let clusters = group(containers.collect(), vec![network(complete)], Vec::new());
            assert_eq!(clusters[0].state(), expect, "{states:?}");
        };
        check(&[State::RUNNING, State::RUNNING], true, ClusterState::Running);
        check(&[State::EXITED, State::EXITED], true, ClusterState::Stopped);
        check(&[State::RUNNING, State::EXITED], true, ClusterState::Degraded);
        check(&[State::RUNNING, State::CREATED], true, ClusterState::Incomplete);
        check(&[State::RUNNING], false, ClusterState::Incomplete);
        check(&[], true, ClusterState::Incomplete);
    }

    #[test]
    fn nodes_are_in_the_order_of_their_numbers() {
        let running = ContainerSummaryStateEnum::RUNNING;
        let names = ["kd-x-agent-10", "kd-x-agent-2", "kd-x-server-0"];
        let role = |name: &str| if name.contains("server") { "server" } else { "agent" };
        let containers = names.map(|name| container(name, role(name), running)).to_vec();
        let clusters = group(containers, vec![network(true)], Vec::new());
        let order: Vec<&str> = clusters[0].nodes.iter().map(|node| node.name.as_str()).collect();
        assert_eq!(order, ["kd-x-server-0", "kd-x-agent-2", "kd-x-agent-10"]);
        assert_eq!(clusters[0].api_server().as_deref(), Some("https://127.0.0.1:7000"));
    }

    #[test]
    fn the_images_volume_is_no_cluster() {
        let volume = |name: &str, cluster: &str| Volume {
            name: name.to_owned(),
            labels: HashMap::from([(LABEL_CLUSTER.to_owned(), cluster.to_owned())]),
            ..Volume::default()
        };
        let volumes = vec![volume("kd-images", ""), volume("kd-y-server-0", "y")];
        let clusters = group(Vec::new(), Vec::new(), volumes);
        assert_eq!(clusters.len(), 1);
        assert_eq!(clusters[0].volumes, ["kd-y-server-0"]);
        assert_eq!(clusters[0].state(), ClusterState::Incomplete);
    }
}
