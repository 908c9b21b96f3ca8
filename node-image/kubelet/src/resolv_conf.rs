//! /etc/resolv.conf of a pod, by its `dnsPolicy` and `dnsConfig`.

use std::net::IpAddr;

use k8s_openapi::api::core::v1::{Pod, PodDNSConfig};

use crate::pod::PodExt;

/// What one resolver file holds.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ResolvConf {
    /// `nameserver` lines.
    pub servers: Vec<String>,
    /// `search` domains.
    pub searches: Vec<String>,
    /// `options`.
    pub options: Vec<String>,
}

/// Kernel-side limits of resolver files; upstream truncates to these.
const SERVERS_MAX: usize = 3;
const SEARCHES_MAX: usize = 32;
const SEARCH_CHARACTERS_MAX: usize = 2048;

impl ResolvConf {
    /// Reads a resolver file; unknown lines are skipped.
    pub fn parse(text: &str) -> ResolvConf {
        let mut read = ResolvConf::default();
        for line in text.lines() {
            let mut words = line.split_whitespace().map(str::to_owned);
            match words.next().as_deref() {
                Some("nameserver") => read.servers.extend(words.next()),
                // The last search line wins.
                Some("search") => read.searches = words.filter(|w| w != ".").collect(),
                Some("options") => read.options = words.collect(),
                _ => {}
            }
        }
        read
    }

    /// The file's text.
    pub fn render(&self) -> String {
        let mut text = String::new();
        if !self.searches.is_empty() {
            text.push_str(&format!("search {}\n", self.searches.join(" ")));
        }
        for server in &self.servers {
            text.push_str(&format!("nameserver {server}\n"));
        }
        if !self.options.is_empty() {
            text.push_str(&format!("options {}\n", self.options.join(" ")));
        }
        text
    }
}

/// The resolver file of a pod. `node` is what the node's own file says.
pub fn for_pod(
    pod: &Pod,
    node: &ResolvConf,
    cluster_dns: &[IpAddr],
    cluster_domain: &str,
) -> ResolvConf {
    let spec = pod.spec();
    let policy = spec.dns_policy.as_deref().unwrap_or("ClusterFirst");
    let cluster_first = match policy {
        "ClusterFirstWithHostNet" => true,
        "ClusterFirst" => !pod.on_host_network(),
        _ => false,
    };
    let mut made = match policy {
        "None" => ResolvConf::default(),
        _ if cluster_first && !cluster_dns.is_empty() => {
            clustered(pod.namespace(), node, cluster_dns, cluster_domain)
        }
        _ => node.clone(),
    };
    if let Some(config) = &spec.dns_config {
        merge(&mut made, config);
    }
    limit(&mut made);
    made
}

fn clustered(
    namespace: &str,
    node: &ResolvConf,
    cluster_dns: &[IpAddr],
    domain: &str,
) -> ResolvConf {
    let mut searches = Vec::new();
    if !domain.is_empty() {
        searches =
            vec![format!("{namespace}.svc.{domain}"), format!("svc.{domain}"), domain.to_owned()];
    }
    for search in &node.searches {
        if !searches.contains(search) {
            searches.push(search.clone());
        }
    }
    let servers = cluster_dns.iter().map(IpAddr::to_string).collect();
    ResolvConf { servers, searches, options: vec!["ndots:5".into()] }
}

fn merge(made: &mut ResolvConf, config: &PodDNSConfig) {
    for server in config.nameservers.iter().flatten() {
        push_new(&mut made.servers, server.clone());
    }
    for search in config.searches.iter().flatten() {
        push_new(&mut made.searches, search.clone());
    }
    for option in config.options.iter().flatten() {
        let Some(name) = &option.name else { continue };
        let known = |text: &String| text.split(':').next() == Some(name);
        made.options.retain(|text| !known(text));
        made.options.push(match option.value.as_deref() {
            Some(value) if !value.is_empty() => format!("{name}:{value}"),
            _ => name.clone(),
        });
    }
}

fn push_new(list: &mut Vec<String>, item: String) {
    if !list.contains(&item) {
        list.push(item);
    }
}

fn limit(made: &mut ResolvConf) {
    made.servers.truncate(SERVERS_MAX);
    made.searches.truncate(SEARCHES_MAX);
    while made.searches.join(" ").len() > SEARCH_CHARACTERS_MAX {
        made.searches.pop();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn check(spec: serde_json::Value, expect: &str) {
        let pod: Pod =
            serde_json::from_value(json!({"metadata": {"namespace": "n"}, "spec": spec})).unwrap();
        let node =
            ResolvConf::parse("# x\nnameserver 127.0.0.11\nsearch lan\noptions ndots:0 edns0\n");
        let made = for_pod(&pod, &node, &["10.96.0.10".parse().unwrap()], "cluster.local");
        assert_eq!(made.render(), expect);
    }

    #[test]
    fn policies() {
        let cluster = "search n.svc.cluster.local svc.cluster.local cluster.local lan\n\
                       nameserver 10.96.0.10\noptions ndots:5\n";
        let node = "search lan\nnameserver 127.0.0.11\noptions ndots:0 edns0\n";
        check(json!({"containers": []}), cluster);
        check(json!({"containers": [], "hostNetwork": true}), node);
        check(
            json!({"containers": [], "hostNetwork": true, "dnsPolicy": "ClusterFirstWithHostNet"}),
            cluster,
        );
        check(json!({"containers": [], "dnsPolicy": "Default"}), node);
        check(
            json!({"containers": [], "dnsPolicy": "None", "dnsConfig": {"nameservers": ["1.1.1.1"],
                "searches": ["a.b"], "options": [{"name": "ndots", "value": "2"}, {"name": "edns0"}]}}),
            "search a.b\nnameserver 1.1.1.1\noptions ndots:2 edns0\n",
        );
        check(
            json!({"containers": [], "dnsConfig": {"options": [{"name": "ndots", "value": "2"}]}}),
            "search n.svc.cluster.local svc.cluster.local cluster.local lan\n\
             nameserver 10.96.0.10\noptions ndots:2\n",
        );
    }
}
