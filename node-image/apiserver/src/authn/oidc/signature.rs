//! Signatures of JSON Web Tokens by the public keys of a key set (RFC 7515, RFC 7517, RFC 7518).

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use kd_api::Object;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P384_SHA384_FIXED, RSA_PKCS1_2048_8192_SHA256,
    RSA_PKCS1_2048_8192_SHA384, RSA_PKCS1_2048_8192_SHA512, RSA_PSS_2048_8192_SHA256,
    RSA_PSS_2048_8192_SHA384, RSA_PSS_2048_8192_SHA512, RsaParameters, RsaPublicKeyComponents,
    UnparsedPublicKey,
};
use serde_json::Value;

static RSA: [(&str, &RsaParameters); 6] = [
    ("PS256", &RSA_PSS_2048_8192_SHA256),
    ("PS384", &RSA_PSS_2048_8192_SHA384),
    ("PS512", &RSA_PSS_2048_8192_SHA512),
    ("RS256", &RSA_PKCS1_2048_8192_SHA256),
    ("RS384", &RSA_PKCS1_2048_8192_SHA384),
    ("RS512", &RSA_PKCS1_2048_8192_SHA512),
];

/// What a token is signed with.
pub(super) struct Signed<'a> {
    algorithm: String,
    pub(super) key_id: String,
    content: &'a str,
    signature: Vec<u8>,
}

impl Signed<'_> {
    pub(super) fn of(token: &str) -> Option<Signed<'_>> {
        let (content, signature) = token.rsplit_once('.')?;
        let (header, _) = content.split_once('.')?;
        let header = BASE64_URL_SAFE_NO_PAD.decode(header).ok()?;
        let header: Value = serde_json::from_slice(&header).ok()?;
        Some(Signed {
            algorithm: header.str_at(&["alg"]).to_owned(),
            key_id: header.str_at(&["kid"]).to_owned(),
            content,
            signature: BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?,
        })
    }

    /// Whether one of the keys made it: that of the token's key id, or any if it names none.
    pub(super) fn is_by(&self, keys: &[Value]) -> bool {
        let named = |key: &&Value| self.key_id.is_empty() || key["kid"] == *self.key_id;
        keys.iter().filter(named).any(|key| self.is_by_key(key).is_some())
    }

    fn is_by_key(&self, key: &Value) -> Option<()> {
        // A key says what it is for, if it likes.
        if !matches!(key.str_at(&["use"]), "" | "sig")
            || !(key["alg"].is_null() || key["alg"] == *self.algorithm)
        {
            return None;
        }
        let part = |name: &str| BASE64_URL_SAFE_NO_PAD.decode(key.str_at(&[name])).ok();
        let content = self.content.as_bytes();
        let curve = match (self.algorithm.as_str(), key.str_at(&["crv"])) {
            ("ES256", "P-256") => Some(&ECDSA_P256_SHA256_FIXED),
            ("ES384", "P-384") => Some(&ECDSA_P384_SHA384_FIXED),
            _ => None,
        };
        if let Some(curve) = curve {
            // An uncompressed point.
            let point = [vec![4], part("x")?, part("y")?].concat();
            return UnparsedPublicKey::new(curve, point).verify(content, &self.signature).ok();
        }
        let (_, parameters) = RSA.iter().find(|(name, _)| *name == self.algorithm)?;
        if key["kty"] != "RSA" {
            return None;
        }
        let components = RsaPublicKeyComponents { n: part("n")?, e: part("e")? };
        components.verify(parameters, content, &self.signature).ok()
    }
}
