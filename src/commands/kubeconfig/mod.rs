//! `kd kubeconfig`.

pub mod get;
pub mod merge;

use clap::Subcommand;

use super::Context;
use crate::cluster::access::{self, entries_of};
use crate::cluster::inventory::{self, Cluster};
use crate::cluster::kubeconfig::Entries;
use crate::error::{Error, Result};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a cluster's kubeconfig.
    Get(get::Arguments),
    /// Merge clusters into your kubeconfig and print its path.
    #[command(visible_alias = "write")]
    Merge(merge::Arguments),
}

/// Runs a verb.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Get(arguments) => get::run(context, arguments).await,
        Command::Merge(arguments) => merge::run(context, arguments).await,
    }
}

/// How a cluster is reached from inside its network.
fn internal(cluster: &Cluster) -> Result<Entries> {
    let server = cluster.nodes.iter().find(|node| node.role == "server");
    match (server, &cluster.secrets) {
        (Some(server), Some(secrets)) => {
            let url = inventory::api_url(&server.name, kd_contract::API_SERVER_PORT);
            access::entries(&cluster.name, &url, secrets)
        }
        _ => Err(Error::failure(format!("the cluster {:?} is not complete", cluster.name))),
    }
}
