//! X.509 client certificates: the common name is the user, the organizations are the groups. The TLS
//! layer has verified the chain at the handshake; a connection may outlive its certificate.

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use crate::request::UserInfo;

/// The user of a leaf certificate, or why there is none.
pub(super) fn user(leaf: &CertificateDer<'_>, now: Timestamp) -> Result<UserInfo, String> {
    let (_, certificate) =
        X509Certificate::from_der(leaf).map_err(|error| format!("unreadable: {error}"))?;
    let validity = certificate.validity();
    let (start, end) = (validity.not_before.timestamp(), validity.not_after.timestamp());
    if !(start..=end).contains(&now.as_second()) {
        return Err("certificate has expired or is not yet valid".into());
    }
    // Without the extension a certificate is good for all.
    if let Ok(Some(usage)) = certificate.extended_key_usage()
        && !(usage.value.client_auth || usage.value.any)
    {
        return Err("certificate specifies an incompatible key usage".into());
    }
    let subject = certificate.subject();
    let name = subject.iter_common_name().last().and_then(|name| name.as_str().ok());
    let username = name.filter(|name| !name.is_empty()).ok_or("certificate has no common name")?;
    let groups = subject.iter_organization().filter_map(|name| name.as_str().ok());
    let fingerprint = ring::digest::digest(&ring::digest::SHA256, leaf);
    let hex: String = fingerprint.as_ref().iter().map(|byte| format!("{byte:02x}")).collect();
    let credential = "authentication.kubernetes.io/credential-id".to_owned();
    Ok(UserInfo {
        username: username.to_owned(),
        uid: String::new(),
        groups: groups.map(str::to_owned).collect(),
        extra: [(credential, vec![format!("X509SHA256={hex}")])].into(),
    })
}
