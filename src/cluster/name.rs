//! Names of clusters and of what belongs to them.

use crate::error::{Error, ExitCode, Result};

/// The cluster that commands mean when none is named.
pub const DEFAULT_CLUSTER: &str = "kd";
/// Before every Docker object and kubeconfig entry of a cluster.
const PREFIX: &str = "kd-";
/// A node's name is a host name of at most 63 bytes: `kd-<cluster>-server-9999`.
const LENGTH_MAX: usize = 63 - "kd-".len() - "-server-9999".len();

/// Checks a new cluster's name.
pub fn check(name: &str) -> Result<()> {
    let lower = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit();
    let reason = if name.is_empty() {
        "it is empty".to_owned()
    } else if name.len() > LENGTH_MAX {
        format!("it is longer than {LENGTH_MAX} characters")
    } else if !name.chars().all(|c| lower(c) || c == '-') {
        "only lower-case letters, digits and '-' may be in it".to_owned()
    } else if !name.starts_with(lower) || !name.ends_with(lower) {
        "it must begin and end with a letter or digit".to_owned()
    } else {
        return Ok(());
    };
    let message = format!("{name:?} cannot be a cluster's name: {reason}");
    Err(Error::new(ExitCode::BadName, message).hint("for example: kd cluster create my-cluster"))
}

/// The name of the cluster's kubeconfig context, cluster and user.
pub fn context(cluster: &str) -> String {
    format!("{PREFIX}{cluster}")
}

/// The name of the cluster's network.
pub fn network(cluster: &str) -> String {
    format!("{PREFIX}{cluster}")
}

/// The name of a node, which is its container's, its volume's and its host name too.
pub fn node(cluster: &str, role: &str, index: usize) -> String {
    format!("{PREFIX}{cluster}-{role}-{index}")
}

/// The name of the load balancer's container.
pub fn load_balancer(cluster: &str) -> String {
    format!("{PREFIX}{cluster}-loadbalancer")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_clusters() {
        let is_good = |name: &str| check(name).is_ok();
        let check = |name: &str, good: bool| assert_eq!(is_good(name), good, "{name}");
        check("a", true);
        check("my-cluster-2", true);
        check("2nd", true);
        check(&"a".repeat(LENGTH_MAX), true);
        check(&"a".repeat(LENGTH_MAX + 1), false);
        check("", false);
        check("-a", false);
        check("a-", false);
        check("A", false);
        check("a_b", false);
        check("a.b", false);
        check("ä", false);
    }

    #[test]
    fn names_fit_into_host_names() {
        assert!(node(&"a".repeat(LENGTH_MAX), "server", 9999).len() <= 63);
        assert_eq!(node("x", "agent", 1), "kd-x-agent-1");
        assert_eq!(context("x"), "kd-x");
    }
}
