//! The node's own work in one process: kubelet with its runtime and server, service proxy, DNS.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;
use k8s_openapi::api::core::v1::Node;
use kd_client::{Keep, Resource, Selectors, Watch, WatchEvent};
use kd_contract::{
    CNI_CONFIGURATIONS, CNI_PLUGINS, Component, HostAlias, KD_BINARY, KUBELET_PORT, NetworkBackend,
    NodeConfig, NodeRole, READY_LINE, RUN_DIRECTORY,
};
use kd_kubelet::{ImageCollection, Kubelet, Pressure};
use kd_network::{Backend, CniNetwork, CniPaths, Family, HostRoutes, PodNetwork};
use kd_proxy::{GuardedNetwork, PolicyGate};
use kd_runtime::{NodeRuntime, RuntimeConfig, ShimCommand};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::environment::{Stop, node_config, ranges, run_async, start_logging, stop_signal};
use crate::error::{Error, Result};
use crate::{images, resolvers, tls};

/// What survives the node's container being started again.
const RUNTIME_STATE: &str = "/var/lib/kd/runtime";
/// What a node without CNI plugins says of itself.
const NO_PLUGINS: &str = "cni plugin not initialized";
/// What plugins answered, over restarts.
const CNI_STATE: &str = "/var/lib/kd/cni";
/// Where kubeadm's users put manifests, too.
const STATIC_PODS: &str = "/etc/kubernetes/manifests";
/// Containers get this long when the node is stopped; PID 1 and then Docker wait a little longer.
const CONTAINERS_STOP_MAX: Duration = Duration::from_secs(3);
const CGROUP_MOUNT: &str = "/sys/fs/cgroup";
/// Docker names its resolver here.
const RESOLV_CONF: &str = "/etc/resolv.conf";

/// The name of the user's machine, as Docker has it.
const DOCKER_HOST: &str = "host.docker.internal";
/// Other names of it.
const HOST_ALIASES: [&str; 2] = ["host.kd.internal", "host.k3d.internal"];

/// Runs until the process is told to stop; containers go on.
pub(crate) fn run() -> Result<()> {
    let config = node_config()?;
    start_logging(&config);
    tls::install_provider();
    run_async(serve(config))
}

async fn serve(config: NodeConfig) -> Result<()> {
    let pods = ranges(&config.pod_cidr, "podCidr")?;
    let addresses = kd_network::node_addresses().await.map_err(Error::of("find this node"))?;
    let addresses = in_families(&addresses, &pods);
    let client = client(&config)?;
    let (gate, arrivals) = kd_proxy::policy_gate();
    let kubelet = build(&config, &pods, addresses.clone(), client.clone(), gate).await?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, KUBELET_PORT)))
        .await
        .map_err(Error::of(format!("listen on port {KUBELET_PORT}")))?;
    let identity = &config.identity;
    let tls =
        tls::server(&identity.serving_certificate, &identity.serving_key, &config.ca_certificate)?;
    tokio::spawn(kd_kubelet::server::serve(listener, tls, kubelet.clone()));
    if !config.disable_kube_proxy {
        let proxy = kd_proxy::Config { node: config.name.clone(), pod_ranges: pods };
        tokio::spawn(kd_proxy::run(client.clone().into(), proxy));
    }
    if !config.disable_default_cni {
        let node = config.name.clone();
        let policies = kd_proxy::PolicyConfig { node, dns: addresses.clone() };
        tokio::spawn(kd_proxy::enforce(client.clone().into(), policies, arrivals));
    }
    let is_server = config.role == NodeRole::Server;
    if !is_server && !config.disabled.contains(&Component::Ingress) {
        tokio::spawn(kd_ingress::forward(client.clone().into()));
    }
    tokio::spawn(answer_names(config.clone(), addresses, client.clone()));
    tokio::spawn(announce(client, config.name.clone()));
    let stop = CancellationToken::new();
    let running = tokio::spawn(kubelet.clone().run(stop.clone()));
    let why = stop_signal().await?;
    if why == Stop::Node {
        kubelet.begin_shutdown().await;
    }
    stop.cancel();
    running.await.map_err(Error::of("end the kubelet"))?;
    if why == Stop::Node {
        kubelet.stop_containers(CONTAINERS_STOP_MAX).await;
    }
    Ok(())
}

/// The API server over TLS, as this node.
fn client(config: &NodeConfig) -> Result<kube::Client> {
    let url = config.api_server.parse().map_err(|error| {
        Error::Configuration(format!("apiServer {:?} is not a URL: {error}", config.api_server))
    })?;
    let mut settings = kube::Config::new(url);
    let roots = tls::certificates(&config.ca_certificate, "the cluster's authority")?;
    settings.root_cert = Some(roots.into_iter().map(|root| root.to_vec()).collect());
    // Watches are silent for as long as nothing happens.
    settings.read_timeout = None;
    let encoded =
        |pem: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem);
    settings.auth_info.client_certificate_data = Some(encoded(&config.identity.client_certificate));
    settings.auth_info.client_key_data = Some(encoded(&config.identity.client_key).into());
    kube::Client::try_from(settings).map_err(Error::of("set up the way to the API server"))
}

/// DNS on the node's own addresses, for its pods. A node runs pods without it, too: one that takes
/// the port for itself must not end the kubelet.
async fn answer_names(config: NodeConfig, addresses: Vec<IpAddr>, client: kube::Client) {
    let service: Option<IpAddr> = config.dns_address.parse().ok();
    let mut hosts = aliases_of(&config.host_aliases);
    hosts
        .extend(users_machine().await.into_iter().map(|address| (DOCKER_HOST.to_owned(), address)));
    let aliases = HOST_ALIASES.map(|alias| (alias.to_owned(), DOCKER_HOST.to_owned()));
    let settings = kd_dns::Config {
        cluster_domain: config.cluster_domain,
        service_addresses: service.into_iter().collect(),
        hosts,
        aliases: aliases.to_vec(),
        resolv_conf: RESOLV_CONF.into(),
    };
    let listeners = match kd_dns::Listeners::bind(&addresses, kd_dns::PORT).await {
        Ok(listeners) => listeners,
        Err(error) => return tracing::error!(%error, "no DNS on this node"),
    };
    if let Err(error) = kd_dns::run(settings, listeners, client.into()).await {
        tracing::error!(%error, "no DNS on this node");
    }
}

fn aliases_of(aliases: &[HostAlias]) -> Vec<(String, IpAddr)> {
    let of = |alias: &HostAlias| {
        let address = alias.ip;
        alias.hostnames.clone().into_iter().map(move |name| (name, address))
    };
    aliases.iter().flat_map(of).collect()
}

/// The addresses of the user's machine. An engine in a virtual machine has a resolver that knows them,
/// and its gateway is another.
async fn users_machine() -> Vec<IpAddr> {
    let kernel = std::fs::read_to_string("/proc/sys/kernel/osrelease").unwrap_or_default();
    if kernel.contains("linuxkit") {
        return Vec::new();
    }
    kd_network::default_gateways().await.unwrap_or_default()
}

async fn build(
    config: &NodeConfig,
    pods: &[IpNet],
    addresses: Vec<IpAddr>,
    client: kube::Client,
    gate: PolicyGate,
) -> Result<Arc<Kubelet>> {
    let images = Arc::new(images::open(config, "kubelet")?);
    images.clear_unfinished().map_err(Error::of("clear unfinished images"))?;
    let runtime = NodeRuntime::open(
        RuntimeConfig {
            state: RUNTIME_STATE.into(),
            run: format!("{RUN_DIRECTORY}/runtime").into(),
            shim: ShimCommand { program: KD_BINARY.into(), arguments: vec!["shim".into()] },
            cgroup_mount: CGROUP_MOUNT.into(),
            cgroup_base: String::new(),
        },
        images.clone(),
    )
    .await
    .map_err(Error::of("open the runtime"))?;
    let network = pod_network(config, gate).await?;
    let resolv_conf = resolvers::write(Path::new(RESOLV_CONF), addresses.first().copied())?;
    let mut settings = kd_kubelet::Config {
        node_name: config.name.clone(),
        static_pod_directory: Some(STATIC_PODS.into()),
        pressure: pressure(),
        // As with pressure: a developer's full disk must not empty the cluster of its images.
        image_gc: ImageCollection { high_percent: 100, ..ImageCollection::default() },
        resolv_conf,
        node_ips: addresses,
        node_labels: config.node_labels.clone(),
        node_taints: config.node_taints.clone(),
        cluster_domain: config.cluster_domain.clone(),
        cluster_dns: config.dns_address.parse().into_iter().collect(),
        cluster_cidrs: pods.to_vec(),
        non_masquerade_cidrs: non_masquerade_cidrs(config)?,
        port: KUBELET_PORT,
        ..kd_kubelet::Config::default()
    };
    apply_flags(&mut settings, config)?;
    Ok(Kubelet::new(settings, client, Arc::new(runtime), images, network))
}

/// Takes in the kubelet's flags.
fn apply_flags(settings: &mut kd_kubelet::Config, config: &NodeConfig) -> Result<()> {
    config.kubelet_flags.iter().try_for_each(|flag| {
        let applied = settings.apply_flag(flag);
        applied.map_err(|error| Error::Configuration(format!("kubelet flag {error}")))
    })
}

/// How long pods may take to end when the node does.
pub(crate) fn shutdown_grace(config: &NodeConfig) -> Result<Duration> {
    let mut settings = kd_kubelet::Config::default();
    apply_flags(&mut settings, config)?;
    Ok(settings.shutdown_grace)
}

/// The addresses of the cluster's families, in their order.
fn in_families(addresses: &[IpAddr], pods: &[IpNet]) -> Vec<IpAddr> {
    let of = |range: &IpNet| {
        let family = Family::of_range(range);
        addresses.iter().copied().find(|address| Family::of(address) == family)
    };
    pods.iter().filter_map(of).collect()
}

async fn pod_network(config: &NodeConfig, gate: PolicyGate) -> Result<Arc<dyn PodNetwork>> {
    if config.disable_default_cni {
        let paths = CniPaths {
            configurations: CNI_CONFIGURATIONS.into(),
            plugins: CNI_PLUGINS.into(),
            state: CNI_STATE.into(),
        };
        let network = CniNetwork::open(paths).await.map_err(Error::of("open the CNI network"))?;
        return Ok(Arc::new(network));
    }
    let backend = match config.network_backend {
        NetworkBackend::HostRoutes => Backend::HostRoutes,
        NetworkBackend::Vxlan => Backend::Vxlan,
    };
    let network = HostRoutes::open(backend).await.map_err(Error::of("open the pod network"))?;
    Ok(Arc::new(GuardedNetwork::new(Arc::new(network), gate)))
}

fn non_masquerade_cidrs(config: &NodeConfig) -> Result<Vec<IpNet>> {
    let parse = |text: &String| ranges(text, "nonMasqueradeCidrs");
    let all: Result<Vec<Vec<IpNet>>> = config.non_masquerade_cidrs.iter().map(parse).collect();
    Ok(all?.into_iter().flatten().collect())
}

/// Upstream's thresholds but for the disk: it is that of the machine Docker runs on. Pods that go
/// would not make room there, and a developer's full disk must not empty the cluster.
fn pressure() -> Pressure {
    Pressure {
        disk_available_percent_min: 0,
        images_available_percent_min: 0,
        inodes_free_percent_min: 0,
        ..Pressure::default()
    }
}

/// Tells kd, by a line on stdout, when the Node is Ready for the first time.
async fn announce(client: kube::Client, node: String) {
    let selectors = Selectors { fields: format!("metadata.name={node}"), ..Selectors::default() };
    let mut watch = Watch::new(client.into(), Resource::of::<Node>(), selectors, Keep::Full);
    loop {
        if let WatchEvent::Applied { new, .. } = watch.next().await
            && new.decode::<Node>().is_some_and(|node| is_ready(&node))
        {
            println!("{READY_LINE}");
            return;
        }
    }
}

/// Without CNI plugins a node is as ready as it can be: somebody is to install them.
fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    let mut ready = conditions.into_iter().flatten().filter(|c| c.type_ == "Ready");
    ready.any(|c| {
        c.status == "True" || c.message.as_deref().is_some_and(|told| told.ends_with(NO_PLUGINS))
    })
}
