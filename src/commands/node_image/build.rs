//! `kd node-image build`.

use std::fs::File;
use std::path::PathBuf;

use clap::Args;

use crate::commands::Context;
use crate::docker::NodeImage;
use crate::error::{Error, Result};

/// Arguments of `kd node-image build`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The image's name [one made of the content's hash if none is given].
    #[arg(long, short)]
    tag: Option<String>,
    /// Write the image to an archive instead of loading it into the engine.
    #[arg(long, short, value_name = "FILE")]
    output: Option<PathBuf>,
}

/// Builds the node image and prints its name.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let mut image = NodeImage::of_this_executable()?;
    if let Some(tag) = &arguments.tag {
        image = image.tagged(tag);
    }
    match &arguments.output {
        Some(path) => {
            let archive = image.archive().await?;
            let written = File::create(path).and_then(|mut file| archive.write_to(&mut file));
            written.map_err(|source| {
                Error::failure(format!("write {}", path.display())).because(source)
            })?;
        }
        None => {
            let engine = context.engine().await?;
            let step = context.ui.step("Loading the node image");
            image.provide(&engine).await?;
            step.done("The node image is loaded.");
        }
    }
    context.ui.data(&format!("{}\n", image.reference));
    Ok(())
}
