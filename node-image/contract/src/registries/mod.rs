//! How nodes reach registries: what a user's files say, with the contents of the files that these
//! name. What it means for one pull is decided in the node.

mod hosts_file;
mod toml;

use std::collections::BTreeMap;
use std::fmt;

use serde::{Deserialize, Serialize};

pub use hosts_file::{Host, HostsFile};
pub use toml::{Value as TomlValue, parse as parse_toml};

/// Where containerd's form of the configuration is on a node; a user's folder may be mounted here.
pub const REGISTRY_HOSTS_DIRECTORY: &str = "/etc/containerd/certs.d";
/// The entry of [`Registries::mirrors`] for registries that have none of their own.
pub const ANY_REGISTRY: &str = "*";

/// Everything about registries that nodes are told.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
pub struct Registries {
    /// Mirrors by registry.
    pub mirrors: BTreeMap<String, Mirror>,
    /// How a registry or mirror is spoken to, by host (and port).
    pub configs: BTreeMap<String, RegistryAccess>,
    /// The files of a folder in containerd's form, by path.
    pub hosts: BTreeMap<String, String>,
    /// Credentials of the user, by what Docker calls a server: `https://index.docker.io/v1/`.
    pub credentials: BTreeMap<String, RegistryCredentials>,
}

/// Where a registry's content is, too.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Mirror {
    /// Their addresses, in the order in which they are tried.
    #[serde(rename = "endpoint")]
    pub endpoints: Vec<String>,
    /// Patterns of repositories with what stands in their place.
    #[serde(rename = "rewrite")]
    pub rewrites: BTreeMap<String, String>,
}

/// How a server is spoken to.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryAccess {
    /// Who asks.
    pub auth: Option<RegistryCredentials>,
    /// How both are known.
    pub tls: Option<RegistryTls>,
}

/// Certificates, as PEM or as a path in nodes.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryTls {
    /// Authorities of the server.
    pub ca_file: String,
    /// The client's certificate.
    pub cert_file: String,
    /// Its key.
    pub key_file: String,
    /// Any certificate of the server will do.
    pub insecure_skip_verify: bool,
}

/// A user of a registry.
#[derive(Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RegistryCredentials {
    /// The user's name.
    pub username: String,
    /// The password.
    pub password: String,
    /// Both in base 64, with a colon between them.
    pub auth: String,
    /// A token that gets tokens.
    #[serde(alias = "identitytoken")]
    pub identity_token: String,
}

/// Secrets stay out of logs.
impl fmt::Debug for RegistryCredentials {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryCredentials")
            .field("username", &self.username)
            .finish_non_exhaustive()
    }
}

/// Keys stay out of logs.
impl fmt::Debug for RegistryTls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RegistryTls")
            .field("insecure_skip_verify", &self.insecure_skip_verify)
            .finish_non_exhaustive()
    }
}

/// The names that a registry's folder in containerd's form may have, the first one first.
pub fn host_directories(registry: &str) -> Vec<String> {
    let mut names = Vec::new();
    if let Some((host, port)) = registry.rsplit_once(':') {
        names.push(format!("{host}_{port}_"));
    }
    names.push(registry.to_owned());
    names
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn secrets_are_not_shown() {
        let credentials =
            RegistryCredentials { password: "secret".into(), ..RegistryCredentials::default() };
        let tls = RegistryTls { key_file: "secret".into(), ..RegistryTls::default() };
        let access = RegistryAccess { auth: Some(credentials), tls: Some(tls) };
        assert!(!format!("{access:?}").contains("secret"));
    }

    #[test]
    fn folders() {
        assert_eq!(host_directories("r.example"), ["r.example"]);
        assert_eq!(host_directories("localhost:5001"), ["localhost_5001_", "localhost:5001"]);
    }
}
