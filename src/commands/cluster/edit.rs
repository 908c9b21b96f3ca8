//! `kd cluster edit`.

use std::time::Duration;

use clap::Args;

use crate::cluster::edit::{self, Edit};
use crate::cluster::name::DEFAULT_CLUSTER;
use crate::cluster::{inventory, ports};
use crate::commands::Context;
use crate::docker::PublishedPort;
use crate::duration;
use crate::error::Result;

/// Arguments of `kd cluster edit`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The cluster's name ["kd" if none is given].
    name: Option<String>,
    /// A port of this machine that is to lead into the cluster, such as 8080:80@loadbalancer.
    #[arg(long, value_name = "MAPPING", required_unless_present = "port_delete")]
    port_add: Vec<String>,
    /// A port that is not to any more, such as 8080:80@loadbalancer.
    #[arg(long, value_name = "MAPPING")]
    port_delete: Vec<String>,
    /// How long the load balancer may take to start.
    #[arg(long, value_name = "DURATION", default_value = "1m", value_parser = duration::parse)]
    timeout: Duration,
}

/// Changes the ports of a cluster.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let edit = Edit {
        add: ports::parse_all(&arguments.port_add)?,
        delete: ports::parse_all(&arguments.port_delete)?,
    };
    let engine = context.engine().await?;
    let name = arguments.name.as_deref().unwrap_or(DEFAULT_CLUSTER);
    let cluster = inventory::existing(&engine, name).await?;
    let step = context.ui.step("Replacing the load balancer");
    let published = edit::edit(&engine, &cluster, &edit, arguments.timeout).await?;
    step.done(&format!("Ports of cluster {name}: {}", told(&published)));
    Ok(())
}

fn told(published: &[PublishedPort]) -> String {
    let one = |port: &PublishedPort| {
        let address = std::net::SocketAddr::new(port.host.address, port.host.port);
        format!("{address} -> {}/{}", port.port, port.protocol)
    };
    match published.is_empty() {
        true => "none".to_owned(),
        false => published.iter().map(one).collect::<Vec<_>>().join(", "),
    }
}
