//! The node's own work in one process: kubelet with its runtime and server, service proxy.

use std::net::{IpAddr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use kd_client::{Keep, Resource, Selectors, Watch, WatchEvent};
use kd_contract::{KD_BINARY, KUBELET_PORT, NodeConfig, READY_LINE, RUN_DIRECTORY};
use kd_kubelet::Kubelet;
use kd_network::HostRoutes;
use kd_runtime::{NodeRuntime, RuntimeConfig, ShimCommand};
use k8s_openapi::api::core::v1::Node;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::environment::{node_config, run_async, start_logging, stop_signal};
use crate::error::{Error, Result};
use crate::{images, tls};

/// What survives the node's container being started again.
const RUNTIME_STATE: &str = "/var/lib/kd/runtime";
const CGROUP_MOUNT: &str = "/sys/fs/cgroup";

/// Runs until the process is told to stop; containers go on.
pub(crate) fn run() -> Result<()> {
    let config = node_config()?;
    start_logging(&config);
    tls::install_provider();
    run_async(serve(config))
}

async fn serve(config: NodeConfig) -> Result<()> {
    let addresses = kd_network::node_addresses().await.map_err(Error::of("find this node"))?;
    let client = client(&config)?;
    let kubelet = build(&config, addresses, client.clone()).await?;
    let listener = TcpListener::bind(SocketAddr::from((Ipv6Addr::UNSPECIFIED, KUBELET_PORT)))
        .await
        .map_err(Error::of(format!("listen on port {KUBELET_PORT}")))?;
    let identity = &config.identity;
    let tls = tls::server(
        &identity.serving_certificate,
        &identity.serving_key,
        &config.ca_certificate,
    )?;
    tokio::spawn(kd_kubelet::server::serve(listener, tls, kubelet.clone()));
    tokio::spawn(kd_proxy::run(client.clone().into()));
    tokio::spawn(announce(client, config.name.clone()));
    let stop = CancellationToken::new();
    let running = tokio::spawn(kubelet.run(stop.clone()));
    stop_signal().await?;
    stop.cancel();
    running.await.map_err(Error::of("end the kubelet"))
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
    let encoded = |pem: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, pem);
    settings.auth_info.client_certificate_data =
        Some(encoded(&config.identity.client_certificate));
    settings.auth_info.client_key_data = Some(encoded(&config.identity.client_key).into());
    kube::Client::try_from(settings).map_err(Error::of("set up the way to the API server"))
}

async fn build(
    config: &NodeConfig,
    addresses: Vec<IpAddr>,
    client: kube::Client,
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
    let network = HostRoutes::open().map_err(Error::of("open the pod network"))?;
    let settings = kd_kubelet::Config {
        node_name: config.name.clone(),
        node_ips: addresses,
        node_labels: config.node_labels.clone(),
        cluster_domain: config.cluster_domain.clone(),
        cluster_dns: config.dns_address.parse().into_iter().collect(),
        cluster_cidr: Some(config.pod_cidr.parse().map_err(|error| {
            Error::Configuration(format!("podCidr {:?} is not a range: {error}", config.pod_cidr))
        })?),
        port: KUBELET_PORT,
        ..kd_kubelet::Config::default()
    };
    Ok(Kubelet::new(settings, client, Arc::new(runtime), images, Arc::new(network)))
}

/// Tells kd, by a line on stdout, when the Node is Ready for the first time.
async fn announce(client: kube::Client, node: String) {
    let selectors =
        Selectors { fields: format!("metadata.name={node}"), ..Selectors::default() };
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

fn is_ready(node: &Node) -> bool {
    let conditions = node.status.as_ref().and_then(|status| status.conditions.as_ref());
    conditions.into_iter().flatten().any(|c| c.type_ == "Ready" && c.status == "True")
}
