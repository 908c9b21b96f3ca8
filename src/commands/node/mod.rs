//! `kd node`.

pub mod create;
pub mod delete;
pub mod list;
pub mod start;
pub mod stop;

use clap::Subcommand;

use super::Context;
use crate::cluster::inventory::{Cluster, Node};
use crate::error::{Error, ExitCode, Result};

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Add agents to a cluster that runs.
    #[command(visible_alias = "add")]
    Create(create::Arguments),
    /// Take agents out of their cluster.
    #[command(visible_aliases = ["rm", "del"])]
    Delete(delete::Arguments),
    /// List the nodes.
    #[command(visible_alias = "ls")]
    List(list::Arguments),
    /// Start nodes that are stopped.
    Start(start::Arguments),
    /// Stop nodes; what is on them is kept.
    Stop(stop::Arguments),
}

/// A node by its name, with its cluster.
fn of_name<'c>(clusters: &'c [Cluster], name: &str) -> Result<(&'c Cluster, &'c Node)> {
    let mut all =
        clusters.iter().flat_map(|cluster| cluster.containers().map(move |node| (cluster, node)));
    all.find(|(_, node)| node.name == name).ok_or_else(|| {
        let message = format!("there is no node named {name:?}");
        Error::new(ExitCode::NotFound, message).hint("see `kd node list`")
    })
}

/// Runs a verb.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Create(arguments) => create::run(context, arguments).await,
        Command::Delete(arguments) => delete::run(context, arguments).await,
        Command::List(arguments) => list::run(context, arguments).await,
        Command::Start(arguments) => start::run(context, arguments).await,
        Command::Stop(arguments) => stop::run(context, arguments).await,
    }
}
