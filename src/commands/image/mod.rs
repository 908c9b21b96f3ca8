//! `kd image`.

pub mod list;
pub mod load;
pub mod prune;

use clap::Subcommand;

use super::Context;
use crate::error::Result;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Load images into every node of a cluster.
    #[command(visible_alias = "import")]
    Load(load::Arguments),
    /// Remove layers on this host that no image of any cluster uses.
    Prune,
    /// List the images of a cluster.
    #[command(visible_alias = "ls")]
    List(list::Arguments),
}

/// Runs a verb.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Load(arguments) => load::run(context, arguments, load::Source::Either).await,
        Command::List(arguments) => list::run(context, arguments).await,
        Command::Prune => prune::run(context).await,
    }
}
