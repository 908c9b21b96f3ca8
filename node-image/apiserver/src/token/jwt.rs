//! JSON Web Tokens signed with ES256, the only algorithm kd's keys have.

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{
    ECDSA_P256_SHA256_FIXED, ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair,
    UnparsedPublicKey,
};
use rustls::pki_types::PrivatePkcs8KeyDer;
use rustls::pki_types::pem::PemObject;
use serde_json::{Value, json};

/// Longer tokens are refused unread.
const TOKEN_LEN_MAX: usize = 64 * 1024;
/// What precedes a P-256 point in a SubjectPublicKeyInfo.
const PUBLIC_KEY_INFO_PREFIX: [u8; 26] = [
    0x30, 0x59, 0x30, 0x13, 0x06, 0x07, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01, 0x06, 0x08, 0x2a,
    0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07, 0x03, 0x42, 0x00,
];

/// Why the signing key cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum KeyError {
    /// Not PEM, or no PKCS#8 private key in it.
    #[error("read the service account key as PKCS#8 PEM")]
    Pem(#[source] rustls::pki_types::pem::Error),
    /// Not an ECDSA P-256 key.
    #[error("use the service account key as an ECDSA P-256 key: {0}")]
    Key(ring::error::KeyRejected),
}

/// A key that signs and verifies.
pub(super) struct SigningKey {
    pair: EcdsaKeyPair,
    id: String,
    random: SystemRandom,
}

impl SigningKey {
    pub(super) fn from_pem(pem: &str) -> Result<SigningKey, KeyError> {
        let der = PrivatePkcs8KeyDer::from_pem_slice(pem.as_bytes()).map_err(KeyError::Pem)?;
        let random = SystemRandom::new();
        let document = der.secret_pkcs8_der();
        let pair = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, document, &random)
            .map_err(KeyError::Key)?;
        let mut public = PUBLIC_KEY_INFO_PREFIX.to_vec();
        public.extend_from_slice(pair.public_key().as_ref());
        let digest = ring::digest::digest(&ring::digest::SHA256, &public);
        Ok(SigningKey { pair, id: encode(digest.as_ref()), random })
    }

    /// A signed token, or nothing when the system has no randomness.
    pub(super) fn sign(&self, claims: &Value) -> Option<String> {
        let header = json!({"alg": "ES256", "kid": self.id});
        let signed = format!("{}.{}", encode(header.to_string()), encode(claims.to_string()));
        let signature = self.pair.sign(&self.random, signed.as_bytes()).ok()?;
        Some(format!("{signed}.{}", encode(signature.as_ref())))
    }

    /// Whether a token's signature is this key's.
    pub(super) fn verify(&self, token: &str) -> bool {
        self.verified(token).is_some()
    }

    fn verified(&self, token: &str) -> Option<()> {
        let (signed, signature) = token.rsplit_once('.')?;
        let (header, _) = signed.split_once('.')?;
        if decoded(header)?["alg"] != "ES256" {
            return None;
        }
        let key = UnparsedPublicKey::new(&ECDSA_P256_SHA256_FIXED, self.pair.public_key());
        let signature = BASE64_URL_SAFE_NO_PAD.decode(signature).ok()?;
        key.verify(signed.as_bytes(), &signature).ok()
    }

    /// The public key as a JSON Web Key.
    pub(super) fn public_jwk(&self) -> Value {
        let point = self.pair.public_key().as_ref();
        // An uncompressed point: 4, then x and y of 32 bytes each.
        let (x, y) = (encode(&point[1..33]), encode(&point[33..65]));
        json!({"use": "sig", "kty": "EC", "kid": self.id, "crv": "P-256", "alg": "ES256", "x": x, "y": y})
    }

    /// A random UUID for `jti`.
    pub(super) fn token_id(&self) -> Option<String> {
        let bytes: [u8; 16] = ring::rand::generate(&self.random).ok()?.expose();
        let mut hex: String = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
        hex.replace_range(12..13, "4");
        let variant = ["8", "9", "a", "b"][usize::from(bytes[8] & 3)];
        hex.replace_range(16..17, variant);
        Some([&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-"))
    }
}

/// The claims of a token, before its signature is looked at: only to see whose it says it is.
pub(crate) fn claims_unverified(token: &str) -> Option<Value> {
    if token.len() > TOKEN_LEN_MAX {
        return None;
    }
    let mut parts = token.split('.');
    let (_, claims, _) = (parts.next()?, parts.next()?, parts.next()?);
    if parts.next().is_some() {
        return None;
    }
    decoded(claims)
}

fn encode(bytes: impl AsRef<[u8]>) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(bytes)
}

fn decoded(part: &str) -> Option<Value> {
    serde_json::from_slice(&BASE64_URL_SAFE_NO_PAD.decode(part).ok()?).ok()
}
