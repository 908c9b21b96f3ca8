//! `kd cluster`.

pub mod create;
pub mod delete;
pub mod edit;
pub mod list;
pub mod logs;
pub mod start;
pub mod stop;

use clap::{Args, Subcommand};

use super::Context;
use crate::cluster::inventory::{self, Cluster};
use crate::cluster::name::DEFAULT_CLUSTER;
use crate::docker::Engine;
use crate::error::Result;

/// The verbs.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Create a cluster and make it the current context.
    Create(Box<create::Arguments>),
    /// Delete clusters with everything that belongs to them.
    #[command(visible_aliases = ["rm", "del"])]
    Delete(delete::Arguments),
    /// Change the ports of a cluster while it runs.
    Edit(edit::Arguments),
    /// List the clusters.
    #[command(visible_alias = "ls", alias = "get")]
    List(list::Arguments),
    /// Write a cluster's logs into a folder.
    Logs(logs::Arguments),
    /// Start stopped clusters.
    Start(start::Arguments),
    /// Stop clusters; everything in them is kept.
    Stop(stop::Arguments),
}

/// Runs a verb.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Create(arguments) => create::run(context, *arguments).await,
        Command::Delete(arguments) => delete::run(context, arguments).await,
        Command::Edit(arguments) => edit::run(context, arguments).await,
        Command::List(arguments) => list::run(context, arguments).await,
        Command::Logs(arguments) => logs::run(context, arguments).await,
        Command::Start(arguments) => start::run(context, arguments).await,
        Command::Stop(arguments) => stop::run(context, arguments).await,
    }
}

/// Which clusters a command is about.
#[derive(Clone, Debug, Args)]
pub struct Selection {
    /// Names of clusters ["kd" if none is named].
    #[arg(value_name = "NAME")]
    names: Vec<String>,
    /// The name of a cluster, as kind takes it.
    #[arg(long = "name", short = 'n', value_name = "NAME", hide = true)]
    more_names: Vec<String>,
    /// All clusters.
    #[arg(long, short, conflicts_with_all = ["names", "more_names"])]
    pub all: bool,
}

impl Selection {
    /// The names that were given, or the default one.
    pub fn names(&self) -> Vec<String> {
        let mut names: Vec<String> = Vec::new();
        for name in self.names.iter().chain(&self.more_names) {
            if !names.contains(name) {
                names.push(name.clone());
            }
        }
        if names.is_empty() {
            names.push(DEFAULT_CLUSTER.to_owned());
        }
        names
    }

    /// The clusters, all of which must be there.
    pub async fn existing(&self, engine: &Engine) -> Result<Vec<Cluster>> {
        if self.all {
            return inventory::clusters(engine).await;
        }
        let mut clusters = Vec::new();
        for name in self.names() {
            clusters.push(inventory::existing(engine, &name).await?);
        }
        Ok(clusters)
    }
}
