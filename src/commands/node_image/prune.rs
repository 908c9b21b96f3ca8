//! `kd node-image prune`.

use clap::Args;

use crate::commands::Context;
use crate::docker::NodeImage;
use crate::error::Result;

/// Arguments of `kd node-image prune`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Delete the image of this executable, too.
    #[arg(long, short)]
    all: bool,
}

/// Deletes images that kd built and no container uses, and prints their names.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let kept = match arguments.all {
        true => None,
        false => NodeImage::of_this_executable().ok(),
    };
    let engine = context.engine().await?;
    for reference in NodeImage::prune(&engine, kept.as_ref()).await? {
        context.ui.data(&format!("{reference}\n"));
    }
    Ok(())
}
