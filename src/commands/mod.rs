//! One file per command. Each has its `Arguments` and a `run`.

pub mod cluster;
pub mod completion;
pub mod debug;
pub mod image;
pub mod kubeconfig;
pub mod node;
pub mod node_image;
pub mod port_forward;
pub mod version;

use std::ffi::OsString;
use std::process::ExitCode;

use clap::Parser;
use kd_contract::ApiServerFiles;
use rustls::CipherSuite;
use rustls::crypto::CryptoProvider;

use crate::cli::{Cli, Command, Create, Delete, Export, Get, Load};
use crate::config::Environment;
use crate::docker::Engine;
use crate::error::{Error, Result};
use crate::output::Format;
use crate::switching;
use crate::ui::Ui;

/// Says why an API server would not take files that are to configure it.
pub type CheckFiles = fn(&ApiServerFiles) -> std::result::Result<(), String>;

/// What every command gets.
#[derive(Clone, Debug)]
pub struct Context {
    /// Where it prints.
    pub ui: Ui,
    /// What the environment says.
    pub environment: Environment,
    /// Whether an API server would take these files, or why not.
    pub check_files: CheckFiles,
}

impl Context {
    /// Connects to the Docker engine.
    pub async fn engine(&self) -> Result<Engine> {
        Engine::connect(&self.environment).await
    }
}

/// Parses the command line, runs the command and tells its error.
pub fn main(arguments: Vec<OsString>, check_files: CheckFiles) -> ExitCode {
    let cli = match Cli::try_parse_from(&arguments) {
        Ok(cli) => cli,
        Err(error) => {
            let _ = error.print();
            if let Some(hint) = switching::hint(&error, &arguments) {
                Ui::new(false).hint(hint);
            }
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(1));
        }
    };
    let ui = Ui::new(cli.quiet);
    let context = Context { ui, environment: Environment::read(), check_files };
    match run_to_end(context, cli.command) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            ui.error(&error);
            ExitCode::from(error.code() as u8)
        }
    }
}

fn run_to_end(context: Context, command: Command) -> Result<()> {
    // Another provider in the same process would be an error of ours, not of the user.
    let _ = cryptography().install_default();
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.map_err(|source| Error::failure("start the command").because(source))?;
    let result = runtime.block_on(run(&context, command));
    // Reads of standard input that never end must not hold the process.
    runtime.shutdown_background();
    result
}

/// AES-128 comes first, as in Go's TLS: it is what bulk data costs least with.
fn cryptography() -> CryptoProvider {
    let mut provider = rustls::crypto::ring::default_provider();
    let fast = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != fast);
    provider
}

async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Cluster(command) => cluster::run(context, command).await,
        Command::Node(command) => node::run(context, command).await,
        Command::Kubeconfig(command) => kubeconfig::run(context, command).await,
        Command::Image(command) => image::run(context, command).await,
        Command::PortForward(arguments) => port_forward::run(context, arguments).await,
        Command::NodeImage(command) => node_image::run(context, command).await,
        Command::Debug(command) => debug::run(context, command).await,
        Command::Completion(arguments) => completion::run(context, &arguments),
        Command::Version(arguments) => version::run(context, &arguments),
        Command::Create(Create::Cluster(arguments)) => {
            cluster::create::run(context, *arguments).await
        }
        Command::Delete(Delete::Cluster(arguments)) => {
            cluster::delete::run(context, arguments).await
        }
        Command::Get(Get::Clusters) => {
            let output = Format::Name;
            cluster::list::run(context, cluster::list::Arguments { output, ..Default::default() })
                .await
        }
        Command::Get(Get::Nodes(arguments)) => {
            let cluster = (!arguments.all_clusters).then_some(arguments.name);
            let output = Format::Name;
            let arguments = node::list::Arguments { cluster, output, ..Default::default() };
            node::list::run(context, arguments).await
        }
        Command::Get(Get::Kubeconfig(arguments)) => kubeconfig::get::run(context, arguments).await,
        Command::Load(Load::DockerImage(arguments)) => {
            image::load::run(context, arguments, image::load::Source::Engine).await
        }
        Command::Load(Load::ImageArchive(arguments)) => {
            image::load::run(context, arguments, image::load::Source::Archive).await
        }
        Command::Export(Export::Kubeconfig(arguments)) => {
            kubeconfig::merge::run(context, arguments).await
        }
        Command::Export(Export::Logs(arguments)) => {
            cluster::logs::run(context, arguments.into()).await
        }
    }
}
