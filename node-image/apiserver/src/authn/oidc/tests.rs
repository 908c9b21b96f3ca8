//! An issuer on a socket, its tokens, and what the server makes of them.

use std::sync::{Arc, Mutex, OnceLock};

use base64::Engine;
use base64::prelude::{BASE64_STANDARD, BASE64_URL_SAFE_NO_PAD};
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair};
use serde_json::{Value, json};

use super::*;
use crate::testing::FakeReader;
use crate::testing::webhook::WebhookServer;

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

struct Key {
    pair: EcdsaKeyPair,
    id: &'static str,
}

impl Key {
    fn new(id: &'static str) -> Key {
        let random = SystemRandom::new();
        let algorithm = &ECDSA_P256_SHA256_FIXED_SIGNING;
        let document = EcdsaKeyPair::generate_pkcs8(algorithm, &random).unwrap();
        let pair = EcdsaKeyPair::from_pkcs8(algorithm, document.as_ref(), &random).unwrap();
        Key { pair, id }
    }

    fn public(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        json!({"kty": "EC", "crv": "P-256", "kid": self.id, "x": encode(&point[1..33]), "y": encode(&point[33..])})
    }

    fn token(&self, claims: &Value) -> String {
        let header = json!({"alg": "ES256", "kid": self.id}).to_string();
        let content = format!("{}.{}", encode(header), encode(claims.to_string()));
        let signature = self.pair.sign(&SystemRandom::new(), content.as_bytes()).unwrap();
        format!("{content}.{}", encode(signature))
    }
}

const NOW: i64 = 1_800_000_000;

struct World {
    server: WebhookServer,
    url: String,
    keys: Arc<Mutex<Vec<Value>>>,
}

impl World {
    async fn start(key: &Key) -> World {
        let url: Arc<OnceLock<String>> = Arc::default();
        let keys = Arc::new(Mutex::new(vec![key.public()]));
        let (own, shown) = (url.clone(), keys.clone());
        let server = WebhookServer::answering(&["localhost"], move |asked| {
            let url = own.get().cloned().unwrap_or_default();
            let answer = match asked.path.as_str() {
                "/.well-known/openid-configuration" => {
                    json!({"issuer": url, "jwks_uri": format!("{url}/keys")})
                }
                _ => json!({"keys": *shown.lock().unwrap()}),
            };
            (200, answer.to_string())
        })
        .await;
        let name = format!("https://localhost:{}", server.address.port());
        url.set(name.clone()).unwrap();
        World { server, url: name, keys }
    }

    fn issuers(&self, mappings: &str) -> Issuers {
        let authority = BASE64_STANDARD.decode(&self.server.ca_bundle).unwrap();
        let authority = Value::from(String::from_utf8(authority).unwrap());
        let text = format!(
            "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\njwt:\n\
             - issuer: {{url: '{}', audiences: [kd], certificateAuthority: {authority}}}\n  {mappings}",
            self.url
        );
        let configuration = AuthenticationConfiguration::parse(&text).unwrap();
        let clients = Arc::new(WebhookClients::new(FakeReader::with([])));
        let clock: Clock = Arc::new(|| jiff::Timestamp::from_second(NOW).unwrap());
        Issuers::new(&configuration, &clients, clock)
    }

    fn claims(&self, more: Value) -> Value {
        let mut claims = json!({"iss": self.url, "aud": "kd", "exp": NOW + 60, "sub": "jane"});
        for (name, value) in more.as_object().unwrap() {
            claims[name] = value.clone();
        }
        claims
    }
}

async fn verified(issuers: &Issuers, token: &str) -> Result<Option<Value>, String> {
    let verified = issuers.verify(token, &crate::token::default_audiences()).await?;
    Ok(verified.map(|verified| crate::authz::user_value(&verified.user)))
}

#[tokio::test]
async fn claims_are_mapped() {
    let key = Key::new("1");
    let world = World::start(&key).await;
    let issuers = world.issuers("claimMappings: {username: {claim: sub, prefix: 'oidc:'}, groups: {claim: teams, prefix: ''}}");
    let check = async |more: Value, expect: Result<Value, &str>| {
        let got = verified(&issuers, &key.token(&world.claims(more))).await;
        assert_eq!(got.map(Option::unwrap_or_default), expect.map_err(str::to_owned));
    };
    check(json!({}), Ok(json!({"username": "oidc:jane"}))).await;
    check(json!({"teams": ["a", "b"]}), Ok(json!({"username": "oidc:jane", "groups": ["a", "b"]})))
        .await;
    check(json!({"aud": ["x"]}), Err(r#"oidc: expected audience in ["kd"] got ["x"]"#)).await;
    check(json!({"exp": NOW}), Err("oidc: verify token: oidc: token is expired")).await;
    check(json!({"sub": null}), Err(r#"oidc: parse username claims "sub": claim not present"#))
        .await;
    check(json!({"iss": "https://other"}), Ok(Value::Null)).await;
    let forged = Key::new("1").token(&world.claims(json!({})));
    let bad = "oidc: verify token: failed to verify signature: failed to verify id token signature";
    assert_eq!(verified(&issuers, &forged).await, Err(bad.into()));
    assert_eq!(world.server.paths(), ["/.well-known/openid-configuration", "/keys"]);
}

#[tokio::test]
async fn expressions() {
    let key = Key::new("1");
    let world = World::start(&key).await;
    let issuers = world.issuers(
        "claimValidationRules: [{expression: 'claims.hd == \"x\"', message: only x}, {claim: kind, requiredValue: human}]\n  \
         claimMappings:\n    \
           username: {expression: 'claims.sub + \"@\" + claims.hd'}\n    \
           groups: {expression: 'claims.?teams.orValue([\"none\"])'}\n    \
           uid: {expression: claims.sub}\n    \
           extra: [{key: example.com/hd, valueExpression: claims.hd}]\n  \
         userValidationRules: [{expression: '!user.username.startsWith(\"system:\")', message: reserved}]",
    );
    let check = async |more: Value, expect: Result<Value, &str>| {
        let got = verified(&issuers, &key.token(&world.claims(more))).await;
        assert_eq!(got.map(Option::unwrap_or_default), expect.map_err(str::to_owned));
    };
    let jane = json!({"username": "jane@x", "uid": "jane", "groups": ["none"], "extra": {"example.com/hd": ["x"]}});
    check(json!({"hd": "x", "kind": "human"}), Ok(jane)).await;
    check(
        json!({"hd": "x", "kind": "robot"}),
        Err("oidc: required claim kind value does not match"),
    )
    .await;
    check(json!({"hd": "y", "kind": "human"}), Err("oidc: error evaluating claim validation expression: validation expression 'claims.hd == \"x\"' failed: only x")).await;
    check(json!({"hd": "x", "kind": "human", "sub": "system:a"}), Err("oidc: error evaluating user info validation rule: validation expression '!user.username.startsWith(\"system:\")' failed: reserved")).await;
}

#[tokio::test]
async fn keys_change() {
    let (old, new) = (Key::new("old"), Key::new("new"));
    let world = World::start(&old).await;
    let issuers = world.issuers("claimMappings: {username: {claim: sub, prefix: ''}}");
    let claims = world.claims(json!({}));
    assert!(verified(&issuers, &old.token(&claims)).await.is_ok());
    *world.keys.lock().unwrap() = vec![new.public()];
    // A flood of unknown keys does not make us ask each time.
    assert!(verified(&issuers, &new.token(&claims)).await.is_err());
    tokio::time::pause();
    tokio::time::advance(std::time::Duration::from_secs(2)).await;
    tokio::time::resume();
    assert!(verified(&issuers, &new.token(&claims)).await.is_ok());
    assert!(verified(&issuers, &old.token(&claims)).await.is_err());
}

#[test]
fn refused() {
    let check = |jwt: &str, expect: &str| {
        let head = "apiVersion: apiserver.config.k8s.io/v1\nkind: AuthenticationConfiguration\n";
        let error = AuthenticationConfiguration::parse(&format!("{head}{jwt}")).unwrap_err();
        let error = error.to_string().replace("AuthenticationConfiguration: ", "");
        assert!(error.starts_with(expect), "{error}");
    };
    let of = |issuer: &str, rest: &str| format!("jwt: [{{issuer: {{{issuer}}}, {rest}}}]");
    let name = "claimMappings: {username: {claim: sub, prefix: ''}}";
    let good = "url: 'https://a', audiences: [x]";
    check(
        &of("url: 'http://a', audiences: [x]", name),
        r#"jwt[0].issuer.url: Invalid value: "http://a": URL scheme must be https"#,
    );
    check(
        &of("url: 'https://a'", name),
        "jwt[0].issuer.audiences: Required value: at least one jwt.issuer.audiences is required",
    );
    check(
        &of("url: 'https://a', audiences: [x, y]", name),
        "jwt[0].issuer.audienceMatchPolicy: Invalid value: \"\": audienceMatchPolicy must be MatchAny for multiple audiences",
    );
    check(
        &of(good, "claimMappings: {username: {}}"),
        "jwt[0].claimMappings.username: Required value: claim or expression is required",
    );
    check(
        &of(good, "claimMappings: {username: {claim: sub}}"),
        "jwt[0].claimMappings.username.prefix: Required value: prefix is required when claim is set",
    );
    check(
        &of(good, "claimMappings: {username: {expression: '1 + 1'}}"),
        r#"jwt[0].claimMappings.username.expression: Invalid value: "1 + 1": must evaluate to string"#,
    );
    check(
        &of(good, "claimMappings: {username: {expression: 'claims.'}}"),
        r#"jwt[0].claimMappings.username.expression: Invalid value: "claims.": compilation failed: "#,
    );
    check(&format!("{}\n", of(good, "bad: 1")), "strict decoding error: unknown field `bad`");
}
