//! ServiceAccount tokens of projected volumes: requested for the pod, renewed before they expire.

use std::time::Duration;

use jiff::Timestamp;
use k8s_openapi::api::authentication::v1::{
    BoundObjectReference, TokenRequest, TokenRequestSpec, TokenRequestStatus,
};
use k8s_openapi::api::core::v1::{Pod, ServiceAccount, ServiceAccountTokenProjection};
use kube::api::{Api, PostParams};

use crate::error::api_message;
use crate::lifecycle::backoff::later;
use crate::pod::PodExt;

/// A token with the time to ask for the next one.
#[derive(Clone, Debug, PartialEq)]
pub struct Token {
    /// The token.
    pub text: String,
    /// When to renew it.
    pub renew_at: Timestamp,
}

const LIFETIME_DEFAULT: i64 = 3600;
/// No token is used for longer, however long it lives.
const AGE_MAX: Duration = Duration::from_secs(24 * 60 * 60);

/// Requests a token bound to the pod.
pub async fn request(
    client: &kube::Client,
    pod: &Pod,
    source: &ServiceAccountTokenProjection,
    now: Timestamp,
) -> Result<Token, String> {
    let lifetime = source.expiration_seconds.unwrap_or(LIFETIME_DEFAULT);
    let status = request_status(client, pod, source.audience.as_deref(), Some(lifetime)).await?;
    match (status.token, status.expiration_timestamp) {
        (Some(text), Some(expires)) => Ok(Token { text, renew_at: renewal(now, expires.0) }),
        _ => Err("failed to fetch token: the answer holds none".into()),
    }
}

/// Requests a token bound to the pod, for an audience or, without one, for the API server.
pub async fn request_status(
    client: &kube::Client,
    pod: &Pod,
    audience: Option<&str>,
    lifetime_seconds: Option<i64>,
) -> Result<TokenRequestStatus, String> {
    let account = pod.spec().service_account_name.as_deref().filter(|name| !name.is_empty());
    let account = account.unwrap_or("default");
    let audience = audience.filter(|audience| !audience.is_empty()).map(str::to_owned);
    let request = TokenRequest {
        spec: Some(TokenRequestSpec {
            audiences: audience.into_iter().collect::<Vec<_>>().into(),
            expiration_seconds: lifetime_seconds,
            bound_object_ref: Some(BoundObjectReference {
                api_version: Some("v1".into()),
                kind: Some("Pod".into()),
                name: Some(pod.name().to_owned()),
                uid: Some(pod.uid().to_owned()),
            }),
        }),
        ..TokenRequest::default()
    };
    let accounts: Api<ServiceAccount> = Api::namespaced(client.clone(), pod.namespace());
    let answer = accounts.create_token_request(account, &PostParams::default(), &request).await;
    let failed = |error: kube::Error| format!("failed to fetch token: {}", api_message(&error));
    Ok(answer.map_err(failed)?.status.unwrap_or_default())
}

/// Four fifths of the lifetime, at most a day.
fn renewal(now: Timestamp, expires: Timestamp) -> Timestamp {
    let lifetime = crate::lifecycle::backoff::since(now, expires);
    later(now, lifetime.mul_f64(0.8).min(AGE_MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn renewals() {
        let at = |n| Timestamp::from_second(n).unwrap();
        assert_eq!(renewal(at(0), at(1000)), at(800));
        assert_eq!(renewal(at(0), at(365 * 86400)), at(86400));
        assert_eq!(renewal(at(10), at(0)), at(10));
    }
}
