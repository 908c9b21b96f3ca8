//! ServiceAccount tokens: issued for TokenRequests, verified on requests, published as OpenID Connect
//! discovery documents.

mod jwt;
mod request;
mod review;
#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use kd_api::Object;
use serde_json::{Map, Value, json};

pub use jwt::KeyError;
pub use review::review_token;

use crate::request::{Reader, UserInfo};
use jwt::SigningKey;
pub(crate) use jwt::claims_unverified;

/// Who issues the tokens, and the audience of the API server itself.
pub const ISSUER: &str = "https://kubernetes.default.svc.cluster.local";
/// A deleted Pod, Node, Secret or ServiceAccount keeps its tokens valid for this long.
const DELETION_LEEWAY_SECONDS: i64 = 60;
/// Clocks of client and server differ a little.
const CLOCK_LEEWAY_SECONDS: i64 = 60;

/// Tokens whose signature is remembered as good; all are forgotten when there are more.
const REMEMBERED_MAX: usize = 4096;

/// Tells the time; handed in from where the process is wired.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// Issues and verifies the cluster's ServiceAccount tokens.
pub struct ServiceAccountTokens {
    key: SigningKey,
    reader: Arc<dyn Reader>,
    clock: Clock,
    /// Digests of tokens whose signature was good: checking one costs more than most requests.
    genuine: Mutex<HashSet<[u8; 32]>>,
}

/// Who a valid token speaks for.
#[derive(Clone, Debug, PartialEq)]
pub struct VerifiedToken {
    /// The ServiceAccount.
    pub user: UserInfo,
    /// Those of the wanted audiences that the token is for.
    pub audiences: Vec<String>,
}

/// What a new token says.
struct Grant<'a> {
    account: &'a Value,
    bound: Option<(&'static str, Arc<Value>)>,
    /// Name and, if it exists, uid of the pod's node.
    node: Option<Value>,
    audiences: &'a [String],
    now: i64,
    lifetime_seconds: i64,
    warn_after_seconds: Option<i64>,
}

impl ServiceAccountTokens {
    /// Uses a PKCS#8 PEM key (ECDSA P-256).
    pub fn new(
        key_pem: &str,
        reader: Arc<dyn Reader>,
        clock: Clock,
    ) -> Result<ServiceAccountTokens, KeyError> {
        let key = SigningKey::from_pem(key_pem)?;
        Ok(ServiceAccountTokens { key, reader, clock, genuine: Mutex::default() })
    }

    /// `/.well-known/openid-configuration`; `base_url` is how clients reach this server.
    pub fn discovery_document(&self, base_url: &str) -> Value {
        json!({
            "issuer": ISSUER,
            "jwks_uri": format!("{base_url}/openid/v1/jwks"),
            "response_types_supported": ["id_token"],
            "subject_types_supported": ["public"],
            "id_token_signing_alg_values_supported": ["ES256"],
        })
    }

    /// `/openid/v1/jwks`.
    pub fn key_set(&self) -> Value {
        json!({"keys": [self.key.public_jwk()]})
    }

    /// Verifies a token for one of the wanted audiences. `Ok(None)` when another issuer made it; the
    /// error is a sentence.
    pub fn verify(&self, token: &str, wanted: &[String]) -> Result<Option<VerifiedToken>, String> {
        let Some(claims) = claims_unverified(token) else { return Ok(None) };
        if claims["iss"] != ISSUER {
            return Ok(None);
        }
        if !self.is_genuine(token) {
            return Err("invalid bearer token signature".into());
        }
        let now = (self.clock)().as_second();
        check_times(&claims, now)?;
        let audiences = common_audiences(&claims, wanted)?;
        let user = self.subject(&claims, now)?;
        Ok(Some(VerifiedToken { user, audiences }))
    }

    fn is_genuine(&self, token: &str) -> bool {
        let digest = ring::digest::digest(&ring::digest::SHA256, token.as_bytes());
        let Ok(digest) = <[u8; 32]>::try_from(digest.as_ref()) else { return false };
        let remembered = || self.genuine.lock().unwrap_or_else(PoisonError::into_inner);
        if remembered().contains(&digest) {
            return true;
        }
        let genuine = self.key.verify(token);
        if genuine {
            let mut remembered = remembered();
            if remembered.len() >= REMEMBERED_MAX {
                remembered.clear();
            }
            remembered.insert(digest);
        }
        genuine
    }

    /// The ServiceAccount of the claims, if it and what the token is bound to still exist.
    fn subject(&self, claims: &Value, now: i64) -> Result<UserInfo, String> {
        let private = &claims["kubernetes.io"];
        let namespace = private.str_at(&["namespace"]);
        let name = private.str_at(&["serviceaccount", "name"]);
        let username = username(namespace, name);
        if name.is_empty() || claims["sub"] != username.as_str() {
            return Err("Token has been invalidated".into());
        }
        let expired_at = now - DELETION_LEEWAY_SECONDS;
        let account = self.reader.get("", "serviceaccounts", namespace, name);
        check_alive("service account", &private["serviceaccount"], account, expired_at)?;
        let has_pod = private["pod"].is_object();
        for (claim, resource, scope) in
            [("secret", "secrets", namespace), ("pod", "pods", namespace), ("node", "nodes", "")]
        {
            // The node of a pod-bound token is told, not bound.
            if !private[claim].is_object() || (claim == "node" && has_pod) {
                continue;
            }
            let object = self.reader.get("", resource, scope, private.str_at(&[claim, "name"]));
            check_alive(claim, &private[claim], object, expired_at)?;
        }
        Ok(user_of(claims, username, namespace))
    }

    fn issue(&self, grant: &Grant<'_>) -> Option<String> {
        let reference = |object: &Value| json!({"name": object.name(), "uid": object.uid()});
        let (namespace, name) = (grant.account.namespace(), grant.account.name());
        let mut private = Map::new();
        private.insert("namespace".into(), namespace.into());
        private.insert("serviceaccount".into(), reference(grant.account));
        if let Some((kind, object)) = &grant.bound {
            private.insert((*kind).into(), reference(object));
        }
        if let Some(node) = &grant.node {
            private.insert("node".into(), node.clone());
        }
        if let Some(seconds) = grant.warn_after_seconds {
            private.insert("warnafter".into(), (grant.now + seconds).into());
        }
        self.key.sign(&json!({
            "aud": grant.audiences,
            "exp": grant.now + grant.lifetime_seconds,
            "iat": grant.now,
            "iss": ISSUER,
            "jti": self.key.token_id()?,
            "kubernetes.io": private,
            "nbf": grant.now,
            "sub": username(namespace, name),
        }))
    }
}

/// The audiences of the API server itself.
pub fn default_audiences() -> Vec<String> {
    vec![ISSUER.to_owned()]
}

fn username(namespace: &str, name: &str) -> String {
    format!("system:serviceaccount:{namespace}:{name}")
}

fn check_times(claims: &Value, now: i64) -> Result<(), String> {
    match claims["exp"].as_i64() {
        Some(expiry) if now > expiry + CLOCK_LEEWAY_SECONDS => {
            return Err("service account token has expired".into());
        }
        Some(_) => {}
        None => return Err("service account token has no expiry".into()),
    }
    if claims["nbf"].as_i64().is_some_and(|start| now < start - CLOCK_LEEWAY_SECONDS) {
        return Err("service account token is not valid yet".into());
    }
    Ok(())
}

fn common_audiences(claims: &Value, wanted: &[String]) -> Result<Vec<String>, String> {
    let list = match &claims["aud"] {
        Value::Array(list) => list.clone(),
        one => vec![one.clone()],
    };
    let audiences: Vec<String> = list.iter().filter_map(Value::as_str).map(str::to_owned).collect();
    let common: Vec<String> =
        audiences.iter().filter(|audience| wanted.contains(audience)).cloned().collect();
    if common.is_empty() {
        let show = |list: &[String]| format!("{list:?}").replace(", ", " ");
        return Err(format!(
            "token audiences {} is invalid for the target audiences {}",
            show(&audiences),
            show(wanted)
        ));
    }
    Ok(common)
}

fn check_alive(
    what: &str,
    claim: &Value,
    object: Option<Arc<Value>>,
    expired_at: i64,
) -> Result<(), String> {
    let name = claim.str_at(&["name"]);
    let Some(object) = object else { return Err(format!("{what} {name:?} not found")) };
    if object.uid() != claim.str_at(&["uid"]) {
        return Err(format!(
            "{what} UID ({}) does not match claim ({})",
            object.uid(),
            claim.str_at(&["uid"])
        ));
    }
    match object.deletion_timestamp() {
        Some(deleted) if deleted.as_second() < expired_at => {
            Err(format!("{what} {name:?} has been deleted"))
        }
        _ => Ok(()),
    }
}

fn user_of(claims: &Value, username: String, namespace: &str) -> UserInfo {
    let private = &claims["kubernetes.io"];
    let mut user = UserInfo {
        username,
        uid: private.str_at(&["serviceaccount", "uid"]).into(),
        groups: vec![
            "system:serviceaccounts".into(),
            format!("system:serviceaccounts:{namespace}"),
        ],
        ..UserInfo::default()
    };
    let mut extra = |key: &str, value: String| {
        if !value.is_empty() {
            user.extra.insert(format!("authentication.kubernetes.io/{key}"), vec![value]);
        }
    };
    if let Some(id) = claims["jti"].as_str() {
        extra("credential-id", format!("JTI={id}"));
    }
    for object in ["node", "pod"] {
        for field in ["name", "uid"] {
            extra(&format!("{object}-{field}"), private.str_at(&[object, field]).to_owned());
        }
    }
    user
}
