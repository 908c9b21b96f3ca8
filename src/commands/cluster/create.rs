//! `kd cluster create`.

use std::path::PathBuf;
use std::time::Duration;

use clap::{ArgAction, Args, ValueEnum};
use ipnet::IpNet;
use kd_contract::{Component, HostAlias, NetworkBackend};

use crate::cluster::addresses::{IpFamily, NetworkRequest};
use crate::cluster::api_server_files::FileArguments;
use crate::cluster::config_file::FileNetwork;
use crate::cluster::create::{self, Options};
use crate::cluster::name::{self, DEFAULT_CLUSTER};
use crate::cluster::node_settings::{self, NodeSetting};
use crate::cluster::ports::{NodeFilter, PortRequest};
use crate::cluster::registries::RegistryArguments;
use crate::cluster::scheduler_config;
use crate::cluster::timings::Timings;
use crate::cluster::{config_file, ports};
use crate::commands::Context;
use crate::docker::Limits;
use crate::duration;
use crate::error::{Error, ExitCode, Result};
use crate::size;

/// Arguments of `kd cluster create`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The cluster's name ["kd" if none is given].
    name: Option<String>,
    /// The cluster's name, as kind takes it.
    #[arg(long = "name", short = 'n', value_name = "NAME", hide = true, conflicts_with = "name")]
    name_option: Option<String>,
    /// A file that describes the cluster, in kind's form or k3d's; `-` is standard input. Flags come
    /// before what it says.
    #[arg(long, short, value_name = "FILE")]
    config: Option<PathBuf>,
    /// How many servers; they hold the control plane and run pods too [1].
    #[arg(long, short)]
    servers: Option<usize>,
    /// How many agents; they only run pods [0].
    #[arg(long, short)]
    agents: Option<usize>,
    /// A node image instead of the one that kd builds itself.
    #[arg(long, short)]
    image: Option<String>,
    /// How long the cluster may take to become usable.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,
    /// As kind and k3d take it; kd always waits. A duration is taken for --timeout when it is longer.
    #[arg(long, value_name = "DURATION", value_parser = wait, hide = true)]
    #[arg(num_args = 0..=1, default_missing_value = "0s")]
    wait: Option<Duration>,
    /// Keep the nodes when the cluster does not become usable.
    #[arg(long, visible_alias = "no-rollback")]
    retain: bool,
    /// Print how long each phase took.
    #[arg(long)]
    timings: bool,
    /// The API server's port on this machine, perhaps with --api-host before it [a free one if none is
    /// given].
    #[arg(long, value_name = "[HOST:]PORT", value_parser = api_port)]
    api_port: Option<ApiPort>,
    /// The name or address under which clients reach the API server.
    #[arg(long, value_name = "HOST")]
    api_host: Option<String>,
    /// A port of this machine that leads into the cluster, such as 8080:80@loadbalancer:
    /// [HOST:][HOSTPORT:]PORT[/PROTOCOL][@NODEFILTER].
    #[arg(long, short, value_name = "MAPPING")]
    port: Vec<String>,
    /// A folder of this machine in nodes, such as /data:/data:ro@agent:0.
    #[arg(long, short, value_name = "SOURCE:TARGET[:ro][@NODEFILTER]")]
    #[arg(value_parser = node_settings::folder)]
    volume: Vec<NodeSetting>,
    /// A label of nodes, such as disk=ssd@agent:0.
    #[arg(long, value_name = "KEY=VALUE[@NODEFILTER]", value_parser = node_settings::label)]
    #[arg(alias = "k3s-node-label")]
    node_label: Vec<NodeSetting>,
    /// A taint of nodes, such as gpu=yes:NoSchedule@agent:0.
    #[arg(long, value_name = "KEY=VALUE:EFFECT[@NODEFILTER]", value_parser = node_settings::taint)]
    node_taint: Vec<NodeSetting>,
    /// A host that pods and nodes know by name, such as 192.0.2.7:db.example,db.
    #[arg(long, value_name = "IP:NAME[,NAME...]", value_parser = host_alias)]
    host_alias: Vec<HostAlias>,
    /// A part that the cluster is to be without: ingress.
    #[arg(long, value_name = "COMPONENT", value_delimiter = ',', value_parser = component)]
    disable: Vec<Component>,
    /// The address range of the cluster's Docker network, such as 172.28.0.0/16.
    #[arg(long, value_name = "CIDR")]
    subnet: Option<IpNet>,
    /// As k3d takes it: kd makes a load balancer for its ports only.
    #[arg(long, hide = true)]
    no_lb: bool,
    #[command(flatten)]
    network: NetworkArguments,
    #[command(flatten)]
    registries: RegistryArguments,
    /// A flag of the nodes' kubelets, such as max-pods=200 or system-reserved=memory=1Gi.
    #[arg(long, value_name = "NAME=VALUE")]
    kubelet_arg: Vec<String>,
    /// The memory that each node may use, such as 2g or 512Mi.
    #[arg(long, value_name = "SIZE", value_parser = size::parse)]
    memory: Option<i64>,
    /// The cores that each node may use, such as 2 or 1.5.
    #[arg(long, value_name = "CORES", value_parser = cores)]
    cpus: Option<i64>,
    /// Nodes that are only objects; pods there count as running, and nothing runs.
    #[arg(long, value_name = "COUNT", default_value_t = 0, hide_default_value = true)]
    simulated_nodes: usize,
    /// A file that configures the scheduler (KubeSchedulerConfiguration).
    #[arg(long, value_name = "FILE", conflicts_with = "disable_scheduler")]
    scheduler_config: Option<PathBuf>,
    /// Leave pods to a scheduler of your own.
    #[arg(long)]
    disable_scheduler: bool,
    #[command(flatten)]
    files: FileArguments,
    /// Leave the kubeconfig alone.
    #[arg(long, overrides_with = "kubeconfig_update")]
    no_kubeconfig_update: bool,
    /// As k3d takes it.
    #[arg(long, hide = true, alias = "kubeconfig-update-default", action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    kubeconfig_update: Option<bool>,
    /// Leave the current context alone.
    #[arg(long, overrides_with = "switch_context")]
    no_switch_context: bool,
    /// As k3d takes it.
    #[arg(long, hide = true, alias = "kubeconfig-switch-context", action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    switch_context: Option<bool>,
    /// The kubeconfig to write [KUBECONFIG or ~/.kube/config if none is given].
    #[arg(long, value_name = "FILE", conflicts_with = "no_kubeconfig_update")]
    kubeconfig: Option<PathBuf>,
}

/// What the cluster's network is like.
#[derive(Debug, Args)]
struct NetworkArguments {
    /// The IP families of pods, services and nodes [ipv4].
    #[arg(long, value_enum, value_name = "FAMILY")]
    ip_family: Option<IpFamily>,
    /// The address range of pods; two of both families with a comma [10.244.0.0/16].
    #[arg(long, value_name = "CIDR[,CIDR]")]
    pod_cidr: Option<String>,
    /// The address range of services; two of both families with a comma [10.96.0.0/16].
    #[arg(long, value_name = "CIDR[,CIDR]")]
    service_cidr: Option<String>,
    /// A range outside of the cluster that pods reach with their own addresses.
    #[arg(long, value_name = "CIDR")]
    non_masquerade_cidr: Vec<IpNet>,
    /// How packets get to other nodes' pods.
    #[arg(long, value_name = "BACKEND", default_value = "host-routes", value_parser = backend)]
    network_backend: NetworkBackend,
    /// Leave the pod network to CNI plugins that are installed later.
    #[arg(long)]
    disable_default_cni: bool,
    /// Leave Services to a proxy that is installed later.
    #[arg(long)]
    disable_kube_proxy: bool,
}

impl NetworkArguments {
    /// What is asked for: by flags, then by a file.
    fn request(self, file: FileNetwork) -> Result<NetworkRequest> {
        let family = file.family.map(|family| {
            IpFamily::from_str(&family, true)
                .map_err(|reason| Error::new(ExitCode::Usage, format!("ipFamily: {reason}")))
        });
        Ok(NetworkRequest {
            family: self.ip_family.or(family.transpose()?).unwrap_or_default(),
            pods: self.pod_cidr.or(file.pods),
            services: self.service_cidr.or(file.services),
            non_masquerade: self.non_masquerade_cidr,
            backend: self.network_backend,
            disable_default_cni: self.disable_default_cni || file.disable_default_cni,
            disable_kube_proxy: self.disable_kube_proxy || file.disable_kube_proxy,
        })
    }
}

fn backend(text: &str) -> std::result::Result<NetworkBackend, String> {
    match text {
        "host-routes" => Ok(NetworkBackend::HostRoutes),
        "vxlan" => Ok(NetworkBackend::Vxlan),
        _ => Err("there are host-routes and vxlan".into()),
    }
}

impl Arguments {
    /// What is asked for: by flags, then by the file. Also what the user should know of the file.
    fn options(self) -> Result<(Options, Vec<String>)> {
        let file = self.config.as_deref().map(config_file::read).transpose()?.unwrap_or_default();
        let name = self.name.or(self.name_option).or(file.name);
        let mut ports = file.ports;
        ports.extend(ports::parse_all(&self.port)?);
        let mut settings = file.settings;
        settings.extend(self.volume.into_iter().chain(self.node_label).chain(self.node_taint));
        let of_balancer = |port: &PortRequest| port.filters.contains(&NodeFilter::LoadBalancer);
        if self.no_lb && ports.iter().any(of_balancer) {
            let message = "without a load balancer, none of its ports can be published";
            return Err(Error::new(ExitCode::Usage, message)
                .hint("name a node: 8080:80@server:0, or leave --no-lb out"));
        }
        let (port, host) = self.api_port.map_or((None, None), |api| (Some(api.port), api.host));
        let options = Options {
            name: name.unwrap_or_else(|| DEFAULT_CLUSTER.to_owned()),
            servers: self.servers.or(file.servers).unwrap_or(1),
            agents: self.agents.or(file.agents).unwrap_or(0),
            image: self.image.or(file.image),
            api_port: port.or(file.api_port),
            api_host: self.api_host.or(host).or(file.api_host),
            host_aliases: self.host_alias,
            disabled: self.disable,
            ports,
            settings,
            subnet: self.subnet.map(|subnet| subnet.to_string()).or(file.subnet),
            network: self.network.request(file.network)?,
            registries: self.registries,
            file_registries: file.registries,
            kubelet_flags: self.kubelet_arg,
            limits: Limits { memory_bytes: self.memory, cpu_milli: self.cpus },
            simulated_nodes: self.simulated_nodes,
            scheduler: self.scheduler_config.as_deref().map(scheduler_config::read).transpose()?,
            disable_scheduler: self.disable_scheduler,
            api_server_files: self.files,
            timeout: self.timeout.max(self.wait.unwrap_or_default()),
            retain: self.retain,
            update_kubeconfig: self.kubeconfig_update.unwrap_or(!self.no_kubeconfig_update),
            switch_context: self.switch_context.unwrap_or(!self.no_switch_context),
            kubeconfig: self.kubeconfig,
        };
        Ok((options, file.warnings))
    }
}

/// Where the API server is reached.
#[derive(Clone, Debug, PartialEq, Eq)]
struct ApiPort {
    host: Option<String>,
    port: u16,
}

/// Reads `[HOST:]PORT`.
fn api_port(text: &str) -> std::result::Result<ApiPort, String> {
    let (host, port) = match text.rsplit_once(':') {
        Some((host, port)) => (Some(host), port),
        None => (None, text),
    };
    let bare = |host: &str| host.trim_start_matches('[').trim_end_matches(']').to_owned();
    match port.parse() {
        Ok(port) if port > 0 && host != Some("") => Ok(ApiPort { host: host.map(bare), port }),
        _ => Err("it is not written [HOST:]PORT".into()),
    }
}

/// Reads kind's duration, or k3d's yes or no.
fn wait(text: &str) -> std::result::Result<Duration, String> {
    match text {
        "true" | "false" => Ok(Duration::ZERO),
        text => duration::parse(text),
    }
}

/// Reads the name of a part of nodes.
fn component(text: &str) -> std::result::Result<Component, String> {
    match text {
        "ingress" => Ok(Component::Ingress),
        _ => Err("what can be disabled is: ingress".to_owned()),
    }
}

/// Reads a number of cores as thousandths.
fn cores(text: &str) -> std::result::Result<i64, String> {
    let cores: f64 = text.parse().map_err(|_| format!("{text:?} is no number"))?;
    match (cores * 1000.0).round() {
        milli if (10.0..=1e9).contains(&milli) => Ok(milli as i64),
        _ => Err("it is at least 0.01".into()),
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
    let (options, warnings) = arguments.options()?;
    warnings.iter().for_each(|warning| ui.warning(warning));
    name::check(&options.name)?;
    let engine = timings.measure("engine", context.engine()).await?;
    create::create(&engine, context, &options, &timings).await?;
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

    #[test]
    fn ports_of_the_api_server() {
        let check = |text: &str, expect: Option<(Option<&str>, u16)>| {
            let parsed = api_port(text).ok().map(|api| (api.host, api.port));
            assert_eq!(parsed, expect.map(|(h, port)| (h.map(str::to_owned), port)), "{text}");
        };
        check("6443", Some((None, 6443)));
        check("0.0.0.0:6550", Some((Some("0.0.0.0"), 6550)));
        check("dev.example:6550", Some((Some("dev.example"), 6550)));
        check("[::1]:6550", Some((Some("::1"), 6550)));
        check(":6550", None);
        check("0", None);
        check("6443/tcp", None);
    }
}
