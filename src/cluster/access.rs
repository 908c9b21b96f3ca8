//! How a client reaches a cluster: the entries of its kubeconfig, and a client made of them.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use kd_contract::ServerSecrets;
use kd_contract::pki::ClusterAuthority;
use kube::config::{KubeConfigOptions, Kubeconfig};
use serde_yaml::{Mapping, Value};

use super::inventory::Cluster;
use super::kubeconfig::Entries;
use super::name;
use crate::error::{Error, ExitCode, Result};

/// The user of a cluster's kubeconfig, and its group: RBAC lets the group do everything.
const ADMIN_USER: &str = "kubernetes-admin";
const ADMIN_GROUP: &str = "system:masters";

/// Issues the kubeconfig entries of a cluster: its administrator, at `server`.
pub fn entries(cluster: &str, server: &str, secrets: &ServerSecrets) -> Result<Entries> {
    let authority = ClusterAuthority::from_pem(&secrets.ca_certificate, &secrets.ca_key);
    let admin = authority
        .and_then(|authority| authority.issue_client(ADMIN_USER, &[ADMIN_GROUP]))
        .map_err(|source| Error::failure("issue the kubeconfig's certificate").because(source))?;
    let name = name::context(cluster);
    let encoded = |pem: &str| BASE64.encode(pem);
    Ok(Entries {
        cluster: mapping(&[
            ("certificate-authority-data", &encoded(&secrets.ca_certificate)),
            ("server", server),
        ]),
        context: mapping(&[("cluster", &name), ("user", &name)]),
        user: mapping(&[
            ("client-certificate-data", &encoded(&admin.certificate_pem)),
            ("client-key-data", &encoded(&admin.key_pem)),
        ]),
        name,
    })
}

/// The kubeconfig entries of a cluster that is there.
pub fn entries_of(cluster: &Cluster) -> Result<Entries> {
    let incomplete = || {
        let message = format!("the cluster {:?} is not complete", cluster.name);
        Error::new(ExitCode::NotFound, message)
            .hint(format!("delete it: kd cluster delete {}", cluster.name))
    };
    let secrets = cluster.secrets.as_ref().ok_or_else(incomplete)?;
    let server = cluster.api_server().ok_or_else(incomplete)?;
    entries(&cluster.name, &server, secrets)
}

/// A client of the API server, made from kubeconfig entries and nothing else.
pub async fn client(entries: &Entries) -> Result<kube::Client> {
    let config = configuration(entries).await?;
    kube::Client::try_from(config).map_err(|source| unusable(entries).because(source))
}

/// The configuration of such a client.
pub async fn configuration(entries: &Entries) -> Result<kube::Config> {
    let text = entries.document().to_text()?;
    let parsed = Kubeconfig::from_yaml(&text).map_err(|error| unusable(entries).because(error))?;
    kube::Config::from_custom_kubeconfig(parsed, &KubeConfigOptions::default())
        .await
        .map_err(|source| unusable(entries).because(source))
}

fn unusable(entries: &Entries) -> Error {
    Error::new(ExitCode::Api, format!("use the kubeconfig of {}", entries.name))
}

fn mapping(fields: &[(&str, &str)]) -> Mapping {
    fields.iter().map(|(key, value)| (Value::from(*key), Value::from(*value))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::plan;

    #[tokio::test]
    async fn the_entries_make_a_client() {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let secrets = plan::secrets("x").unwrap();
        let entries = entries("x", "https://127.0.0.1:7000", &secrets).unwrap();
        assert_eq!(entries.name, "kd-x");
        client(&entries).await.unwrap();
    }
}
