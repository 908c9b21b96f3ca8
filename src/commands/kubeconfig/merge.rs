//! `kd kubeconfig merge`.

use std::path::PathBuf;

use clap::Args;

use crate::cluster::access;
use crate::cluster::kubeconfig::Files;
use crate::commands::Context;
use crate::commands::cluster::Selection;
use crate::error::Result;

/// Arguments of `kd kubeconfig merge`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The file to write [KUBECONFIG or ~/.kube/config if none is given].
    #[arg(long, value_name = "FILE", visible_alias = "output")]
    kubeconfig: Option<PathBuf>,
    /// Leave the current context alone.
    #[arg(long)]
    no_switch_context: bool,
}

/// Merges clusters into a kubeconfig.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let files = Files::find(&context.environment, arguments.kubeconfig.as_deref())?;
    files.check()?;
    let engine = context.engine().await?;
    for cluster in arguments.selection.existing(&engine).await? {
        let entries = access::entries_of(&cluster)?;
        files.write(&entries, !arguments.no_switch_context)?;
        context.ui.status(&format!("The context {} is in the kubeconfig.", entries.name));
    }
    Ok(())
}
