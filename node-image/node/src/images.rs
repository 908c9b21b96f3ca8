//! `kd image-import` and `kd image-list`: what `kd image` runs in a node.

use std::ffi::OsString;
use std::io::Read;
use std::sync::Arc;

use kd_contract::{IMAGE_RECORDS_DIRECTORY, IMAGES_DIRECTORY, NodeConfig};
use kd_runtime::{ImageConfig, ImageStore, Images};

use crate::environment::{node_config, run_async};
use crate::error::{Error, Result};
use crate::registries::NodeRegistries;

/// The list of layers that kd asks about may not be larger.
const QUESTION_BYTES_MAX: u64 = 1 << 20;

/// Opens the node's images as one of several processes; `user` tells their unfinished work apart.
pub(crate) fn open(config: &NodeConfig, user: &str) -> Result<ImageStore> {
    ImageStore::open(ImageConfig {
        shared: IMAGES_DIRECTORY.into(),
        state: IMAGE_RECORDS_DIRECTORY.into(),
        node: config.name.clone(),
        owner: format!("{}-{user}", config.name),
        registries: Arc::new(NodeRegistries::new(config)),
    })
    .map_err(Error::of("open the node's images"))
}

/// `image-import`: reads an archive on stdin and prints the images as JSON. `image-import --have`:
/// reads a JSON list of diff ids and prints those whose layers are here.
pub(crate) fn import(arguments: &[OsString]) -> Result<()> {
    let config = node_config()?;
    let store = open(&config, "import")?;
    let answer = match arguments.first().is_some_and(|argument| argument == "--have") {
        true => serde_json::to_string(&store.known_layers(&question()?)),
        false => {
            let images = run_async(async {
                let images = store.import(tokio::io::stdin()).await;
                images.map_err(|error| Error::Configuration(error.to_string()))
            })?;
            serde_json::to_string(&images)
        }
    };
    println!("{}", answer.map_err(Error::of("encode the answer"))?);
    Ok(())
}

/// `image-list`: prints the images as JSON.
pub(crate) fn list() -> Result<()> {
    let store = open(&node_config()?, "list")?;
    let images = run_async(async { store.list().await.map_err(Error::of("list the images")) })?;
    println!("{}", serde_json::to_string(&images).map_err(Error::of("encode the images"))?);
    Ok(())
}

/// `image-users`: prints the nodes that use layers, as JSON.
pub(crate) fn users() -> Result<()> {
    let store = open(&node_config()?, "users")?;
    let users = store.users().map_err(Error::of("list the users of layers"))?;
    println!("{}", serde_json::to_string(&users).map_err(Error::of("encode the users"))?);
    Ok(())
}

/// `image-forget`: reads a JSON list of nodes that are no more on stdin. `image-forget --prune`
/// then removes all layers that nothing uses. Prints how many bytes were freed.
pub(crate) fn forget(arguments: &[OsString]) -> Result<()> {
    let store = open(&node_config()?, "forget")?;
    store.forget(&question()?).map_err(Error::of("forget nodes"))?;
    let freed = match arguments.first().is_some_and(|argument| argument == "--prune") {
        true => store.prune().map_err(Error::of("remove layers"))?,
        false => 0,
    };
    println!("{freed}");
    Ok(())
}

fn question() -> Result<Vec<String>> {
    let mut text = String::new();
    std::io::stdin()
        .take(QUESTION_BYTES_MAX)
        .read_to_string(&mut text)
        .map_err(Error::of("read the list of layers"))?;
    serde_json::from_str(&text).map_err(|error| {
        Error::Configuration(format!("the list of layers does not parse: {error}"))
    })
}
