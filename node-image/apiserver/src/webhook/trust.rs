//! TLS towards webhooks and aggregated servers: whom it believes, how this server shows itself, and
//! what is said when the other side is not believed.

use std::sync::Arc;

use jiff::Timestamp;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::server::ParsedCertificate;
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, InvalidMessage, RootCertStore,
    SignatureScheme,
};
use x509_parser::prelude::{FromDer, X509Certificate};

/// A client certificate with its key, both PEM.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Identity {
    /// The certificate and what signed it, leaf first.
    pub certificate_pem: String,
    /// Its key.
    pub key_pem: String,
}

impl std::fmt::Debug for Identity {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Identity")
    }
}

/// TLS that believes these authorities (PEM; the public ones if there are none), or anyone if it is
/// `insecure`. The error says what is wrong with the PEM.
pub(crate) fn client_config(
    authorities: &[u8],
    insecure: bool,
    identity: Option<&Identity>,
) -> Result<ClientConfig, String> {
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider.clone())
        .with_safe_default_protocol_versions()
        .map_err(|error| error.to_string())?;
    let verifier: Arc<dyn ServerCertVerifier> = match insecure {
        true => trust_anyone(provider),
        false => Arc::new(Verifier { trust: trusted(authorities, &provider)?, provider }),
    };
    let builder = builder.dangerous().with_custom_certificate_verifier(verifier);
    let Some(identity) = identity else { return Ok(builder.with_no_client_auth()) };
    let chain: Result<Vec<_>, _> =
        CertificateDer::pem_slice_iter(identity.certificate_pem.as_bytes()).collect();
    let key = PrivateKeyDer::from_pem_slice(identity.key_pem.as_bytes());
    let (chain, key) = (chain.map_err(|e| e.to_string())?, key.map_err(|e| e.to_string())?);
    builder.with_client_auth_cert(chain, key).map_err(|error| error.to_string())
}

/// Believes any certificate whose holder has its key.
pub(crate) fn trust_anyone(provider: Arc<CryptoProvider>) -> Arc<dyn ServerCertVerifier> {
    Arc::new(Verifier { provider, trust: Trust::Anyone })
}

fn trusted(authorities: &[u8], provider: &Arc<CryptoProvider>) -> Result<Trust, String> {
    let anchors: Vec<CertificateDer<'static>> = match authorities.is_empty() {
        true => webpki_root_certs::TLS_SERVER_ROOT_CERTS.to_vec(),
        false => CertificateDer::pem_slice_iter(authorities).filter_map(Result::ok).collect(),
    };
    let mut roots = RootCertStore::empty();
    let (added, _) = roots.add_parsable_certificates(anchors.iter().cloned());
    if added == 0 {
        return Err("unable to load root certificates: unable to parse bytes as PEM block".into());
    }
    let chains = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider.clone());
    let chains = chains.build().map_err(|error| error.to_string())?;
    Ok(Trust::Signed { anchors, chains })
}

#[derive(Debug)]
enum Trust {
    Anyone,
    Signed { anchors: Vec<CertificateDer<'static>>, chains: Arc<WebPkiServerVerifier> },
}

/// Like the usual one, but a certificate that is itself among the authorities is believed, as
/// upstream does: many webhooks serve with their own self-signed authority.
#[derive(Debug)]
struct Verifier {
    provider: Arc<CryptoProvider>,
    trust: Trust,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        leaf: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        stapled: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        match &self.trust {
            Trust::Anyone => Ok(ServerCertVerified::assertion()),
            Trust::Signed { anchors, .. } if anchors.iter().any(|anchor| anchor == leaf) => {
                check_validity(leaf, now)?;
                rustls::client::verify_server_name(&ParsedCertificate::try_from(leaf)?, name)?;
                Ok(ServerCertVerified::assertion())
            }
            Trust::Signed { chains, .. } => {
                chains.verify_server_cert(leaf, intermediates, name, stapled, now)
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

fn check_validity(certificate: &CertificateDer<'_>, now: UnixTime) -> Result<(), Error> {
    let invalid = |cause| Err(Error::InvalidCertificate(cause));
    let Ok((_, parsed)) = X509Certificate::from_der(certificate) else {
        return invalid(CertificateError::BadEncoding);
    };
    let (validity, now) = (parsed.validity(), i64::try_from(now.as_secs()).unwrap_or(i64::MAX));
    match () {
        () if now < validity.not_before.timestamp() => invalid(CertificateError::NotValidYet),
        () if now > validity.not_after.timestamp() => invalid(CertificateError::Expired),
        () => Ok(()),
    }
}

/// Why a handshake failed, in the words of upstream's TLS.
pub(super) fn handshake_failure(error: &std::io::Error) -> String {
    let inner = error.get_ref().and_then(|inner| inner.downcast_ref::<Error>());
    match inner {
        Some(Error::InvalidCertificate(cause)) => {
            format!("tls: failed to verify certificate: x509: {}", certificate_failure(cause))
        }
        Some(Error::InvalidMessage(InvalidMessage::InvalidContentType)) => {
            "http: server gave HTTP response to HTTPS client".into()
        }
        Some(other) => format!("tls: {other}"),
        None if error.kind() == std::io::ErrorKind::UnexpectedEof => "EOF".into(),
        None => error.to_string(),
    }
}

fn certificate_failure(cause: &CertificateError) -> String {
    let expired = |time: UnixTime, how: &str, limit: UnixTime| {
        let shown = |time: UnixTime| {
            let seconds = i64::try_from(time.as_secs()).unwrap_or_default();
            Timestamp::from_second(seconds).unwrap_or_default()
        };
        let (time, limit) = (shown(time), shown(limit));
        format!("certificate has expired or is not yet valid: current time {time} is {how} {limit}")
    };
    match cause {
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "certificate signed by unknown authority".into()
        }
        CertificateError::Expired | CertificateError::NotValidYet => {
            "certificate has expired or is not yet valid".into()
        }
        CertificateError::ExpiredContext { time, not_after } => expired(*time, "after", *not_after),
        CertificateError::NotValidYetContext { time, not_before } => {
            expired(*time, "before", *not_before)
        }
        CertificateError::NotValidForNameContext { expected, presented } => {
            let names: Vec<&str> = presented.iter().map(|name| bare_name(name)).collect();
            format!("certificate is valid for {}, not {}", names.join(", "), expected.to_str())
        }
        other => other.to_string(),
    }
}

/// `a` of `DnsName("a")`.
fn bare_name(shown: &str) -> &str {
    let inner = shown.split_once('(').map_or(shown, |(_, inner)| inner.trim_end_matches(')'));
    inner.trim_matches('"')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_certificates() {
        assert_eq!(bare_name("DnsName(\"a.b\")"), "a.b");
        assert_eq!(bare_name("IpAddress(10.0.0.1)"), "10.0.0.1");
        assert_eq!(bare_name("a"), "a");
    }

    #[test]
    fn bundles() {
        let check = |pem: &[u8], expect: Result<(), &str>| {
            let got = client_config(pem, false, None);
            assert_eq!(got.map(drop), expect.map_err(str::to_owned));
        };
        let key = rcgen::KeyPair::generate().unwrap();
        let params = rcgen::CertificateParams::new(vec!["a".to_owned()]).unwrap();
        check(params.self_signed(&key).unwrap().pem().as_bytes(), Ok(()));
        check(b"", Ok(()));
        check(
            b"nonsense",
            Err("unable to load root certificates: unable to parse bytes as PEM block"),
        );
    }
}
