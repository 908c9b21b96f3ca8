//! `kd node-image inspect`.

use clap::Args;

use crate::commands::Context;
use crate::docker::NodeImage;
use crate::error::{Error, ExitCode, Result};
use crate::output;

/// Arguments of `kd node-image inspect`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The image's name [the one of this executable if none is given].
    image: Option<String>,
}

/// Prints facts about the node image as JSON.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let image = match &arguments.image {
        Some(reference) => NodeImage::named(reference),
        None => NodeImage::of_this_executable()?,
    };
    let engine = context.engine().await?;
    let Some(facts) = image.inspect(&engine).await? else {
        let message = format!("the engine has no image {}", image.reference);
        return Err(Error::new(ExitCode::ImageMissing, message).hint("kd node-image build"));
    };
    context.ui.data(&output::json(&facts)?);
    Ok(())
}
