//! What is encrypted in the store, and how: `apiserver.config.k8s.io` EncryptionConfiguration
//! (<https://kubernetes.io/docs/tasks/administer-cluster/encrypt-data/>). The bytes have upstream's
//! form; only the log holds them, memory is in clear.

mod config;
mod providers;

use bytes::Bytes;
use kd_store::Seal;

use crate::configuration::ConfigurationError;
use config::{Resource, resources};
use providers::{PREFIX, Provider};

/// Encrypts the values of some resources.
#[derive(Clone, Debug)]
pub struct Encryption {
    resources: Vec<Resource>,
}

impl Encryption {
    /// Reads an EncryptionConfiguration.
    pub fn parse(text: &str) -> Result<Encryption, ConfigurationError> {
        Ok(Encryption { resources: resources(text)? })
    }

    /// Who seals the value of a key: the first entry that names its resource.
    fn providers(&self, key: &str) -> Option<&[Provider]> {
        let resource = key.strip_prefix('/')?.split('/').next()?;
        let found = self.resources.iter().find(|entry| entry.covers(resource))?;
        Some(&found.providers)
    }
}

impl Seal for Encryption {
    fn seal(&self, key: &str, value: &Bytes) -> Result<Bytes, String> {
        match self.providers(key).and_then(<[Provider]>::first) {
            Some(first) => first.seal(key.as_bytes(), value),
            None => Ok(value.clone()),
        }
    }

    fn open(&self, key: &str, stored: Bytes) -> Result<(Bytes, bool), String> {
        let Some(providers) = self.providers(key) else {
            return match stored.starts_with(PREFIX) {
                true => Err("it is encrypted, and no provider is configured for it".into()),
                false => Ok((stored, false)),
            };
        };
        for (place, provider) in providers.iter().enumerate() {
            if let Some(opened) = provider.open(key.as_bytes(), &stored) {
                let (value, newest) = opened?;
                return Ok((value, place > 0 || !newest));
            }
        }
        Err("no matching prefix found".into())
    }
}

#[cfg(test)]
mod tests {
    use base64::Engine;
    use base64::prelude::BASE64_STANDARD;
    use kd_store::{Durability, HistoryLimits, SqliteStore, Store};
    use std::sync::Arc;

    use super::*;

    const HEAD: &str = "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\n";

    fn key(letter: u8) -> String {
        BASE64_STANDARD.encode([letter; 32])
    }

    fn encryption(providers: &str) -> Encryption {
        let text = format!("{HEAD}resources: [{{resources: [secrets], providers: [{providers}]}}]");
        Encryption::parse(&text).unwrap()
    }

    fn keys(provider: &str, letters: &str) -> String {
        let keys: Vec<String> = letters
            .bytes()
            .map(|letter| format!("{{name: {}, secret: {}}}", letter as char, key(letter)))
            .collect();
        format!("{provider}: {{keys: [{}]}}", keys.join(", "))
    }

    #[test]
    fn values_come_back_and_old_ones_are_known() {
        let value = Bytes::from_static(br#"{"kind":"Secret","data":{"a":"czNjcjN0"}}"#);
        for provider in ["aescbc", "aesgcm", "secretbox"] {
            let old = encryption(&format!("{{{}}}", keys(provider, "a")));
            let sealed = old.seal("/secrets/n/s", &value).unwrap();
            let prefix = format!("k8s:enc:{provider}:v1:a:");
            assert!(sealed.starts_with(prefix.as_bytes()), "{sealed:?}");
            assert!(!sealed.windows(8).any(|window| window == b"czNjcjN0"));
            assert_ne!(sealed, old.seal("/secrets/n/s", &value).unwrap());
            assert_eq!(old.open("/secrets/n/s", sealed.clone()), Ok((value.clone(), false)));
            let rotated = encryption(&format!("{{{}}}", keys(provider, "ba")));
            assert_eq!(rotated.open("/secrets/n/s", sealed.clone()), Ok((value.clone(), true)));
            let without = encryption(&format!("{{{}}}", keys(provider, "b")));
            assert!(without.open("/secrets/n/s", sealed.clone()).is_err());
            let plain = encryption("{identity: {}}");
            assert!(plain.open("/secrets/n/s", sealed.clone()).is_err());
            let leaving = encryption(&format!("{{identity: {{}}}}, {{{}}}", keys(provider, "a")));
            assert_eq!(leaving.open("/secrets/n/s", sealed.clone()), Ok((value.clone(), true)));
            assert_eq!(leaving.seal("/secrets/n/s", &value), Ok(value.clone()));
            let mut broken = sealed.to_vec();
            broken.truncate(prefix.len() + 5);
            assert!(old.open("/secrets/n/s", broken.into()).is_err());
        }
    }

    #[test]
    fn sealed_values_stay_where_they_are() {
        let gcm = encryption(&format!("{{{}}}", keys("aesgcm", "a")));
        let sealed = gcm.seal("/secrets/n/s", &Bytes::from_static(b"x")).unwrap();
        assert!(gcm.open("/secrets/n/other", sealed.clone()).is_err());
        let elsewhere = Bytes::from_static(b"{}");
        assert_eq!(gcm.seal("/configmaps/n/c", &elsewhere), Ok(elsewhere.clone()));
        assert!(gcm.open("/configmaps/n/c", sealed).is_err());
    }

    #[tokio::test]
    async fn the_file_holds_no_secret() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("log.db");
        let open = |encryption: Option<Encryption>| {
            let seal = encryption.map(|encryption| Arc::new(encryption) as Arc<dyn Seal>);
            let limits = HistoryLimits::default();
            SqliteStore::open_sealed(&path, Durability::Process, limits, seal)
        };
        let holds = |text: &str| {
            let files = std::fs::read_dir(directory.path()).unwrap();
            let mut bytes = files.map(|file| std::fs::read(file.unwrap().path()).unwrap());
            bytes.any(|bytes| bytes.windows(text.len()).any(|window| window == text.as_bytes()))
        };
        let value = Bytes::from_static(b"a long secret value");
        let read = |store: &SqliteStore| store.get("/secrets/n/s").unwrap().value;
        let gcm = |letters: &str| {
            Some(encryption(&format!("{{{}}}, {{identity: {{}}}}", keys("aesgcm", letters))))
        };
        // In clear first, as in a cluster that begins to encrypt.
        let store = open(None).unwrap();
        store.create("/secrets/n/s".into(), value.clone()).await.unwrap();
        drop(store);
        assert!(holds("a long secret value"));
        for letters in ["a", "ba"] {
            let store = open(gcm(letters)).unwrap();
            assert_eq!(read(&store), value);
            assert!(!holds("a long secret value"));
            assert!(holds(&format!("k8s:enc:aesgcm:v1:{}:", &letters[..1])));
        }
        assert!(!holds("k8s:enc:aesgcm:v1:a:"), "the old key is not needed any more");
        let store = open(gcm("b")).unwrap();
        let new = Bytes::from_static(b"another long secret");
        store.create("/secrets/n/t".into(), new).await.unwrap();
        assert_eq!(read(&store), value);
        assert!(!holds("another long secret"));
        drop(store);
        assert!(open(gcm("c")).is_err());
    }

    #[test]
    fn refused() {
        let check = |rest: &str, expect: &str| {
            let error = Encryption::parse(&format!("{HEAD}{rest}")).unwrap_err().to_string();
            assert_eq!(error.replace("EncryptionConfiguration: ", ""), expect);
        };
        check("resources: []", "resources: Required value: at least one resource configuration");
        let of = |providers: &str| {
            format!("resources: [{{resources: [secrets], providers: {providers}}}]")
        };
        check(&of("[]"), "resources[0].providers: Required value: provider must be specified");
        check(
            &of("[{identity: {}, aescbc: {keys: []}}]"),
            "resources[0].providers[0]: Invalid value: \"aescbc identity\": more than one provider specified in a single element, should split into different list elements",
        );
        check(
            &of("[{kms: {name: x}}]"),
            "resources[0].providers[0].kms: Unsupported value: \"kms\": supported values: \"aescbc\", \"aesgcm\", \"identity\", \"secretbox\"",
        );
        check(
            &of("[{secretbox: {keys: [{name: 'a:b', secret: '!'}]}}]"),
            "[resources[0].providers[0].secretbox.keys[0].name: Invalid value: \"a:b\": must not contain a colon, resources[0].providers[0].secretbox.keys[0].secret: Invalid value: \"REDACTED\": secrets must be base64 encoded]",
        );
        check(
            &of("[{aesgcm: {keys: [{name: a, secret: eA==}]}}]"),
            "resources[0].providers[0].aesgcm.keys[0].secret: Invalid value: \"REDACTED\": secret is not of the expected length, got 1, expected one of [16 32]",
        );
    }
}
