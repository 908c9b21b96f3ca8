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
    /// Create, list, edit, stop, start and delete clusters.
    #[command(subcommand, visible_alias = "clusters")]
    Cluster(commands::cluster::Command),
    /// List, add and remove the nodes of clusters.
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
    /// Look into clusters.
    #[command(subcommand)]
    Debug(commands::debug::Command),
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
    Cluster(Box<commands::cluster::create::Arguments>),
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
    /// Write a cluster's logs into a folder.
    Logs(commands::cluster::logs::KindArguments),
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;

    /// What clap says to a wrong or asking command line, whatever terminal the test runs in.
    fn said(line: &str) -> String {
        let command = Cli::command().term_width(100);
        let error = command.try_get_matches_from(line.split_whitespace()).unwrap_err();
        error.to_string()
    }

    #[test]
    fn the_commands_are_consistent_and_documented() {
        fn walk(command: &clap::Command) {
            let name = command.get_name();
            assert!(command.get_about().is_some(), "{name} has no text");
            for argument in command.get_arguments().filter(|argument| !argument.is_hide_set()) {
                assert!(argument.get_help().is_some(), "{name}: {} has no text", argument.get_id());
            }
            command.get_subcommands().for_each(walk);
        }
        Cli::command().debug_assert();
        walk(&Cli::command());
    }

    #[test]
    fn both_spellings_parse() {
        let good = |line: &str| assert!(Cli::try_parse_from(line.split(' ')).is_ok(), "{line}");
        good("kd cluster create");
        good("kd cluster create x --agents 2 --timings --api-port 6443");
        good("kd cluster create x --kubeconfig-update --switch-context");
        good("kd create cluster --name x --wait 5m --image node:1 --retain");
        good("kd create cluster -n x --wait");
        good("kd cluster delete a b");
        good("kd cluster rm --all");
        good("kd delete cluster --name x");
        good("kd delete clusters --all");
        good("kd get clusters");
        good("kd get nodes --name x");
        good("kd get kubeconfig --name x --internal");
        good("kd export kubeconfig --name x");
        good("kd export logs ./logs --name x");
        good("kd create cluster --config kind.yaml");
        good("kd cluster create x -c - --no-rollback --volume /a:/b --node-label a=b@agent:0");
        good("kd cluster edit x --port-add 8080:80@loadbalancer --port-delete 81");
        good("kd node create -c x --replicas 2");
        good("kd node delete kd-x-agent-0");
        good("kd node stop kd-x-agent-0");
        good("kd node start kd-x-agent-0 --timeout 5m");
        good("kd cluster create x -v /a:/b --k3s-node-label a=b@agent:0 --no-lb --wait=true");
        good("kd cluster create x --api-port 0.0.0.0:6550 --kubeconfig-update-default=false");
        good("kd cluster create x --kubeconfig-switch-context=false --host-alias 192.0.2.7:db");
        good("kd cluster list x y --no-headers");
        good("kd cluster start x --wait --timeout 60s");
        good("kd cluster delete -c k3d.yaml");
        good("kd kubeconfig get --all");
        good("kd kubeconfig write x -o -");
        good("kd kubeconfig merge x -d -s=false -u --output file");
        good("kd load docker-image a:1 b:2 --name x");
        good("kd load image-archive a.tar --name x");
        good("kd image import a:1 -c x");
        good("kd port-forward svc/web 8080:80 :443 -n y --address localhost,10.0.0.1");
        good("kd port-forward nginx http --pod-running-timeout 1m30s -q");
    }

    #[test]
    fn mistakes() {
        insta::assert_snapshot!(said("kd clutser list"), @r"
        error: unrecognized subcommand 'clutser'

          tip: some similar subcommands exist: 'clusters', 'cluster'

        Usage: kd [OPTIONS] <COMMAND>

        For more information, try '--help'.
        ");
        insta::assert_snapshot!(said("kd port-forward node/x 80"), @r#"
        error: invalid value 'node/x' for '<TYPE/NAME>': "node" has no pods to forward to; use one of pod, service, replicationcontroller, daemonset, deployment, replicaset, statefulset, job

        For more information, try '--help'.
        "#);
        insta::assert_snapshot!(said("kd port-forward nginx 80:x:y"), @r#"
        error: invalid value '80:x:y' for '<[LOCAL:]REMOTE>...': "x:y" is not a port

        For more information, try '--help'.
        "#);
        insta::assert_snapshot!(said("kd cluster create --timeout soon"), @r#"
        error: invalid value 'soon' for '--timeout <DURATION>': "soon" is not a duration such as 90s, 1m30s or 2h

        For more information, try '--help'.
        "#);
        insta::assert_snapshot!(said("kd cluster delete a --all"), @r"
        error: the argument '[NAME]...' cannot be used with '--all'

        Usage: kd cluster delete <NAME>...

        For more information, try '--help'.
        ");
    }

    #[test]
    fn help() {
        insta::assert_snapshot!(said("kd --help"), @r"
        Kubernetes in Docker: clusters that start in about a second

        Usage: kd [OPTIONS] <COMMAND>

        Commands:
          cluster       Create, list, edit, stop, start and delete clusters [alias: clusters]
          node          List, add and remove the nodes of clusters [alias: nodes]
          kubeconfig    Print a cluster's kubeconfig or merge it into yours
          image         Load images into a cluster and list them [alias: images]
          port-forward  Forward local ports to a pod
          node-image    Build and inspect the image that nodes are made of
          debug         Look into clusters
          completion    Print a completion script for a shell
          version       Print the version

        Options:
          -q, --quiet    Print errors and data only
          -h, --help     Print help
          -V, --version  Print version
        ");
    }
}
