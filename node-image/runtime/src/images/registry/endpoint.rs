//! Where the content of a registry is: the registry itself, or a mirror of it.

use std::fmt;
use std::time::Duration;

use reqwest::{Certificate, Client, Identity};

use crate::RegistryAuth;

/// A registry that sends nothing for this long is taken for gone.
const READ_TIMEOUT: Duration = Duration::from_secs(60);
const CONNECT_TIMEOUT: Duration = Duration::from_secs(15);

/// Tells where images are pulled from.
pub trait Registries: fmt::Debug + Send + Sync + 'static {
    /// The endpoints of a repository (`library/nginx`) of a registry (`docker.io`), in the order in
    /// which they are tried. The error is for the user.
    fn endpoints(&self, registry: &str, repository: &str) -> Result<Vec<Endpoint>, String>;
    /// Credentials of the node that fit a repository, for when those of the pull do not do.
    fn credentials(&self, registry: &str, repository: &str) -> Vec<RegistryAuth>;
}

/// A server that has a repository's content.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Endpoint {
    /// Where its API begins: `https://mirror.example:5000/v2`.
    pub url: String,
    /// The repository's name there.
    pub repository: String,
    /// The registry that it stands for, when it is a mirror.
    pub mirror_of: Option<String>,
    /// Whether it is not asked what a tag means.
    pub content_only: bool,
    /// More headers of every request.
    pub headers: Vec<(String, String)>,
    /// Its own credentials.
    pub auth: Option<RegistryAuth>,
    /// How it is known.
    pub tls: EndpointTls,
}

/// How a server and its client know each other.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EndpointTls {
    /// Certificate authorities besides the public ones, PEM.
    pub authorities: Vec<String>,
    /// The client's certificate with its key, PEM.
    pub client: Option<String>,
    /// Any certificate will do.
    pub skip_verify: bool,
}

impl Endpoint {
    /// A client that speaks to this endpoint.
    pub(super) fn client(&self) -> Result<Client, String> {
        let told = |error: reqwest::Error| super::super::chain(&error);
        let public = webpki_root_certs::TLS_SERVER_ROOT_CERTS.iter();
        let public: Result<Vec<_>, _> = public.map(|der| Certificate::from_der(der)).collect();
        let mut roots = public.map_err(told)?;
        for pem in &self.tls.authorities {
            let more = Certificate::from_pem_bundle(pem.as_bytes()).map_err(told)?;
            if more.is_empty() {
                return Err("its certificate authority is no PEM certificate".to_owned());
            }
            roots.extend(more);
        }
        let mut builder = Client::builder()
            .tls_certs_only(roots)
            .tls_danger_accept_invalid_certs(self.tls.skip_verify)
            .https_only(self.url.starts_with("https:"))
            .read_timeout(READ_TIMEOUT)
            .connect_timeout(CONNECT_TIMEOUT)
            .user_agent(concat!("kd/", env!("CARGO_PKG_VERSION")));
        if let Some(pem) = &self.tls.client {
            builder = builder.identity(Identity::from_pem(pem.as_bytes()).map_err(told)?);
        }
        builder.build().map_err(told)
    }
}
