//! The programs in a node that know its images.

use std::collections::BTreeSet;

use bytes::Bytes;
use futures::StreamExt;
use kd_contract::KD_BINARY;
use serde::Deserialize;

use crate::cluster::inventory::Node;
use crate::docker::{Engine, Input};
use crate::error::{Error, Result};

/// An image of a node.
#[derive(Clone, Debug, Deserialize)]
pub struct NodeImageRecord {
    /// The image's ID.
    pub id: String,
    /// Its tags.
    #[serde(alias = "repoTags")]
    pub repo_tags: Vec<String>,
    /// Its digests.
    #[serde(alias = "repoDigests")]
    pub repo_digests: Vec<String>,
    /// Its unpacked size.
    #[serde(alias = "sizeBytes")]
    pub size_bytes: u64,
}

/// Which of the layers the node has.
pub async fn known_layers(
    engine: &Engine,
    node: &Node,
    diff_ids: &[String],
) -> Result<BTreeSet<String>> {
    if diff_ids.is_empty() {
        return Ok(BTreeSet::new());
    }
    let question = serde_json::to_vec(diff_ids)
        .map_err(|source| Error::failure("encode the list of layers").because(source))?;
    run(engine, node, &["image-import", "--have"], whole(question)).await
}

/// Gives the node an archive. Returns the images in it.
pub async fn import(engine: &Engine, node: &Node, archive: Input) -> Result<Vec<NodeImageRecord>> {
    run(engine, node, &["image-import", "-"], archive).await
}

/// The images of the node.
pub async fn list(engine: &Engine, node: &Node) -> Result<Vec<NodeImageRecord>> {
    run(engine, node, &["image-list"], whole(Vec::new())).await
}

/// The nodes, of all clusters of the host, that use layers: `NAME.INCARNATION`.
pub async fn users(engine: &Engine, node: &Node) -> Result<Vec<String>> {
    run(engine, node, &["image-users"], whole(Vec::new())).await
}

/// Forgets users that are no more; with `prune`, layers go that nothing uses then. Returns how many
/// bytes were freed.
pub async fn forget(engine: &Engine, node: &Node, users: &[String], prune: bool) -> Result<u64> {
    let users = serde_json::to_vec(users)
        .map_err(|source| Error::failure("encode the list of nodes").because(source))?;
    let program: &[&str] = if prune { &["image-forget", "--prune"] } else { &["image-forget"] };
    run(engine, node, program, whole(users)).await
}

/// An input of bytes that are there already.
pub fn whole(bytes: Vec<u8>) -> Input {
    futures::stream::iter([Ok(Bytes::from(bytes))]).boxed()
}

async fn run<T: serde::de::DeserializeOwned>(
    engine: &Engine,
    node: &Node,
    program: &[&str],
    input: Input,
) -> Result<T> {
    let command: Vec<&str> = [KD_BINARY].into_iter().chain(program.iter().copied()).collect();
    let outcome = engine.exec(&node.name, &command, input).await?;
    let answer = outcome.success(&node.name)?;
    serde_json::from_slice(&answer).map_err(|source| {
        let operation = format!("understand the answer of {} in {}", program[0], node.name);
        Error::failure(operation).because(source)
    })
}
