//! Who asks: front proxies' headers, client certificates, then bearer tokens, then nobody.

mod bootstrap_token;
mod certificate;
mod impersonation;
mod oidc;
mod request_header;
mod static_token;

use std::sync::Arc;

use async_trait::async_trait;
use http::request::Parts;
use kd_api::Status;

pub use certificate::ClientCertificates;
pub use impersonation::impersonated;
pub use oidc::AuthenticationConfiguration;
pub(crate) use oidc::{Anonymous, Issuers};
pub use request_header::RequestHeaderError;
pub(crate) use request_header::{
    ALLOWED_NAMES, EXTRA_PREFIX, GROUP, RequestHeader, UID, USER, speak_for,
};
pub use static_token::{StaticTokenError, StaticTokens};

use crate::request::{Authenticator, Reader, UserInfo};
use crate::token::{Clock, ServiceAccountTokens, VerifiedToken, default_audiences};
use crate::webhook::WebhookClients;

/// The group of everyone whom authentication knows.
pub const AUTHENTICATED: &str = "system:authenticated";
/// The group of everyone else.
pub const UNAUTHENTICATED: &str = "system:unauthenticated";
/// The user that everyone else is.
pub const ANONYMOUS: &str = "system:anonymous";
/// What needs no identity.
const ANONYMOUS_PATHS: [&str; 3] = ["/healthz", "/livez", "/readyz"];

/// All ways to authenticate, in order.
pub struct UnionAuthenticator {
    tokens: Arc<ServiceAccountTokens>,
    static_tokens: StaticTokens,
    reader: Arc<dyn Reader>,
    clock: Clock,
    request_header: Option<RequestHeader>,
    issuers: Option<Issuers>,
    anonymous: Anonymous,
}

impl UnionAuthenticator {
    /// `static_tokens` may be empty.
    pub fn new(
        tokens: Arc<ServiceAccountTokens>,
        static_tokens: StaticTokens,
        reader: Arc<dyn Reader>,
        clock: Clock,
    ) -> UnionAuthenticator {
        let anonymous = Anonymous::Paths(ANONYMOUS_PATHS.map(str::to_owned).to_vec());
        let (request_header, issuers) = (None, None);
        UnionAuthenticator {
            tokens,
            static_tokens,
            reader,
            clock,
            request_header,
            issuers,
            anonymous,
        }
    }

    /// OIDC issuers are believed, too; and the paths that need no identity are others.
    pub(crate) fn with_configuration(
        mut self,
        configuration: Option<&AuthenticationConfiguration>,
        clients: &Arc<WebhookClients>,
    ) -> Self {
        let Some(configuration) = configuration else { return self };
        self.issuers = Some(Issuers::new(configuration, clients, self.clock.clone()));
        if let Some(anonymous) = &configuration.anonymous {
            self.anonymous = anonymous.clone();
        }
        self
    }

    /// The OIDC issuers, if there are any.
    pub(crate) fn issuers(&self) -> Option<&Issuers> {
        self.issuers.as_ref()
    }

    /// Front proxies are believed, too.
    pub(crate) fn with_request_header(self, request_header: Option<RequestHeader>) -> Self {
        UnionAuthenticator { request_header, ..self }
    }

    /// Whose a bearer token is, for one of the audiences; the error is a sentence.
    pub async fn authenticate_token(
        &self,
        token: &str,
        audiences: &[String],
    ) -> Result<Option<VerifiedToken>, String> {
        let known = match self.static_tokens.user(token) {
            Some(user) => Some(user),
            None => bootstrap_token::user(self.reader.as_ref(), (self.clock)(), token),
        };
        let mut verified = match known {
            // Opaque tokens are the API server's only.
            Some(user) => {
                let own = default_audiences();
                let audiences: Vec<String> =
                    audiences.iter().filter(|wanted| own.contains(wanted)).cloned().collect();
                (!audiences.is_empty()).then_some(VerifiedToken { user, audiences })
            }
            None => match (self.tokens.verify(token, audiences)?, &self.issuers) {
                (None, Some(issuers)) => issuers.verify(token, audiences).await?,
                (verified, _) => verified,
            },
        };
        if let Some(verified) = &mut verified {
            add_group(&mut verified.user, AUTHENTICATED);
        }
        Ok(verified)
    }
}

#[async_trait]
impl Authenticator for UnionAuthenticator {
    async fn authenticate(
        &self,
        parts: &Parts,
        certificates: &ClientCertificates,
    ) -> Result<Option<Arc<UserInfo>>, Status> {
        if !certificates.is_empty() {
            let front_proxies = self.request_header.as_ref();
            let user = match front_proxies.filter(|known| known.knows(certificates)) {
                Some(known) => known.user(certificates, &parts.headers).map(|mut user| {
                    add_group(&mut user, AUTHENTICATED);
                    Arc::new(user)
                }),
                None => certificates.user((self.clock)()),
            };
            match user {
                Ok(user) => return Ok(Some(user)),
                Err(reason) => tracing::debug!(reason, "client certificate not accepted"),
            }
        }
        if let Some(token) = bearer_token(parts) {
            return match self.authenticate_token(&token, &default_audiences()).await {
                Ok(Some(verified)) => Ok(Some(Arc::new(verified.user))),
                Ok(None) => Err(Status::unauthorized()),
                Err(reason) => {
                    tracing::debug!(reason, "bearer token not accepted");
                    Err(Status::unauthorized())
                }
            };
        }
        let anonymous = self.anonymous.allows(parts.uri.path());
        let nobody = || UserInfo {
            username: ANONYMOUS.into(),
            groups: vec![UNAUTHENTICATED.into()],
            ..UserInfo::default()
        };
        Ok(anonymous.then(|| Arc::new(nobody())))
    }
}

/// The token of `Authorization: Bearer`, or of the WebSocket subprotocol that browsers use for want
/// of headers.
fn bearer_token(parts: &Parts) -> Option<String> {
    use base64::Engine;
    use base64::prelude::BASE64_URL_SAFE_NO_PAD;

    if let Some(header) = parts.headers.get(http::header::AUTHORIZATION) {
        let (scheme, token) = header.to_str().ok()?.trim().split_once(' ')?;
        return scheme.eq_ignore_ascii_case("bearer").then(|| token.trim().to_owned());
    }
    let protocols = parts.headers.get_all(http::header::SEC_WEBSOCKET_PROTOCOL);
    let mut protocols = protocols.iter().filter_map(|value| value.to_str().ok());
    let encoded = protocols.find_map(|list| {
        let mut entries = list.split(',').map(str::trim);
        entries.find_map(|entry| entry.strip_prefix("base64url.bearer.authorization.k8s.io."))
    })?;
    String::from_utf8(BASE64_URL_SAFE_NO_PAD.decode(encoded).ok()?).ok()
}

fn add_group(user: &mut UserInfo, group: &str) {
    if !user.groups.iter().any(|member| member == group) {
        user.groups.push(group.to_owned());
    }
}

/// Compares secrets in a time that does not tell where they differ.
fn same_secret(a: &[u8], b: &[u8]) -> bool {
    a.len() == b.len() && a.iter().zip(b).fold(0, |differ, (x, y)| differ | (x ^ y)) == 0
}
