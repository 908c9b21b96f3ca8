//! What users of kind and k3d type that kd has no word for, and what to type instead.

use std::ffi::OsString;

use clap::Error;
use clap::error::{ContextKind, ContextValue, ErrorKind};

const NO_K3S: &str = "kd runs no k3s: --disable ingress stands for its --disable=traefik, \
                      --kubelet-arg for a kubelet's flag, --pod-cidr and --service-cidr for its \
                      ranges";
const QUIET: &str = "kd tells what it does; --timings prints how long it takes, and \
                     `kd cluster logs` writes what nodes say";
const STRAIGHT: &str = "images go straight into the nodes: leave it out";
const REGISTRY: &str = "there is no registry of kd: `kd image load` brings images, and nodes pull \
                        from registries that they reach (--insecure-registry, --registry-ca)";

/// Flags, with what to type instead.
const FLAGS: &[(&str, &str)] = &[
    ("--agents-memory", "--memory limits every node"),
    ("--env", "nodes run nothing that reads variables of yours"),
    ("--gpus", "devices come from device plugins, as on any cluster"),
    ("--host-pid-mode", "pods with hostPID see the processes of their node"),
    ("--k3s-arg", NO_K3S),
    ("--keep-tarball", STRAIGHT),
    ("--keep-tools", STRAIGHT),
    ("--lb-config-override", "--port is all that there is to say about the load balancer"),
    ("--loglevel", QUIET),
    ("--mode", STRAIGHT),
    ("--network", "each cluster has a network of its own; --subnet chooses its range"),
    ("--no-image-volume", "nodes of all clusters share their images: leave it out"),
    ("--nodes", "images are loaded into all nodes: leave it out"),
    ("--registry-create", REGISTRY),
    ("--registry-use", REGISTRY),
    ("--runtime-label", "--node-label gives labels to the Node objects"),
    ("--runtime-ulimit", "nodes have the limits of the Docker engine"),
    ("--servers-memory", "--memory limits every node"),
    ("--timestamps", QUIET),
    ("--token", "nodes are added without a token: kd node create"),
    ("--trace", QUIET),
    ("--verbose", QUIET),
    ("--verbosity", QUIET),
    ("-e", "nodes run nothing that reads variables of yours"),
];

/// Commands, with what to type instead.
const COMMANDS: &[(&[&str], &str)] = &[
    (&["build"], "kd node-image build"),
    (&["config"], "kd cluster create --config FILE takes kind's and k3d's files as they are"),
    (&["list"], "kd cluster list"),
    (&["node", "edit"], "kd cluster edit NAME --port-add 8080:80@loadbalancer"),
    (&["registry"], REGISTRY),
    (&["runtime-info"], "docker info"),
    (&["start"], "kd cluster create makes a cluster, kd cluster start starts one that is stopped"),
    (&["stop"], "kd cluster stop"),
];

/// What to type instead of a command line that was not understood.
pub fn hint(error: &Error, arguments: &[OsString]) -> Option<&'static str> {
    match error.kind() {
        ErrorKind::UnknownArgument => {
            let Some(ContextValue::String(flag)) = error.get(ContextKind::InvalidArg) else {
                return None;
            };
            FLAGS.iter().find(|(known, _)| known == flag).map(|(_, instead)| *instead)
        }
        ErrorKind::InvalidSubcommand => {
            let words = arguments.iter().skip(1).filter_map(|argument| argument.to_str());
            let words: Vec<&str> = words.filter(|word| !word.starts_with('-')).collect();
            let known = COMMANDS.iter().find(|(command, _)| words.starts_with(command));
            known.map(|(_, instead)| *instead)
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use clap::{CommandFactory, Parser};

    use super::*;
    use crate::cli::Cli;

    fn hint_of(line: &str) -> Option<&'static str> {
        let arguments: Vec<OsString> = line.split(' ').map(OsString::from).collect();
        hint(&Cli::try_parse_from(&arguments).err()?, &arguments)
    }

    #[test]
    fn every_row_is_reached_and_sorted() {
        for (flag, instead) in FLAGS {
            let lines = ["kd cluster create x", "kd image load x"];
            assert!(
                lines.iter().any(|line| hint_of(&format!("{line} {flag}")) == Some(*instead)),
                "{flag}"
            );
        }
        for (command, instead) in COMMANDS {
            assert_eq!(hint_of(&format!("kd {} x", command.join(" "))), Some(*instead));
        }
        assert!(FLAGS.is_sorted_by_key(|(flag, _)| flag));
        assert!(COMMANDS.is_sorted_by_key(|(command, _)| command));
    }

    #[test]
    fn others_get_no_hint() {
        assert_eq!(hint_of("kd cluster create --colour"), None);
        assert_eq!(hint_of("kd clutser"), None);
        assert_eq!(hint_of("kd cluster list"), None);
    }

    /// What is hinted at is there.
    #[test]
    fn hints_name_commands_of_kd() {
        let root = Cli::command();
        for (_, instead) in COMMANDS.iter().filter(|(_, instead)| instead.starts_with("kd ")) {
            let first = instead.split([',', ' ']).nth(1).unwrap_or_default();
            assert!(root.find_subcommand(first).is_some(), "{instead}");
        }
    }
}
