//! What a cluster leaves to look at, in files: a folder for each container with its output, its facts
//! and the logs of its pods.

use std::fs;
use std::io::{Read, Seek, SeekFrom, Write};
use std::path::Path;

use bollard::query_parameters::{DownloadFromContainerOptionsBuilder, LogsOptionsBuilder};
use futures::future::join_all;
use futures::{StreamExt, TryStreamExt};

use super::inventory::{Cluster, Node};
use crate::docker::{Engine, has_status, refused};
use crate::error::{Error, Result};

/// Where nodes keep the logs of pods.
const POD_LOGS: &str = "/var/log/pods";

/// Writes everything into a folder. Goes on after errors and returns them all.
pub async fn write(engine: &Engine, cluster: &Cluster, directory: &Path) -> Result<()> {
    let nodes: Vec<&Node> = cluster.containers().collect();
    let written = nodes.iter().map(|node| write_node(engine, node, directory.join(&node.name)));
    let errors = join_all(written).await.into_iter().filter_map(Result::err).collect();
    Error::all(errors).map_or(Ok(()), Err)
}

async fn write_node(engine: &Engine, node: &Node, directory: impl AsRef<Path>) -> Result<()> {
    let directory = directory.as_ref();
    fs::create_dir_all(directory).map_err(failed(directory))?;
    write_facts(engine, node, &directory.join("inspect.json")).await?;
    write_output(engine, node, &directory.join("node.log")).await?;
    write_pod_logs(engine, node, directory).await
}

/// The container's facts without its environment, which holds keys.
async fn write_facts(engine: &Engine, node: &Node, path: &Path) -> Result<()> {
    let facts = engine.docker.inspect_container(&node.container, None).await;
    let mut facts = facts.map_err(|source| refused(format!("inspect {}", node.name), source))?;
    if let Some(config) = &mut facts.config {
        config.env = None;
    }
    let text = serde_json::to_vec_pretty(&facts)
        .map_err(|source| Error::failure("encode a container's facts").because(source))?;
    fs::write(path, text).map_err(failed(path))
}

async fn write_output(engine: &Engine, node: &Node, path: &Path) -> Result<()> {
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).timestamps(true).build();
    let mut output = engine.docker.logs(&node.container, Some(options));
    let mut file = fs::File::create(path).map_err(failed(path))?;
    while let Some(piece) = output.next().await {
        let piece =
            piece.map_err(|source| refused(format!("read the output of {}", node.name), source))?;
        file.write_all(piece.as_ref()).map_err(failed(path))?;
    }
    Ok(())
}

/// Unpacks the folder of pods' logs. The load balancer has none.
async fn write_pod_logs(engine: &Engine, node: &Node, directory: &Path) -> Result<()> {
    let options = DownloadFromContainerOptionsBuilder::default().path(POD_LOGS).build();
    let mut pieces = engine.docker.download_from_container(&node.container, Some(options));
    let mut archive = tempfile::tempfile().map_err(failed(directory))?;
    loop {
        match pieces.try_next().await {
            Ok(Some(piece)) => archive.write_all(&piece).map_err(failed(directory))?,
            Ok(None) => break,
            Err(error) if has_status(&error, 404) => return Ok(()),
            Err(source) => {
                return Err(refused(format!("read the pods' logs of {}", node.name), source));
            }
        }
    }
    archive.seek(SeekFrom::Start(0)).map_err(failed(directory))?;
    unpack(archive, directory).map_err(failed(directory))
}

/// Links of current logs lead to files of other names; both come as they are.
fn unpack(archive: impl Read, directory: &Path) -> std::io::Result<()> {
    let mut archive = tar::Archive::new(archive);
    archive.set_preserve_permissions(false);
    archive.unpack(directory)
}

fn failed(path: &Path) -> impl FnOnce(std::io::Error) -> Error {
    let message = format!("write the logs to {}", path.display());
    move |source| Error::failure(message).because(source)
}
