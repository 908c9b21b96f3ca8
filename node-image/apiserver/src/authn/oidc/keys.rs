//! The public keys of an issuer: found by its discovery document, read again when a token names one
//! that is not among them.

use std::sync::{Arc, PoisonError, RwLock};
use std::time::Duration;

use kd_api::Object;
use serde_json::Value;
use tokio::sync::Mutex;
use tokio::time::{Instant, sleep};

use super::config::IssuerConfiguration;
use super::signature::Signed;
use crate::webhook::{Target, WebhookClients};

/// An issuer has this long to answer.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// An issuer that could not be asked is asked again after this.
const RETRY_INTERVAL: Duration = Duration::from_secs(10);
/// Tokens with unknown keys do not make this server ask more often.
const REFRESH_INTERVAL_MIN: Duration = Duration::from_secs(1);

/// The keys of an issuer.
pub(super) struct IssuerKeys {
    issuer: String,
    discovery_url: String,
    authorities: Vec<u8>,
    clients: Arc<WebhookClients>,
    /// As they were read last: who finds his key here does not wait while they are read anew.
    known: RwLock<Arc<Vec<Value>>>,
    /// When the issuer was asked last; held while it is asked.
    asked: Mutex<Option<Instant>>,
}

impl IssuerKeys {
    pub(super) fn new(issuer: &IssuerConfiguration, clients: Arc<WebhookClients>) -> IssuerKeys {
        IssuerKeys {
            issuer: issuer.url.clone(),
            discovery_url: issuer.discovery_url.clone(),
            authorities: issuer.authorities.clone(),
            clients,
            known: RwLock::default(),
            asked: Mutex::default(),
        }
    }

    /// Reads the keys for the first time, as often as it takes.
    pub(super) async fn load(self: Arc<Self>) {
        loop {
            let mut asked = self.asked.lock().await;
            if !self.known().is_empty() {
                return;
            }
            match self.refresh(&mut asked).await {
                Ok(()) => return,
                Err(why) => tracing::warn!(issuer = self.issuer, why, "oidc: cannot read the keys"),
            }
            drop(asked);
            sleep(RETRY_INTERVAL).await;
        }
    }

    /// Whether the issuer signed a token.
    pub(super) async fn verify(&self, token: &str) -> Result<(), String> {
        let malformed = || "oidc: verify token: oidc: malformed jwt".to_owned();
        let signed = Signed::of(token).ok_or_else(malformed)?;
        if signed.is_by(&self.known()) {
            return Ok(());
        }
        // One at a time: those who wait find what the first has read.
        let mut asked = self.asked.lock().await;
        let known = self.known();
        if signed.is_by(&known) {
            return Ok(());
        }
        let has_key = known.iter().any(|key| key["kid"] == *signed.key_id);
        let recent = asked.is_some_and(|asked| asked.elapsed() < REFRESH_INTERVAL_MIN);
        if !has_key && !recent {
            self.refresh(&mut asked).await?;
            if signed.is_by(&self.known()) {
                return Ok(());
            }
        }
        Err("oidc: verify token: failed to verify signature: failed to verify id token signature"
            .into())
    }

    fn known(&self) -> Arc<Vec<Value>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    async fn refresh(&self, asked: &mut Option<Instant>) -> Result<(), String> {
        let read = self.read().await;
        // Also a failure counts: those who waited for it need not fail one after the other.
        *asked = Some(Instant::now());
        read
    }

    async fn read(&self) -> Result<(), String> {
        let document = self.get(&self.discovery_url).await?;
        let issuer = document.str_at(&["issuer"]);
        if issuer != self.issuer {
            return Err(format!(
                "oidc: issuer did not match the issuer returned by provider, expected {:?} got {issuer:?}",
                self.issuer
            ));
        }
        let set = self.get(document.str_at(&["jwks_uri"])).await?;
        let keys = Arc::new(set.list_at(&["keys"]).to_vec());
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = keys;
        Ok(())
    }

    async fn get(&self, url: &str) -> Result<Value, String> {
        let target = Target::of_url(url, self.authorities.clone());
        let target = target.map_err(|error| format!("oidc: {error}"))?;
        let got = self.clients.get(&target, ANSWER_TIMEOUT).await;
        got.map_err(|error| format!("oidc: {error}"))
    }
}
