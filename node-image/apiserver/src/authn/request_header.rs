//! A front proxy speaks for others: it shows a certificate of an authority of its own, and says in
//! headers who asks. This server takes such requests, and makes them of aggregated servers.

use std::sync::Arc;

use http::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use rustls::RootCertStore;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::certificate::ClientCertificates;
use crate::request::UserInfo;
use crate::token::Clock;

/// The common names that a front proxy may have.
pub(crate) const ALLOWED_NAMES: [&str; 1] = ["front-proxy-client"];
/// Who asks.
pub(crate) const USER: &str = "X-Remote-User";
/// Their uid.
pub(crate) const UID: &str = "X-Remote-Uid";
/// A group, once for each.
pub(crate) const GROUP: &str = "X-Remote-Group";
/// More, with an escaped key behind it.
pub(crate) const EXTRA_PREFIX: &str = "X-Remote-Extra-";

/// What a key may hold in the name of a header: the rest is escaped.
const IN_HEADER_NAME: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'!')
    .remove(b'#')
    .remove(b'$')
    .remove(b'&')
    .remove(b'\'')
    .remove(b'*')
    .remove(b'+')
    .remove(b'-')
    .remove(b'.')
    .remove(b'^')
    .remove(b'_')
    .remove(b'`')
    .remove(b'|')
    .remove(b'~');

/// Why front proxies cannot be known.
#[derive(Debug, thiserror::Error)]
pub enum RequestHeaderError {
    /// The authority does not parse.
    #[error("the front proxy's authority does not parse: {0}")]
    Pem(#[from] rustls::pki_types::pem::Error),
    /// Or is no authority.
    #[error("the front proxy's authority cannot be used: {0}")]
    Certificate(#[from] rustls::Error),
    /// Or cannot verify.
    #[error("the front proxy's authority cannot be used: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

/// Knows front proxies.
pub(crate) struct RequestHeader {
    verifier: Arc<dyn ClientCertVerifier>,
    clock: Clock,
}

impl RequestHeader {
    /// `authority` is PEM, and signs nothing but front proxies.
    pub(crate) fn new(authority: &str, clock: Clock) -> Result<RequestHeader, RequestHeaderError> {
        let mut roots = RootCertStore::empty();
        for certificate in CertificateDer::pem_slice_iter(authority.as_bytes()) {
            roots.add(certificate?)?;
        }
        let provider = Arc::new(rustls::crypto::ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider);
        Ok(RequestHeader { verifier: verifier.build()?, clock })
    }

    /// Whether a certificate is of the front proxies' authority. Such a one is no user's.
    pub(super) fn knows(&self, certificates: &ClientCertificates) -> bool {
        certificates.is_front_proxy(|chain| self.verifies(chain))
    }

    fn verifies(&self, chain: &[CertificateDer<'static>]) -> bool {
        let Some((leaf, rest)) = chain.split_first() else { return false };
        let seconds = u64::try_from((self.clock)().as_second()).unwrap_or_default();
        let now = UnixTime::since_unix_epoch(std::time::Duration::from_secs(seconds));
        self.verifier.verify_client_cert(leaf, rest, now).is_ok()
    }

    /// For whom a front proxy speaks.
    pub(super) fn user(
        &self,
        certificates: &ClientCertificates,
        headers: &HeaderMap,
    ) -> Result<UserInfo, String> {
        let proxy = &certificates.user((self.clock)())?.username;
        if !ALLOWED_NAMES.contains(&proxy.as_str()) {
            return Err(format!("x509: subject with cn={proxy} is not in the allowed list"));
        }
        user_of(headers).ok_or_else(|| format!("the front proxy does not say {USER}"))
    }
}

/// The user that headers name.
fn user_of(headers: &HeaderMap) -> Option<UserInfo> {
    let text = |name: &str| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("");
    let groups = headers.get_all(GROUP).iter().filter_map(|value| value.to_str().ok());
    let mut user = UserInfo {
        username: text(USER).trim().to_owned(),
        uid: text(UID).to_owned(),
        groups: groups.filter(|group| !group.is_empty()).map(str::to_owned).collect(),
        ..UserInfo::default()
    };
    let prefix = EXTRA_PREFIX.to_ascii_lowercase();
    for (name, value) in headers {
        if let (Some(key), Ok(value)) = (name.as_str().strip_prefix(&prefix), value.to_str()) {
            let key = percent_decode_str(key).decode_utf8_lossy().to_lowercase();
            user.extra.entry(key).or_default().push(value.to_owned());
        }
    }
    (!user.username.is_empty()).then_some(user)
}

/// Says in a request's headers who asks, and nothing else about who that is.
pub(crate) fn speak_for(user: &UserInfo, headers: &mut HeaderMap) {
    let is_remote = |name: &HeaderName| name.as_str().starts_with("x-remote-");
    let given: Vec<HeaderName> = headers.keys().filter(|name| is_remote(name)).cloned().collect();
    given.iter().for_each(|name| drop(headers.remove(name)));
    let mut add = |name: &str, value: &str| {
        let name = HeaderName::from_bytes(name.as_bytes());
        if let (Ok(name), Ok(value)) = (name, HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add(USER, &user.username);
    if !user.uid.is_empty() {
        add(UID, &user.uid);
    }
    user.groups.iter().for_each(|group| add(GROUP, group));
    for (key, values) in &user.extra {
        let name = format!("{EXTRA_PREFIX}{}", utf8_percent_encode(key, IN_HEADER_NAME));
        values.iter().for_each(|value| add(&name, value));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::authority::Authority;

    #[test]
    fn who_is_spoken_for_is_understood() {
        let user = UserInfo {
            username: "jane".into(),
            uid: "7".into(),
            groups: vec!["a".into(), "b".into()],
            extra: [("example.com/scope".to_owned(), vec!["x".to_owned(), "y".to_owned()])].into(),
        };
        let mut headers = HeaderMap::new();
        headers.insert("x-remote-group", HeaderValue::from_static("system:masters"));
        headers.insert("x-remote-extra-other", HeaderValue::from_static("1"));
        speak_for(&user, &mut headers);
        assert!(headers.contains_key("x-remote-extra-example.com%2fscope"));
        assert_eq!(user_of(&headers), Some(user));
        assert_eq!(user_of(&HeaderMap::new()), None);
    }

    #[test]
    fn only_front_proxies_are_believed() {
        let (own, other) = (Authority::new(), Authority::new());
        let known = RequestHeader::new(&own.pem(), Arc::new(jiff::Timestamp::now)).unwrap();
        let mut headers = HeaderMap::new();
        headers.insert(USER, HeaderValue::from_static("jane"));
        let check = |chain: &CertificateDer<'static>, headers: &HeaderMap, expect: &str| {
            let shown = ClientCertificates::new(vec![chain.clone()]);
            let got = match known.knows(&shown) {
                false => "a stranger".to_owned(),
                true => known.user(&shown, headers).map_or_else(|why| why, |user| user.username),
            };
            assert_eq!(got, expect);
        };
        let proxy = own.client("front-proxy-client", "").certificate;
        check(&proxy, &headers, "jane");
        check(&proxy, &HeaderMap::new(), "the front proxy does not say X-Remote-User");
        let admin = own.client("admin", "system:masters").certificate;
        check(&admin, &headers, "x509: subject with cn=admin is not in the allowed list");
        check(&other.client("front-proxy-client", "").certificate, &headers, "a stranger");
    }
}
