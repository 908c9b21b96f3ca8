//! The ConfigMap `kube-system/coredns`, as far as its users mean this server: `hosts`, `forward`,
//! `rewrite name` and `log` of its Corefile, and the hosts file `NodeHosts`
//! (<https://coredns.io/manual/configuration/>).

use std::net::{IpAddr, SocketAddr};

use hickory_proto::rr::Name;
use k8s_openapi::api::core::v1::ConfigMap;
use kd_client::{Cache, Client, Interest, Selectors, View, resources};
use tokio::sync::watch;

use crate::rules::{NameRules, absolute};
use crate::server::PORT;

const NAMESPACE: &str = "kube-system";
const NAME: &str = "coredns";
const COREFILE: &str = "Corefile";
const NODE_HOSTS: &str = "NodeHosts";
/// Servers of one domain.
const UPSTREAMS_MAX: usize = 15;

/// Keeps `rules` equal to the ConfigMap, on top of `base`, until nobody listens.
pub(crate) async fn follow(client: Client, base: NameRules, rules: watch::Sender<NameRules>) {
    let interest = Interest {
        selectors: Selectors {
            namespace: NAMESPACE.into(),
            fields: format!("metadata.name={NAME}"),
            ..Selectors::default()
        },
        ..Interest::full(&resources::CONFIG_MAPS)
    };
    let (cache, mut changes) = Cache::start(client, vec![interest]);
    loop {
        let batch = tokio::select! {
            batch = changes.next() => batch,
            () = rules.closed() => return,
        };
        if batch.is_none() {
            return;
        }
        let now = with_config_map(&base, &cache.view());
        rules.send_if_modified(|before| {
            let is_new = *before != now;
            *before = now;
            is_new
        });
    }
}

fn with_config_map(base: &NameRules, view: &View) -> NameRules {
    let mut rules = base.clone();
    let map = view.get::<ConfigMap>(NAMESPACE, NAME);
    let data = map.and_then(|map| map.data).unwrap_or_default();
    if let Some(hosts) = data.get(NODE_HOSTS) {
        hosts.lines().for_each(|line| host_line(line, &mut rules));
    }
    if let Some(corefile) = data.get(COREFILE) {
        read(corefile, &mut rules);
    }
    rules
}

/// Reads a Corefile: server blocks of domains, with plugins in them, some with blocks of their own.
pub(crate) fn read(text: &str, rules: &mut NameRules) {
    let mut domains: Vec<Name> = Vec::new();
    // The names of the blocks that are open: that of the server first.
    let mut open: Vec<String> = Vec::new();
    for line in text.lines() {
        let line = line.split('#').next().unwrap_or_default();
        let words: Vec<&str> = line.split_whitespace().collect();
        let (opens, words) = match words.split_last() {
            Some((&"{", words)) => (true, words),
            _ => (false, words.as_slice()),
        };
        match (words, open.as_slice()) {
            (["}"], _) => {
                open.pop();
                continue;
            }
            ([], _) => {}
            (words, []) => domains = words.iter().filter_map(|word| domain(word)).collect(),
            (words, [_]) => plugin(words, &domains, rules),
            (_, [_, plugin]) if plugin == "hosts" => host_line(line, rules),
            _ => {}
        }
        if opens {
            open.push(words.first().copied().unwrap_or_default().to_owned());
        }
    }
}

/// The domain of a server: `.:53`, `corp.example:53`, `dns://corp.example`.
fn domain(word: &str) -> Option<Name> {
    let word = word.trim_end_matches(',');
    let word = word.rsplit_once("://").map_or(word, |(_, rest)| rest);
    absolute(word.rsplit_once(':').map_or(word, |(domain, _)| domain))
}

fn plugin(words: &[&str], domains: &[Name], rules: &mut NameRules) {
    match words {
        ["forward" | "proxy", from, to @ ..] => {
            let servers = to.iter().filter_map(|word| server(word)).take(UPSTREAMS_MAX);
            let servers: Vec<SocketAddr> = servers.collect();
            if servers.is_empty() {
                // The node's own resolvers, by the name of their file.
                return;
            }
            let of =
                if *from == "." { domains.to_vec() } else { absolute(from).into_iter().collect() };
            rules.forwards.extend(of.into_iter().map(|domain| (domain, servers.clone())));
        }
        ["rewrite", "continue" | "stop", rest @ ..] => rewrite(rest, rules),
        ["rewrite", rest @ ..] => rewrite(rest, rules),
        ["log", ..] => rules.log = true,
        _ => {}
    }
}

/// Only whole names are rewritten.
fn rewrite(words: &[&str], rules: &mut NameRules) {
    match words {
        ["name", "exact", from, to, ..] => rules.add_alias(from, to),
        ["name", "prefix" | "suffix" | "substring" | "regex", ..] => {}
        ["name", from, to, ..] => rules.add_alias(from, to),
        _ => {}
    }
}

fn server(word: &str) -> Option<SocketAddr> {
    let word = word.strip_prefix("dns://").unwrap_or(word);
    let address = word.parse::<IpAddr>().ok().map(|ip| SocketAddr::new(ip, PORT));
    address.or_else(|| word.parse().ok())
}

/// `192.0.2.7 db.example db`, as in a hosts file.
fn host_line(line: &str, rules: &mut NameRules) {
    let line = line.split('#').next().unwrap_or_default();
    let mut words = line.split_whitespace();
    let Some(Ok(address)) = words.next().map(str::parse::<IpAddr>) else { return };
    for name in words.filter(|word| *word != "{") {
        rules.add_host(name, address);
    }
}

#[cfg(test)]
mod tests {
    use hickory_proto::rr::RecordType;

    use super::*;

    #[test]
    fn what_users_write() {
        let mut rules = NameRules::default();
        read(
            ".:53 {
                errors
                log
                health {
                    lameduck 5s
                }
                rewrite name exact old.example new.example
                rewrite stop name api.example kubernetes.default.svc.cluster.local
                rewrite name regex (.*)x y
                hosts /etc/coredns/NodeHosts {
                    192.0.2.7 db.example db # the one
                    ttl 60
                    fallthrough
                }
                kubernetes cluster.local in-addr.arpa ip6.arpa {
                    pods insecure
                }
                forward . /etc/resolv.conf {
                    max_concurrent 1000
                }
            }
            corp.example:53 lab.example {
                forward . 10.0.0.53 10.0.0.54:5353
            }",
            &mut rules,
        );
        assert!(rules.log);
        let is = |name: &str| absolute(name).unwrap();
        assert_eq!(rules.alias(&is("OLD.example")), Some(&is("new.example")));
        assert!(rules.alias(&is("api.example")).is_some());
        assert_eq!(rules.aliases.len(), 2);
        assert_eq!(rules.records(&is("db"), RecordType::A).unwrap().len(), 1);
        assert_eq!(rules.hosts.len(), 2);
        let shown: Vec<String> =
            rules.forwards.iter().map(|(name, to)| format!("{name} {to:?}")).collect();
        let to = "[10.0.0.53:53, 10.0.0.54:5353]";
        assert_eq!(shown, [format!("corp.example. {to}"), format!("lab.example. {to}")]);
    }

    #[test]
    fn a_server_for_everything() {
        let mut rules = NameRules::default();
        read(".:53 {\nforward . 8.8.8.8\n}\n", &mut rules);
        assert_eq!(rules.upstreams(&absolute("a.example").unwrap()).unwrap().len(), 1);
        for broken in
            ["", "{", "}", "} }", ".:53 {\nforward", "rewrite name a", ". {\nhosts {\n1.2.3.4"]
        {
            read(broken, &mut rules);
        }
    }
}
