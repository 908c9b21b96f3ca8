//! `kd kubeconfig merge`.

use std::path::PathBuf;

use clap::{ArgAction, Args};

use super::{entries_of, internal};
use crate::cluster::kubeconfig::{Document, Files};
use crate::commands::Context;
use crate::commands::cluster::Selection;
use crate::error::Result;

/// The file that stands for standard output.
const STDOUT: &str = "-";

/// Arguments of `kd kubeconfig merge`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// The file to write, `-` for standard output [KUBECONFIG or ~/.kube/config if none is given].
    #[arg(long, short = 'o', value_name = "FILE", visible_alias = "output")]
    kubeconfig: Option<PathBuf>,
    /// Leave the current context alone.
    #[arg(long, overrides_with = "switch_context")]
    no_switch_context: bool,
    /// As k3d takes it.
    #[arg(long, short, hide = true, alias = "kubeconfig-switch-context", action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    switch_context: Option<bool>,
    /// For clients in containers of the cluster's network.
    #[arg(long)]
    internal: bool,
    /// As k3d takes it; it is so anyway.
    #[arg(long, short = 'd', hide = true)]
    kubeconfig_merge_default: bool,
    /// As k3d takes it; it is so anyway.
    #[arg(long, short, hide = true, action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    update: Option<bool>,
}

/// Merges clusters into a kubeconfig and prints the path of the file that clients read them from.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let to_stdout = arguments.kubeconfig.as_ref().is_some_and(|path| path.as_os_str() == STDOUT);
    let files = Files::find(&context.environment, arguments.kubeconfig.as_deref())?;
    if !to_stdout {
        files.check()?;
    }
    let switch_context = arguments.switch_context.unwrap_or(!arguments.no_switch_context);
    let engine = context.engine().await?;
    let mut printed = Document::empty();
    for cluster in arguments.selection.existing(&engine).await? {
        let entries = match arguments.internal {
            true => internal(&cluster)?,
            false => entries_of(&cluster)?,
        };
        if to_stdout {
            printed.add(&entries, switch_context);
            continue;
        }
        files.write(&entries, switch_context)?;
        context.ui.status(&format!("The context {} is in the kubeconfig.", entries.name));
    }
    context.ui.data(&match to_stdout {
        true => printed.to_text()?,
        false => format!("{}\n", files.listed()),
    });
    Ok(())
}
