//! `kd node delete`.

use clap::Args;

use crate::cluster::{agents, inventory};
use crate::commands::Context;
use crate::error::{Error, ExitCode, Result};

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
        let mut all =
            clusters.iter().flat_map(|cluster| cluster.containers().map(move |n| (cluster, n)));
        let Some((cluster, node)) = all.find(|(_, node)| node.name == *name) else {
            let message = format!("there is no node named {name:?}");
            errors.push(Error::new(ExitCode::NotFound, message).hint("see `kd node list`"));
            continue;
        };
        let step = context.ui.step(format!("Removing {name}"));
        match agents::remove(&engine, cluster, node).await {
            Ok(()) => step.done(&format!("Node {name} is gone.")),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors).map_or(Ok(()), Err)
}
