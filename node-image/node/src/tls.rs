//! Certificates of this life of the node, made from the cluster's authority or handed in.

use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::{CipherSuite, RootCertStore};

use crate::error::{Error, Result};

/// Chooses the cryptography of the whole process; call it before any TLS.
pub(crate) fn install_provider() {
    let mut provider = rustls::crypto::ring::default_provider();
    // AES-128 comes first, as in Go's TLS: it is what bulk data costs least with.
    let fast = CipherSuite::TLS13_AES_128_GCM_SHA256;
    provider.cipher_suites.sort_by_key(|suite| suite.suite() != fast);
    // It fails only when one is installed already, which is then this one.
    let _ = provider.install_default();
}

/// The certificates of a PEM text.
pub(crate) fn certificates(pem: &str, whose: &str) -> Result<Vec<CertificateDer<'static>>> {
    let parsed: std::result::Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(pem.as_bytes()).collect();
    parsed.map_err(Error::of(format!("read the certificate of {whose}")))
}

/// The private key of a PEM text.
pub(crate) fn key(pem: &str, whose: &str) -> Result<PrivateKeyDer<'static>> {
    PrivateKeyDer::from_pem_slice(pem.as_bytes())
        .map_err(Error::of(format!("read the key of {whose}")))
}

/// A server that takes client certificates of the authority, and clients without one.
pub(crate) fn server(
    certificate: &str,
    private_key: &str,
    authority: &str,
) -> Result<Arc<rustls::ServerConfig>> {
    let mut roots = RootCertStore::empty();
    for root in certificates(authority, "the cluster's authority")? {
        roots.add(root).map_err(Error::of("trust the cluster's authority"))?;
    }
    let verifier = WebPkiClientVerifier::builder(Arc::new(roots)).allow_unauthenticated().build();
    let verifier = verifier.map_err(Error::of("verify clients"))?;
    let config = rustls::ServerConfig::builder()
        .with_client_cert_verifier(verifier)
        .with_single_cert(certificates(certificate, "the server")?, key(private_key, "the server")?)
        .map_err(Error::of("use the server's certificate"))?;
    Ok(Arc::new(config))
}
