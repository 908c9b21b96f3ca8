//! A node as a Docker container. Every right of a node is written out, because `--privileged` is
//! refused by engines that lack a capability themselves.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::models::{
    ContainerCreateBody, ContainerInspectResponse, EndpointSettings, HostConfig,
    HostConfigCgroupnsModeEnum, HostConfigLogConfig, Mount, MountBindOptions,
    MountBindOptionsPropagationEnum, MountType, MountVolumeOptions, NetworkingConfig, PortBinding,
    RestartPolicy, RestartPolicyNameEnum,
};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, RemoveContainerOptionsBuilder, WaitContainerOptionsBuilder,
};
use futures::StreamExt;
use kd_contract::{
    IMAGES_DIRECTORY, IMAGES_VOLUME, KD_BINARY, LABEL_CLUSTER, LABEL_ROLE,
    LOAD_BALANCER_CONFIG_ENV, LOAD_BALANCER_PROGRAM, NODE_CONFIG_ENV, NODES_ALIAS,
    PublishedProtocol, STATE_DIRECTORY,
};

use super::engine::{Engine, has_status, refused};
use crate::error::{Error, ExitCode, Result};

/// In the engine's unit of processor time.
const NANO_PER_MILLI: i64 = 1_000_000;
/// How long the engine waits for a node to stop its pods before it kills the node.
const STOP_TIMEOUT_SECONDS: i64 = 30;
/// Bounds of the engine's own log of a node.
const LOG_FILE_SIZE: &str = "10m";
const LOG_FILES: &str = "3";
/// Engines leave IPv6 off but for the interface of the network.
const IPV6_SYSCTLS: [(&str, &str); 2] =
    [("net.ipv6.conf.all.disable_ipv6", "0"), ("net.ipv6.conf.all.forwarding", "1")];

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

/// A folder or file of this machine in a container.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HostFolder {
    source: String,
    target: String,
    read_only: bool,
    propagation: Option<MountBindOptionsPropagationEnum>,
}

impl HostFolder {
    /// A folder by its two paths; the one of this machine may be relative.
    pub fn new(
        source: &str,
        target: &str,
        read_only: bool,
    ) -> std::result::Result<HostFolder, String> {
        if !target.starts_with('/') || target == "/" {
            return Err(format!(
                "{target:?} is no path in a node: it begins with / and names a folder"
            ));
        }
        let source = std::path::absolute(source)
            .map_err(|error| format!("{source:?} is no path: {error}"))?
            .to_string_lossy()
            .into_owned();
        Ok(HostFolder { source, target: target.to_owned(), read_only, propagation: None })
    }

    /// With the propagation of mounts, as Kubernetes names it.
    pub fn propagated(self, name: &str) -> std::result::Result<HostFolder, String> {
        let propagation = match name {
            "" | "None" => None,
            "HostToContainer" => Some(MountBindOptionsPropagationEnum::RSLAVE),
            "Bidirectional" => Some(MountBindOptionsPropagationEnum::RSHARED),
            other => return Err(format!("{other:?} is no propagation of mounts")),
        };
        Ok(HostFolder { propagation, ..self })
    }

    fn mount(&self) -> Mount {
        Mount {
            typ: Some(MountType::BIND),
            source: Some(self.source.clone()),
            target: Some(self.target.clone()),
            read_only: Some(self.read_only),
            bind_options: Some(MountBindOptions {
                propagation: self.propagation,
                create_mountpoint: Some(true),
                ..MountBindOptions::default()
            }),
            ..Mount::default()
        }
    }
}

/// What a container runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// A node, with every right that it needs.
    Node,
    /// The load balancer, with no more rights than any container.
    LoadBalancer,
}

/// What a container may use at most; all of the machine where nothing is said.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of memory.
    pub memory_bytes: Option<i64>,
    /// Thousandths of cores.
    pub cpu_milli: Option<i64>,
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
    /// What it may use.
    pub limits: Limits,
    /// Lines of its hosts file: `NAME:ADDRESS`.
    pub extra_hosts: Vec<String>,
    /// Whether its network has IPv6.
    pub has_ipv6: bool,
    /// Folders of this machine.
    pub folders: Vec<HostFolder>,
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
        let aliases = (self.program == Program::Node).then(|| vec![NODES_ALIAS.to_owned()]);
        let endpoint = EndpointSettings { aliases, ..EndpointSettings::default() };
        let endpoints = HashMap::from([(self.network.clone(), endpoint)]);
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
            sysctls: self.has_ipv6.then(|| IPV6_SYSCTLS.map(|(k, v)| (k.into(), v.into())).into()),
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
        let volumes = [
            volume(&self.name, STATE_DIRECTORY, &self.cluster),
            // Shared by the clusters of this host, so it belongs to none.
            volume(IMAGES_VOLUME, IMAGES_DIRECTORY, ""),
        ];
        let folders = self.folders.iter().map(HostFolder::mount);
        let Limits { memory_bytes, cpu_milli } = self.limits;
        HostConfig {
            memory: memory_bytes,
            // As much with swap as without: none.
            memory_swap: memory_bytes,
            nano_cpus: cpu_milli.map(|milli| milli * NANO_PER_MILLI),
            mounts: Some(volumes.into_iter().chain(folders).collect()),
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

/// What a container may use.
pub async fn limits_of(engine: &Engine, container: &str) -> Result<Limits> {
    let config = inspect(engine, container).await?.host_config.unwrap_or_default();
    let set = |limit: Option<i64>| limit.filter(|limit| *limit > 0);
    let cpu_milli = set(config.nano_cpus).map(|nano| nano / NANO_PER_MILLI);
    Ok(Limits { memory_bytes: set(config.memory), cpu_milli })
}

async fn inspect(engine: &Engine, container: &str) -> Result<ContainerInspectResponse> {
    let facts = engine.docker.inspect_container(container, None).await;
    facts.map_err(|source| refused(format!("inspect the container {container}"), source))
}

/// The value of a variable of a container's environment; "" when it has none.
pub async fn environment_variable(engine: &Engine, container: &str, name: &str) -> Result<String> {
    let variables =
        inspect(engine, container).await?.config.and_then(|config| config.env).unwrap_or_default();
    let mut values = variables.iter().filter_map(|variable| variable.split_once('='));
    Ok(values
        .find(|(known, _)| *known == name)
        .map(|(_, value)| value.to_owned())
        .unwrap_or_default())
}

/// The ports that a container publishes.
pub async fn published_ports(engine: &Engine, container: &str) -> Result<Vec<PublishedPort>> {
    let bindings = inspect(engine, container)
        .await?
        .host_config
        .and_then(|config| config.port_bindings)
        .unwrap_or_default();
    let mut ports: Vec<PublishedPort> = bindings
        .into_iter()
        .flat_map(|(key, bindings)| {
            bindings.unwrap_or_default().into_iter().map(move |b| (key.clone(), b))
        })
        .filter_map(|(key, binding)| published_port(&key, &binding))
        .collect();
    ports.sort_by_key(|port| (port.host.port, port.port, port.protocol, port.host.address));
    Ok(ports)
}

fn published_port(key: &str, binding: &PortBinding) -> Option<PublishedPort> {
    let (port, protocol) = key.split_once('/').unwrap_or((key, "tcp"));
    let protocol = match protocol {
        "tcp" => PublishedProtocol::Tcp,
        "udp" => PublishedProtocol::Udp,
        _ => return None,
    };
    let address = binding.host_ip.as_deref().filter(|address| !address.is_empty());
    let address = address.unwrap_or("0.0.0.0").parse().ok()?;
    let host = HostPort { address, port: binding.host_port.as_deref()?.parse().ok()? };
    Some(PublishedPort { port: port.parse().ok()?, protocol, host })
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn published_ports_are_read_back() {
        let port = |port: u16, protocol: PublishedProtocol, address: &str| PublishedPort {
            port,
            protocol,
            host: HostPort { address: address.parse().unwrap(), port: port + 8000 },
        };
        let all = [
            port(53, PublishedProtocol::Udp, "127.0.0.1"),
            port(80, PublishedProtocol::Tcp, "0.0.0.0"),
            port(443, PublishedProtocol::Tcp, "::1"),
        ];
        for expect in all {
            for (key, bindings) in port_bindings(&[expect]) {
                assert_eq!(published_port(&key, &bindings.unwrap()[0]), Some(expect));
            }
        }
        assert_eq!(published_port("80/sctp", &PortBinding::default()), None);
    }
}
