//! Tokens of OpenID Connect issuers: `apiserver.config.k8s.io` AuthenticationConfiguration
//! (<https://kubernetes.io/docs/reference/access-authn-authz/authentication/#using-authentication-configuration>).

mod claims;
mod config;
mod keys;
mod signature;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use futures::FutureExt;
use futures::future::BoxFuture;
use serde_json::Value;

pub(crate) use config::Anonymous;
pub use config::AuthenticationConfiguration;

use crate::token::{Clock, VerifiedToken, claims_unverified};
use crate::webhook::WebhookClients;
use claims::Mapping;
use config::Audiences;
use keys::IssuerKeys;

/// Clocks of issuer and server differ a little: for the time from which a token holds.
const NOT_BEFORE_LEEWAY_SECONDS: i64 = 300;

/// The issuers of a configuration.
pub(crate) struct Issuers {
    issuers: Vec<Issuer>,
    clock: Clock,
}

struct Issuer {
    url: String,
    audiences: Audiences,
    keys: Arc<IssuerKeys>,
    mapping: Arc<Mapping>,
}

impl Issuers {
    pub(crate) fn new(
        configuration: &AuthenticationConfiguration,
        clients: &Arc<WebhookClients>,
        clock: Clock,
    ) -> Issuers {
        let issuers = configuration.issuers.iter().map(|issuer| Issuer {
            url: issuer.url.clone(),
            audiences: issuer.audiences.clone(),
            keys: Arc::new(IssuerKeys::new(issuer, clients.clone())),
            mapping: issuer.mapping.clone(),
        });
        Issuers { issuers: issuers.collect(), clock }
    }

    /// What reads the issuers' keys in the background, so that the first token need not wait.
    pub(crate) fn loaders(&self) -> Vec<BoxFuture<'static, ()>> {
        let load = |issuer: &Issuer| issuer.keys.clone().load().boxed();
        self.issuers.iter().map(load).collect()
    }

    /// Whose a token is; None when none of the issuers made it. The error is a sentence.
    pub(crate) async fn verify(
        &self,
        token: &str,
        wanted: &[String],
    ) -> Result<Option<VerifiedToken>, String> {
        let Some(claims) = claims_unverified(token) else { return Ok(None) };
        let issuer = self.issuers.iter().find(|issuer| claims["iss"] == *issuer.url);
        let Some(issuer) = issuer else { return Ok(None) };
        issuer.keys.verify(token).await?;
        let now = (self.clock)();
        check_times(&claims, now.as_second())?;
        issuer.check_audiences(&claims)?;
        let user = issuer.mapping.user(&claims)?;
        // These tokens are the API server's only, whatever their own audiences are called.
        let own = crate::token::default_audiences();
        let audiences: Vec<String> = wanted.iter().filter(|a| own.contains(a)).cloned().collect();
        Ok((!audiences.is_empty()).then_some(VerifiedToken { user, audiences }))
    }
}

impl Issuer {
    fn check_audiences(&self, claims: &Value) -> Result<(), String> {
        let found: Vec<&str> = match &claims["aud"] {
            Value::Array(list) => list.iter().filter_map(Value::as_str).collect(),
            one => one.as_str().into_iter().collect(),
        };
        let Audiences(wanted) = &self.audiences;
        match wanted.iter().any(|audience| found.contains(&audience.as_str())) {
            true => Ok(()),
            false => Err(format!("oidc: expected audience in {wanted:?} got {found:?}")),
        }
    }
}

fn check_times(claims: &Value, now: i64) -> Result<(), String> {
    let seconds = |name: &str| claims[name].as_f64().map(|seconds| seconds as i64);
    match seconds("exp") {
        Some(expiry) if expiry > now => {}
        Some(_) => return Err("oidc: verify token: oidc: token is expired".into()),
        None => return Err("oidc: verify token: oidc: token has no expiry".into()),
    }
    match seconds("nbf") {
        Some(start) if start > now + NOT_BEFORE_LEEWAY_SECONDS => {
            Err("oidc: verify token: oidc: current time is before the nbf (not before) time".into())
        }
        _ => Ok(()),
    }
}
