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

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, KeyPair};

    use super::*;

    fn check(name: &str, usage: ExtendedKeyUsagePurpose, year: i32, expect: &str) {
        let mut params = CertificateParams::default();
        params.distinguished_name = DistinguishedName::new();
        params.distinguished_name.push(DnType::OrganizationName, "system:nodes");
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(year, 1, 2);
        let key = KeyPair::generate().unwrap();
        let certificate = params.self_signed(&key).unwrap();
        let now = "2026-06-01T00:00:00Z".parse().unwrap();
        let got = match user(certificate.der(), now) {
            Ok(user) => format!("{} {:?}", user.username, user.groups),
            Err(reason) => reason,
        };
        assert_eq!(got, expect);
    }

    #[test]
    fn subjects() {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        check("system:node:a", ClientAuth, 2030, r#"system:node:a ["system:nodes"]"#);
        check("a", ServerAuth, 2030, "certificate specifies an incompatible key usage");
        check("a", ClientAuth, 2026, "certificate has expired or is not yet valid");
        check("", ClientAuth, 2030, "certificate has no common name");
    }
}
