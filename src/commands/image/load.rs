//! `kd image load`.

use std::path::Path;

use clap::Args;

use crate::cluster::inventory;
use crate::cluster::name::DEFAULT_CLUSTER;
use crate::commands::Context;
use crate::error::{Error, ExitCode, Result};
use crate::image::load;

/// Arguments of `kd image load`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// Images of the local Docker engine, or archives (`docker save` or OCI layout).
    #[arg(required = true, value_name = "IMAGE|ARCHIVE")]
    images: Vec<String>,
    /// The cluster's name.
    #[arg(long, short, alias = "name", value_name = "NAME", default_value = DEFAULT_CLUSTER)]
    cluster: String,
}

/// What the arguments are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// An archive if there is a file of that name, else an image of the engine.
    Either,
    /// Images of the engine.
    Engine,
    /// Archives.
    Archive,
}

/// Loads images.
pub async fn run(context: &Context, arguments: Arguments, source: Source) -> Result<()> {
    let (archives, references): (Vec<String>, Vec<String>) =
        arguments.images.into_iter().partition(|image| is_archive(image, source));
    if let Some(missing) = archives.iter().find(|path| !Path::new(path).is_file()) {
        let message = format!("there is no archive {missing}");
        return Err(Error::new(ExitCode::ImageMissing, message));
    }
    let engine = context.engine().await?;
    let cluster = inventory::existing(&engine, &arguments.cluster).await?;
    let mut images = Vec::new();
    if !references.is_empty() {
        let step = context.ui.step(format!("Loading {}", references.join(", ")));
        images.extend(load::from_engine(&engine, &cluster, &references).await?);
        drop(step);
    }
    for archive in &archives {
        let step = context.ui.step(format!("Loading {archive}"));
        images.extend(load::from_archive(&engine, &cluster, Path::new(archive)).await?);
        drop(step);
    }
    for image in images {
        let names = if image.repo_tags.is_empty() { vec![image.id] } else { image.repo_tags };
        for name in names {
            context.ui.status(&format!("{name} is in cluster {}.", arguments.cluster));
        }
    }
    Ok(())
}

fn is_archive(image: &str, source: Source) -> bool {
    match source {
        Source::Archive => true,
        Source::Engine => false,
        // Names of images hold no extension such as these, so a missing file is told as one.
        Source::Either => {
            Path::new(image).is_file()
                || [".tar", ".tar.gz", ".tgz"].iter().any(|end| image.ends_with(end))
        }
    }
}
