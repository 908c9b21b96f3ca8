//! X.509 client certificates: the common name is the user, the organizations are the groups. The TLS
//! layer has verified the chain at the handshake; a connection may outlive its certificate.

use std::ops::RangeInclusive;
use std::sync::{Arc, OnceLock};

use jiff::Timestamp;
use rustls::pki_types::CertificateDer;
use x509_parser::prelude::{FromDer, X509Certificate};

use super::{AUTHENTICATED, add_group};
use crate::request::UserInfo;

/// What a client showed when it connected. Read once, however many requests the connection brings.
#[derive(Debug, Default)]
pub struct ClientCertificates {
    /// Leaf first; empty for a client without.
    chain: Vec<CertificateDer<'static>>,
    identity: OnceLock<Result<Identity, String>>,
    is_front_proxy: OnceLock<bool>,
}

/// Whom a leaf certificate names, and when it does.
#[derive(Debug)]
struct Identity {
    user: Arc<UserInfo>,
    /// In seconds since 1970.
    valid: RangeInclusive<i64>,
}

impl ClientCertificates {
    /// A chain that the TLS layer has verified, leaf first.
    pub fn new(chain: Vec<CertificateDer<'static>>) -> ClientCertificates {
        ClientCertificates { chain, ..ClientCertificates::default() }
    }

    /// Whether the client came without.
    pub(crate) fn is_empty(&self) -> bool {
        self.chain.is_empty()
    }

    /// The user of the leaf certificate, or why there is none.
    pub(super) fn user(&self, now: Timestamp) -> Result<Arc<UserInfo>, String> {
        let identity = self
            .identity
            .get_or_init(|| identity(self.chain.first().ok_or("the client has no certificate")?));
        let identity = identity.as_ref().map_err(String::clone)?;
        match identity.valid.contains(&now.as_second()) {
            true => Ok(identity.user.clone()),
            false => Err("certificate has expired or is not yet valid".into()),
        }
    }

    /// Whether the chain is of an authority that `verify` knows.
    pub(super) fn is_front_proxy(
        &self,
        verify: impl FnOnce(&[CertificateDer<'static>]) -> bool,
    ) -> bool {
        *self.is_front_proxy.get_or_init(|| verify(&self.chain))
    }
}

fn identity(leaf: &CertificateDer<'_>) -> Result<Identity, String> {
    let (_, certificate) =
        X509Certificate::from_der(leaf).map_err(|error| format!("unreadable: {error}"))?;
    let validity = certificate.validity();
    let valid = validity.not_before.timestamp()..=validity.not_after.timestamp();
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
    let mut user = UserInfo {
        username: username.to_owned(),
        uid: String::new(),
        groups: groups.map(str::to_owned).collect(),
        extra: [(credential, vec![format!("X509SHA256={hex}")])].into(),
    };
    add_group(&mut user, AUTHENTICATED);
    Ok(Identity { user: Arc::new(user), valid })
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
        let shown = ClientCertificates::new(vec![certificate.der().clone()]);
        // A connection brings many requests.
        for _ in 0..2 {
            let got = match shown.user(now) {
                Ok(user) => format!("{} {:?}", user.username, user.groups),
                Err(reason) => reason,
            };
            assert_eq!(got, expect);
        }
    }

    #[test]
    fn subjects() {
        use ExtendedKeyUsagePurpose::{ClientAuth, ServerAuth};
        check(
            "system:node:a",
            ClientAuth,
            2030,
            r#"system:node:a ["system:nodes", "system:authenticated"]"#,
        );
        check("a", ServerAuth, 2030, "certificate specifies an incompatible key usage");
        check("a", ClientAuth, 2026, "certificate has expired or is not yet valid");
        check("", ClientAuth, 2030, "certificate has no common name");
    }
    #[test]
    fn a_connection_outlives_its_certificate() {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "a");
        params.not_before = rcgen::date_time_ymd(2026, 1, 1);
        params.not_after = rcgen::date_time_ymd(2026, 2, 1);
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        let shown = ClientCertificates::new(vec![certificate.der().clone()]);
        let at = |time: &str| shown.user(time.parse().unwrap()).map(|user| user.username.clone());
        let refused = Err("certificate has expired or is not yet valid".to_owned());
        assert_eq!(at("2025-12-31T00:00:00Z"), refused);
        assert_eq!(at("2026-01-15T00:00:00Z"), Ok("a".to_owned()));
        assert_eq!(at("2026-02-02T00:00:00Z"), refused);
    }

    #[test]
    fn front_proxies_are_looked_at_once() {
        let shown = ClientCertificates::default();
        assert!(shown.is_front_proxy(|_| true));
        assert!(shown.is_front_proxy(|_| unreachable!("it is known")));
        assert_eq!(shown.user(Timestamp::UNIX_EPOCH), Err("the client has no certificate".into()));
    }
}
