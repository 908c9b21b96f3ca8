//! The cluster's certificates. Identity is by name, never by a Docker address of the day, so
//! clusters survive a reboot that gives every container another address.

mod request;
mod subject;

use std::net::IpAddr;
use std::time::{Duration, SystemTime};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DistinguishedName, DnType,
    ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose, PKCS_ECDSA_P256_SHA256,
    SanType, SigningKey,
};

pub use request::{Order, RequestError};

/// How long certificates live. A development cluster must not expire under its user.
const VALIDITY: Duration = Duration::from_secs(10 * 365 * 24 * 60 * 60);
/// Clocks of a host and its virtual machine differ a little.
const BACKDATED: Duration = Duration::from_secs(60 * 60);

/// Letters in a line of PEM.
const PEM_LINE_LENGTH: usize = 64;

/// Why a certificate or key could not be made or read.
#[derive(Debug, thiserror::Error)]
#[error("{operation}: {source}")]
pub struct Error {
    operation: String,
    #[source]
    source: rcgen::Error,
}

fn failed(operation: impl Into<String>) -> impl FnOnce(rcgen::Error) -> Error {
    let operation = operation.into();
    move |source| Error { operation, source }
}

/// A certificate with its key.
#[derive(Clone, Debug, PartialEq)]
pub struct Issued {
    /// The certificate, PEM.
    pub certificate_pem: String,
    /// Its PKCS#8 key, PEM.
    pub key_pem: String,
}

/// The certificate authority of one cluster.
pub struct ClusterAuthority {
    certificate_pem: String,
    issuer: Issuer<'static, KeyPair>,
}

impl ClusterAuthority {
    /// Makes a new authority named after the cluster.
    pub fn generate(cluster: &str) -> Result<ClusterAuthority, Error> {
        let key = new_key()?;
        let mut params = parameters(&format!("kd-{cluster}-ca"));
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::DigitalSignature,
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
        ];
        let certificate = params.self_signed(&key).map_err(failed("sign the CA certificate"))?;
        Ok(ClusterAuthority {
            certificate_pem: certificate.pem(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Reads an authority back from its certificate and key.
    pub fn from_pem(certificate_pem: &str, key_pem: &str) -> Result<ClusterAuthority, Error> {
        let key = KeyPair::from_pem(key_pem).map_err(failed("read the CA key"))?;
        let issuer = Issuer::from_ca_cert_pem(certificate_pem, key)
            .map_err(failed("read the CA certificate"))?;
        Ok(ClusterAuthority { certificate_pem: certificate_pem.to_owned(), issuer })
    }

    /// The authority's certificate, PEM.
    pub fn certificate_pem(&self) -> &str {
        &self.certificate_pem
    }

    /// The authority's key, PEM.
    pub fn key_pem(&self) -> String {
        self.issuer.key().serialize_pem()
    }

    /// Issues a client certificate: `common_name` is the user, `organizations` are the groups
    /// (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#x509-client-certificates>).
    pub fn issue_client(&self, common_name: &str, organizations: &[&str]) -> Result<Issued, Error> {
        let mut params = parameters(common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth];
        let (certificate, key) = self.signed(params, common_name)?;
        let operation = || format!("sign the certificate of {common_name:?}");
        let name = subject::name(common_name, organizations);
        let sign = |bytes: &[u8]| self.issuer.key().sign(bytes);
        let der = subject::replaced(certificate.der(), &[(subject::SUBJECT, &name)], sign)
            .map_err(failed(operation()))?;
        let der = der.ok_or(rcgen::Error::CouldNotParseCertificate).map_err(failed(operation()))?;
        Ok(Issued { certificate_pem: pem(&der), key_pem: key.serialize_pem() })
    }

    /// Issues a serving certificate for DNS names and addresses (IP literals). Names that are
    /// neither are an error.
    pub fn issue_server(&self, common_name: &str, names: &[String]) -> Result<Issued, Error> {
        let mut params = parameters(common_name);
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
        for name in names {
            params.subject_alt_names.push(alternative_name(name)?);
        }
        self.issue(params, common_name)
    }

    fn issue(&self, params: CertificateParams, subject: &str) -> Result<Issued, Error> {
        let (certificate, key) = self.signed(params, subject)?;
        Ok(Issued { certificate_pem: certificate.pem(), key_pem: key.serialize_pem() })
    }

    fn signed(
        &self,
        mut params: CertificateParams,
        subject: &str,
    ) -> Result<(Certificate, KeyPair), Error> {
        params.key_usages =
            vec![KeyUsagePurpose::DigitalSignature, KeyUsagePurpose::KeyEncipherment];
        params.use_authority_key_identifier_extension = true;
        let key = new_key()?;
        let certificate = params
            .signed_by(&key, &self.issuer)
            .map_err(failed(format!("sign the certificate of {subject:?}")))?;
        Ok((certificate, key))
    }
}

/// The PEM of a certificate's DER.
fn pem(der: &[u8]) -> String {
    let text = BASE64_STANDARD.encode(der);
    let mut pem = String::from("-----BEGIN CERTIFICATE-----\n");
    // Base64 is ASCII: it can be cut anywhere.
    for line in text.as_bytes().chunks(PEM_LINE_LENGTH) {
        pem.extend(line.iter().copied().map(char::from));
        pem.push('\n');
    }
    pem + "-----END CERTIFICATE-----\n"
}

/// A new key for ServiceAccount tokens: ECDSA P-256, PKCS#8 PEM.
pub fn service_account_key() -> Result<String, Error> {
    Ok(new_key()?.serialize_pem())
}

fn new_key() -> Result<KeyPair, Error> {
    KeyPair::generate_for(&PKCS_ECDSA_P256_SHA256).map_err(failed("generate a key"))
}

fn parameters(common_name: &str) -> CertificateParams {
    let mut name = DistinguishedName::new();
    name.push(DnType::CommonName, common_name);
    let mut params = CertificateParams::default();
    params.distinguished_name = name;
    let now = SystemTime::now();
    params.not_before = (now - BACKDATED).into();
    params.not_after = (now + VALIDITY).into();
    params
}

fn alternative_name(name: &str) -> Result<SanType, Error> {
    if let Ok(address) = name.parse::<IpAddr>() {
        return Ok(SanType::IpAddress(address));
    }
    let dns = name.try_into().map_err(failed(format!("use {name:?} as a DNS name")))?;
    Ok(SanType::DnsName(dns))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_authority_survives_its_pem() {
        let made = ClusterAuthority::generate("a").unwrap();
        let read = ClusterAuthority::from_pem(made.certificate_pem(), &made.key_pem()).unwrap();
        let issued = read.issue_client("system:node:n", &["system:nodes"]).unwrap();
        assert!(issued.certificate_pem.contains("BEGIN CERTIFICATE"));
        assert!(issued.key_pem.contains("PRIVATE KEY"));
    }

    #[test]
    fn every_organization_is_a_group() {
        let authority = ClusterAuthority::generate("a").unwrap();
        for groups in [&[][..], &["one"], &["one", "two", "three"]] {
            let issued = authority.issue_client("user", groups).unwrap();
            let (_, pem) =
                x509_parser::pem::parse_x509_pem(issued.certificate_pem.as_bytes()).unwrap();
            let certificate = pem.parse_x509().unwrap();
            let subject = certificate.subject();
            let found: Vec<_> =
                subject.iter_organization().map(|name| name.as_str().unwrap()).collect();
            assert_eq!(found, groups);
            assert_eq!(subject.iter_common_name().next().unwrap().as_str(), Ok("user"));
            let (_, ca) =
                x509_parser::pem::parse_x509_pem(authority.certificate_pem().as_bytes()).unwrap();
            let ca = ca.parse_x509().unwrap();
            assert!(certificate.verify_signature(Some(ca.public_key())).is_ok());
        }
    }

    #[test]
    fn names_are_dns_names_or_addresses() {
        let authority = ClusterAuthority::generate("a").unwrap();
        let good = ["kubernetes.default.svc".to_owned(), "::1".to_owned()];
        assert!(authority.issue_server("s", &good).is_ok());
        let error = authority.issue_server("s", &["grün".to_owned()]).unwrap_err();
        assert!(error.to_string().contains("grün"), "{error}");
    }
}
