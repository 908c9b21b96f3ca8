//! `kd completion`.

use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::Context;
use crate::cli::Cli;
use crate::error::Result;

/// Arguments of `kd completion`.
#[derive(Debug, Args)]
pub struct Arguments {
    /// The shell.
    #[arg(value_enum)]
    shell: Shell,
}

/// Prints a completion script.
pub fn run(context: &Context, arguments: &Arguments) -> Result<()> {
    context.ui.bytes(&script(arguments.shell));
    Ok(())
}

fn script(shell: Shell) -> Vec<u8> {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "kd", &mut script);
    script
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The scripts under completions/ are those of this command line. To renew one:
    /// `kd completion bash > completions/kd.bash`.
    #[test]
    fn the_committed_scripts_are_fresh() {
        let directory = concat!(env!("CARGO_MANIFEST_DIR"), "/completions");
        let files = [
            (Shell::Bash, "kd.bash"),
            (Shell::Fish, "kd.fish"),
            (Shell::PowerShell, "kd.ps1"),
            (Shell::Zsh, "_kd"),
        ];
        for (shell, file) in files {
            let committed = std::fs::read(format!("{directory}/{file}")).unwrap_or_default();
            assert!(committed == script(shell), "completions/{file}: kd completion {shell}");
        }
    }
}
