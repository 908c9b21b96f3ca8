//! `kd node list`.

use clap::Args;

use super::of_name;
use crate::cluster::inventory::{self, Node};
use crate::commands::Context;
use crate::error::Result;
use crate::output::{self, Format};

/// Arguments of `kd node list`.
#[derive(Debug, Default, Args)]
pub struct Arguments {
    /// Only these nodes.
    #[arg(value_name = "NODE")]
    pub names: Vec<String>,
    /// Only the nodes of this cluster.
    #[arg(long, short, value_name = "NAME")]
    pub cluster: Option<String>,
    /// The form of the list.
    #[arg(long, short, value_enum, default_value_t)]
    pub output: Format,
    /// Leave the table's headers out.
    #[arg(long)]
    pub no_headers: bool,
}

/// Lists nodes.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let clusters = match &arguments.cluster {
        Some(name) => vec![inventory::existing(&engine, name).await?],
        None => inventory::clusters(&engine).await?,
    };
    let nodes: Vec<Node> = match arguments.names.is_empty() {
        true => clusters.iter().flat_map(|cluster| cluster.containers().cloned()).collect(),
        false => {
            let named = arguments.names.iter().map(|name| Ok(of_name(&clusters, name)?.1.clone()));
            named.collect::<Result<_>>()?
        }
    };
    if nodes.is_empty() && arguments.output == Format::Table {
        context.ui.status("There are no nodes. Create a cluster: kd cluster create");
        return Ok(());
    }
    let render = if arguments.no_headers { output::render_rows } else { output::render };
    context.ui.data(&render(&nodes, arguments.output)?);
    Ok(())
}
