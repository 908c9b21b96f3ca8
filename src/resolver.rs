//! Names of hosts. A static glibc loads the host's libraries to resolve a name, so names are
//! resolved here: /etc/hosts and DNS.

use std::net::{IpAddr, Ipv4Addr};

use hickory_resolver::TokioResolver;
use hickory_resolver::net::NetError;

/// The first address of a host: a literal one, `localhost`, or what /etc/hosts and DNS say.
pub async fn address_of(host: &str) -> Result<IpAddr, NetError> {
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    if let Ok(address) = bare.parse() {
        return Ok(address);
    }
    if bare == "localhost" {
        return Ok(Ipv4Addr::LOCALHOST.into());
    }
    let resolver = TokioResolver::builder_tokio()?.build()?;
    let found = resolver.lookup_ip(bare).await?;
    found.iter().next().ok_or_else(|| NetError::from("the name has no address"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_need_no_resolver() {
        let check = |host: &'static str, expect: &'static str| async move {
            assert_eq!(address_of(host).await.unwrap().to_string(), expect);
        };
        check("192.0.2.1", "192.0.2.1").await;
        check("[::1]", "::1").await;
        check("::1", "::1").await;
        check("localhost", "127.0.0.1").await;
    }
}
