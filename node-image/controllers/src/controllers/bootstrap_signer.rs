//! Signs `kube-public/cluster-info` with every bootstrap token that may sign, so that who knows a
//! token can trust what it says of the cluster (JWS, RFC 7515, detached content, HS256).

use std::collections::BTreeMap;

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use jiff::Timestamp;
use k8s_openapi::api::core::v1::ConfigMap;
use kd_client::{Change, Interest, Key, View, resources};
use ring::hmac;
use serde_json::json;

use super::bootstrap_tokens::BootstrapToken;
use super::kept::{self, BOOTSTRAP_NAMESPACE};
use crate::controller::shared;
use crate::{Controller, Plan, Step, Target};

/// The ConfigMap that is signed.
pub(super) const CLUSTER_INFO: &str = "cluster-info";
const NAMESPACE: &str = "kube-public";
/// What is signed, and how the names of signatures begin.
const CONTENT: &str = "kubeconfig";
const SIGNATURE_PREFIX: &str = "jws-kubeconfig-";

pub(super) struct BootstrapSigner;

impl Controller for BootstrapSigner {
    fn name(&self) -> &'static str {
        "bootstrap-signer-controller"
    }

    fn account(&self) -> &'static str {
        "bootstrap-signer"
    }

    fn interests(&self) -> Vec<Interest> {
        vec![kept::secrets(), kept::config_maps()]
    }

    fn targets(&self, _view: &View, change: &Change) -> Vec<Target> {
        let states = || change.old.iter().chain(&change.new);
        let info = |name: &str, namespace: &str| name == CLUSTER_INFO && namespace == NAMESPACE;
        let concerned = match change.resource.same(&resources::CONFIG_MAPS) {
            true => states().any(|map| info(&map.metadata.name, &map.metadata.namespace)),
            false => states().any(|secret| BootstrapToken::of(secret).is_some()),
        };
        let target =
            || Target::new(&shared(&resources::CONFIG_MAPS), Key::new(NAMESPACE, CLUSTER_INFO));
        concerned.then(target).into_iter().collect()
    }

    fn reconcile(&self, view: &View, target: &Target, now: Timestamp) -> Plan {
        let Some(mut map) = view.get::<ConfigMap>(NAMESPACE, CLUSTER_INFO) else {
            return Plan::nothing();
        };
        let mut data = map.data.clone().unwrap_or_default();
        let Some(content) = data.get(CONTENT).cloned() else { return Plan::nothing() };
        let tokens: Vec<BootstrapToken> = view
            .objects(&resources::SECRETS, Some(BOOTSTRAP_NAMESPACE))
            .filter(|secret| !secret.metadata.is_deleting())
            .filter_map(|secret| BootstrapToken::of(secret))
            .collect();
        data.retain(|name, _| !name.starts_with(SIGNATURE_PREFIX));
        data.extend(signatures(&tokens, &content, now));
        let ends = tokens.iter().filter_map(|token| token.expiration()?.ok());
        let again = ends.filter(|end| *end > now).min();
        if map.data.as_ref() == Some(&data) {
            return Plan { again, ..Plan::default() };
        }
        map.data = Some(data);
        let step = Step::update(&resources::CONFIG_MAPS, target.key.clone(), &map);
        Plan { again, ..Plan::one(step) }
    }
}

fn signatures(
    tokens: &[BootstrapToken],
    content: &str,
    now: Timestamp,
) -> BTreeMap<String, String> {
    let signers = tokens.iter().filter_map(|token| token.signer(now));
    signers
        .map(|(id, secret)| (format!("{SIGNATURE_PREFIX}{id}"), signature(&id, &secret, content)))
        .collect()
}

/// A signature without what it signs.
fn signature(id: &str, secret: &str, content: &str) -> String {
    let encode = |bytes: &[u8]| BASE64_URL_SAFE_NO_PAD.encode(bytes);
    let header = encode(json!({"alg": "HS256", "kid": id}).to_string().as_bytes());
    let signed = format!("{header}.{}", encode(content.as_bytes()));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{header}..{}", encode(hmac::sign(&key, signed.as_bytes()).as_ref()))
}

#[cfg(test)]
pub(in crate::controllers) mod tests {
    use base64::prelude::BASE64_STANDARD;
    use serde_json::Value;

    use super::*;
    use crate::testing::{at, body, lines, object, plan, time, view};

    /// A token's Secret with more data.
    pub fn token(id: &str, more: Value) -> Value {
        let mut data = json!({"token-id": id, "token-secret": "0123456789abcdef",
            "usage-bootstrap-signing": "true"});
        crate::testing::merge(&mut data, more);
        for (_, value) in data.as_object_mut().unwrap() {
            *value = json!(BASE64_STANDARD.encode(value.as_str().unwrap()));
        }
        let name = format!("bootstrap-token-{id}");
        let rest = json!({"type": "bootstrap.kubernetes.io/token", "data": data});
        object("Secret", "kube-system", &name, rest)
    }

    fn info(data: Value) -> Value {
        object("ConfigMap", NAMESPACE, CLUSTER_INFO, json!({"data": data}))
    }

    fn reconcile(objects: &[Value]) -> Plan {
        let key = (NAMESPACE, CLUSTER_INFO);
        plan(&BootstrapSigner, &view(objects), &resources::CONFIG_MAPS, key, 10)
    }

    #[test]
    fn tokens_sign_while_they_may() {
        let config = json!({"kubeconfig": "x"});
        let signed = reconcile(&[info(config.clone()), token("abcdef", json!({}))]);
        assert_eq!(lines(&signed), ["update configmaps kube-public/cluster-info"]);
        let data = body(&signed, 0)["data"].clone();
        let signature = data["jws-kubeconfig-abcdef"].as_str().unwrap();
        assert!(signature.starts_with("eyJhbGciOiJIUzI1NiIsImtpZCI6ImFiY2RlZiJ9.."), "{signature}");
        assert!(reconcile(&[info(data.clone()), token("abcdef", json!({}))]).is_empty());
        for other in [
            json!({"usage-bootstrap-signing": "false"}),
            json!({"expiration": time(5)}),
            json!({"token-secret": "short"}),
        ] {
            let taken_back = reconcile(&[info(data.clone()), token("abcdef", other)]);
            assert_eq!(body(&taken_back, 0)["data"], config);
        }
        let ends = token("abcdef", json!({"expiration": time(50)}));
        assert_eq!(reconcile(&[info(config), ends]).again, Some(at(50)));
        assert!(reconcile(&[token("abcdef", json!({}))]).is_empty(), "nothing to sign");
    }

    /// The known answer of RFC 4231's second case holds for the primitive; here the form.
    #[test]
    fn a_signature_is_detached() {
        let signature = signature("abcdef", "secret", "content");
        let parts: Vec<&str> = signature.split('.').collect();
        assert_eq!((parts.len(), parts[1]), (3, ""));
        assert_eq!(BASE64_URL_SAFE_NO_PAD.decode(parts[2]).unwrap().len(), 32);
    }
}
