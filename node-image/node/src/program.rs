//! The programs of a node: one table, by the name they are started with.

use std::ffi::OsString;

use crate::{Error, ExitCode, control_plane, images, init, kubelet, load_balancer, service_rules};

/// A program that the kd binary is in a node.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Program {
    /// PID 1.
    Init,
    /// API server, controllers, scheduler.
    ControlPlane,
    /// Kubelet and service proxy.
    Kubelet,
    /// Leads ports of a container of its own to the nodes.
    LoadBalancer,
    /// Holds one pod's containers.
    Shim,
    /// Reads an image archive on stdin.
    ImageImport,
    /// Forgets nodes that are no more, and removes layers that nothing uses.
    ImageForget,
    /// Prints this node's images as JSON.
    ImageList,
    /// Prints the nodes that use the host's layers as JSON.
    ImageUsers,
    /// Prints this node's rules for Services as JSON.
    ServiceRules,
}

/// Names on the command line (`kd <name>`) and as argv[0] (`kd-<name>`).
const NAMES: [(&str, Program); 10] = [
    ("control-plane", Program::ControlPlane),
    ("image-forget", Program::ImageForget),
    ("image-import", Program::ImageImport),
    ("image-list", Program::ImageList),
    ("image-users", Program::ImageUsers),
    ("init", Program::Init),
    ("kubelet", Program::Kubelet),
    (kd_contract::LOAD_BALANCER_PROGRAM, Program::LoadBalancer),
    (kd_contract::SERVICE_RULES_PROGRAM, Program::ServiceRules),
    ("shim", Program::Shim),
];

impl Program {
    /// The program of a hidden subcommand.
    pub fn named(name: &str) -> Option<Program> {
        NAMES.iter().find(|(known, _)| *known == name).map(|(_, program)| *program)
    }

    /// The program of an argv[0] such as `kd-kubelet`, with or without a directory.
    pub fn of_arg0(arg0: &str) -> Option<Program> {
        let file = arg0.rsplit('/').next().unwrap_or(arg0);
        Program::named(file.strip_prefix("kd-")?)
    }

    /// The name of the program.
    pub fn name(self) -> &'static str {
        NAMES.iter().find(|(_, program)| *program == self).map_or("", |(name, _)| name)
    }
}

/// Runs a program to its end with the arguments that follow its name. Messages go to stderr, the
/// protocol with kd to stdout.
pub fn run(program: Program, arguments: Vec<OsString>) -> ExitCode {
    let done = match program {
        Program::Init => init::run(),
        Program::ControlPlane => control_plane::run(),
        Program::Kubelet => kubelet::run(),
        Program::LoadBalancer => load_balancer::run(),
        Program::Shim => return shim(arguments),
        Program::ImageImport => images::import(&arguments),
        Program::ImageForget => images::forget(&arguments),
        Program::ImageList => images::list(),
        Program::ImageUsers => images::users(),
        Program::ServiceRules => service_rules::list(),
    };
    match done {
        Ok(()) => ExitCode::Success,
        Err(error) => {
            eprintln!("kd-{}: {}", program.name(), chain(&error));
            if matches!(error, Error::Configuration(_)) {
                println!("kd: failed {}", chain(&error).replace('\n', " "));
            }
            error.exit_code()
        }
    }
}

fn shim(arguments: Vec<OsString>) -> ExitCode {
    match kd_runtime::shim_main(arguments) {
        0 => ExitCode::Success,
        _ => ExitCode::Failure,
    }
}

/// An error with the causes that its own text does not hold.
pub(crate) fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut source = error.source();
    while let Some(cause) = source {
        let cause_text = cause.to_string();
        if !text.contains(&cause_text) {
            text = format!("{text}: {cause_text}");
        }
        source = cause.source();
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_program_is_found_by_its_names() {
        for (name, program) in NAMES {
            assert_eq!(Program::named(name), Some(program));
            assert_eq!(Program::of_arg0(&format!("/usr/bin/kd-{name}")), Some(program));
            assert_eq!(program.name(), name);
        }
        assert_eq!(Program::of_arg0("kd"), None);
        assert_eq!(Program::named("cluster"), None);
        assert!(NAMES.is_sorted_by_key(|(name, _)| *name));
    }
}
