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
    IMAGES_DIRECTORY, IMAGES_VOLUME, KD_BINARY, LABEL_CLUSTER, LABEL_ROLE,
    LOAD_BALANCER_CONFIG_ENV, LOAD_BALANCER_PROGRAM, NODE_CONFIG_ENV, PublishedProtocol,
    STATE_DIRECTORY,
};

use super::engine::{Engine, has_status, refused};
use crate::error::{Error, ExitCode, Result};

/// How long the engine waits for a node to stop its pods before it kills the node.
const STOP_TIMEOUT_SECONDS: i64 = 30;
/// Bounds of the engine's own log of a node.
const LOG_FILE_SIZE: &str = "10m";
const LOG_FILES: &str = "3";

/// A port of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HostPort {
    /// The address it is bound to.
    pub address: IpAddr,
    /// The port.
    pub port: u16,
}

/// A port of a container that is reached by one of this machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct PublishedPort {
    /// The container's port.
    pub port: u16,
    /// Its protocol.
    pub protocol: PublishedProtocol,
    /// Where it is published.
    pub host: HostPort,
}

/// What a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A node, with every right that it needs.
    Node,
    /// The load balancer, with no more rights than any container.
    LoadBalancer,
}

/// What a node's or load balancer's container is made of.
#[derive(Clone, Debug)]
pub struct ContainerSpec {
    /// Container name and host name.
    pub name: String,
    /// The image.
    pub image: String,
    /// The cluster's name.
    pub cluster: String,
    /// What it runs.
    pub program: Program,
    /// `server`, `agent` or `loadbalancer`.
    pub role: String,
    /// More labels.
    pub labels: HashMap<String, String>,
    /// The cluster's network.
    pub network: String,
    /// The program's configuration as JSON.
    pub config: String,
    /// Its ports that are published.
    pub published: Vec<PublishedPort>,
    /// Capabilities that the engine cannot give.
    pub lacking_capabilities: Vec<String>,
    /// Lines of its hosts file: `NAME:ADDRESS`.
    pub extra_hosts: Vec<String>,
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
        let ports: Vec<String> = port_bindings(&self.published).into_keys().collect();
        let (variable, entrypoint) = match self.program {
            Program::Node => (NODE_CONFIG_ENV, None),
            Program::LoadBalancer => {
                let program = [KD_BINARY, LOAD_BALANCER_PROGRAM].map(str::to_owned);
                (LOAD_BALANCER_CONFIG_ENV, Some(program.to_vec()))
            }
        };
        let endpoints = HashMap::from([(self.network.clone(), EndpointSettings::default())]);
        ContainerCreateBody {
            hostname: Some(self.name.clone()),
            image: Some(self.image.clone()),
            env: Some(vec![format!("{variable}={}", self.config)]),
            entrypoint,
            labels: Some(self.all_labels()),
            exposed_ports: Some(ports),
            stop_timeout: Some(STOP_TIMEOUT_SECONDS),
            host_config: Some(match self.program {
                Program::Node => self.node_host_config(),
                Program::LoadBalancer => self.plain_host_config(),
            }),
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

    /// What every container of a cluster has.
    fn plain_host_config(&self) -> HostConfig {
        let logs = [("max-size", LOG_FILE_SIZE), ("max-file", LOG_FILES)];
        HostConfig {
            network_mode: Some(self.network.clone()),
            port_bindings: Some(port_bindings(&self.published)),
            extra_hosts: Some(self.extra_hosts.clone()),
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

    fn node_host_config(&self) -> HostConfig {
        HostConfig {
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
            ..self.plain_host_config()
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

/// By `PORT/PROTOCOL`, as the engine has it.
fn port_bindings(published: &[PublishedPort]) -> HashMap<String, Option<Vec<PortBinding>>> {
    let mut bindings: HashMap<String, Option<Vec<PortBinding>>> = HashMap::new();
    for PublishedPort { port, protocol, host } in published {
        let binding = PortBinding {
            host_ip: Some(host.address.to_string()),
            host_port: Some(host.port.to_string()),
        };
        let all = bindings.entry(format!("{port}/{protocol}")).or_default();
        all.get_or_insert_default().push(binding);
    }
    bindings
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
