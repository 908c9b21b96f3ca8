//! `kd cluster logs`.

use std::path::PathBuf;

use clap::Args;

use crate::cluster::name::DEFAULT_CLUSTER;
use crate::cluster::{inventory, logs};
use crate::commands::Context;
use crate::error::{Error, Result};

/// Arguments of `kd cluster logs`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The cluster's name ["kd" if none is given].
    name: Option<String>,
    /// The folder to write to [a new one if none is given].
    #[arg(long, short, value_name = "FOLDER")]
    directory: Option<PathBuf>,
}

/// kind's `export logs`.
#[derive(Debug, Args)]
pub struct KindArguments {
    /// The folder to write to [a new one if none is given].
    directory: Option<PathBuf>,
    /// The cluster's name.
    #[arg(long, short, default_value = DEFAULT_CLUSTER)]
    name: String,
}

impl From<KindArguments> for Arguments {
    fn from(arguments: KindArguments) -> Arguments {
        Arguments { name: Some(arguments.name), directory: arguments.directory }
    }
}

/// Writes the logs and prints where they are.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let name = arguments.name.as_deref().unwrap_or(DEFAULT_CLUSTER);
    let engine = context.engine().await?;
    let cluster = inventory::existing(&engine, name).await?;
    let directory = match arguments.directory {
        Some(directory) => directory,
        None => tempfile::Builder::new()
            .prefix(&format!("kd-{name}-logs-"))
            .tempdir()
            .map_err(|source| Error::failure("make a folder for the logs").because(source))?
            .keep(),
    };
    let step = context.ui.step(format!("Writing the logs of cluster {name}"));
    logs::write(&engine, &cluster, &directory).await?;
    step.done(&format!("Logs of cluster {name}:"));
    context.ui.data(&format!("{}\n", directory.display()));
    Ok(())
}
