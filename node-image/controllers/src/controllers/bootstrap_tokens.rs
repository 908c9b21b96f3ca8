//! Bootstrap tokens as the controllers read them: Secrets of their own type in kube-system, whose
//! data hold an id, a secret, an end and what the token may be used for.

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use jiff::Timestamp;
use kd_client::Object;
use serde_json::Value;

use super::kept::{BOOTSTRAP_NAMESPACE, BOOTSTRAP_TOKEN_PREFIX};

const TYPE: &str = "bootstrap.kubernetes.io/token";
const ID_LEN: usize = 6;
const SECRET_LEN: usize = 16;

/// One token's Secret.
pub(super) struct BootstrapToken {
    json: Value,
    name: String,
}

impl BootstrapToken {
    /// The token that a Secret holds, if it is one.
    pub fn of(object: &Object) -> Option<BootstrapToken> {
        let metadata = &object.metadata;
        let named = metadata.namespace == BOOTSTRAP_NAMESPACE
            && metadata.name.starts_with(BOOTSTRAP_TOKEN_PREFIX);
        let json: Value = object.bytes().filter(|_| named).and(object.decode())?;
        (json["type"] == TYPE).then(|| BootstrapToken { json, name: metadata.name.clone() })
    }

    /// One of its data, as text.
    pub fn data(&self, key: &str) -> Option<String> {
        let bytes = BASE64_STANDARD.decode(self.json["data"][key].as_str()?).ok()?;
        String::from_utf8(bytes).ok().filter(|text| !text.is_empty())
    }

    /// When it ends; None for never.
    pub fn expiration(&self) -> Option<Result<Timestamp, ()>> {
        Some(self.data("expiration")?.parse().map_err(|_| ()))
    }

    /// Whether it has ended; one whose end cannot be read is of no use.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expiration().is_some_and(|end| end.map_or(true, |end| end <= now))
    }

    /// Its id and secret, when it may sign now.
    pub fn signer(&self, now: Timestamp) -> Option<(String, String)> {
        let (id, secret) = (self.data("token-id")?, self.data("token-secret")?);
        let letters = |text: &str| {
            text.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit())
        };
        let valid = id.len() == ID_LEN
            && secret.len() == SECRET_LEN
            && letters(&id)
            && letters(&secret)
            && self.name == format!("{BOOTSTRAP_TOKEN_PREFIX}{id}")
            && self.data("usage-bootstrap-signing").is_some_and(|usage| usage == "true")
            && !self.has_expired(now);
        valid.then_some((id, secret))
    }
}
