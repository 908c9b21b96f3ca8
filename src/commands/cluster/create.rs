//! `kd cluster create`.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use kd_contract::HostAlias;

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
    /// A host that pods and nodes know by name, such as 192.0.2.7:db.example,db.
    #[arg(long, value_name = "IP:NAME[,NAME...]", value_parser = host_alias)]
    host_alias: Vec<HostAlias>,
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
            host_aliases: self.host_alias,
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

/// Reads `IP:NAME[,NAME...]`; an IPv6 address may stand in brackets.
fn host_alias(text: &str) -> std::result::Result<HostAlias, String> {
    let (ip, names) = text.rsplit_once(':').ok_or("it is not written IP:NAME[,NAME...]")?;
    let ip = ip.trim_start_matches('[').trim_end_matches(']');
    let ip = ip.parse().map_err(|_| format!("{ip:?} is no address"))?;
    let hostnames: Vec<String> = names.split(',').map(str::to_owned).collect();
    let is_name = |name: &String| {
        !name.is_empty() && name.chars().all(|c| c.is_ascii_alphanumeric() || "-._".contains(c))
    };
    match hostnames.iter().all(is_name) {
        true => Ok(HostAlias { ip, hostnames }),
        false => Err(format!("{names:?} are no names of hosts")),
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hosts_with_names() {
        let check = |text: &str, expect: Option<(&str, usize)>| {
            let parsed = host_alias(text).ok().map(|a| (a.ip.to_string(), a.hostnames.len()));
            assert_eq!(parsed, expect.map(|(ip, names)| (ip.to_owned(), names)), "{text}");
        };
        check("192.0.2.7:db.example,db", Some(("192.0.2.7", 2)));
        check("[fd00::7]:db", Some(("fd00::7", 1)));
        check("192.0.2.7", None);
        check("192.0.2.7:", None);
        check("db:192.0.2.7", None);
        check("192.0.2.7:a b", None);
    }
}
