//! `kd node list`.

use clap::Args;

use crate::cluster::inventory;
use crate::commands::Context;
use crate::error::Result;
use crate::output::{self, Format};

/// Arguments of `kd node list`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Only the nodes of this cluster.
    #[arg(long, short, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The form of the list.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

/// Lists nodes.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let clusters = match &arguments.cluster {
        Some(name) => vec![inventory::existing(&engine, name).await?],
        None => inventory::clusters(&engine).await?,
    };
    let nodes: Vec<_> = clusters.iter().flat_map(|cluster| cluster.containers().cloned()).collect();
    if nodes.is_empty() && arguments.output == Format::Table {
        context.ui.status("There are no nodes. Create a cluster: kd cluster create");
        return Ok(());
    }
    context.ui.data(&output::render(&nodes, arguments.output)?);
    Ok(())
}
