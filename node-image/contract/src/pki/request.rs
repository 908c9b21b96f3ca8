//! Certificates for requests that others made (PKCS #10), as the certificates API asks for them:
//! <https://kubernetes.io/docs/reference/access-authn-authz/certificate-signing-requests/>.

use std::time::SystemTime;

use rcgen::{
    CertificateParams, CustomExtension, ExtendedKeyUsagePurpose, KeyUsagePurpose, SerialNumber,
    SigningKey,
};
use ring::rand::{SecureRandom, SystemRandom};
use x509_parser::certification_request::X509CertificationRequest;
use x509_parser::cri_attributes::ParsedCriAttribute;
use x509_parser::prelude::FromDer;

use super::subject::{PUBLIC_KEY, SUBJECT, replaced};
use super::{ClusterAuthority, new_key, pem};

const REQUEST_LABEL: &str = "CERTIFICATE REQUEST";
const SERIAL_BYTES: usize = 16;
const BASIC_CONSTRAINTS: &[u64] = &[2, 5, 29, 19];
const ALTERNATIVE_NAMES: &[u64] = &[2, 5, 29, 17];
/// The same in DER, as requests have it.
const ALTERNATIVE_NAMES_DER: &[u8] = &[0x55, 0x1d, 0x11];
/// An empty sequence: no authority.
const NO_AUTHORITY: &[u8] = &[0x30, 0x00];

/// The certificate that is asked for.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The request, PEM.
    pub request_pem: Vec<u8>,
    /// What the key may be used for, in the words of the certificates API.
    pub usages: Vec<String>,
    /// From when it holds.
    pub not_before: SystemTime,
    /// Until when.
    pub not_after: SystemTime,
}

/// Why a request is not signed.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// It is no request.
    #[error("the certificate request is unreadable")]
    Unreadable,
    /// Whoever made it does not hold the key.
    #[error("unable to verify certificate request signature")]
    Signature,
    /// Usages that nobody knows.
    #[error("unrecognized usage values: {0:?}")]
    Usages(Vec<String>),
    /// Signing failed.
    #[error("sign the request: {0}")]
    Sign(#[from] rcgen::Error),
}

impl ClusterAuthority {
    /// Signs a request: its subject, key and alternative names, and nothing else that it asks for.
    pub fn sign_request(&self, order: &Order) -> Result<String, RequestError> {
        let der = x509_parser::pem::parse_x509_pem(&order.request_pem);
        let (_, block) = der.map_err(|_| RequestError::Unreadable)?;
        if block.label != REQUEST_LABEL {
            return Err(RequestError::Unreadable);
        }
        let request = X509CertificationRequest::from_der(&block.contents);
        let (_, request) = request.map_err(|_| RequestError::Unreadable)?;
        request.verify_signature().map_err(|_| RequestError::Signature)?;
        let info = &request.certification_request_info;
        let mut params = parameters(order)?;
        if let Some(names) = alternative_names(&request) {
            let mut extension =
                CustomExtension::from_oid_content(ALTERNATIVE_NAMES, names.to_vec());
            // Without a subject the names are all that there is (RFC 5280, section 4.2.1.6).
            extension.set_criticality(info.subject.iter().next().is_none());
            params.custom_extensions.push(extension);
        }
        let draft = params.signed_by(&new_key_for_draft()?, &self.issuer)?;
        let parts = [(SUBJECT, info.subject.as_raw()), (PUBLIC_KEY, info.subject_pki.raw)];
        let sign = |bytes: &[u8]| self.issuer.key().sign(bytes);
        let der = replaced(draft.der(), &parts, sign)?.ok_or(RequestError::Unreadable)?;
        Ok(pem(&der))
    }
}

/// rcgen wants a key to sign for; the request's takes its place.
fn new_key_for_draft() -> Result<rcgen::KeyPair, RequestError> {
    new_key().map_err(|error| RequestError::Sign(error.source))
}

fn parameters(order: &Order) -> Result<CertificateParams, RequestError> {
    let mut params = CertificateParams::default();
    let mut serial = [0; SERIAL_BYTES];
    SystemRandom::new().fill(&mut serial).map_err(|_| rcgen::Error::RingUnspecified)?;
    // Positive, and of one length.
    serial[0] = serial[0] & 0x7f | 0x40;
    params.serial_number = Some(SerialNumber::from_slice(&serial));
    params.not_before = order.not_before.into();
    params.not_after = order.not_after.into();
    params.use_authority_key_identifier_extension = true;
    let mut constraints =
        CustomExtension::from_oid_content(BASIC_CONSTRAINTS, NO_AUTHORITY.to_vec());
    constraints.set_criticality(true);
    params.custom_extensions.push(constraints);
    let mut unknown = Vec::new();
    for usage in &order.usages {
        match (key_usage(usage), extended_usage(usage)) {
            (Some(usage), _) if params.key_usages.contains(&usage) => {}
            (Some(usage), _) => params.key_usages.push(usage),
            (None, Some(usage)) if params.extended_key_usages.contains(&usage) => {}
            (None, Some(usage)) => params.extended_key_usages.push(usage),
            (None, None) => unknown.push(usage.clone()),
        }
    }
    if unknown.is_empty() { Ok(params) } else { Err(RequestError::Usages(unknown)) }
}

fn alternative_names<'a>(request: &'a X509CertificationRequest<'_>) -> Option<&'a [u8]> {
    let attributes = request.certification_request_info.iter_attributes();
    let mut extensions = attributes.filter_map(|attribute| match attribute.parsed_attribute() {
        ParsedCriAttribute::ExtensionRequest(asked) => Some(&asked.extensions),
        _ => None,
    });
    let names = extensions.next()?.iter().find(|e| e.oid.as_bytes() == ALTERNATIVE_NAMES_DER)?;
    Some(names.value)
}

fn key_usage(name: &str) -> Option<KeyUsagePurpose> {
    Some(match name {
        "signing" | "digital signature" => KeyUsagePurpose::DigitalSignature,
        "content commitment" => KeyUsagePurpose::ContentCommitment,
        "key encipherment" => KeyUsagePurpose::KeyEncipherment,
        "key agreement" => KeyUsagePurpose::KeyAgreement,
        "data encipherment" => KeyUsagePurpose::DataEncipherment,
        "cert sign" => KeyUsagePurpose::KeyCertSign,
        "crl sign" => KeyUsagePurpose::CrlSign,
        "encipher only" => KeyUsagePurpose::EncipherOnly,
        "decipher only" => KeyUsagePurpose::DecipherOnly,
        _ => return None,
    })
}

/// `id-kp` of RFC 5280, section 4.2.1.12, and the two of old browsers.
fn extended_usage(name: &str) -> Option<ExtendedKeyUsagePurpose> {
    let purpose = |last: u64| ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 5, 5, 7, 3, last]);
    Some(match name {
        "any" => ExtendedKeyUsagePurpose::Any,
        "server auth" => ExtendedKeyUsagePurpose::ServerAuth,
        "client auth" => ExtendedKeyUsagePurpose::ClientAuth,
        "code signing" => ExtendedKeyUsagePurpose::CodeSigning,
        "email protection" | "s/mime" => ExtendedKeyUsagePurpose::EmailProtection,
        "ipsec end system" => purpose(5),
        "ipsec tunnel" => purpose(6),
        "ipsec user" => purpose(7),
        "timestamping" => ExtendedKeyUsagePurpose::TimeStamping,
        "ocsp signing" => ExtendedKeyUsagePurpose::OcspSigning,
        "microsoft sgc" => ExtendedKeyUsagePurpose::Other(vec![1, 3, 6, 1, 4, 1, 311, 10, 3, 3]),
        "netscape sgc" => ExtendedKeyUsagePurpose::Other(vec![2, 16, 840, 1, 113_730, 4, 1]),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use rcgen::{CertificateParams, DnType, KeyPair, PKCS_ED25519};

    use super::*;

    fn order(usages: &[&str]) -> Order {
        let key = KeyPair::generate_for(&PKCS_ED25519).unwrap();
        let mut params = CertificateParams::new(["node.example".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, "system:node:a");
        let request = params.serialize_request(&key).unwrap();
        let not_before = SystemTime::UNIX_EPOCH + Duration::from_secs(1_000_000_000);
        Order {
            request_pem: request.pem().unwrap().into_bytes(),
            usages: usages.iter().map(|usage| (*usage).to_owned()).collect(),
            not_before,
            not_after: not_before + Duration::from_secs(3600),
        }
    }

    #[test]
    fn what_was_asked_for() {
        let authority = ClusterAuthority::generate("a").unwrap();
        let order = order(&["digital signature", "client auth", "ipsec user"]);
        let signed = authority.sign_request(&order).unwrap();
        let (_, pem) = x509_parser::pem::parse_x509_pem(signed.as_bytes()).unwrap();
        let certificate = pem.parse_x509().unwrap();
        let (_, ca) =
            x509_parser::pem::parse_x509_pem(authority.certificate_pem().as_bytes()).unwrap();
        let ca = ca.parse_x509().unwrap();
        assert!(certificate.verify_signature(Some(ca.public_key())).is_ok());
        let subject = certificate.subject();
        assert_eq!(subject.iter_common_name().next().unwrap().as_str(), Ok("system:node:a"));
        let names = certificate.subject_alternative_name().unwrap().unwrap();
        assert_eq!(names.value.general_names.len(), 1);
        let usage = certificate.extended_key_usage().unwrap().unwrap().value;
        assert!(usage.client_auth && !usage.server_auth && usage.other.len() == 1);
        assert!(certificate.key_usage().unwrap().unwrap().value.digital_signature());
        assert!(!certificate.is_ca());
        let validity = certificate.validity();
        assert_eq!(validity.not_before.timestamp(), 1_000_000_000);
        assert_eq!(validity.not_after.timestamp(), 1_000_003_600);
        assert_eq!(certificate.serial.to_bytes_be().len(), SERIAL_BYTES);
    }

    #[test]
    fn refused() {
        let authority = ClusterAuthority::generate("a").unwrap();
        let check = |order: Order, expect: &str| {
            assert_eq!(authority.sign_request(&order).unwrap_err().to_string(), expect);
        };
        let unreadable = "the certificate request is unreadable";
        check(Order { request_pem: b"x".to_vec(), ..order(&[]) }, unreadable);
        let other = authority.certificate_pem().as_bytes().to_vec();
        check(Order { request_pem: other, ..order(&[]) }, unreadable);
        check(order(&["fun"]), r#"unrecognized usage values: ["fun"]"#);
        let good = order(&[]);
        let (_, block) = x509_parser::pem::parse_x509_pem(&good.request_pem).unwrap();
        let mut der = block.contents.clone();
        *der.last_mut().unwrap() ^= 1;
        let text = pem(&der).replace("CERTIFICATE", REQUEST_LABEL);
        let expect = "unable to verify certificate request signature";
        check(Order { request_pem: text.into_bytes(), ..good }, expect);
    }
}
