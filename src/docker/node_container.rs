//! A node as a Docker container. Every right of a node is written out, because `--privileged` is
//! refused by engines that lack a capability themselves.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{
    ContainerCreateBody, EndpointSettings, HostConfig, HostConfigCgroupnsModeEnum,
    HostConfigLogConfig, Mount, MountType, MountVolumeOptions, NetworkingConfig, PortBinding,
    RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures::StreamExt;
use kd_contract::{
    API_SERVER_PORT, IMAGES_DIRECTORY, IMAGES_VOLUME, LABEL_CLUSTER, LABEL_ROLE, NODE_CONFIG_ENV,
    STATE_DIRECTORY,
};

use super::engine::{Engine, has_status, refused};
use crate::error::{Error, ExitCode, Result};

/// How long the engine waits for a node to stop its pods before it kills the node.
const STOP_TIMEOUT_SECONDS: i64 = 30;
/// Bounds of the engine's own log of a node.
const LOG_FILE_SIZE: &str = "10m";
const LOG_FILES: &str = "3";

/// A port of this machine that leads to the API server.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The address it is bound to.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// What a node container is made of.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// Container name and host name.
    pub name: String,
    /// The image.
    pub image: String,
    /// The cluster's name.
    pub cluster: String,
    /// `server` or `agent`.
    pub role: String,
    /// More labels.
    pub labels: HashMap<String, String>,
    /// The cluster's network.
    pub network: String,
    /// The node's configuration as JSON.
    pub config: String,
    /// Where the API server is published, on servers.
    pub api: Option<HostPort>,
    /// Capabilities that the engine cannot give.
    pub lacking_capabilities: Vec<String>,
}

/// A container that was made.
#[derive(Clone, Debug)]
pub struct Container {
    /// The container's ID.
    pub id: String,
    /// The node's name.
    pub name: String,
}

impl ContainerSpec {
    /// Creates the container; it is not started.
    pub async fn create(&self, engine: &Engine) -> Result<Container> {
        let options = CreateContainerOptionsBuilder::default().name(&self.name).build();
        match engine.docker.create_container(Some(options), self.body()).await {
            Ok(created) => Ok(Container { id: created.id, name: self.name.clone() }),
            Err(error) if has_status(&error, 409) => {
                let message = format!("a container named {} already exists", self.name);
                Err(Error::new(ExitCode::ClusterExists, message)
                    .because(error)
                    .hint(format!("remove it: docker rm -f {}", self.name)))
            }
            Err(error) => Err(refused(format!("create the container {}", self.name), error)),
        }
    }

    fn body(&self) -> ContainerCreateBody {
        let port = format!("{API_SERVER_PORT}/tcp");
        let endpoints = HashMap::from([(self.network.clone(), EndpointSettings::default())]);
        ContainerCreateBody {
            hostname: Some(self.name.clone()),
            image: Some(self.image.clone()),
            env: Some(vec![format!("{NODE_CONFIG_ENV}={}", self.config)]),
            labels: Some(self.all_labels()),
            exposed_ports: self.api.map(|_| vec![port]),
            stop_timeout: Some(STOP_TIMEOUT_SECONDS),
            host_config: Some(self.host_config()),
            networking_config: Some(NetworkingConfig { endpoints_config: Some(endpoints) }),
            ..ContainerCreateBody::default()
        }
    }

    fn all_labels(&self) -> HashMap<String, String> {
        let mut labels = self.labels.clone();
        labels.insert(LABEL_CLUSTER.to_owned(), self.cluster.clone());
        labels.insert(LABEL_ROLE.to_owned(), self.role.clone());
        labels
    }

    fn host_config(&self) -> HostConfig {
        let logs = [("max-size", LOG_FILE_SIZE), ("max-file", LOG_FILES)];
        HostConfig {
            network_mode: Some(self.network.clone()),
            port_bindings: self.api.map(port_bindings),
            mounts: Some(vec![
                volume(&self.name, STATE_DIRECTORY, &self.cluster),
                // Shared by the clusters of this host, so it belongs to none.
                volume(IMAGES_VOLUME, IMAGES_DIRECTORY, ""),
            ]),
            tmpfs: Some(HashMap::from([
                ("/run".to_owned(), "exec,mode=755".to_owned()),
                ("/tmp".to_owned(), "exec,mode=1777".to_owned()),
            ])),
            cap_add: Some(vec!["ALL".to_owned()]),
            cap_drop: Some(self.lacking_capabilities.clone()),
            security_opt: Some(vec![
                "seccomp=unconfined".to_owned(),
                "apparmor=unconfined".to_owned(),
                "label=disable".to_owned(),
            ]),
            masked_paths: Some(Vec::new()),
            readonly_paths: Some(Vec::new()),
            device_cgroup_rules: Some(vec!["a *:* rwm".to_owned()]),
            cgroupns_mode: Some(HostConfigCgroupnsModeEnum::PRIVATE),
            // A reboot brings clusters back, `kd cluster stop` keeps them stopped.
            restart_policy: Some(RestartPolicy {
                name: Some(RestartPolicyNameEnum::UNLESS_STOPPED),
                maximum_retry_count: None,
            }),
            log_config: Some(HostConfigLogConfig {
                typ: Some("json-file".to_owned()),
                config: Some(logs.map(|(key, value)| (key.to_owned(), value.to_owned())).into()),
            }),
            ..HostConfig::default()
        }
    }
}

impl Container {
    /// Starts the container.
    pub async fn start(&self, engine: &Engine) -> Result<()> {
        let started = engine.docker.start_container(&self.id, None).await;
        started.map_err(|source| refused(format!("start the node {}", self.name), source))
    }

    /// Stops the container, giving its pods time to end.
    pub async fn stop(&self, engine: &Engine) -> Result<()> {
        let stopped = engine.docker.stop_container(&self.id, None).await;
        stopped.map_err(|source| refused(format!("stop the node {}", self.name), source))
    }

    /// Removes the container, running or not. One that is gone is no error.
    pub async fn remove(&self, engine: &Engine) -> Result<()> {
        let options = RemoveContainerOptionsBuilder::default().force(true).v(true).build();
        match engine.docker.remove_container(&self.id, Some(options)).await {
            Ok(()) => Ok(()),
            Err(error) if has_status(&error, 404) => Ok(()),
            // Somebody else removes it; its volumes and its network are free when they are done.
            Err(error) if has_status(&error, 409) => self.wait_until_removed(engine).await,
            Err(error) => Err(refused(format!("remove the container {}", self.name), error)),
        }
    }

    async fn wait_until_removed(&self, engine: &Engine) -> Result<()> {
        let options = WaitContainerOptionsBuilder::default().condition("removed").build();
        let mut waits = engine.docker.wait_container(&self.id, Some(options));
        while let Some(waited) = waits.next().await {
            match waited {
                // How its process ended does not matter any more.
                Ok(_) | Err(bollard::errors::Error::DockerContainerWaitError { .. }) => {}
                Err(error) if has_status(&error, 404) => return Ok(()),
                Err(error) => {
                    let operation = format!("wait for the removal of the container {}", self.name);
                    return Err(refused(operation, error));
                }
            }
        }
        Ok(())
    }
}

fn port_bindings(api: HostPort) -> HashMap<String, Option<Vec<PortBinding>>> {
    let binding = PortBinding {
        host_ip: Some(api.address.to_string()),
        host_port: Some(api.port.to_string()),
    };
    HashMap::from([(format!("{API_SERVER_PORT}/tcp"), Some(vec![binding]))])
}

/// The engine makes the volume with its label when it makes the container.
fn volume(name: &str, target: &str, cluster: &str) -> Mount {
    Mount {
        typ: Some(MountType::VOLUME),
        source: Some(name.to_owned()),
        target: Some(target.to_owned()),
        volume_options: Some(MountVolumeOptions {
            no_copy: Some(true),
            labels: Some(HashMap::from([(LABEL_CLUSTER.to_owned(), cluster.to_owned())])),
            ..MountVolumeOptions::default()
        }),
        ..Mount::default()
    }
}
