//! `kd node delete`.

use clap::Args;

use super::of_name;
use crate::cluster::{agents, inventory};
use crate::commands::Context;
use crate::error::{Error, Result};

/// Arguments of `kd node delete`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Names of agents, as `kd node list` has them.
    #[arg(value_name = "NODE", required = true)]
    names: Vec<String>,
}

/// Takes agents out of their clusters. Goes on after errors and returns them all.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let clusters = inventory::clusters(&engine).await?;
    let mut errors = Vec::new();
    for name in &arguments.names {
        let (cluster, node) = match of_name(&clusters, name) {
            Ok(found) => found,
            Err(error) => {
                errors.push(error);
                continue;
            }
        };
        let step = context.ui.step(format!("Removing {name}"));
        match agents::remove(&engine, cluster, node).await {
            Ok(()) => step.done(&format!("Node {name} is gone.")),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors).map_or(Ok(()), Err)
}
