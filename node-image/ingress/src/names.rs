//! Backends outside of the cluster: the names of ExternalName Services, resolved when they are asked.

use std::borrow::Cow;
use std::net::{IpAddr, SocketAddr};

use hickory_resolver::TokioResolver;
use hickory_resolver::config::{NameServerConfig, ResolverConfig};
use hickory_resolver::net::runtime::TokioRuntimeProvider;

use crate::route::{Backend, External};

/// Resolves names; answers are kept for as long as they say.
pub(crate) struct Names {
    resolver: Option<TokioResolver>,
}

impl Names {
    /// Asks these DNS servers; without any, no name is known.
    pub(crate) fn new(servers: &[IpAddr]) -> Names {
        if servers.is_empty() {
            return Names { resolver: None };
        }
        let servers = servers.iter().map(|server| NameServerConfig::udp_and_tcp(*server)).collect();
        let config = ResolverConfig::from_parts(None, Vec::new(), servers);
        let provider = TokioRuntimeProvider::default();
        let built = TokioResolver::builder_with_config(config, provider).build();
        if let Err(error) = &built {
            tracing::error!(%error, "names of ExternalName Services are not resolved");
        }
        Names { resolver: built.ok() }
    }

    /// Who answers for a backend now.
    pub(crate) async fn endpoints<'b>(&self, backend: &'b Backend) -> Cow<'b, [SocketAddr]> {
        match &backend.external {
            None => Cow::Borrowed(&backend.endpoints),
            Some(external) => Cow::Owned(self.resolve(external).await),
        }
    }

    async fn resolve(&self, External { name, port }: &External) -> Vec<SocketAddr> {
        let addresses: Vec<IpAddr> = match (name.parse::<IpAddr>(), &self.resolver) {
            (Ok(address), _) => vec![address],
            (Err(_), None) => Vec::new(),
            // The final dot keeps search domains out.
            (Err(_), Some(resolver)) => match resolver.lookup_ip(format!("{name}.")).await {
                Ok(found) => found.iter().collect(),
                Err(error) => {
                    tracing::debug!(%name, %error, "the name of a Service does not resolve");
                    Vec::new()
                }
            },
        };
        let allowed = addresses.into_iter().filter(|address| !is_own(address));
        allowed.map(|address| SocketAddr::new(address, *port)).collect()
    }
}

/// Whoever may make Services must not reach what listens for this node alone.
fn is_own(address: &IpAddr) -> bool {
    let address = address.to_canonical();
    address.is_loopback() || address.is_unspecified() || address.is_multicast()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_need_no_server() {
        let names = Names::new(&[]);
        for (name, expect) in [
            ("192.0.2.1", Some("192.0.2.1:80")),
            ("2001:db8::1", Some("[2001:db8::1]:80")),
            ("127.0.0.1", None),
            ("::1", None),
            ("::ffff:127.0.0.1", None),
            ("0.0.0.0", None),
            ("web.example.com", None),
        ] {
            let found = names.resolve(&External { name: name.into(), port: 80 }).await;
            let expect: Vec<SocketAddr> = expect.iter().map(|text| text.parse().unwrap()).collect();
            assert_eq!(found, expect, "{name}");
        }
    }
}
