//! `kd cluster list`.

use clap::Args;

use crate::cluster::inventory::{self, Cluster};
use crate::commands::Context;
use crate::error::Result;
use crate::output::{self, Format};

/// Arguments of `kd cluster list`.
#[derive(Debug, Default, Args)]
pub struct Arguments {
    /// Only these clusters.
    #[arg(value_name = "NAME")]
    pub names: Vec<String>,
    /// The form of the list.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
    /// Leave the table's headers out.
    #[arg(long)]
    pub no_headers: bool,
}

/// Lists the clusters.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let clusters = inventory::clusters(&engine).await?;
    let of = |name: &String| inventory::of_name(&clusters, name);
    let named: Result<Vec<&Cluster>> = arguments.names.iter().map(of).collect();
    let chosen = if arguments.names.is_empty() { clusters.iter().collect() } else { named? };
    let clusters: Vec<_> = chosen.into_iter().map(Cluster::summary).collect();
    if clusters.is_empty() && arguments.output == Format::Table {
        context.ui.status("There are no clusters. Create one: kd cluster create");
        return Ok(());
    }
    let render = if arguments.no_headers { output::render_rows } else { output::render };
    context.ui.data(&render(&clusters, arguments.output)?);
    Ok(())
}
