//! Layers that no node uses any more. Nodes note what they use on the volume that all share; what a
//! deleted node has noted is forgotten when kd looks.

use std::collections::BTreeSet;

use super::node;
use crate::cluster::inventory::{self, Cluster, Node};
use crate::docker::Engine;
use crate::error::{Error, ExitCode, Result};

/// Removes the layers that no image of any node uses. Returns how many bytes were freed.
pub async fn prune(engine: &Engine) -> Result<u64> {
    let clusters = inventory::clusters(engine).await?;
    let nobody = Error::new(ExitCode::NotFound, "no node of any cluster runs")
        .hint("without clusters there are no layers; start one: kd cluster start NAME");
    forget_by_any(engine, &clusters, true).await.unwrap_or(Err(nobody))
}

/// Forgets the nodes of a cluster that was just deleted, if there is a node that can.
pub async fn forget_deleted(engine: &Engine) -> Result<()> {
    let clusters = inventory::clusters(engine).await?;
    // The volume goes with the last cluster; stopped nodes leave it to who looks next.
    forget_by_any(engine, &clusters, false).await.map_or(Ok(()), |done| done.map(drop))
}

/// Asks one running node after the other: some may be of another version, or end just now.
async fn forget_by_any(engine: &Engine, clusters: &[Cluster], prune: bool) -> Option<Result<u64>> {
    let nodes = clusters.iter().flat_map(|cluster| &cluster.nodes);
    let mut last = None;
    for node in nodes.filter(|node| node.is_running()) {
        let done = forget(engine, node, prune).await;
        let is_done = done.is_ok();
        last = Some(done);
        if is_done {
            break;
        }
    }
    last
}

async fn forget(engine: &Engine, node: &Node, prune: bool) -> Result<u64> {
    // First who uses layers, then who is there: a node made in between is not among the first.
    let users = node::users(engine, node).await?;
    let clusters = inventory::clusters(engine).await?;
    let nodes = clusters.iter().flat_map(|cluster| &cluster.nodes);
    let gone = gone(users, &nodes.map(|node| node.name.as_str()).collect());
    if gone.is_empty() && !prune {
        return Ok(0);
    }
    node::forget(engine, node, &gone, prune).await
}

/// Those of the users whose nodes are not there.
fn gone(users: Vec<String>, nodes: &BTreeSet<&str>) -> Vec<String> {
    let is_there = |user: &String| {
        user.rsplit_once('.').is_none_or(|(name, _incarnation)| nodes.contains(name))
    };
    users.into_iter().filter(|user| !is_there(user)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn users_without_a_node() {
        let users = ["kd-a-server-0.12ab", "kd-a.b-agent-0.34cd", "kd-b-server-0.56ef", "odd"];
        let users = users.map(str::to_owned).to_vec();
        let check = |nodes: &[&str], expect: &[&str]| {
            assert_eq!(gone(users.clone(), &nodes.iter().copied().collect()), expect);
        };
        check(&["kd-a-server-0", "kd-a.b-agent-0", "kd-b-server-0"], &[]);
        check(&["kd-a-server-0"], &["kd-a.b-agent-0.34cd", "kd-b-server-0.56ef"]);
    }
}
