//! `kd cluster stop`.

use clap::Args;
use futures::future::join_all;

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
    let clusters = arguments.selection.existing(&engine).await?;
    let names: Vec<&str> = clusters.iter().map(|cluster| cluster.name.as_str()).collect();
    let step = context.ui.step(format!("Stopping {}", names.join(", ")));
    let stopped = join_all(clusters.iter().map(|cluster| start::stop(&engine, cluster))).await;
    drop(step);
    for (name, _) in names.iter().zip(&stopped).filter(|(_, result)| result.is_ok()) {
        context.ui.status(&format!("Cluster {name} is stopped."));
    }
    Error::all(stopped.into_iter().filter_map(Result::err).collect()).map_or(Ok(()), Err)
}
