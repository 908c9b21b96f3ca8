//! Files that configure the API server of a new cluster: read and checked before anything is made.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use kd_contract::ApiServerFiles;
use ring::rand::{SecureRandom, SystemRandom};
use serde_json::Value;

use crate::commands::CheckFiles;
use crate::error::{Error, ExitCode, Result};

/// All files together: they travel in one environment variable, which Linux bounds at 128 KiB.
const BYTES_MAX: usize = 64 << 10;
/// A key of AES-256.
const KEY_BYTES: usize = 32;

/// The options that name them.
#[derive(Clone, Debug, Default, Args)]
pub struct FileArguments {
    /// An audit policy (audit.k8s.io/v1): what the API server logs of requests, in
    /// /var/log/kubernetes/audit.log of the server's node.
    #[arg(long, value_name = "FILE")]
    audit_policy: Option<PathBuf>,
    /// An AuthenticationConfiguration: OIDC issuers whose tokens the API server takes.
    #[arg(long, value_name = "FILE")]
    authentication_config: Option<PathBuf>,
    /// An AuthorizationConfiguration: webhooks that decide beside RBAC.
    #[arg(long, value_name = "FILE")]
    authorization_config: Option<PathBuf>,
    /// An EncryptionConfiguration: what is encrypted in the store, and by which keys.
    #[arg(long, value_name = "FILE")]
    encryption_config: Option<PathBuf>,
    /// Encrypt Secrets in the store, by a new key.
    #[arg(long, conflicts_with = "encryption_config")]
    encrypt_secrets: bool,
}

impl FileArguments {
    /// The files' texts, which an API server would take.
    pub fn read(&self, check: CheckFiles) -> Result<ApiServerFiles> {
        let mut files = ApiServerFiles {
            audit_policy: text(self.audit_policy.as_deref())?,
            authentication: text(self.authentication_config.as_deref())?,
            authorization: text(self.authorization_config.as_deref())?,
            encryption: text(self.encryption_config.as_deref())?,
            kubeconfigs: BTreeMap::new(),
        };
        if let (Some(path), Some(text)) = (&self.authorization_config, &files.authorization) {
            files.kubeconfigs = kubeconfigs(path, text)?;
        }
        if self.encrypt_secrets {
            files.encryption = Some(secrets_encrypted()?);
        }
        check_size(&files)?;
        check(&files).map_err(|why| {
            Error::new(ExitCode::Usage, format!("the API server would refuse a file: {why}"))
        })?;
        Ok(files)
    }
}

fn text(path: Option<&Path>) -> Result<Option<String>> {
    let read = |path: &Path| {
        std::fs::read_to_string(path).map_err(|source| {
            Error::new(ExitCode::Usage, format!("read {}", path.display())).because(source)
        })
    };
    path.map(read).transpose()
}

fn check_size(files: &ApiServerFiles) -> Result<()> {
    let own = [&files.audit_policy, &files.authentication, &files.authorization, &files.encryption];
    let all = own.into_iter().flatten().chain(files.kubeconfigs.values());
    let bytes: usize = all.map(String::len).sum();
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    let message = format!("the API server's files have {bytes} bytes, more than {BYTES_MAX}");
    Err(Error::new(ExitCode::Usage, message).hint("leave comments out"))
}

/// The kubeconfigs that an AuthorizationConfiguration names; relative paths begin at its folder.
fn kubeconfigs(path: &Path, config: &str) -> Result<BTreeMap<String, String>> {
    // What does not parse is told by the check.
    let config: Value = serde_yaml::from_str(config).unwrap_or_default();
    let mut found = BTreeMap::new();
    for authorizer in config["authorizers"].as_array().into_iter().flatten() {
        let named = &authorizer["webhook"]["connectionInfo"]["kubeConfigFile"];
        if let Some(name) = named.as_str() {
            let file = path.parent().unwrap_or(Path::new("")).join(name);
            found.extend(text(Some(&file))?.map(|text| (name.to_owned(), text)));
        }
    }
    Ok(found)
}

/// The configuration behind `--encrypt-secrets`.
fn secrets_encrypted() -> Result<String> {
    let mut key = [0; KEY_BYTES];
    let filled = SystemRandom::new().fill(&mut key);
    filled.map_err(|_| Error::failure("get random bytes for the key of Secrets"))?;
    let secret = BASE64_STANDARD.encode(key);
    Ok(format!(
        "apiVersion: apiserver.config.k8s.io/v1\nkind: EncryptionConfiguration\nresources:\n\
         - resources: [secrets]\n  providers:\n  - aesgcm: {{keys: [{{name: key1, secret: {secret}}}]}}\n\
         \x20 - identity: {{}}\n"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_read_and_checked() {
        let directory = tempfile::tempdir().unwrap();
        let write = |name: &str, text: &str| {
            let path = directory.path().join(name);
            std::fs::write(&path, text).unwrap();
            Some(path)
        };
        write("hook", "a kubeconfig");
        let config = "authorizers: [{webhook: {connectionInfo: {kubeConfigFile: hook}}}]";
        let arguments = FileArguments {
            audit_policy: write("audit", "a policy"),
            authorization_config: write("authorization", config),
            encrypt_secrets: true,
            ..FileArguments::default()
        };
        let files = arguments.read(|_| Ok(())).unwrap();
        assert_eq!(files.audit_policy.as_deref(), Some("a policy"));
        assert_eq!(files.kubeconfigs["hook"], "a kubeconfig");
        let encryption: Value = serde_yaml::from_str(&files.encryption.unwrap()).unwrap();
        assert_eq!(encryption["resources"][0]["resources"][0], "secrets");
        let refused = arguments.read(|_| Err("rules[0]: bad".into())).unwrap_err();
        assert_eq!(refused.code(), ExitCode::Usage);
        assert!(refused.to_string().contains("rules[0]: bad"));
    }

    #[test]
    fn refused_before_anything_is_made() {
        let directory = tempfile::tempdir().unwrap();
        let absent = directory.path().join("absent");
        let arguments = FileArguments { audit_policy: Some(absent), ..FileArguments::default() };
        assert!(arguments.read(|_| Ok(())).unwrap_err().to_string().starts_with("read "));
        let large = directory.path().join("large");
        std::fs::write(&large, "x".repeat(BYTES_MAX + 1)).unwrap();
        let arguments = FileArguments { audit_policy: Some(large), ..FileArguments::default() };
        let error = arguments.read(|_| Ok(())).unwrap_err().to_string();
        assert!(error.contains("more than 65536"), "{error}");
    }
}
