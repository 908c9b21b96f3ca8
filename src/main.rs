//! The kd command: a command-line tool on a developer's machine, and in a node every program that
//! runs there.

mod cli;
mod cluster;
mod commands;
mod config;
mod docker;
mod duration;
mod error;
mod image;
mod interrupt;
mod output;
mod port_forward;
mod resolver;
mod size;
mod switching;
mod ui;

use std::ffi::OsString;
use std::process::ExitCode;

use kd_contract::ApiServerFiles;

fn main() -> ExitCode {
    let arguments: Vec<OsString> = std::env::args_os().collect();
    match node_program(&arguments) {
        Some(code) => code,
        None => commands::main(arguments, check_files),
    }
}

/// Whether an API server would take these files; its node would only tell after it was made.
#[cfg(feature = "node")]
fn check_files(files: &ApiServerFiles) -> Result<(), String> {
    kd_node::check_api_server_files(files)
}

/// Without the node programs, it is for the node to say.
#[cfg(not(feature = "node"))]
fn check_files(_files: &ApiServerFiles) -> Result<(), String> {
    Ok(())
}

/// Runs a program of a node when kd is started as one: by its name or by a hidden subcommand.
#[cfg(feature = "node")]
fn node_program(arguments: &[OsString]) -> Option<ExitCode> {
    use kd_node::Program;
    let text = |index: usize| arguments.get(index).and_then(|argument| argument.to_str());
    let (program, used) = match text(0).and_then(Program::of_arg0) {
        Some(program) => (program, 1),
        None => (text(1).and_then(Program::named)?, 2),
    };
    let rest = arguments.get(used..).unwrap_or_default().to_vec();
    Some(ExitCode::from(kd_node::run(program, rest) as u8))
}

/// A kd without the node programs is only the command-line tool.
#[cfg(not(feature = "node"))]
fn node_program(_arguments: &[OsString]) -> Option<ExitCode> {
    None
}
