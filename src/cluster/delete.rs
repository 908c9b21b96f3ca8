//! Takes a cluster away: every container, network and volume, and the kubeconfig's entries.

use std::path::PathBuf;

use bollard::models::NetworkDisconnectRequest;
use bollard::query_parameters::{ListContainersOptionsBuilder, RemoveVolumeOptionsBuilder};
use futures::future::join_all;
use kd_contract::{IMAGES_VOLUME, LABEL_CLUSTER};

use super::inventory::{self, Cluster};
use super::kubeconfig::Files;
use super::name;
use crate::config::Environment;
use crate::docker::{Container, Engine, has_status, label_filter, refused};
use crate::error::{Error, Result};
use crate::image::unused;

/// Docker objects to remove.
#[derive(Clone, Debug, Default)]
pub struct Remains {
    /// Containers.
    pub containers: Vec<Container>,
    /// IDs of networks.
    pub networks: Vec<String>,
    /// Names of volumes.
    pub volumes: Vec<String>,
}

impl From<&Cluster> for Remains {
    fn from(cluster: &Cluster) -> Remains {
        Remains {
            containers: cluster.containers().map(inventory::Node::as_container).collect(),
            networks: cluster.networks.clone(),
            volumes: cluster.volumes.clone(),
        }
    }
}

/// Deletes a cluster. Tells whether anything of it was there; that it is gone already is no error.
pub async fn delete(
    engine: &Engine,
    environment: &Environment,
    cluster: &str,
    kubeconfig: Option<&PathBuf>,
) -> Result<bool> {
    let found = inventory::cluster(engine, cluster).await?;
    let mut errors = Vec::new();
    if let Some(found) = &found {
        errors.extend(remove(engine, &Remains::from(found)).await);
        // Nothing depends on it: whoever looks next forgets them, too.
        let _ = unused::forget_deleted(engine).await;
    }
    // Without a home directory there is no kubeconfig to clean.
    if let Ok(files) = Files::find(environment, kubeconfig.map(PathBuf::as_path)) {
        errors.extend(files.remove(&name::context(cluster)).err());
    }
    Error::all(errors).map_or(Ok(found.is_some()), Err)
}

/// Removes Docker objects, and the volume of images when no node is left to use it. Goes on after
/// errors and returns them all.
pub async fn remove(engine: &Engine, remains: &Remains) -> Vec<Error> {
    let containers = remains.containers.iter().map(|container| container.remove(engine));
    let mut errors: Vec<Error> =
        join_all(containers).await.into_iter().filter_map(Result::err).collect();
    let networks = remains.networks.iter().map(|network| remove_network(engine, network));
    let volumes = remains.volumes.iter().map(|volume| remove_volume(engine, volume));
    let (networks, volumes, images) =
        tokio::join!(join_all(networks), join_all(volumes), remove_images_volume(engine));
    errors.extend(networks.into_iter().chain(volumes).chain([images]).filter_map(Result::err));
    errors
}

async fn remove_network(engine: &Engine, network: &str) -> Result<()> {
    match engine.docker.remove_network(network).await {
        Ok(()) => Ok(()),
        Err(error) if has_status(&error, 404) => Ok(()),
        // Containers of others may be attached to it.
        Err(error) if has_status(&error, 403) || has_status(&error, 409) => {
            disconnect_all(engine, network).await?;
            let removed = engine.docker.remove_network(network).await;
            removed.map_err(|source| refused(format!("remove the network {network}"), source))
        }
        Err(error) => Err(refused(format!("remove the network {network}"), error)),
    }
}

async fn disconnect_all(engine: &Engine, network: &str) -> Result<()> {
    let operation = || format!("disconnect the containers of the network {network}");
    let facts = engine.docker.inspect_network(network, None).await;
    let facts = facts.map_err(|source| refused(operation(), source))?;
    for container in facts.containers.unwrap_or_default().into_keys() {
        let request = NetworkDisconnectRequest { container, force: Some(true) };
        let done = engine.docker.disconnect_network(network, request).await;
        done.map_err(|source| refused(operation(), source))?;
    }
    Ok(())
}

async fn remove_volume(engine: &Engine, volume: &str) -> Result<()> {
    let options = RemoveVolumeOptionsBuilder::default().force(true).build();
    match engine.docker.remove_volume(volume, Some(options)).await {
        Ok(()) => Ok(()),
        Err(error) if has_status(&error, 404) => Ok(()),
        Err(error) => Err(refused(format!("remove the volume {volume}"), error)),
    }
}

/// The volume of images goes with the last cluster.
async fn remove_images_volume(engine: &Engine) -> Result<()> {
    let options = ListContainersOptionsBuilder::default()
        .all(true)
        .filters(&label_filter(LABEL_CLUSTER))
        .build();
    let nodes = engine.docker.list_containers(Some(options)).await;
    let nodes = nodes.map_err(|source| refused("list the containers", source))?;
    if !nodes.is_empty() {
        return Ok(());
    }
    let options = RemoveVolumeOptionsBuilder::default().force(true).build();
    match engine.docker.remove_volume(IMAGES_VOLUME, Some(options)).await {
        // A cluster created just now may use it already.
        Err(error) if !has_status(&error, 404) && !has_status(&error, 409) => {
            Err(refused(format!("remove the volume {IMAGES_VOLUME}"), error))
        }
        _ => Ok(()),
    }
}
