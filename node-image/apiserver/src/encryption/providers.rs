//! The ways to encrypt. Each seals with its first key and opens with any.

use aes::cipher::block_padding::Pkcs7;
use aes::cipher::{BlockDecryptMut, BlockEncryptMut, KeyIvInit};
use bytes::Bytes;
use crypto_secretbox::aead::AeadInPlace;
use crypto_secretbox::{KeyInit, XSalsa20Poly1305};
use ring::aead::{AES_128_GCM, AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use ring::rand::{SecureRandom, SystemRandom};

/// Before everything that is encrypted.
pub(super) const PREFIX: &[u8] = b"k8s:enc:";
const BLOCK_BYTES: usize = 16;
const GCM_NONCE_BYTES: usize = 12;
const BOX_NONCE_BYTES: usize = 24;
const AES_128_BYTES: usize = 16;
const AES_192_BYTES: usize = 24;
const AES_256_BYTES: usize = 32;

/// What a sealed value is to its provider: None when another made it, an error when it is broken,
/// and whether the first key did.
type Opened = Option<Result<(Bytes, bool), String>>;

/// An algorithm that needs keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Sort {
    AesCbc,
    AesGcm,
    SecretBox,
}

impl Sort {
    fn name(self) -> &'static str {
        match self {
            Sort::AesCbc => "aescbc",
            Sort::AesGcm => "aesgcm",
            Sort::SecretBox => "secretbox",
        }
    }

    pub(super) fn key_lengths(self) -> &'static [usize] {
        match self {
            Sort::AesCbc => &[AES_128_BYTES, AES_192_BYTES, AES_256_BYTES],
            Sort::AesGcm => &[AES_128_BYTES, AES_256_BYTES],
            Sort::SecretBox => &[AES_256_BYTES],
        }
    }
}

/// An entry of `providers`.
#[derive(Clone)]
pub(super) enum Provider {
    Identity,
    Keyed(Sort, Vec<(String, Vec<u8>)>),
}

impl std::fmt::Debug for Provider {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Provider::Identity => f.write_str("identity"),
            Provider::Keyed(sort, _) => f.write_str(sort.name()),
        }
    }
}

impl Provider {
    /// None without keys.
    pub(super) fn new(sort: Sort, keys: Vec<(String, Vec<u8>)>) -> Option<Provider> {
        (!keys.is_empty()).then_some(Provider::Keyed(sort, keys))
    }

    pub(super) fn seal(&self, place: &[u8], value: &Bytes) -> Result<Bytes, String> {
        let Provider::Keyed(sort, keys) = self else { return Ok(value.clone()) };
        let (name, key) = keys.first().ok_or("there is no key")?;
        let sealed = match sort {
            Sort::AesCbc => seal_cbc(key, value),
            Sort::AesGcm => seal_gcm(key, place, value),
            Sort::SecretBox => seal_box(key, value),
        };
        let mut all = prefix(*sort, name);
        all.extend(sealed.ok_or("encrypting failed")?);
        Ok(all.into())
    }

    pub(super) fn open(&self, place: &[u8], stored: &Bytes) -> Opened {
        let Provider::Keyed(sort, keys) = self else {
            return (!stored.starts_with(PREFIX)).then(|| Ok((stored.clone(), true)));
        };
        let of_sort = format!("k8s:enc:{}:v1:", sort.name());
        if !stored.starts_with(of_sort.as_bytes()) {
            return None;
        }
        for (index, (name, key)) in keys.iter().enumerate() {
            let Some(sealed) = stored.strip_prefix(prefix(*sort, name).as_slice()) else {
                continue;
            };
            let opened = match sort {
                Sort::AesCbc => open_cbc(key, sealed),
                Sort::AesGcm => open_gcm(key, place, sealed),
                Sort::SecretBox => open_box(key, sealed),
            };
            let opened = opened.ok_or_else(|| format!("it is not what key {name:?} has sealed"));
            return Some(opened.map(|value| (value.into(), index == 0)));
        }
        Some(Err("no matching key was found for it".into()))
    }
}

fn prefix(sort: Sort, name: &str) -> Vec<u8> {
    format!("k8s:enc:{}:v1:{name}:", sort.name()).into_bytes()
}

fn random<const LENGTH: usize>() -> Option<[u8; LENGTH]> {
    let mut bytes = [0; LENGTH];
    SystemRandom::new().fill(&mut bytes).ok()?;
    Some(bytes)
}

/// The nonce, then the ciphertext and its tag; the value's place is authenticated, too.
fn seal_gcm(key: &[u8], place: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let nonce: [u8; GCM_NONCE_BYTES] = random()?;
    let mut sealed = value.to_vec();
    let aad = Aad::from(place);
    gcm(key)?
        .seal_in_place_append_tag(Nonce::assume_unique_for_key(nonce), aad, &mut sealed)
        .ok()?;
    Some([&nonce[..], &sealed].concat())
}

fn open_gcm(key: &[u8], place: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_at_checked(GCM_NONCE_BYTES)?;
    let nonce = Nonce::try_assume_unique_for_key(nonce).ok()?;
    let mut value = rest.to_vec();
    let length = gcm(key)?.open_in_place(nonce, Aad::from(place), &mut value).ok()?.len();
    value.truncate(length);
    Some(value)
}

fn gcm(key: &[u8]) -> Option<LessSafeKey> {
    let algorithm = if key.len() == AES_128_BYTES { &AES_128_GCM } else { &AES_256_GCM };
    Some(LessSafeKey::new(UnboundKey::new(algorithm, key).ok()?))
}

/// The first block, then the others.
fn seal_cbc(key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let iv: [u8; BLOCK_BYTES] = random()?;
    let sealed = match key.len() {
        AES_128_BYTES => cbc::Encryptor::<aes::Aes128>::new_from_slices(key, &iv)
            .ok()?
            .encrypt_padded_vec_mut::<Pkcs7>(value),
        AES_192_BYTES => cbc::Encryptor::<aes::Aes192>::new_from_slices(key, &iv)
            .ok()?
            .encrypt_padded_vec_mut::<Pkcs7>(value),
        _ => cbc::Encryptor::<aes::Aes256>::new_from_slices(key, &iv)
            .ok()?
            .encrypt_padded_vec_mut::<Pkcs7>(value),
    };
    Some([&iv[..], &sealed].concat())
}

fn open_cbc(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (iv, sealed) = sealed.split_at_checked(BLOCK_BYTES)?;
    match key.len() {
        AES_128_BYTES => cbc::Decryptor::<aes::Aes128>::new_from_slices(key, iv)
            .ok()?
            .decrypt_padded_vec_mut::<Pkcs7>(sealed)
            .ok(),
        AES_192_BYTES => cbc::Decryptor::<aes::Aes192>::new_from_slices(key, iv)
            .ok()?
            .decrypt_padded_vec_mut::<Pkcs7>(sealed)
            .ok(),
        _ => cbc::Decryptor::<aes::Aes256>::new_from_slices(key, iv)
            .ok()?
            .decrypt_padded_vec_mut::<Pkcs7>(sealed)
            .ok(),
    }
}

/// The nonce, then NaCl's box: the tag comes first.
fn seal_box(key: &[u8], value: &[u8]) -> Option<Vec<u8>> {
    let nonce: [u8; BOX_NONCE_BYTES] = random()?;
    let mut sealed = value.to_vec();
    let cipher = XSalsa20Poly1305::new_from_slice(key).ok()?;
    let tag = cipher.encrypt_in_place_detached(&nonce.into(), &[], &mut sealed).ok()?;
    Some([&nonce[..], &tag, &sealed].concat())
}

fn open_box(key: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let (nonce, rest) = sealed.split_at_checked(BOX_NONCE_BYTES)?;
    let (tag, rest) = rest.split_at_checked(BLOCK_BYTES)?;
    let nonce: [u8; BOX_NONCE_BYTES] = nonce.try_into().ok()?;
    let tag: [u8; BLOCK_BYTES] = tag.try_into().ok()?;
    let mut value = rest.to_vec();
    let cipher = XSalsa20Poly1305::new_from_slice(key).ok()?;
    cipher.decrypt_in_place_detached(&nonce.into(), &[], &mut value, &tag.into()).ok()?;
    Some(value)
}
