//! Loads images into a cluster. The nodes of a host share their layers, so a layer is sent once;
//! the other nodes get the documents that name it.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, BufReader, Read, Seek};
use std::path::Path;

use futures::TryStreamExt;
use futures::future::try_join_all;
use tokio_util::io::{StreamReader, SyncIoBridge};

use super::contents::{self, Documents};
use super::filter;
use super::node::{self, NodeImageRecord};
use crate::cluster::inventory::{Cluster, Node};
use crate::docker::{Engine, Input, has_status, refused};
use crate::error::{Error, ExitCode, Result};

/// Loads images of the local Docker engine.
pub async fn from_engine(
    engine: &Engine,
    cluster: &Cluster,
    references: &[String],
) -> Result<Vec<NodeImageRecord>> {
    let (first, others) = running_nodes(cluster)?;
    let mut wanted = BTreeSet::new();
    for reference in references {
        wanted.extend(layers_in_engine(engine, reference).await?);
    }
    let wanted: Vec<String> = wanted.into_iter().collect();
    let known = node::known_layers(engine, first, &wanted).await?;
    let (input, copied) = saved(engine, references, known, wanted.len());
    let (images, documents) = tokio::join!(node::import(engine, first, input), copied);
    let images = first_cause(images, documents.map_err(io::Error::other))?;
    name_on_others(engine, &others, &images.1).await?;
    Ok(images.0)
}

/// Loads the images of an archive.
pub async fn from_archive(
    engine: &Engine,
    cluster: &Cluster,
    path: &Path,
) -> Result<Vec<NodeImageRecord>> {
    let (first, others) = running_nodes(cluster)?;
    let unreadable = |source: io::Error| {
        let message = format!("read the archive {}", path.display());
        Error::new(ExitCode::ImageMissing, message).because(source)
    };
    if is_compressed(path).map_err(unreadable)? {
        return from_compressed_archive(engine, first, &others, path).await;
    }
    let owned = path.to_owned();
    let documents =
        tokio::task::spawn_blocking(move || filter::documents(BufReader::new(File::open(owned)?)));
    let documents = documents.await.map_err(io::Error::other).and_then(|read| read);
    let layers = contents::layers(&documents.map_err(unreadable)?);
    let known = node::known_layers(engine, first, &contents::wanted(&layers)).await?;
    let skip: BTreeSet<String> = layers
        .into_iter()
        .filter(|(_, diff_id)| known.contains(diff_id))
        .map(|(path, _)| path)
        .collect();
    let owned = path.to_owned();
    let (input, copied) = filter::pipe(move |output| {
        let file = File::open(&owned).map(BufReader::new);
        let copied = file.and_then(|file| filter::copy(file, output, |path| skip.contains(path)));
        copied.map_err(|source| {
            Error::failure(format!("read the archive {}", owned.display())).because(source)
        })
    });
    let (images, documents) = tokio::join!(node::import(engine, first, input), copied);
    let images = first_cause(images, documents.map_err(io::Error::other))?;
    name_on_others(engine, &others, &images.1).await?;
    Ok(images.0)
}

/// Compressed archives are handed on as they are; the nodes unpack them.
async fn from_compressed_archive(
    engine: &Engine,
    first: &Node,
    others: &[&Node],
    path: &Path,
) -> Result<Vec<NodeImageRecord>> {
    let send = |node| {
        let path = path.to_owned();
        async move {
            let (input, copied) = filter::pipe(move |output| {
                let copied = File::open(&path).and_then(|mut file| {
                    io::copy(&mut file, output)?;
                    io::Write::flush(output)
                });
                copied.map_err(|source| {
                    Error::failure(format!("read the archive {}", path.display())).because(source)
                })
            });
            let (images, copied) = tokio::join!(node::import(engine, node, input), copied);
            first_cause(images, copied.map_err(io::Error::other)).map(|(images, ())| images)
        }
    };
    let images = send(first).await?;
    try_join_all(others.iter().copied().map(send)).await?;
    Ok(images)
}

/// The archive that the engine makes, without the layers that are known. Engines before version 25
/// do not name layers by their digests; theirs are left out when all of them are known.
fn saved(
    engine: &Engine,
    references: &[String],
    known: BTreeSet<String>,
    wanted: usize,
) -> (Input, tokio::task::JoinHandle<Result<Documents>>) {
    let names: Vec<&str> = references.iter().map(String::as_str).collect();
    let all_known = known.len() == wanted;
    let archive = engine.docker.export_images(&names).map_err(io::Error::other);
    let reader = SyncIoBridge::new(StreamReader::new(Box::pin(archive)));
    filter::pipe(move |output| {
        let skip = |path: &str| match path.strip_prefix("blobs/sha256/") {
            Some(hex) => known.contains(&format!("sha256:{hex}")),
            None => all_known && path.ends_with("/layer.tar"),
        };
        filter::copy(reader, output, skip).map_err(|source| {
            Error::new(ExitCode::Engine, "read the images from the Docker engine").because(source)
        })
    })
}

async fn layers_in_engine(engine: &Engine, reference: &str) -> Result<Vec<String>> {
    match engine.docker.inspect_image(reference).await {
        Ok(image) => Ok(image.root_fs.and_then(|root| root.layers).unwrap_or_default()),
        Err(error) if has_status(&error, 404) => {
            let message = format!("the Docker engine has no image {reference}");
            Err(Error::new(ExitCode::ImageMissing, message)
                .hint(format!("docker pull {reference}"))
                .hint("or name an archive that `docker save` wrote"))
        }
        Err(error) => Err(refused(format!("inspect image {reference}"), error)),
    }
}

/// The other nodes have the layers already and only need the names.
async fn name_on_others(engine: &Engine, others: &[&Node], documents: &Documents) -> Result<()> {
    if others.is_empty() {
        return Ok(());
    }
    let archive = filter::archive_of(documents)
        .map_err(|source| Error::failure("pack the images' names").because(source))?;
    let import = |node| node::import(engine, node, node::whole(archive.clone()));
    try_join_all(others.iter().copied().map(import)).await.map(drop)
}

fn running_nodes(cluster: &Cluster) -> Result<(&Node, Vec<&Node>)> {
    let mut running = cluster.nodes.iter().filter(|node| node.is_running());
    let Some(first) = running.next() else {
        let message = format!("no node of the cluster {:?} runs", cluster.name);
        return Err(Error::new(ExitCode::NotFound, message)
            .hint(format!("start it: kd cluster start {}", cluster.name)));
    };
    Ok((first, running.collect()))
}

/// When both ends fail, the reader of the source knows why, unless the node closed the pipe.
fn first_cause<T, D>(images: Result<T>, copied: io::Result<Result<D>>) -> Result<(T, D)> {
    let copied = copied
        .map_err(|source| Error::failure("copy the images").because(source))
        .and_then(|copied| copied);
    match (images, copied) {
        (Ok(images), Ok(documents)) => Ok((images, documents)),
        (Err(error), Ok(_)) => Err(error),
        (Err(error), Err(copy)) if copy.full_message().contains("broken pipe") => Err(error),
        (_, Err(error)) => Err(error),
    }
}

fn is_compressed(path: &Path) -> io::Result<bool> {
    let mut file = File::open(path)?;
    let mut magic = [0; 4];
    let length = file.read(&mut magic)?;
    file.rewind()?;
    let magic = &magic[..length];
    Ok(magic.starts_with(&[0x1f, 0x8b]) || magic.starts_with(&[0x28, 0xb5, 0x2f, 0xfd]))
}
