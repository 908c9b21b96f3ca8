//! Stops and starts clusters. Addresses may change meanwhile; names do not.

use std::time::Duration;

use futures::future::{join_all, try_join_all};

use super::access;
use super::create::start_node;
use super::inventory::{Cluster, ClusterState, Node};
use super::readiness::{self, Deadline};
use super::timings::Timings;
use crate::docker::Engine;
use crate::error::{Error, Result};

/// Starts the nodes that do not run and returns once the cluster is usable.
pub async fn start(
    engine: &Engine,
    cluster: &Cluster,
    timeout: Duration,
    timings: &Timings,
) -> Result<()> {
    let entries = access::entries_of(cluster)?;
    let deadline = Deadline::after(timeout);
    let containers: Vec<_> =
        cluster.containers().filter(|node| !node.is_running()).map(Node::as_container).collect();
    let nodes = containers.iter().map(|container| start_node(engine, container, deadline, timings));
    try_join_all(nodes).await?;
    let names: Vec<String> = cluster.nodes.iter().map(|node| node.name.clone()).collect();
    let client = access::client(&entries).await?;
    timings.measure("api", readiness::api_ready(&client, &names, deadline)).await
}

/// Starts one node and returns once it is Ready.
pub async fn start_one(
    engine: &Engine,
    cluster: &Cluster,
    node: &Node,
    timeout: Duration,
) -> Result<()> {
    let deadline = Deadline::after(timeout);
    if !node.is_running() {
        start_node(engine, &node.as_container(), deadline, &Timings::begin()).await?;
    }
    // The load balancer is no node of the API.
    let is_node = cluster.nodes.iter().any(|known| known.name == node.name);
    let names: Vec<String> = is_node.then(|| node.name.clone()).into_iter().collect();
    let client = access::client(&access::entries_of(cluster)?).await?;
    readiness::api_ready(&client, &names, deadline).await
}

/// Stops every node that runs.
pub async fn stop(engine: &Engine, cluster: &Cluster) -> Result<()> {
    if cluster.state() == ClusterState::Stopped {
        return Ok(());
    }
    let containers: Vec<_> = cluster.containers().map(Node::as_container).collect();
    let stopped = join_all(containers.iter().map(|container| container.stop(engine))).await;
    Error::all(stopped.into_iter().filter_map(Result::err).collect()).map_or(Ok(()), Err)
}
