//! `kd debug`.

pub mod proxy;

use clap::Subcommand;

use super::Context;
use crate::error::Result;

/// What can be looked at.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Show what a node's kernel does with packets to Services.
    Proxy(proxy::Arguments),
}

/// Shows it.
pub async fn run(context: &Context, command: Command) -> Result<()> {
    match command {
        Command::Proxy(arguments) => proxy::run(context, arguments).await,
    }
}
