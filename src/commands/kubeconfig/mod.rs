//! `kd kubeconfig`.

pub mod get;
pub mod merge;

use clap::Subcommand;

use super::Context;
use crate::error::Result;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Print a cluster's kubeconfig.
    Get(get::Arguments),
    /// Merge clusters into your kubeconfig.
    Merge(merge::Arguments),
}

/// Runs a verb.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Get(arguments) => get::run(context, arguments).await,
        Command::Merge(arguments) => merge::run(context, arguments).await,
    }
}
