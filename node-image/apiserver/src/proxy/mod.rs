//! Passing requests on to kubelets, pods and services: exec, attach, port-forward, logs, proxies.
//! Upgrades are passed through byte for byte: both ends speak the same protocol.

mod forward;
mod kubelet;
mod target;

use std::sync::Arc;

use async_trait::async_trait;
use kd_api::Status;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

use crate::answer::Answer;
use crate::connect::{Connect, ConnectRequest};
use crate::request::Reader;
use forward::Destination;
pub(crate) use forward::{exchange, remove_hop_by_hop};

/// How this server shows itself to kubelets and whom it believes to be one.
#[derive(Clone, Debug)]
pub struct NodeProxyConfig {
    /// The client certificate, PEM.
    pub certificate_pem: String,
    /// Its key, PEM.
    pub key_pem: String,
    /// The authority of the kubelets' serving certificates, PEM.
    pub ca_certificate_pem: String,
}

/// Why a [`NodeProxy`] could not be made.
#[derive(Debug, thiserror::Error)]
pub enum NodeProxyError {
    /// The certificates or the key do not parse.
    #[error("the API server's certificate for kubelets does not parse: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// They do not fit together.
    #[error("the API server's certificate for kubelets cannot be used: {0}")]
    Tls(#[from] rustls::Error),
}

/// Reaches nodes by their addresses and knows them by their names.
pub struct NodeProxy {
    reader: Arc<dyn Reader>,
    kubelets: Arc<ClientConfig>,
    /// For `https:` pods and services, whose certificates nobody vouches for (as upstream).
    unverified: Arc<ClientConfig>,
}

impl NodeProxy {
    /// A proxy that finds nodes and endpoints with `reader`.
    pub fn new(
        config: &NodeProxyConfig,
        reader: Arc<dyn Reader>,
    ) -> Result<NodeProxy, NodeProxyError> {
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_slice(config.ca_certificate_pem.as_bytes())?)?;
        let chain: Result<Vec<_>, _> =
            CertificateDer::pem_slice_iter(config.certificate_pem.as_bytes()).collect();
        let key = PrivateKeyDer::from_pem_slice(config.key_pem.as_bytes())?;
        let kubelets =
            builder()?.with_root_certificates(roots).with_client_auth_cert(chain?, key)?;
        let unverified = forward::unverified(builder()?);
        Ok(NodeProxy { reader, kubelets: Arc::new(kubelets), unverified: Arc::new(unverified) })
    }

    fn destination(&self, request: &ConnectRequest) -> Result<Destination, Status> {
        let info = &request.info;
        match (info.resource.as_str(), info.subresource.as_str()) {
            ("pods", "proxy") => target::pod(request, &self.unverified),
            ("services", "proxy") => target::service(request, &*self.reader, &self.unverified),
            ("nodes", "proxy") => target::node(request, &self.kubelets),
            ("pods", _) => kubelet::destination(request, &*self.reader, &self.kubelets),
            (resource, subresource) => {
                Err(Status::internal(format!("{resource}/{subresource} leads nowhere")))
            }
        }
    }
}

type Builder = rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier>;

fn builder() -> Result<Builder, rustls::Error> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()
}

#[async_trait]
impl Connect for NodeProxy {
    async fn connect(&self, request: ConnectRequest) -> Result<Answer, Status> {
        let destination = self.destination(&request)?;
        let is_log = request.info.subresource == "log";
        let answer = forward::forward(destination, request.request).await?;
        match is_log && !answer.status().is_success() {
            true => Err(kubelet::log_refusal(answer).await),
            false => Ok(answer),
        }
    }
}
