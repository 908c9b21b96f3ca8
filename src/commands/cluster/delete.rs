//! `kd cluster delete`.

use std::path::PathBuf;

use clap::Args;

use super::Selection;
use crate::cluster::name::DEFAULT_CLUSTER;
use crate::cluster::{config_file, delete, inventory};
use crate::commands::Context;
use crate::error::{Error, Result};

/// Arguments of `kd cluster delete`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// A file that describes the cluster to delete, as for `kd cluster create`.
    #[arg(long, short, value_name = "FILE", conflicts_with_all = ["names", "more_names", "all"])]
    config: Option<PathBuf>,
    /// The kubeconfig to remove the clusters from [KUBECONFIG or ~/.kube/config if none is given].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
}

/// Deletes clusters; one that is gone already is no error.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let described = arguments.config.as_deref().map(config_file::read).transpose()?;
    let engine = context.engine().await?;
    let names = if let Some(file) = described {
        vec![file.name.unwrap_or_else(|| DEFAULT_CLUSTER.to_owned())]
    } else if arguments.selection.all {
        let clusters = inventory::clusters(&engine).await?;
        clusters.into_iter().map(|cluster| cluster.name).collect()
    } else {
        arguments.selection.names()
    };
    if names.is_empty() {
        context.ui.status("There are no clusters.");
    }
    let mut errors = Vec::new();
    for name in names {
        let step = context.ui.step(format!("Deleting cluster {name}"));
        let kubeconfig = arguments.kubeconfig.as_ref();
        match delete::delete(&engine, &context.environment, &name, kubeconfig).await {
            Ok(true) => step.done(&format!("Cluster {name} is deleted.")),
            Ok(false) => step.done(&format!("There is no cluster {name}.")),
            Err(error) => errors.push(error),
        }
    }
    Error::all(errors).map_or(Ok(()), Err)
}
