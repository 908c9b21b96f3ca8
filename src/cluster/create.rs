//! Makes a cluster: network, image and certificates at once, then all nodes at once. What was made
//! is taken away again when something fails.

use std::collections::BTreeMap;
use std::net::{IpAddr, Ipv4Addr};
use std::path::PathBuf;
use std::sync::Mutex;
use std::time::Duration;

use bollard::models::{Ipam, IpamConfig, NetworkCreateRequest};
use futures::future::{join_all, try_join_all};
use kd_contract::registries::Registries;
use kd_contract::scheduler::SchedulerConfiguration;
use kd_contract::{ApiServerFiles, Component, HostAlias, PublishedProtocol, ServerSecrets};
use tokio::sync::OnceCell;

use super::addresses::{self, NetworkRequest};
use super::api_server_files::FileArguments;
use super::delete::{self, Remains};
use super::inventory::{self, api_url};
use super::kubeconfig::{Entries, Files};
use super::node_settings::{self, NodeSetting};
use super::plan::{self, PlannedNode, Request};
use super::ports::{self, PortRequest, Published};
use super::readiness::{self, Deadline};
use super::registries::RegistryArguments;
use super::timings::Timings;
use super::{access, host_port, name};
use crate::commands::Context;
use crate::config::Environment;
use crate::docker::{
    Container, ContainerSpec, Engine, HostPort, Limits, NodeImage, NodeOutput,
    lacking_capabilities, refused,
};
use crate::error::{Error, ExitCode, Result};
use crate::interrupt::Interrupt;
use crate::ui::Ui;

/// Ranges of IPv6 that are tried for the cluster's network.
const SUBNET_ATTEMPTS_MAX: u8 = 8;

/// What `kd cluster create` was asked for.
#[derive(Clone, Debug)]
pub struct Options {
    /// The cluster's name.
    pub name: String,
    /// How many servers.
    pub servers: usize,
    /// How many agents.
    pub agents: usize,
    /// An image instead of the one that kd builds.
    pub image: Option<String>,
    /// The API server's port on this machine; any free one otherwise.
    pub api_port: Option<u16>,
    /// The name or address under which clients reach the API server.
    pub api_host: Option<String>,
    /// Names of hosts that pods and nodes know.
    pub host_aliases: Vec<HostAlias>,
    /// What the cluster is without.
    pub disabled: Vec<Component>,
    /// More ports of this machine that lead into the cluster.
    pub ports: Vec<PortRequest>,
    /// What single nodes have besides the others.
    pub settings: Vec<NodeSetting>,
    /// The address range of the cluster's network; one that Docker picks otherwise.
    pub subnet: Option<String>,
    /// Families, ranges and who leads packets.
    pub network: NetworkRequest,
    /// Options about registries.
    pub registries: RegistryArguments,
    /// What the cluster's file says of registries.
    pub file_registries: Registries,
    /// The kubelets' flags, `name=value`.
    pub kubelet_flags: Vec<String>,
    /// What each node may use.
    pub limits: Limits,
    /// How many nodes that are only objects.
    pub simulated_nodes: usize,
    /// The scheduler's configuration.
    pub scheduler: Option<SchedulerConfiguration>,
    /// Whether there is none.
    pub disable_scheduler: bool,
    /// Files that configure the API server.
    pub api_server_files: FileArguments,
    /// How long the nodes may take.
    pub timeout: Duration,
    /// Keep what was made when something fails.
    pub retain: bool,
    /// Write the kubeconfig's entries.
    pub update_kubeconfig: bool,
    /// Make the new context the current one.
    pub switch_context: bool,
    /// A kubeconfig instead of the user's.
    pub kubeconfig: Option<PathBuf>,
}

/// Creates a cluster and returns once it is usable.
pub async fn create(
    engine: &Engine,
    context: &Context,
    options: &Options,
    timings: &Timings,
) -> Result<()> {
    name::check(&options.name)?;
    let files = kubeconfig_files(&context.environment, options)?;
    let api_server_files = options.api_server_files.read(context.check_files)?;
    let registries =
        options.registries.read(&context.environment, &options.file_registries).await?;
    let interrupt = Interrupt::listen();
    let creation = Creation {
        engine,
        ui: &context.ui,
        options,
        timings,
        api_server_files,
        registries,
        interrupt: &interrupt,
        made: Mutex::new(Remains::default()),
    };
    let result = creation.run(files.as_ref()).await;
    let Err(error) = result else { return Ok(()) };
    Err(creation.take_back(error).await)
}

/// Reading them first tells of a broken kubeconfig before anything is made.
fn kubeconfig_files(environment: &Environment, options: &Options) -> Result<Option<Files>> {
    if !options.update_kubeconfig {
        return Ok(None);
    }
    let files = Files::find(environment, options.kubeconfig.as_deref())?;
    files.check()?;
    Ok(Some(files))
}

struct Creation<'a> {
    engine: &'a Engine,
    ui: &'a Ui,
    options: &'a Options,
    timings: &'a Timings,
    api_server_files: ApiServerFiles,
    registries: Registries,
    interrupt: &'a Interrupt,
    made: Mutex<Remains>,
}

/// What is decided before anything is made.
struct Prepared {
    request: Request,
    nodes: Vec<PlannedNode>,
    secrets: ServerSecrets,
    image: NodeImage,
}

impl Creation<'_> {
    async fn run(&self, files: Option<&Files>) -> Result<()> {
        let step = self.ui.step("Preparing the node image");
        let prepared = self.timings.measure("prepare", self.prepare()).await?;
        let server = api_url(&prepared.request.api_host, prepared.request.api.port);
        let (containers, entries) = tokio::try_join!(self.make(&prepared, &step), async {
            access::entries(&self.options.name, &server, &prepared.secrets)
        },)?;
        self.interrupt.check()?;
        self.start(&containers).await?;
        step.done(&format!("Nodes of {} run", self.options.name));
        let step = self.ui.step("Asking the API server");
        self.check_api(&prepared.nodes, &entries).await?;
        if let Some(files) = files {
            files.write(&entries, self.options.switch_context)?;
        }
        step.done(&format!("API server answers at {server}"));
        Ok(())
    }

    async fn prepare(&self) -> Result<Prepared> {
        let options = self.options;
        let (there, lacking) = tokio::join!(
            inventory::cluster(self.engine, &options.name),
            lacking_capabilities(self.engine.socket()),
        );
        if there?.is_some() {
            let message = format!("the cluster {:?} already exists", options.name);
            return Err(Error::new(ExitCode::ClusterExists, message)
                .hint(format!("delete it: kd cluster delete {}", options.name))
                .hint(format!("or start it: kd cluster start {}", options.name)));
        }
        let image = match &options.image {
            Some(reference) => NodeImage::named(reference),
            None => NodeImage::of_this_executable()?,
        };
        let (address, api_host) = api_addresses(self.engine, options.api_host.as_deref());
        let port = api_port(self.engine, address, options.api_port)?;
        let request = Request {
            name: options.name.clone(),
            servers: options.servers,
            agents: options.agents,
            image: image.reference.clone(),
            api: HostPort { address, port },
            api_host,
            insecure_registries: options.registries.insecure_registry.clone(),
            registry_authorities: options.registries.authorities()?,
            registries: self.registries.clone(),
            kubelet_flags: options.kubelet_flags.clone(),
            limits: options.limits,
            api_server_files: self.api_server_files.clone(),
            lacking_capabilities: lacking,
            published: Published::default(),
            network: options.network.clone(),
            addresses: self.addresses()?,
            host_aliases: options.host_aliases.clone(),
            simulated_nodes: options.simulated_nodes,
            scheduler: options.scheduler.clone(),
            disable_scheduler: options.disable_scheduler,
            disabled: options.disabled.clone(),
            settings: BTreeMap::new(),
        };
        let nodes = plan::nodes(&request)?;
        let published = ports::publish(&options.ports, &nodes, host_port::claimer(self.engine))?;
        let settings = node_settings::by_node(&options.settings, &nodes)?;
        let request = Request { published, settings, ..request };
        let secrets = plan::secrets(&options.name)?;
        Ok(Prepared { request, nodes, secrets, image })
    }

    /// The ranges of pods and services; the user is told when they are not the usual ones.
    fn addresses(&self) -> Result<addresses::Addresses> {
        let chosen = addresses::resolve(&self.options.network, &self.routes())?;
        chosen.notes.iter().for_each(|note| self.ui.warning(note));
        Ok(chosen)
    }

    /// What the machine of the nodes has routes to, when it is this one.
    fn routes(&self) -> Vec<ipnet::IpNet> {
        match self.engine.remote_host() {
            Some(_) => Vec::new(),
            None => addresses::routes_of_this_machine(),
        }
    }

    /// The engine takes as long to make a network as to make a container, so both are made at
    /// once; engines that want the network first say so.
    async fn make(&self, prepared: &Prepared, step: &crate::ui::Step) -> Result<Vec<Container>> {
        let network_made = OnceCell::new();
        let network = async {
            let made = self.timings.measure("network", self.make_network(prepared)).await;
            let _ = network_made.set(made.is_ok());
            made
        };
        let nodes = async {
            let ensured = self.timings.measure("image", prepared.image.ensure(self.engine)).await;
            ensured?;
            step.update(format!("Starting {} nodes", prepared.nodes.len()));
            let specs = plan::containers(&prepared.request, &prepared.nodes, &prepared.secrets)?;
            self.timings.measure("containers", self.make_containers(&specs)).await
        };
        // Both run to their end even when one fails: what is made must be known to be taken back.
        let (network, nodes) = tokio::join!(network, nodes);
        network?;
        nodes
    }

    async fn make_network(&self, prepared: &Prepared) -> Result<()> {
        let routes = self.routes();
        let id = self.make_network_of(prepared, self.options.subnet.as_deref()).await?;
        if self.options.subnet.is_some() || routes.is_empty() {
            return Ok(());
        }
        let Some((subnet, route)) = self.clash(&id, &routes).await? else { return Ok(()) };
        let Some(free) = addresses::free_subnet(&routes) else { return Ok(()) };
        self.ui.warning(&format!(
            "this machine has a route to {route}: the cluster's network gets {free} instead of {subnet}"
        ));
        let removed = self.engine.docker.remove_network(&id).await;
        removed.map_err(|source| refused("remove a network that is in the way", source))?;
        self.note(|remains| remains.networks.retain(|known| *known != id));
        self.make_network_of(prepared, Some(&free.to_string())).await.map(drop)
    }

    /// The range that the engine chose, and the route of this machine that it is in the way of.
    async fn clash(
        &self,
        network: &str,
        routes: &[ipnet::IpNet],
    ) -> Result<Option<(ipnet::IpNet, ipnet::IpNet)>> {
        let found = self.engine.docker.inspect_network(network, None).await;
        let found = found.map_err(|source| refused("look at the cluster's network", source))?;
        let configs = found.ipam.and_then(|ipam| ipam.config).unwrap_or_default();
        let mut subnets = configs.iter().filter_map(|c| c.subnet.as_ref()?.parse().ok());
        Ok(subnets.find_map(|subnet| Some((subnet, addresses::taken_by(&subnet, routes)?))))
    }

    /// Makes the network with an IPv4 range, or the engine's own choice.
    async fn make_network_of(&self, prepared: &Prepared, subnet: Option<&str>) -> Result<String> {
        let has_ipv6 = self.options.network.family.has_ipv6();
        let mut attempt = 0;
        loop {
            let v6 = addresses::docker_subnet_v6(&self.options.name, attempt).to_string();
            let subnets = subnet.map(str::to_owned).into_iter().chain(has_ipv6.then_some(v6));
            let config: Vec<IpamConfig> = subnets
                .map(|subnet| IpamConfig { subnet: Some(subnet), ..IpamConfig::default() })
                .collect();
            let config = (!config.is_empty()).then_some(config);
            let request = NetworkCreateRequest {
                name: name::network(&self.options.name),
                driver: Some("bridge".to_owned()),
                enable_ipv6: has_ipv6.then_some(true),
                ipam: config.map(|config| Ipam { config: Some(config), ..Ipam::default() }),
                labels: Some(plan::network_labels(&self.options.name, &prepared.secrets)?),
                ..NetworkCreateRequest::default()
            };
            match self.engine.docker.create_network(request).await {
                Ok(made) => {
                    self.note(|remains| remains.networks.push(made.id.clone()));
                    return Ok(made.id);
                }
                // Another network has that range of our own choice.
                Err(source)
                    if has_ipv6
                        && attempt < SUBNET_ATTEMPTS_MAX
                        && source.to_string().contains("overlap") =>
                {
                    attempt += 1;
                }
                Err(source) => return Err(refused("create the cluster's network", source)),
            }
        }
    }

    async fn make_containers(&self, specs: &[ContainerSpec]) -> Result<Vec<Container>> {
        let made = join_all(specs.iter().map(|spec| self.make_container(spec))).await;
        made.into_iter().collect()
    }

    async fn make_container(&self, spec: &ContainerSpec) -> Result<Container> {
        let container = spec.create(self.engine).await?;
        self.note(|remains| {
            remains.containers.push(container.clone());
            remains.volumes.push(spec.name.clone());
        });
        Ok(container)
    }

    async fn start(&self, containers: &[Container]) -> Result<()> {
        let deadline = Deadline::after(self.options.timeout);
        let started = try_join_all(
            containers
                .iter()
                .map(|container| start_node(self.engine, container, deadline, self.timings)),
        );
        tokio::select! {
            result = self.timings.measure("nodes", started) => result.map(drop),
            error = self.interrupt.interrupted() => Err(error),
        }
    }

    async fn check_api(&self, nodes: &[PlannedNode], entries: &Entries) -> Result<()> {
        let names: Vec<String> = nodes.iter().map(|node| node.name.clone()).collect();
        let check = async {
            let client = access::client(entries).await?;
            readiness::api_ready(&client, &names, Deadline::after(self.options.timeout)).await
        };
        tokio::select! {
            result = self.timings.measure("api", check) => result,
            error = self.interrupt.interrupted() => Err(error),
        }
    }

    fn note(&self, change: impl FnOnce(&mut Remains)) {
        change(&mut self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner()));
    }

    async fn take_back(&self, error: Error) -> Error {
        let remains = self.made.lock().unwrap_or_else(|poisoned| poisoned.into_inner()).clone();
        if remains.containers.is_empty() && remains.networks.is_empty() {
            return error;
        }
        let name = &self.options.name;
        if self.options.retain {
            return error
                .hint(format!("what was made is kept; remove it: kd cluster delete {name}"));
        }
        let step = self.ui.step("Taking back what was made");
        let failures = delete::remove(self.engine, &remains).await;
        drop(step);
        failures.into_iter().fold(error, |error, failure| {
            error.hint(format!("not taken back: {failure}; try: kd cluster delete {name}"))
        })
    }
}

/// Starts a node's container and waits until the node says that it is ready.
pub async fn start_node(
    engine: &Engine,
    container: &Container,
    deadline: Deadline,
    timings: &Timings,
) -> Result<()> {
    let mut output = NodeOutput::attach(engine, container).await?;
    let label = format!("{}: container", container.name);
    timings.measure(&label, container.start(engine)).await?;
    readiness::node_ready(&container.name, &mut output, deadline, timings).await
}

/// The address to publish on, and the one that clients use.
fn api_addresses(engine: &Engine, api_host: Option<&str>) -> (IpAddr, String) {
    let loopback = IpAddr::from(Ipv4Addr::LOCALHOST);
    let any = IpAddr::from(Ipv4Addr::UNSPECIFIED);
    match api_host.map(|host| (host, host.parse::<IpAddr>())) {
        Some((_, Ok(address))) if address.is_unspecified() => (address, loopback.to_string()),
        Some((host, Ok(address))) => (address, host.to_owned()),
        Some((host, Err(_))) => (any, host.to_owned()),
        None => match engine.remote_host() {
            Some(remote) => (any, remote.to_string()),
            None => (loopback, loopback.to_string()),
        },
    }
}

/// Port 0 at the engine would be another port after each restart, so the port is picked here.
fn api_port(engine: &Engine, address: IpAddr, wanted: Option<u16>) -> Result<u16> {
    if engine.remote_host().is_some() {
        return Ok(wanted.unwrap_or(kd_contract::API_SERVER_PORT));
    }
    host_port::claim(address, wanted.unwrap_or(0), PublishedProtocol::Tcp, "--api-port")
}
