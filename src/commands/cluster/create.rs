//! `kd cluster create`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;

use crate::cluster::create::{self, Options};
use crate::cluster::name::{self, DEFAULT_CLUSTER};
use crate::cluster::ports;
use crate::cluster::timings::Timings;
use crate::commands::Context;
use crate::duration;
use crate::error::Result;

/// Arguments of `kd cluster create`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The cluster's name ["kd" if none is given].
    name: Option<String>,
    /// The cluster's name, as kind takes it.
    #[arg(long = "name", short = 'n', value_name = "NAME", hide = true, conflicts_with = "name")]
    name_option: Option<String>,
    /// How many servers; they hold the control plane and run pods too.
    #[arg(long, short, default_value_t = 1)]
    servers: usize,
    /// How many agents; they only run pods.
    #[arg(long, short, default_value_t = 0)]
    agents: usize,
    /// A node image instead of the one that kd builds itself.
    #[arg(long, short)]
    image: Option<String>,
    /// How long the cluster may take to become usable.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,
    /// As kind takes it; kd always waits. A value is taken for --timeout when it is longer.
    #[arg(long, value_name = "DURATION", value_parser = duration::parse, hide = true)]
    #[arg(num_args = 0..=1, default_missing_value = "0s")]
    wait: Option<Duration>,
    /// Keep the nodes when the cluster does not become usable.
    #[arg(long)]
    retain: bool,
    /// Print how long each phase took.
    #[arg(long)]
    timings: bool,
    /// The API server's port on this machine [a free one if none is given].
    #[arg(long, value_name = "PORT", value_parser = clap::value_parser!(u16).range(1..))]
    api_port: Option<u16>,
    /// The name or address under which clients reach the API server.
    #[arg(long, value_name = "HOST")]
    api_host: Option<String>,
    /// A port of this machine that leads into the cluster, such as 8080:80@loadbalancer:
    /// [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER].
    #[arg(long, short, value_name = "MAPPING")]
    port: Vec<String>,
    /// The address range of the cluster's Docker network, such as 172.28.0.0/16.
    #[arg(long, value_name = "CIDR")]
    subnet: Option<String>,
    /// A registry (`host` or `host:port`) that nodes speak to without TLS.
    #[arg(long, value_name = "REGISTRY")]
    insecure_registry: Vec<String>,
    /// A file with certificates of authorities that nodes trust for registries, PEM.
    #[arg(long, value_name = "FILE")]
    registry_ca: Vec<PathBuf>,
    /// Leave the kubeconfig alone.
    #[arg(long, overrides_with = "kubeconfig_update")]
    no_kubeconfig_update: bool,
    #[arg(long, hide = true)]
    kubeconfig_update: bool,
    /// Leave the current context alone.
    #[arg(long, overrides_with = "switch_context")]
    no_switch_context: bool,
    #[arg(long, hide = true)]
    switch_context: bool,
    /// The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given].
    #[arg(long, value_name = "FILE", conflicts_with = "no_kubeconfig_update")]
    kubeconfig: Option<PathBuf>,
}

impl Arguments {
    fn options(self) -> Result<Options> {
        let ports: Result<Vec<_>> = self.port.iter().map(|text| ports::parse(text)).collect();
        let name = self.name.or(self.name_option).unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
        Ok(Options {
            name,
            servers: self.servers,
            agents: self.agents,
            image: self.image,
            api_port: self.api_port,
            api_host: self.api_host,
            ports: ports?.into_iter().flatten().collect(),
            subnet: self.subnet,
            insecure_registries: self.insecure_registry,
            registry_authorities: self.registry_ca,
            timeout: self.timeout.max(self.wait.unwrap_or_default()),
            retain: self.retain,
            update_kubeconfig: !self.no_kubeconfig_update,
            switch_context: !self.no_switch_context,
            kubeconfig: self.kubeconfig,
        })
    }
}

/// Creates a cluster.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let ui = context.ui;
    let timings = Timings::begin();
    let print_timings = arguments.timings;
    let options = arguments.options()?;
    name::check(&options.name)?;
    let engine = timings.measure("engine", context.engine()).await?;
    create::create(&engine, &context.environment, &ui, &options, &timings).await?;
    let took = duration::format(timings.total());
    ui.status(&format!("Cluster {} is ready after {took}.", options.name));
    if print_timings {
        ui.status(&timings.report());
    }
    ui.status(&next_command(&options));
    Ok(())
}

fn next_command(options: &Options) -> String {
    let name = &options.name;
    if !options.update_kubeconfig {
        return format!("Next: kd kubeconfig merge {name}");
    }
    let mut next = "Next: kubectl get nodes".to_owned();
    if let Some(path) = &options.kubeconfig {
        next.push_str(&format!(" --kubeconfig {}", path.display()));
    }
    next.push_str(&format!(" --context {}", name::context(name)));
    next
}
