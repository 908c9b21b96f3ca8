//! `kd node-image`.

pub mod build;
pub mod inspect;
pub mod prune;

use clap::Subcommand;

use super::Context;
use crate::error::Result;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Build the image from this executable and load it into the engine.
    Build(build::Arguments),
    /// Print what the engine knows about the image.
    Inspect(inspect::Arguments),
    /// Delete images of other versions of kd that no node uses.
    Prune(prune::Arguments),
}

/// Runs a verb.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Build(arguments) => build::run(context, arguments).await,
        Command::Inspect(arguments) => inspect::run(context, arguments).await,
        Command::Prune(arguments) => prune::run(context, arguments).await,
    }
}
