//! The control plane in one process: API server, controllers, scheduler.

use std::net::IpAddr;
use std::os::fd::AsFd;
use std::path::Path;
use std::sync::Arc;
use std::time::Instant;

use ipnet::IpNet;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::Node;
use kd_api::Kinds;
use kd_apiserver::{ApiServer, FrontProxy, NodeProxy, NodeProxyConfig, ServerTls, UserInfo};
use kd_client::{Keep, PatchKind, Resource, Selectors, Watch, WatchEvent};
use kd_contract::pki::{ClusterAuthority, Order};
use kd_contract::{
    API_SERVER_PORT, Component, Durability, NODE_CIDR_PREFIX, NODE_CIDR_PREFIX_V6, NodeConfig,
    STORE_DIRECTORY, ServerSecrets,
};
use kd_controllers::Driver;
use kd_scheduler::Scheduler;
use kd_store::{HistoryLimits, SqliteStore};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::api_server_files::Settings;
use crate::cluster_info;
use crate::environment::{node_config, ranges, run_async, start_logging, stop_signal};
use crate::error::{Error, Result};
use crate::tls;

/// The user that kubelets know the API server by.
const KUBELET_CLIENT: &str = "kube-apiserver-kubelet-client";
/// The user that aggregated servers know it by.
const FRONT_PROXY_CLIENT: &str = "front-proxy-client";
/// The user of the reverse proxy for Ingresses and Gateways.
const INGRESS_USER: &str = "system:kd-ingress";
const MASTERS: &str = "system:masters";
const CONTROL_PLANE_LABEL: &str = "node-role.kubernetes.io/control-plane";

/// Runs until the process is told to stop. Standard input is the listening socket: PID 1 holds it
/// open, so clients that come early, or while this process starts again, wait and are not refused.
pub(crate) fn run() -> Result<()> {
    let started = Instant::now();
    let config = node_config()?;
    start_logging(&config);
    tls::install_provider();
    run_async(serve(config, started))
}

async fn serve(config: NodeConfig, started: Instant) -> Result<()> {
    let secrets = config.secrets.clone().ok_or_else(|| {
        Error::Configuration(
            "a server node needs the cluster's secrets in its configuration".into(),
        )
    })?;
    let listener = inherited_listener()?;
    let addresses = kd_network::node_addresses().await.map_err(Error::of("find this node"))?;
    let server = build(&config, &secrets, &addresses).await?;
    let tls = serving_tls(&config, &secrets, &addresses)?;
    let stop = CancellationToken::new();
    let mut tasks = tokio::task::JoinSet::new();
    tasks.spawn(server.clone().serve(listener, tls, stop.clone().cancelled_owned()));
    println!("kd: phase api-server {}", started.elapsed().as_millis());
    spawn_controllers(&config, &secrets, &server, &stop, &mut tasks)?;
    if !config.disabled.contains(&Component::Ingress) {
        tokio::spawn(serve_ingresses(
            client(&server, INGRESS_USER),
            ingress_config(&config, &secrets, &addresses)?,
        ));
    }
    tokio::spawn(mark_control_plane(masters_client(&server), config.name.clone()));
    let own_address = format!("https://{}:{API_SERVER_PORT}", config.name);
    let authority = secrets.ca_certificate.clone();
    tokio::spawn(cluster_info::publish(masters_client(&server), own_address, authority));
    stop_signal().await?;
    stop.cancel();
    while tasks.join_next().await.is_some() {}
    Ok(())
}

/// The socket that PID 1 handed over as standard input.
fn inherited_listener() -> Result<TcpListener> {
    let operation = "take over the listening socket";
    let descriptor = std::io::stdin().as_fd().try_clone_to_owned().map_err(Error::of(operation))?;
    let listener = std::net::TcpListener::from(descriptor);
    listener.set_nonblocking(true).map_err(Error::of(operation))?;
    TcpListener::from_std(listener).map_err(Error::of(operation))
}

async fn build(
    config: &NodeConfig,
    secrets: &ServerSecrets,
    addresses: &[IpAddr],
) -> Result<Arc<ApiServer>> {
    let directory = Path::new(STORE_DIRECTORY);
    std::fs::create_dir_all(directory).map_err(Error::of(format!("create {STORE_DIRECTORY}")))?;
    let durability = match config.durability {
        Durability::Process => kd_store::Durability::Process,
        Durability::Full => kd_store::Durability::Full,
    };
    let files = Settings::of(&config.api_server_files)
        .map_err(|error| Error::Configuration(error.to_string()))?;
    let (file, limits) = (directory.join("store.db"), HistoryLimits::default());
    let store = SqliteStore::open_sealed(&file, durability, limits, files.seal())
        .map_err(Error::of("open the store"))?;
    let services = ranges(&config.service_cidr, "serviceCidr")?;
    let mut settings = kd_apiserver::Config::new(
        secrets.service_account_key.clone(),
        config.ca_certificate.clone(),
        services[0],
    );
    settings.advertised = advertised(services[0], addresses);
    settings.service_ranges = services;
    settings.front_proxy = front_proxy(secrets)?;
    settings.port = API_SERVER_PORT;
    files.configure(&mut settings);
    let server = ApiServer::build(
        settings,
        Arc::new(store),
        Kinds::built_in(),
        Arc::new(Timestamp::now),
        Arc::new(rand::random::<u128>),
    )
    .await
    .map_err(Error::of("build the API server"))?;
    server.set_connect(Arc::new(node_proxy(secrets, &server)?));
    Ok(server)
}

/// The addresses of the first family of services: `default/kubernetes` has no other.
fn advertised(services: IpNet, addresses: &[IpAddr]) -> Vec<IpAddr> {
    let is_ipv6 = services.addr().is_ipv6();
    addresses.iter().copied().filter(|address| address.is_ipv6() == is_ipv6).collect()
}

fn authority(secrets: &ServerSecrets) -> Result<ClusterAuthority> {
    ClusterAuthority::from_pem(&secrets.ca_certificate, &secrets.ca_key)
        .map_err(Error::of("read the cluster's authority"))
}

/// This server as a front proxy. Its certificate is of this life, the authority is the cluster's.
fn front_proxy(secrets: &ServerSecrets) -> Result<Option<FrontProxy>> {
    let Some(kept) = &secrets.front_proxy else { return Ok(None) };
    let authority = ClusterAuthority::from_pem(&kept.certificate, &kept.key)
        .map_err(Error::of("read the authority of front proxies"))?;
    let issued = authority
        .issue_client(FRONT_PROXY_CLIENT, &[])
        .map_err(Error::of("issue the front proxy's certificate"))?;
    Ok(Some(FrontProxy {
        ca_certificate_pem: authority.certificate_pem().to_owned(),
        certificate_pem: issued.certificate_pem,
        key_pem: issued.key_pem,
    }))
}

fn node_proxy(secrets: &ServerSecrets, server: &ApiServer) -> Result<NodeProxy> {
    let issued = authority(secrets)?
        .issue_client(KUBELET_CLIENT, &[MASTERS])
        .map_err(Error::of("issue the certificate for kubelets"))?;
    let config = NodeProxyConfig {
        certificate_pem: issued.certificate_pem,
        key_pem: issued.key_pem,
        ca_certificate_pem: secrets.ca_certificate.clone(),
    };
    NodeProxy::new(&config, Arc::new(server.reader()))
        .map_err(Error::of("set up the way to kubelets"))
}

/// The certificate of this life: it holds the addresses of the day beside the lasting names.
fn serving_tls(
    config: &NodeConfig,
    secrets: &ServerSecrets,
    addresses: &[IpAddr],
) -> Result<Arc<rustls::ServerConfig>> {
    let names = serving_names(config, addresses)?;
    let issued = authority(secrets)?
        .issue_server("kube-apiserver", &names)
        .map_err(Error::of("issue the API server's certificate"))?;
    let mut client_authorities = tls::certificates(&secrets.ca_certificate, "the authority")?;
    if let Some(front_proxy) = &secrets.front_proxy {
        let authority = tls::certificates(&front_proxy.certificate, "the front proxies' authority");
        client_authorities.extend(authority?);
    }
    let tls = ServerTls {
        certificates: tls::certificates(&issued.certificate_pem, "the API server")?,
        key: tls::key(&issued.key_pem, "the API server")?,
        client_authorities,
    };
    Ok(Arc::new(tls.into_config().map_err(Error::of("set up the API server's TLS"))?))
}

fn serving_names(config: &NodeConfig, addresses: &[IpAddr]) -> Result<Vec<String>> {
    let services = ranges(&config.service_cidr, "serviceCidr")?;
    let mut names = vec![
        config.name.clone(),
        "localhost".into(),
        "kubernetes".into(),
        "kubernetes.default".into(),
        "kubernetes.default.svc".into(),
        format!("kubernetes.default.svc.{}", config.cluster_domain),
        "127.0.0.1".into(),
        "::1".into(),
    ];
    // The service `default/kubernetes` has the first address of a range.
    let first = services.iter().filter_map(|range| range.hosts().find(|a| *a != range.network()));
    names.extend(first.map(|address| address.to_string()));
    names.extend(addresses.iter().map(ToString::to_string));
    names.extend(config.api_server_names.iter().cloned());
    names.sort();
    names.dedup();
    Ok(names)
}

fn spawn_controllers(
    config: &NodeConfig,
    secrets: &ServerSecrets,
    server: &Arc<ApiServer>,
    stop: &CancellationToken,
    tasks: &mut tokio::task::JoinSet<()>,
) -> Result<()> {
    let pods = ranges(&config.pod_cidr, "podCidr")?;
    let mut settings =
        kd_controllers::Config::new(pods[0], NODE_CIDR_PREFIX, &secrets.ca_certificate);
    settings.cluster_cidrs = pods.into_iter().map(|range| (range, node_prefix(range))).collect();
    settings.cluster_dns = config.dns_address.parse().ok();
    settings.simulated_nodes = kd_controllers::SimulatedNodes {
        count: config.simulated_nodes,
        prefix: format!("kd-{}-simulated", config.cluster),
        version: concat!("v1.36.0+kd", env!("CARGO_PKG_VERSION")).to_owned(),
    };
    let clients_server = server.clone();
    let clients: kd_controllers::Clients = Arc::new(move |user| client(&clients_server, user));
    let driver = Driver::new(clients, &settings).signing(signer(secrets)?);
    let queues = driver.queues();
    server.add_metrics(Arc::new(move || queues.exposition()));
    let controllers = tasks.spawn(driver.run(stop.clone().cancelled_owned()));
    server.add_component("controller-manager", move || !controllers.is_finished());
    if !config.disable_scheduler {
        let settings = kd_scheduler::Config::of(config.scheduler.as_ref(), &config.name)
            .map_err(Error::Configuration)?;
        let scheduler = Scheduler::new(client(server, "system:kube-scheduler"), settings);
        let metrics = scheduler.metrics();
        server.add_metrics(Arc::new(move || metrics.exposition()));
        let scheduler = tasks.spawn(scheduler.run(stop.clone().cancelled_owned()));
        server.add_component("scheduler", move || !scheduler.is_finished());
    }
    Ok(())
}

/// The prefix length of one node's part of a pod range.
fn node_prefix(range: IpNet) -> u8 {
    let usual = if range.addr().is_ipv4() { NODE_CIDR_PREFIX } else { NODE_CIDR_PREFIX_V6 };
    usual.max(range.prefix_len())
}

/// The reverse proxy's certificate for names that have none: the cluster's, for this node.
fn ingress_config(
    config: &NodeConfig,
    secrets: &ServerSecrets,
    addresses: &[IpAddr],
) -> Result<kd_ingress::Config> {
    let names = [config.name.clone(), "localhost".into(), "127.0.0.1".into(), "::1".into()];
    let issued = authority(secrets)?
        .issue_server("kd-ingress", &names)
        .map_err(Error::of("issue the certificate for Ingresses"))?;
    Ok(kd_ingress::Config {
        certificate_pem: issued.certificate_pem,
        key_pem: issued.key_pem,
        // The cluster's DNS answers at the node's own addresses.
        dns: addresses.to_vec(),
    })
}

async fn serve_ingresses(client: kube::Client, config: kd_ingress::Config) {
    if let Err(error) = kd_ingress::run(client.into(), config).await {
        tracing::error!(%error, "no Ingresses are served");
    }
}

/// Signs what CertificateSigningRequests ask for, with the cluster's key.
fn signer(secrets: &ServerSecrets) -> Result<kd_controllers::Signer> {
    let authority = authority(secrets)?;
    Ok(Arc::new(move |order| {
        let order = Order {
            request_pem: order.request_pem.clone(),
            usages: order.usages.clone(),
            not_before: order.not_before.into(),
            not_after: order.not_after.into(),
        };
        authority.sign_request(&order).map_err(|error| error.to_string())
    }))
}

fn masters_client(server: &Arc<ApiServer>) -> kube::Client {
    let user = UserInfo {
        username: "kubernetes-super-admin".into(),
        groups: vec![MASTERS.into(), "system:authenticated".into()],
        ..UserInfo::default()
    };
    kube::Client::new(server.service(user), "default")
}

/// Gives this node its role once it has registered. A kubelet may not do that itself
/// (NodeRestriction), so upstream's installers do it as administrators, too.
async fn mark_control_plane(client: kube::Client, node: String) {
    let client = kd_client::Client::from(client);
    let nodes = Resource::of::<Node>();
    let selectors = Selectors { fields: format!("metadata.name={node}"), ..Selectors::default() };
    let mut watch = Watch::new(client.clone(), nodes.clone(), selectors, Keep::Metadata);
    loop {
        let WatchEvent::Applied { new, .. } = watch.next().await else { continue };
        if new.metadata.labels.contains_key(CONTROL_PLANE_LABEL) {
            return;
        }
        let patch = serde_json::json!({"metadata": {"labels": {CONTROL_PLANE_LABEL: ""}}});
        match client.patch(&nodes, "", &node, "", PatchKind::Merge, &patch).await {
            Ok(_) => return,
            // The next change of the node tries again; it reports itself every few minutes.
            Err(error) => tracing::warn!(%error, "cannot label the control plane's node"),
        }
    }
}

/// A client inside this process; it goes through the whole request pipeline as its user.
fn client(server: &Arc<ApiServer>, user: &str) -> kube::Client {
    let mut groups = vec!["system:authenticated".to_owned()];
    if let Some(account) = user.strip_prefix("system:serviceaccount:") {
        let namespace = account.split(':').next().unwrap_or_default();
        groups.push("system:serviceaccounts".into());
        groups.push(format!("system:serviceaccounts:{namespace}"));
    }
    let user = UserInfo { username: user.to_owned(), groups, ..UserInfo::default() };
    kube::Client::new(server.service(user), "default")
}
