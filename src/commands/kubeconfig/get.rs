//! `kd kubeconfig get`.

use clap::Args;

use crate::cluster::kubeconfig::Entries;
use crate::cluster::name::DEFAULT_CLUSTER;
use crate::cluster::{access, inventory};
use crate::commands::Context;
use crate::error::{Error, Result};

/// Arguments of `kd kubeconfig get`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The cluster's name ["kd" if none is given].
    name: Option<String>,
    /// The cluster's name, as kind takes it.
    #[arg(long = "name", short = 'n', value_name = "NAME", hide = true, conflicts_with = "name")]
    name_option: Option<String>,
    /// For clients in containers of the cluster's network.
    #[arg(long)]
    internal: bool,
}

/// Prints a cluster's kubeconfig.
pub async fn run(context: &Context, arguments: Arguments) -> Result<()> {
    let name =
        arguments.name.or(arguments.name_option).unwrap_or_else(|| DEFAULT_CLUSTER.to_owned());
    let engine = context.engine().await?;
    let cluster = inventory::existing(&engine, &name).await?;
    let entries =
        if arguments.internal { internal(&cluster)? } else { access::entries_of(&cluster)? };
    context.ui.data(&entries.document().to_text()?);
    Ok(())
}

fn internal(cluster: &inventory::Cluster) -> Result<Entries> {
    let server = cluster.nodes.iter().find(|node| node.role == "server");
    match (server, &cluster.secrets) {
        (Some(server), Some(secrets)) => {
            let url = inventory::api_url(&server.name, kd_contract::API_SERVER_PORT);
            access::entries(&cluster.name, &url, secrets)
        }
        _ => Err(Error::failure(format!("the cluster {:?} is not complete", cluster.name))),
    }
}
