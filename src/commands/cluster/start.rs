//! `kd cluster start`.

use std::time::Duration;

use clap::{ArgAction, Args};

use super::Selection;
use crate::cluster::start;
use crate::cluster::timings::Timings;
use crate::commands::Context;
use crate::duration;
use crate::error::{Error, Result};

/// Arguments of `kd cluster start`.
#[derive(Debug, Args)]
pub struct Arguments {
    #[command(flatten)]
    selection: Selection,
    /// How long a cluster may take to become usable.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,
    /// As k3d takes it; kd always waits.
    #[arg(long, hide = true, action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    wait: Option<bool>,
    /// Print how long each phase took.
    #[arg(long)]
    timings: bool,
}

/// Starts clusters and waits until they are usable.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let engine = context.engine().await?;
    let mut errors = Vec::new();
    for cluster in arguments.selection.existing(&engine).await? {
        let timings = Timings::begin();
        let step = context.ui.step(format!("Starting cluster {}", cluster.name));
        match start::start(&engine, &cluster, arguments.timeout, &timings).await {
            Ok(()) => {
                let took = duration::format(timings.total());
                step.done(&format!("Cluster {} is ready after {took}.", cluster.name));
            }
            Err(error) => errors.push(error),
        }
        if arguments.timings {
            context.ui.status(&timings.report());
        }
    }
    Error::all(errors).map_or(Ok(()), Err)
}
