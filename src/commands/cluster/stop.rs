//! `kd cluster stop`.

use clap::Args;

use super::Selection;
use crate::cluster::start;
use crate::commands::Context;
use crate::error::{Error, Result};

/// Arguments of `kd cluster stop`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
}

/// Stops clusters.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let mut errors = Vec::new();
    for cluster in arguments.selection.existing(&engine).await? {
        let step = context.ui.step(format!("Stopping cluster {}", cluster.name));
        match start::stop(&engine, &cluster).await {
            Ok(()) => step.done(&format!("Cluster {} is stopped.", cluster.name)),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors).map_or(Ok(()), Err)
}
