//! `kd node start`.

use std::time::Duration;

use clap::Args;

use super::of_name;
use crate::cluster::{inventory, start};
use crate::commands::Context;
use crate::duration;
use crate::error::{Error, Result};

/// Arguments of `kd node start`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Names of nodes, as `kd node list` has them.
    #[arg(value_name = "NODE", required = true)]
    names: Vec<String>,
    /// How long a node may take to become Ready.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,
}

/// Starts nodes that are stopped. Goes on after errors and returns them all.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let clusters = inventory::clusters(&engine).await?;
    let mut errors = Vec::new();
    for name in &arguments.names {
        let step = context.ui.step(format!("Starting {name}"));
        let started = async {
            let (cluster, node) = of_name(&clusters, name)?;
            start::start_one(&engine, cluster, node, arguments.timeout).await
        };
        match started.await {
            Ok(()) => step.done(&format!("Node {name} is ready.")),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors).map_or(Ok(()), Err)
}
