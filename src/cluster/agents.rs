//! Agents that come to a cluster that runs, and leave it.

use std::collections::HashMap;
use std::time::Duration;

use futures::future::{join_all, try_join_all};
use k8s_openapi::api::core::v1::Node as NodeObject;
use kd_contract::pki::ClusterAuthority;
use kd_contract::{ApiServerFiles, NODE_CONFIG_ENV, NodeConfig, NodeRole, ServerSecrets};
use kube::api::{Api, DeleteParams};

use super::create::start_node;
use super::delete::{self, Remains};
use super::inventory::{Cluster, Node};
use super::node_settings::{self, NodeSetting, NodeSettings};
use super::plan::{self, PlannedNode};
use super::readiness::{self, Deadline};
use super::timings::Timings;
use super::{access, image_records, name};
use crate::docker::{
    Container, ContainerSpec, Engine, Limits, Program, environment_variable, lacking_capabilities,
    limits_of,
};
use crate::error::{Error, ExitCode, Result};

/// What the nodes of a cluster have in common.
struct Model {
    config: NodeConfig,
    lacking_capabilities: Vec<String>,
    limits: Limits,
}

/// Adds agents to a cluster and returns their names once they are Ready. When one does not become
/// so, all of them are taken back.
pub async fn add(
    engine: &Engine,
    cluster: &Cluster,
    count: usize,
    settings: &[NodeSetting],
    timeout: Duration,
) -> Result<Vec<String>> {
    let server = cluster.nodes.iter().find(|node| node.role == "server");
    let (Some(server), Some(secrets)) = (server, &cluster.secrets) else {
        return Err(Error::failure(format!("the cluster {:?} is not complete", cluster.name))
            .hint(format!("delete it: kd cluster delete {}", cluster.name)));
    };
    if !server.is_running() {
        return Err(Error::failure(format!("the cluster {:?} does not run", cluster.name))
            .hint(format!("start it: kd cluster start {}", cluster.name)));
    }
    let model = Model {
        config: config_of(engine, server).await?,
        lacking_capabilities: lacking_capabilities(engine.socket()).await,
        limits: limits_of(engine, &server.container).await?,
    };
    let nodes = new_names(cluster, count);
    let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
    let by_node = node_settings::by_node(settings, &nodes)?;
    let specs: Result<Vec<ContainerSpec>> = nodes
        .iter()
        .map(|node| {
            let own = by_node.get(&node.name).cloned().unwrap_or_default();
            spec(cluster, server, node, &model, secrets, own)
        })
        .collect();
    let specs = specs?;
    let records = image_records::of(engine, &server.container).await?;
    let made = join_all(specs.iter().map(|spec| spec.create(engine))).await;
    let containers: Vec<Container> = made.iter().flatten().cloned().collect();
    let started = async {
        made.into_iter().collect::<Result<Vec<_>>>()?;
        if let Some(records) = &records {
            let given = containers.iter().map(|one| image_records::give(engine, one, records));
            try_join_all(given).await?;
        }
        run(engine, cluster, &containers, &names, Deadline::after(timeout)).await
    };
    let Err(error) = started.await else { return Ok(names) };
    let remains = Remains { containers, networks: Vec::new(), volumes: names };
    let left = delete::remove(engine, &remains).await;
    Err(left.into_iter().fold(error, |error, left| error.hint(format!("not taken back: {left}"))))
}

async fn run(
    engine: &Engine,
    cluster: &Cluster,
    containers: &[Container],
    names: &[String],
    deadline: Deadline,
) -> Result<()> {
    let timings = Timings::begin();
    let starts = containers.iter().map(|one| start_node(engine, one, deadline, &timings));
    try_join_all(starts).await?;
    let client = access::client(&access::entries_of(cluster)?).await?;
    readiness::api_ready(&client, names, deadline).await
}

/// The configuration of a node that is there: what is the cluster's in it is every node's.
pub async fn config_of(engine: &Engine, server: &Node) -> Result<NodeConfig> {
    let text = environment_variable(engine, &server.container, NODE_CONFIG_ENV).await?;
    serde_json::from_str(&text).map_err(|source| {
        Error::failure(format!("read the configuration of {}", server.name)).because(source)
    })
}

/// Whether the cluster's network has IPv6.
pub fn has_ipv6(config: &NodeConfig) -> bool {
    config.pod_cidr.contains(':')
}

/// Names whose numbers follow the highest that is there.
fn new_names(cluster: &Cluster, count: usize) -> Vec<PlannedNode> {
    let role = NodeRole::Agent;
    let numbers = cluster.nodes.iter().filter(|node| node.role == plan::role_name(role));
    let numbers = numbers.filter_map(|node| node.name.rsplit_once('-')?.1.parse::<usize>().ok());
    let start = numbers.max().map_or(0, |highest| highest + 1);
    let name = |index: usize| name::node(&cluster.name, plan::role_name(role), index);
    (start..start + count).map(|index| PlannedNode { name: name(index), role }).collect()
}

fn spec(
    cluster: &Cluster,
    server: &Node,
    node: &PlannedNode,
    model: &Model,
    secrets: &ServerSecrets,
    settings: NodeSettings,
) -> Result<ContainerSpec> {
    let failed = |source| Error::failure("issue the node's certificates").because(source);
    let authority =
        ClusterAuthority::from_pem(&secrets.ca_certificate, &secrets.ca_key).map_err(failed)?;
    let config = NodeConfig {
        name: node.name.clone(),
        role: node.role,
        node_labels: settings.labels,
        node_taints: settings.taints,
        identity: plan::identity(&authority, &node.name).map_err(failed)?,
        secrets: None,
        simulated_nodes: 0,
        scheduler: None,
        api_server_files: ApiServerFiles::default(),
        ..model.config.clone()
    };
    let extra_hosts = plan::extra_hosts(&config.host_aliases);
    let config = serde_json::to_string(&config)
        .map_err(|source| Error::failure("encode the node's configuration").because(source))?;
    Ok(ContainerSpec {
        name: node.name.clone(),
        image: server.image.clone(),
        cluster: cluster.name.clone(),
        program: Program::Node,
        role: plan::role_name(node.role).to_owned(),
        labels: HashMap::new(),
        network: name::network(&cluster.name),
        config,
        published: Vec::new(),
        lacking_capabilities: model.lacking_capabilities.clone(),
        limits: model.limits,
        extra_hosts,
        has_ipv6: has_ipv6(&model.config),
        folders: settings.folders,
    })
}

/// Takes an agent out of its cluster: its object, its container and what it kept.
pub async fn remove(engine: &Engine, cluster: &Cluster, node: &Node) -> Result<()> {
    if node.role != plan::role_name(NodeRole::Agent) {
        let message = format!("{} is no agent, and the cluster needs it", node.name);
        return Err(Error::new(ExitCode::Usage, message)
            .hint(format!("delete the whole cluster: kd cluster delete {}", cluster.name)));
    }
    let remains = Remains {
        containers: vec![node.as_container()],
        networks: Vec::new(),
        volumes: vec![node.name.clone()],
    };
    let mut errors = delete::remove(engine, &remains).await;
    let is_served = cluster.nodes.iter().any(|n| n.role == "server" && n.is_running());
    if is_served {
        errors.extend(forget(cluster, &node.name).await.err());
    }
    Error::all(errors).map_or(Ok(()), Err)
}

/// Deletes the Node object; the node itself would register again.
async fn forget(cluster: &Cluster, node: &str) -> Result<()> {
    let client = access::client(&access::entries_of(cluster)?).await?;
    match Api::<NodeObject>::all(client).delete(node, &DeleteParams::default()).await {
        Ok(_) => Ok(()),
        Err(kube::Error::Api(status)) if status.code == 404 => Ok(()),
        Err(source) => {
            let message = format!("delete the Node object of {node}");
            Err(Error::new(ExitCode::Api, message).because(source))
        }
    }
}
