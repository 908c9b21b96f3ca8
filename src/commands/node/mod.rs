//! `kd node`.

pub mod list;

use clap::Subcommand;

use super::Context;
use crate::error::Result;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// List the nodes.
    #[command(visible_alias = "ls")]
    List(list::Arguments),
}

/// Runs a verb.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::List(arguments) => list::run(context, arguments).await,
    }
}
