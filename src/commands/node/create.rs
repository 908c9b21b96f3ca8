//! `kd node create`.

use std::time::Duration;

use clap::{ArgAction, Args};

use crate::cluster::agents;
use crate::cluster::inventory;
use crate::cluster::name::DEFAULT_CLUSTER;
use crate::cluster::node_settings::{self, NodeSetting};
use crate::commands::Context;
use crate::duration;
use crate::error::{Error, ExitCode, Result};

/// Agents that are added at once.
const COUNT_MAX: usize = 50;

/// Arguments of `kd node create`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// As k3d takes it: nodes of kd get their names by number.
    #[arg(hide = true)]
    name: Option<String>,
    /// The cluster to add to.
    #[arg(long, short, value_name = "NAME", default_value = DEFAULT_CLUSTER)]
    cluster: String,
    /// How many agents.
    #[arg(long, visible_alias = "replicas", value_name = "COUNT", default_value_t = 1)]
    count: usize,
    /// As k3d takes it: only agents can be added.
    #[arg(long, value_name = "ROLE", default_value = "agent", hide = true)]
    role: String,
    /// A label of the new nodes, such as disk=ssd.
    #[arg(long, value_name = "KEY=VALUE", value_parser = node_settings::label)]
    #[arg(alias = "k3s-node-label")]
    node_label: Vec<NodeSetting>,
    /// A taint of the new nodes, such as gpu=yes:NoSchedule.
    #[arg(long, value_name = "KEY=VALUE:EFFECT", value_parser = node_settings::taint)]
    node_taint: Vec<NodeSetting>,
    /// A folder of this machine in the new nodes, such as /data:/data:ro.
    #[arg(long, value_name = "SOURCE:TARGET[:ro]", value_parser = node_settings::folder)]
    volume: Vec<NodeSetting>,
    /// As k3d takes it; kd always waits.
    #[arg(long, hide = true, action = ArgAction::Set)]
    #[arg(num_args = 0..=1, require_equals = true, default_missing_value = "true")]
    wait: Option<bool>,
    /// How long the nodes may take to become Ready.
    #[arg(long, value_name = "DURATION", default_value = "2m", value_parser = duration::parse)]
    timeout: Duration,
}

/// Adds agents.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    if let Some(name) = &arguments.name {
        let message = format!("a new node cannot be called {name:?}: nodes are numbered");
        return Err(Error::new(ExitCode::Usage, message)
            .hint(format!("leave it out: kd node create --cluster {}", arguments.cluster)));
    }
    if arguments.role != "agent" {
        let message = format!("a node of the role {:?} cannot be added", arguments.role);
        return Err(Error::new(ExitCode::Usage, message).hint("agents can: --role agent"));
    }
    if !(1..=COUNT_MAX).contains(&arguments.count) {
        let message = format!("between 1 and {COUNT_MAX} agents are added at once");
        return Err(Error::new(ExitCode::Usage, message));
    }
    let settings = [arguments.node_label, arguments.node_taint, arguments.volume].concat();
    let engine = context.engine().await?;
    let cluster = inventory::existing(&engine, &arguments.cluster).await?;
    let step = context.ui.step(format!("Adding nodes to {}", cluster.name));
    let names =
        agents::add(&engine, &cluster, arguments.count, &settings, arguments.timeout).await?;
    step.done(&format!("Nodes of cluster {}: {} are ready.", cluster.name, names.join(", ")));
    Ok(())
}
