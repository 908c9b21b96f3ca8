//! Tokens from request to review.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use jiff::Timestamp;
use kd_api::Object;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair};
use serde_json::{Value, json};

use super::*;
use crate::authn::{ClientCertificates, StaticTokens, UnionAuthenticator};
use crate::request::Authenticator;
use crate::testing::FakeReader;

const NOW: i64 = 1_800_000_000;

struct World {
    reader: Arc<FakeReader>,
    tokens: Arc<ServiceAccountTokens>,
    authenticator: UnionAuthenticator,
    time: Arc<AtomicI64>,
}

fn key_pem() -> String {
    use base64::Engine;
    let random = ring::rand::SystemRandom::new();
    let key = EcdsaKeyPair::generate_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, &random).unwrap();
    let text = base64::prelude::BASE64_STANDARD.encode(key.as_ref());
    format!("-----BEGIN PRIVATE KEY-----\n{text}\n-----END PRIVATE KEY-----\n")
}

fn world() -> World {
    let object = |kind: &str, name: &str, extra: Value| {
        let mut object = json!({"apiVersion": "v1", "kind": kind,
            "metadata": {"name": name, "namespace": if kind == "Node" { "" } else { "ns" }, "uid": format!("{name}-uid")}});
        object["spec"] = extra;
        object
    };
    let reader = FakeReader::with([
        object("ServiceAccount", "sa", json!({})),
        object("Pod", "p", json!({"serviceAccountName": "sa", "nodeName": "n"})),
        object("Node", "n", json!({})),
    ]);
    let time = Arc::new(AtomicI64::new(NOW));
    let clock: Clock = {
        let time = time.clone();
        Arc::new(move || Timestamp::from_second(time.load(Ordering::Relaxed)).unwrap())
    };
    let tokens =
        Arc::new(ServiceAccountTokens::new(&key_pem(), reader.clone(), clock.clone()).unwrap());
    let file = StaticTokens::parse("secret,alice,1,staff").unwrap();
    let authenticator = UnionAuthenticator::new(tokens.clone(), file, reader.clone(), clock);
    World { reader, tokens, authenticator, time }
}

impl World {
    fn token(&self, spec: Value) -> String {
        let answer = self.tokens.request("ns", "sa", json!({"spec": spec})).unwrap();
        answer.str_at(&["status", "token"]).to_owned()
    }

    async fn verify(&self, token: &str) -> String {
        match self.authenticator.authenticate_token(token, &default_audiences()).await {
            Ok(Some(verified)) => verified.user.username,
            Ok(None) => "unknown".into(),
            Err(reason) => reason,
        }
    }
}

#[tokio::test]
async fn a_token_lives_until_its_end() {
    let world = world();
    let token = world.token(json!({"expirationSeconds": 600}));
    assert_eq!(world.verify(&token).await, "system:serviceaccount:ns:sa");
    world.time.store(NOW + 661, Ordering::Relaxed);
    assert_eq!(world.verify(&token).await, "service account token has expired");
}

#[tokio::test]
async fn a_pods_token_says_so_and_ends_with_the_pod() {
    let world = world();
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "p", "uid": "p-uid"});
    let token = world.token(json!({"expirationSeconds": 3607, "boundObjectRef": reference}));
    let claims = claims_unverified(&token).unwrap();
    assert_eq!(claims["exp"], NOW + 31_536_000);
    let private = json!({"namespace": "ns", "serviceaccount": {"name": "sa", "uid": "sa-uid"},
        "pod": {"name": "p", "uid": "p-uid"}, "node": {"name": "n", "uid": "n-uid"}, "warnafter": NOW + 3607});
    assert_eq!(claims["kubernetes.io"], private);
    let verified = world.tokens.verify(&token, &default_audiences()).unwrap().unwrap();
    assert_eq!(verified.user.extra["authentication.kubernetes.io/pod-name"], ["p"]);
    assert_eq!(verified.user.groups, ["system:serviceaccounts", "system:serviceaccounts:ns"]);

    let mut again = Value::clone(&world.reader.get("", "pods", "ns", "p").unwrap());
    again.set_uid("other");
    world.reader.put(again);
    assert_eq!(world.verify(&token).await, "pod UID (other) does not match claim (p-uid)");
}

#[tokio::test]
async fn what_is_forged_or_foreign_is_refused() {
    let (world, other) = (world(), world());
    let foreign = other.token(json!({}));
    assert_eq!(world.verify(&foreign).await, "invalid bearer token signature");
    assert_eq!(world.verify("a.b.c").await, "unknown");
    let elsewhere = world.token(json!({"audiences": ["vault"]}));
    assert_eq!(
        world.verify(&elsewhere).await,
        "token audiences [\"vault\"] is invalid for the target audiences [\"https://kubernetes.default.svc.cluster.local\"]"
    );
    let refused =
        |spec: Value| world.tokens.request("ns", "sa", json!({"spec": spec})).unwrap_err().message;
    assert_eq!(
        refused(json!({"expirationSeconds": 5})),
        "TokenRequest.authentication.k8s.io \"sa\" is invalid: spec.expirationSeconds: Invalid value: 5: may not specify a duration less than 10 minutes"
    );
    let reference = json!({"apiVersion": "v1", "kind": "Pod", "name": "gone"});
    assert_eq!(refused(json!({"boundObjectRef": reference})), "pods \"gone\" not found");
    assert_eq!(
        world.tokens.request("ns", "no", json!({})).unwrap_err().message,
        "serviceaccounts \"no\" not found"
    );
}

#[tokio::test]
async fn reviews() {
    let world = world();
    let token = world.token(json!({"audiences": ["vault"]}));
    let review = async |token: &str, audiences: Value| {
        let review = json!({"spec": {"token": token, "audiences": audiences}});
        review_token(&world.authenticator, review).await.unwrap()["status"].clone()
    };
    let good = review(&token, json!(["vault", "other"])).await;
    assert_eq!(good["authenticated"], true);
    assert_eq!(good["audiences"], json!(["vault"]));
    assert_eq!(
        good["user"]["groups"],
        json!(["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"])
    );
    assert_eq!(review("nonsense", json!([])).await, json!({"user": {}}));
    assert!(
        review(&token, json!([])).await["error"]
            .as_str()
            .unwrap()
            .starts_with("[invalid bearer token, token audiences")
    );
}

#[tokio::test]
async fn requests() {
    use base64::Engine;
    let encode = |text: &str| base64::prelude::BASE64_STANDARD.encode(text);
    let world = world();
    world.reader.put(json!({"apiVersion": "v1", "kind": "Secret", "type": "bootstrap.kubernetes.io/token",
        "metadata": {"name": "bootstrap-token-abcdef", "namespace": "kube-system"},
        "data": {"token-id": encode("abcdef"), "token-secret": encode("0123456789abcdef"),
            "usage-bootstrap-authentication": encode("true"), "auth-extra-groups": encode("system:bootstrappers:x")}}));
    let check = async |path: &str, authorization: &str, expect: &str| {
        let mut request = http::Request::builder().uri(path);
        if !authorization.is_empty() {
            request = request.header("Authorization", authorization);
        }
        let (parts, ()) = request.body(()).unwrap().into_parts();
        let got =
            match world.authenticator.authenticate(&parts, &ClientCertificates::default()).await {
                Ok(Some(user)) => format!("{} {:?}", user.username, user.groups),
                Ok(None) => "nobody".to_owned(),
                Err(status) => status.code.to_string(),
            };
        assert_eq!(got, expect, "{path} {authorization}");
    };
    check("/api", "", "nobody").await;
    check("/healthz", "", r#"system:anonymous ["system:unauthenticated"]"#).await;
    check("/healthz", "Bearer wrong", "401").await;
    check("/api", "Bearer secret", r#"alice ["staff", "system:authenticated"]"#).await;
    check("/api", "bearer abcdef.0123456789abcdef", r#"system:bootstrap:abcdef ["system:bootstrappers", "system:bootstrappers:x", "system:authenticated"]"#).await;
    check("/api", "Bearer abcdef.0123456789abcdee", "401").await;
    let token = format!("Bearer {}", world.token(json!({})));
    check("/api", &token, r#"system:serviceaccount:ns:sa ["system:serviceaccounts", "system:serviceaccounts:ns", "system:authenticated"]"#).await;
}

#[test]
fn discovery() {
    let world = world();
    let document = world.tokens.discovery_document("https://10.0.0.1:6443");
    assert_eq!(document["jwks_uri"], "https://10.0.0.1:6443/openid/v1/jwks");
    let keys = world.tokens.key_set();
    assert_eq!(keys["keys"][0]["x"].as_str().unwrap().len(), 43);
}
