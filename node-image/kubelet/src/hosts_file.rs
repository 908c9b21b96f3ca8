//! /etc/hosts and the host name of a pod.

use std::fmt::Write;
use std::net::IpAddr;

use k8s_openapi::api::core::v1::{HostAlias, Pod};

use crate::pod::PodExt;

/// The longest host name of a UTS namespace, bytes.
const HOSTNAME_BYTES_MAX: usize = 63;

/// A pod's host name and domain ("" when it has no subdomain).
pub fn hostname_and_domain(pod: &Pod, cluster_domain: &str) -> (String, String) {
    let spec = pod.spec();
    let given = |text: &Option<String>| text.clone().filter(|t| !t.is_empty());
    if let Some(name) = given(&spec.hostname_override) {
        return (name, String::new());
    }
    let name = given(&spec.hostname).unwrap_or_else(|| pod.name().to_owned());
    let domain = given(&spec.subdomain)
        .map(|sub| format!("{sub}.{}.svc.{cluster_domain}", pod.namespace()))
        .unwrap_or_default();
    (truncated(&name), domain)
}

/// What `hostname` prints in the pod, or why it cannot be set.
pub fn kernel_hostname(pod: &Pod, cluster_domain: &str) -> Result<String, String> {
    let (name, domain) = hostname_and_domain(pod, cluster_domain);
    if pod.spec().set_hostname_as_fqdn != Some(true) || domain.is_empty() {
        return Ok(name);
    }
    let full = format!("{name}.{domain}");
    if full.len() > HOSTNAME_BYTES_MAX {
        return Err(format!(
            "failed to construct FQDN from pod hostname and cluster domain, FQDN {full} is too long \
             ({HOSTNAME_BYTES_MAX} characters is the max, {} characters requested)",
            full.len()
        ));
    }
    Ok(full)
}

fn truncated(name: &str) -> String {
    name[..name.floor_char_boundary(HOSTNAME_BYTES_MAX)].trim_end_matches(['-', '.']).to_owned()
}

/// /etc/hosts of a pod with its own network.
pub fn hosts(addresses: &[IpAddr], name: &str, domain: &str, aliases: &[HostAlias]) -> String {
    let mut text = String::from(
        "# Kubernetes-managed hosts file.\n\
         127.0.0.1\tlocalhost\n\
         ::1\tlocalhost ip6-localhost ip6-loopback\n\
         fe00::0\tip6-localnet\n\
         fe00::0\tip6-mcastprefix\n\
         fe00::1\tip6-allnodes\n\
         fe00::2\tip6-allrouters\n",
    );
    for address in addresses {
        let _ = match domain {
            "" => writeln!(text, "{address}\t{name}"),
            _ => writeln!(text, "{address}\t{name}.{domain}\t{name}"),
        };
    }
    text.push_str(&alias_lines(aliases));
    text
}

/// /etc/hosts of a pod on the host network, from the node's own.
pub fn node_hosts(node_file: &str, aliases: &[HostAlias]) -> String {
    format!("# Kubernetes-managed hosts file (host network).\n{node_file}{}", alias_lines(aliases))
}

fn alias_lines(aliases: &[HostAlias]) -> String {
    if aliases.is_empty() {
        return String::new();
    }
    let mut text = String::from("\n# Entries added by HostAliases.\n");
    for alias in aliases {
        let names = alias.hostnames.as_deref().unwrap_or_default().join("\t");
        let _ = writeln!(text, "{}\t{names}", alias.ip);
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn names() {
        let check = |spec, name: &str, domain: &str, kernel: &str| {
            let pod: Pod = serde_json::from_value(
                json!({"metadata": {"name": "p", "namespace": "n"}, "spec": spec}),
            )
            .unwrap();
            assert_eq!(hostname_and_domain(&pod, "cluster.local"), (name.into(), domain.into()));
            assert_eq!(kernel_hostname(&pod, "cluster.local").unwrap(), kernel);
        };
        check(json!({"containers": []}), "p", "", "p");
        let domain = "s.n.svc.cluster.local";
        check(json!({"containers": [], "hostname": "h", "subdomain": "s"}), "h", domain, "h");
        check(
            json!({"containers": [], "subdomain": "s", "setHostnameAsFQDN": true}),
            "p",
            domain,
            "p.s.n.svc.cluster.local",
        );
        assert_eq!(truncated(&format!("{}-b", "a".repeat(62))), "a".repeat(62));
    }

    #[test]
    fn files() {
        let alias =
            HostAlias { ip: "1.2.3.4".into(), hostnames: Some(vec!["a".into(), "b".into()]) };
        let text =
            hosts(&["10.0.0.5".parse().unwrap()], "p", "s.n.svc.c", std::slice::from_ref(&alias));
        assert!(text.starts_with("# Kubernetes-managed hosts file.\n127.0.0.1\tlocalhost\n"));
        assert!(text.ends_with(
            "10.0.0.5\tp.s.n.svc.c\tp\n\n# Entries added by HostAliases.\n1.2.3.4\ta\tb\n"
        ));
        assert_eq!(
            node_hosts("127.0.0.1 localhost\n", &[]),
            "# Kubernetes-managed hosts file (host network).\n127.0.0.1 localhost\n"
        );
    }
}
