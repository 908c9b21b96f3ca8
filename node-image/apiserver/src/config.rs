//! What an API server is told when it is built.

use std::net::IpAddr;
use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use ipnet::IpNet;

use crate::audit::AuditConfig;
use crate::authn::AuthenticationConfiguration;
use crate::authz::AuthorizationConfiguration;
pub use crate::token::Clock;

/// Where randomness comes from: 128 bits at a time.
pub type Random = Arc<dyn Fn() -> u128 + Send + Sync>;

/// Plain data; [`Config::new`] fills in upstream's defaults.
#[derive(Clone, Debug)]
pub struct Config {
    /// The key that signs ServiceAccount tokens, PKCS#8 PEM.
    pub token_key_pem: String,
    /// `--token-auth-file`'s content, may be empty.
    pub static_tokens: String,
    /// Who asked what is logged, if this says how.
    pub audit: Option<AuditConfig>,
    /// The cluster's CA certificate, for the ConfigMap `kube-root-ca.crt` of each namespace.
    pub ca_certificate_pem: String,
    /// How this server speaks for users to aggregated servers, and who may speak for users to it.
    pub front_proxy: Option<FrontProxy>,
    /// Cluster IPs come from here; the first range is the preferred family.
    pub service_ranges: Vec<IpNet>,
    /// Node ports come from here.
    pub node_ports: RangeInclusive<u16>,
    /// Where this server is reached by pods: the endpoints of the service `default/kubernetes`.
    pub advertised: Vec<IpAddr>,
    /// The port there.
    pub port: u16,
    /// How long Events are kept.
    pub event_lifetime: Duration,
    /// Requests that run at the same time, over all priority levels:
    /// `--max-requests-inflight` and `--max-mutating-requests-inflight` together.
    pub seats: usize,
    /// OIDC issuers that are believed.
    pub authentication: Option<AuthenticationConfiguration>,
    /// Who decides what is allowed; None for Node and RBAC.
    pub authorization: Option<AuthorizationConfiguration>,
    /// `v1.36.0+kd0.1.0`
    pub version: String,
    /// The commit this was built from, hexadecimal.
    pub commit: String,
    /// When that commit was made, RFC 3339.
    pub build_date: String,
}

/// A front proxy's certificate, and the authority of all front proxies, which signs nothing else.
#[derive(Clone)]
pub struct FrontProxy {
    /// The authority, PEM.
    pub ca_certificate_pem: String,
    /// The client certificate for `front-proxy-client`, PEM.
    pub certificate_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
}

impl std::fmt::Debug for FrontProxy {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("FrontProxy")
    }
}

impl Config {
    /// A cluster with one range of service addresses.
    pub fn new(token_key_pem: String, ca_certificate_pem: String, services: IpNet) -> Config {
        Config {
            token_key_pem,
            static_tokens: String::new(),
            audit: None,
            ca_certificate_pem,
            front_proxy: None,
            service_ranges: vec![services],
            node_ports: 30000..=32767,
            advertised: Vec::new(),
            port: 6443,
            event_lifetime: Duration::from_secs(3600),
            seats: 600,
            authentication: None,
            authorization: None,
            version: concat!("v1.36.0+kd", env!("CARGO_PKG_VERSION")).into(),
            commit: env!("KD_BUILT_COMMIT").into(),
            build_date: env!("KD_BUILT_DATE").into(),
        }
    }
}
