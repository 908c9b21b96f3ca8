//! `kd cluster list`.

use clap::Args;

use crate::cluster::inventory::{self, Cluster};
use crate::commands::Context;
use crate::error::Result;
use crate::output::{self, Format};

/// Arguments of `kd cluster list`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The form of the list.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
}

/// Lists the clusters.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let clusters = inventory::clusters(&engine).await?;
    let clusters: Vec<_> = clusters.iter().map(Cluster::summary).collect();
    if clusters.is_empty() && arguments.output == Format::Table {
        context.ui.status("There are no clusters. Create one: kd cluster create");
        return Ok(());
    }
    context.ui.data(&output::render(&clusters, arguments.output)?);
    Ok(())
}
