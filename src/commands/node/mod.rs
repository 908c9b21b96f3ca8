//! `kd node`.

pub mod create;
pub mod delete;
pub mod list;

use clap::Subcommand;

use super::Context;
use crate::error::Result;

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
}

/// Runs a verb.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Create(arguments) => create::run(context, arguments).await,
        Command::Delete(arguments) => delete::run(context, arguments).await,
        Command::List(arguments) => list::run(context, arguments).await,
    }
}
