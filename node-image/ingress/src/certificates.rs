//! Certificates out of Secrets, read once per version of the Secret.

use std::collections::HashMap;
use std::sync::Arc;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kd_client::{Key, Object, View, resources};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use serde_json::Value;

/// Where Secrets hold them (<https://kubernetes.io/docs/concepts/configuration/secret/#tls-secrets>).
const CERTIFICATE: &str = "tls.crt";
const PRIVATE_KEY: &str = "tls.key";

/// Why a Secret is not one.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Unusable {
    #[error("the Secret {0} does not exist or is not of type kubernetes.io/tls")]
    Missing(Key),
    #[error("the Secret {0} holds no certificate with its key: {1}")]
    Broken(Key, String),
}

type Read = Result<Arc<CertifiedKey>, Unusable>;

/// Certificates that were read.
#[derive(Debug, Default)]
pub(crate) struct Certificates {
    known: HashMap<Key, (String, Read)>,
    used: HashMap<Key, (String, Read)>,
}

impl Certificates {
    /// The certificate of a Secret.
    pub(crate) fn get(&mut self, view: &View, key: &Key) -> Read {
        let Some(secret) = view.object(&resources::SECRETS, key) else {
            return Err(Unusable::Missing(key.clone()));
        };
        let version = &secret.metadata.resource_version;
        let known = self.used.get(key).or_else(|| self.known.get(key));
        let read = match known.filter(|(of, _)| of == version) {
            Some((_, read)) => read.clone(),
            None => read(secret).map_err(|why| Unusable::Broken(key.clone(), why)),
        };
        self.used.insert(key.clone(), (version.clone(), read.clone()));
        read
    }

    /// Forgets what was not asked for since the last time.
    pub(crate) fn forget_unused(&mut self) {
        self.known = std::mem::take(&mut self.used);
    }
}

fn read(secret: &Object) -> Result<Arc<CertifiedKey>, String> {
    let secret: Value = secret.decode().ok_or("it cannot be decoded")?;
    let part = |name: &str| {
        let text = secret["data"][name].as_str().ok_or(format!("{name} is missing"))?;
        BASE64_STANDARD.decode(text).map_err(|error| format!("{name}: {error}"))
    };
    certified(&part(CERTIFICATE)?, &part(PRIVATE_KEY)?).map(Arc::new)
}

/// A certificate and its key from their PEM.
pub(crate) fn certified(certificate: &[u8], key: &[u8]) -> Result<CertifiedKey, String> {
    let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
    let chain = chain.map_err(|error| format!("{CERTIFICATE}: {error}"))?;
    if chain.is_empty() {
        return Err(format!("{CERTIFICATE} holds no certificate"));
    }
    let key = PrivateKeyDer::from_pem_slice(key);
    let key = key.map_err(|error| format!("{PRIVATE_KEY}: {error}"))?;
    let provider = rustls::crypto::ring::default_provider();
    CertifiedKey::from_der(chain, key, &provider).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{tls_secret, view};

    #[test]
    fn secrets_become_certificates() {
        let good = tls_secret("a", "good", &["a.com"]);
        let mut mixed = tls_secret("a", "mixed", &["a.com"]);
        mixed["data"][CERTIFICATE] = tls_secret("a", "x", &["b.com"])["data"][CERTIFICATE].take();
        let mut empty = tls_secret("a", "empty", &["a.com"]);
        empty["data"][PRIVATE_KEY] = "".into();
        let view = view(&[good, mixed, empty]);
        let mut certificates = Certificates::default();
        let mut get = |name: &str| certificates.get(&view, &Key::new("a", name));
        let first = get("good").unwrap();
        assert!(Arc::ptr_eq(&first, &get("good").unwrap()), "it is read once");
        assert!(matches!(get("mixed"), Err(Unusable::Broken(..))));
        assert!(matches!(get("empty"), Err(Unusable::Broken(..))));
        assert!(matches!(get("none"), Err(Unusable::Missing(_))));
        certificates.forget_unused();
        assert!(Arc::ptr_eq(&first, &certificates.get(&view, &Key::new("a", "good")).unwrap()));
        certificates.forget_unused();
        certificates.forget_unused();
        assert!(certificates.known.is_empty());
    }
}
