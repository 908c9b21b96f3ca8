//! `kd kubeconfig get`.

use clap::Args;

use super::{entries_of, internal};
use crate::cluster::kubeconfig::Document;
use crate::commands::Context;
use crate::commands::cluster::Selection;
use crate::error::Result;

/// Arguments of `kd kubeconfig get`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// For clients in containers of the cluster's network.
    #[arg(long)]
    internal: bool,
}

/// Prints the kubeconfig of clusters; the first one's context is the current one.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let mut document = Document::empty();
    for (index, cluster) in arguments.selection.existing(&engine).await?.iter().enumerate() {
        let entries = if arguments.internal { internal(cluster)? } else { entries_of(cluster)? };
        document.add(&entries, index == 0);
    }
    context.ui.data(&document.to_text()?);
    Ok(())
}
