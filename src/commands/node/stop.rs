//! `kd node stop`.

use clap::Args;

use super::of_name;
use crate::cluster::inventory;
use crate::commands::Context;
use crate::error::{Error, Result};

/// Arguments of `kd node stop`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Names of nodes, as `kd node list` has them.
    #[arg(value_name = "NODE", required = true)]
    names: Vec<String>,
}

/// Stops nodes; what is on them is kept. Goes on after errors and returns them all.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let clusters = inventory::clusters(&engine).await?;
    let mut errors = Vec::new();
    for name in &arguments.names {
        let step = context.ui.step(format!("Stopping {name}"));
        let stopped = async {
            let (_, node) = of_name(&clusters, name)?;
            node.as_container().stop(&engine).await
        };
        match stopped.await {
            Ok(()) => step.done(&format!("Node {name} is stopped.")),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors).map_or(Ok(()), Err)
}
