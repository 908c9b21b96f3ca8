//! The command line: one noun, one verb, and kind's spelling of the same commands.

use clap::{Args, Parser, Subcommand};

use crate::commands;

/// Kubernetes in Docker: clusters that start in about a second.
#[derive(Debug, Parser)]
#[command(name = "kd", version = commands::version::SHORT, disable_help_subcommand = true)]
#[command(propagate_version = false, arg_required_else_help = true)]
pub struct Cli {
    /// Print errors and data only.
    #[arg(long, short, global = true)]
    pub quiet: bool,
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The nouns.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create, list, stop, start and delete clusters.
    #[command(subcommand, visible_alias = "clusters")]
    Cluster(commands::cluster::Command),
    /// Look at the nodes of clusters.
    #[command(subcommand, visible_alias = "nodes")]
    Node(commands::node::Command),
    /// Print a cluster's kubeconfig or merge it into yours.
    #[command(subcommand)]
    Kubeconfig(commands::kubeconfig::Command),
    /// Load images into a cluster and list them.
    #[command(subcommand, visible_alias = "images")]
    Image(commands::image::Command),
    /// Forward local ports to a pod.
    PortForward(commands::port_forward::Arguments),
    /// Build and inspect the image that nodes are made of.
    #[command(subcommand)]
    NodeImage(commands::node_image::Command),
    /// Print a completion script for a shell.
    Completion(commands::completion::Arguments),
    /// Print the version.
    Version(commands::version::Arguments),

    /// `kind create cluster`.
    #[command(subcommand, hide = true)]
    Create(Create),
    /// `kind delete cluster`.
    #[command(subcommand, hide = true)]
    Delete(Delete),
    /// `kind get clusters`.
    #[command(subcommand, hide = true)]
    Get(Get),
    /// `kind load docker-image`.
    #[command(subcommand, hide = true)]
    Load(Load),
    /// `kind export kubeconfig`.
    #[command(subcommand, hide = true)]
    Export(Export),
}

/// kind's `create`.
#[derive(Debug, Subcommand)]
pub enum Create {
    /// Create a cluster.
    Cluster(commands::cluster::create::Arguments),
}

/// kind's `delete`.
#[derive(Debug, Subcommand)]
pub enum Delete {
    /// Delete a cluster.
    #[command(alias = "clusters")]
    Cluster(commands::cluster::delete::Arguments),
}

/// kind's `get`.
#[derive(Debug, Subcommand)]
pub enum Get {
    /// List clusters by name.
    Clusters,
    /// List the nodes of a cluster by name.
    Nodes(KindNodes),
    /// Print a cluster's kubeconfig.
    Kubeconfig(commands::kubeconfig::get::Arguments),
}

/// kind's `get nodes`.
#[derive(Debug, Args)]
pub struct KindNodes {
    /// The cluster's name.
    #[arg(long, short, default_value = crate::cluster::name::DEFAULT_CLUSTER)]
    pub name: String,
    /// The nodes of all clusters.
    #[arg(long, short = 'A')]
    pub all_clusters: bool,
}

/// kind's `load`.
#[derive(Debug, Subcommand)]
pub enum Load {
    /// Load images of the local Docker engine.
    DockerImage(commands::image::load::Arguments),
    /// Load images from archives.
    ImageArchive(commands::image::load::Arguments),
}

/// kind's `export`.
#[derive(Debug, Subcommand)]
pub enum Export {
    /// Merge a cluster's kubeconfig into yours.
    Kubeconfig(commands::kubeconfig::merge::Arguments),
}
