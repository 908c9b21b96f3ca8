//! `kd port-forward`.

use std::net::IpAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use futures::future::select_all;
use http::uri::Authority;
use kube::ResourceExt;
use kube::config::{KubeConfigOptions, Kubeconfig};

use super::Context;
use crate::cluster::inventory::Cluster;
use crate::cluster::kubeconfig::Files;
use crate::cluster::{access, inventory};
use crate::duration;
use crate::error::{Error, ExitCode, Result};
use crate::port_forward::{
    self, Addresses, Forward, NodeAddress, PodAddress, PortSpec, Route, Target, TargetReference,
    bind, serve,
};
use crate::resolver;

/// Arguments of `kd port-forward`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// What to forward to: a pod, or TYPE/NAME of a deployment, replicaset, statefulset, daemonset,
    /// job or service.
    #[arg(value_name = "TYPE/NAME")]
    target: TargetReference,
    /// Ports; LOCAL is REMOTE if left out, and any free port if empty (":80"). REMOTE may be a name.
    #[arg(required = true, value_name = "[LOCAL:]REMOTE")]
    ports: Vec<PortSpec>,
    /// The namespace [that of the context if none is given].
    #[arg(long, short)]
    namespace: Option<String>,
    /// Addresses to listen on; "localhost" is both loopback addresses.
    #[arg(long, value_delimiter = ',', default_value = "localhost")]
    address: Vec<String>,
    /// A context of the kubeconfig.
    #[arg(long)]
    context: Option<String>,
    /// A cluster of kd, with or without an entry in the kubeconfig.
    #[arg(long, short, value_name = "NAME", conflicts_with_all = ["context", "kubeconfig"])]
    cluster: Option<String>,
    /// The kubeconfig [KUBECONFIG or ~/.kube/config if none is given].
    #[arg(long, value_name = "FILE")]
    kubeconfig: Option<PathBuf>,
    /// How long to wait for a pod that runs.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration::parse)]
    pod_running_timeout: Duration,
}

/// Forwards until the pod is gone or the user ends it.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let addresses = Addresses::parse(&arguments.address)?;
    let (config, cluster) = configuration(context, &arguments).await?;
    let client = port_forward::client(config.clone())
        .map_err(|source| Error::new(ExitCode::Kubeconfig, "use the kubeconfig").because(source))?;
    let namespace =
        arguments.namespace.clone().unwrap_or_else(|| client.default_namespace().to_owned());
    let patience = arguments.pod_running_timeout;
    let target = arguments.target.resolve(&client, &namespace, &arguments.ports, patience).await?;
    let mut forwards: Vec<Forward> = Vec::new();
    for pair in target.ports(&arguments.ports)? {
        forwards.extend(bind(&addresses, pair).await?);
    }
    let route = Arc::new(route(context, config, &client, cluster, &target).await);
    for forward in &forwards {
        context.ui.data(&format!("Forwarding from {} -> {}\n", forward.local, forward.remote));
    }
    let serving =
        forwards.into_iter().map(|forward| tokio::spawn(serve(forward, route.clone(), context.ui)));
    tokio::select! {
        error = target.gone(&client, &namespace) => Err(error),
        _ = select_all(serving) => Err(Error::failure("a listener ended")),
    }
}

/// The way to the pod that `target` stands for.
async fn route(
    context: &Context,
    config: kube::Config,
    client: &kube::Client,
    cluster: Option<Cluster>,
    target: &Target,
) -> Route {
    let spec = target.pod.spec.as_ref();
    let pod = PodAddress {
        namespace: target.pod.namespace().unwrap_or_default(),
        name: target.pod.name_any(),
        node: spec.and_then(|spec| spec.node_name.clone()).unwrap_or_default(),
    };
    let cluster = match cluster {
        Some(cluster) => Some(cluster),
        None => cluster_behind(context, &config).await,
    };
    let node = cluster.and_then(|cluster| cluster.nodes.into_iter().find(|n| n.name == pod.node));
    let address = node.and_then(|node| {
        let address = node.address?.parse().ok()?;
        Some(NodeAddress { address, gateway: node.gateway?.parse().ok()? })
    });
    Route::new(&config, client.clone(), pod, address).await
}

/// The cluster of kd that a kubeconfig leads to. Without an engine here there is none.
async fn cluster_behind(context: &Context, config: &kube::Config) -> Option<Cluster> {
    let engine = context.engine().await.ok()?;
    let clusters = inventory::clusters(&engine).await.ok()?;
    let server = config.cluster_url.to_string();
    let leads = |cluster: &Cluster| {
        cluster.api_server().is_some_and(|url| url == server.trim_end_matches('/'))
    };
    clusters.into_iter().find(leads)
}

async fn configuration(
    context: &Context,
    arguments: &Arguments,
) -> Result<(kube::Config, Option<Cluster>)> {
    if let Some(name) = &arguments.cluster {
        let engine = context.engine().await?;
        let cluster = inventory::existing(&engine, name).await?;
        let config = access::configuration(&access::entries_of(&cluster)?).await?;
        return Ok((config, Some(cluster)));
    }
    let files = Files::find(&context.environment, arguments.kubeconfig.as_deref())?;
    let failed = |message: String| {
        Error::new(ExitCode::Kubeconfig, message)
            .hint("name a cluster of kd with --cluster, or a context with --context")
    };
    let mut merged = Kubeconfig::default();
    for path in files.paths().iter().filter(|path| path.exists()) {
        let read = Kubeconfig::read_from(path).and_then(|next| merged.clone().merge(next));
        merged = read.map_err(|source| {
            failed(format!("read the kubeconfig {}", path.display())).because(source)
        })?;
    }
    let options =
        KubeConfigOptions { context: arguments.context.clone(), ..KubeConfigOptions::default() };
    let config =
        kube::Config::from_custom_kubeconfig(merged, &options).await.map_err(|source| {
            failed("the kubeconfig does not lead to a cluster".to_owned()).because(source)
        })?;
    Ok((with_literal_address(config).await?, None))
}

/// The server by address; its certificate is still checked against its name.
async fn with_literal_address(mut config: kube::Config) -> Result<kube::Config> {
    let Some(host) = config.cluster_url.host().map(str::to_owned) else { return Ok(config) };
    if host.trim_matches(['[', ']']).parse::<IpAddr>().is_ok() {
        return Ok(config);
    }
    let failed = || Error::new(ExitCode::Api, format!("find the API server {host}"));
    let address = resolver::address_of(&host).await.map_err(|error| failed().because(error))?;
    let port = config.cluster_url.port().map(|port| format!(":{port}")).unwrap_or_default();
    let authority = match address {
        IpAddr::V4(address) => format!("{address}{port}"),
        IpAddr::V6(address) => format!("[{address}]{port}"),
    };
    let mut parts = config.cluster_url.clone().into_parts();
    let parsed: std::result::Result<Authority, _> = authority.parse();
    parts.authority = Some(parsed.map_err(|error| failed().because(error))?);
    config.cluster_url = http::Uri::from_parts(parts).map_err(|error| failed().because(error))?;
    config.tls_server_name.get_or_insert(host);
    Ok(config)
}
