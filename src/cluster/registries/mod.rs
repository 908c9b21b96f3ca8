//! What nodes are told of registries: read from the user's files, and checked, before anything is
//! made.

mod docker_credentials;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use clap::Args;
use kd_contract::registries::{HostsFile, Mirror, Registries, RegistryAccess, RegistryTls};
use serde::Deserialize;

use crate::config::Environment;
use crate::error::{Error, ExitCode, Result};

/// All of it together: it travels in one environment variable, which Linux bounds at 128 KiB.
const BYTES_MAX: usize = 40 << 10;

/// The options about registries.
#[derive(Clone, Debug, Default, Args)]
pub struct RegistryArguments {
    /// A registry (`host` or `host:port`) that nodes speak to without TLS.
    #[arg(long, value_name = "REGISTRY")]
    pub insecure_registry: Vec<String>,
    /// A file with certificates of authorities that nodes trust for registries, PEM.
    #[arg(long, value_name = "FILE")]
    registry_ca: Vec<PathBuf>,
    /// Mirrors, credentials and certificates of registries, as k3s' registries.yaml has them.
    #[arg(long, value_name = "FILE")]
    registry_config: Option<PathBuf>,
    /// The same as containerd has it: a folder with HOST/hosts.toml. One that is mounted with
    /// --volume DIR:/etc/containerd/certs.d may change while the cluster runs.
    #[arg(long, value_name = "DIR")]
    registry_hosts: Option<PathBuf>,
    /// A registry for which nodes get your credentials of `docker login`; `all` is for all of them.
    /// They are copied now, also from credential helpers; whoever may inspect the nodes' containers
    /// sees them.
    #[arg(long, value_name = "REGISTRY")]
    registry_auth: Vec<String>,
}

/// A file in k3s' form.
#[derive(Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct File {
    mirrors: Option<BTreeMap<String, Mirror>>,
    configs: Option<BTreeMap<String, RegistryAccess>>,
}

impl RegistryArguments {
    /// What nodes are told: by options, then by the cluster's file.
    pub async fn read(&self, environment: &Environment, file: &Registries) -> Result<Registries> {
        let mut registries = file.clone();
        if let Some(path) = &self.registry_config {
            let read = text(path).and_then(|text| {
                of_k3s(&text, path.parent().unwrap_or(Path::new(""))).map_err(|reason| {
                    let message = format!("{} cannot be used: {reason}", path.display());
                    Error::new(ExitCode::Usage, message)
                        .hint("its form: https://docs.k3s.io/installation/private-registry")
                })
            })?;
            registries.mirrors.extend(read.mirrors);
            registries.configs.extend(read.configs);
        }
        if let Some(directory) = &self.registry_hosts {
            registries.hosts = hosts(directory)?;
        }
        if !self.registry_auth.is_empty() {
            let found = docker_credentials::read(environment, &self.registry_auth).await?;
            registries.credentials = found;
        }
        check_size(&registries)?;
        Ok(registries)
    }

    /// The authorities for all registries, PEM.
    pub fn authorities(&self) -> Result<Vec<String>> {
        self.registry_ca.iter().map(|path| text(path)).collect()
    }
}

fn text(path: &Path) -> Result<String> {
    std::fs::read_to_string(path).map_err(|source| {
        Error::new(ExitCode::Usage, format!("read {}", path.display())).because(source)
    })
}

/// Reads k3s' form. Paths are of this machine; those that are not here are of the nodes.
pub fn of_k3s(text: &str, folder: &Path) -> std::result::Result<Registries, String> {
    let file: Option<File> = serde_yaml::from_str(text).map_err(|error| error.to_string())?;
    let file = file.unwrap_or_default();
    let mut configs = file.configs.unwrap_or_default();
    for (host, access) in &mut configs {
        if host.contains('/') {
            return Err(format!(
                "configs: {host:?} is no host; paths and schemes are for endpoints"
            ));
        }
        if let Some(tls) = &mut access.tls {
            inline(tls, folder)?;
        }
    }
    let mirrors = file.mirrors.unwrap_or_default();
    if let Some(host) = mirrors.keys().find(|host| host.contains('/')) {
        return Err(format!("mirrors: {host:?} is no host of images"));
    }
    Ok(Registries { mirrors, configs, ..Registries::default() })
}

fn inline(tls: &mut RegistryTls, folder: &Path) -> std::result::Result<(), String> {
    for file in [&mut tls.ca_file, &mut tls.cert_file, &mut tls.key_file] {
        if file.is_empty() {
            continue;
        }
        match std::fs::read_to_string(folder.join(&*file)) {
            Ok(text) => *file = text,
            // It may be mounted into nodes, which tell when it is not.
            Err(_) if file.starts_with('/') => {}
            Err(error) => return Err(format!("read {file}: {error}")),
        }
    }
    Ok(())
}

/// The files of a folder in containerd's form.
fn hosts(directory: &Path) -> Result<BTreeMap<String, String>> {
    let unreadable = |path: &Path, source: std::io::Error| {
        Error::new(ExitCode::Usage, format!("read {}", path.display())).because(source)
    };
    let list = |path: &Path| -> Result<Vec<PathBuf>> {
        let entries = std::fs::read_dir(path).map_err(|source| unreadable(path, source))?;
        let entries: std::io::Result<Vec<_>> = entries.map(|e| e.map(|e| e.path())).collect();
        entries.map_err(|source| unreadable(path, source))
    };
    let mut files = BTreeMap::new();
    for host in list(directory)?.into_iter().filter(|path| path.is_dir()) {
        for path in list(&host)?.into_iter().filter(|path| path.is_file()) {
            let below = path.strip_prefix(directory).unwrap_or(&path).display().to_string();
            files.insert(below, text(&path)?);
        }
    }
    for (path, text) in files.iter().filter(|(path, _)| path.ends_with("/hosts.toml")) {
        HostsFile::parse(text).map_err(|reason| {
            let shown = directory.join(path);
            Error::new(ExitCode::Usage, format!("{} cannot be used: {reason}", shown.display()))
                .hint("its form: https://github.com/containerd/containerd/blob/main/docs/hosts.md")
        })?;
    }
    if files.is_empty() {
        let message = format!("{} holds no HOST/hosts.toml", directory.display());
        return Err(Error::new(ExitCode::Usage, message));
    }
    Ok(files)
}

fn check_size(registries: &Registries) -> Result<()> {
    let bytes = serde_json::to_string(registries).map_or(0, |text| text.len());
    if bytes <= BYTES_MAX {
        return Ok(());
    }
    let message =
        format!("what nodes are told of registries has {bytes} bytes, more than {BYTES_MAX}");
    Err(Error::new(ExitCode::Usage, message)
        .hint("mount large files: --volume DIR:/etc/containerd/certs.d"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn k3s_form() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("ca.pem"), "PEM").unwrap();
        let read = |text: &str| of_k3s(text, folder.path());
        let found = read(
            "mirrors:
  docker.io:
    endpoint: ['http://mirror:5000', 'https://b']
    rewrite: {'^library/(.*)': 'proxy/$1'}
  '*': {endpoint: ['https://any']}
configs:
  mirror:5000:
    auth: {username: u, password: p}
    tls: {ca_file: ca.pem, cert_file: /on/the/node.pem, insecure_skip_verify: true}
",
        )
        .unwrap();
        assert_eq!(found.mirrors["docker.io"].endpoints, ["http://mirror:5000", "https://b"]);
        assert_eq!(found.mirrors["docker.io"].rewrites["^library/(.*)"], "proxy/$1");
        let access = &found.configs["mirror:5000"];
        assert_eq!(access.auth.as_ref().unwrap().username, "u");
        let tls = access.tls.as_ref().unwrap();
        assert_eq!((tls.ca_file.as_str(), tls.cert_file.as_str()), ("PEM", "/on/the/node.pem"));
        assert_eq!(read("").unwrap(), Registries::default());
        assert_eq!(read("mirrors:\n").unwrap(), Registries::default());
        for (text, reason) in [
            ("mirors: {}", "unknown field `mirors`"),
            ("mirrors: {a: {endpoints: []}}", "unknown field `endpoints`"),
            ("mirrors: {'https://a': {}}", "no host of images"),
            ("configs: {'http://a': {}}", "no host"),
            ("configs: {a: {tls: {ca_file: none.pem}}}", "read none.pem"),
        ] {
            let found = read(text).unwrap_err();
            assert!(found.contains(reason), "{found}");
        }
    }

    #[tokio::test]
    async fn options_are_read_and_checked() {
        let folder = tempfile::tempdir().unwrap();
        let path = |name: &str| folder.path().join(name);
        std::fs::create_dir_all(path("certs.d/localhost:5001")).unwrap();
        let hosts = path("certs.d/localhost:5001/hosts.toml");
        std::fs::write(&hosts, "[host.\"http://r:5000\"]").unwrap();
        std::fs::write(path("r.yaml"), "mirrors: {a: {endpoint: [b]}}").unwrap();
        let arguments = RegistryArguments {
            registry_config: Some(path("r.yaml")),
            registry_hosts: Some(path("certs.d")),
            ..RegistryArguments::default()
        };
        let file = Registries {
            mirrors: [("a".to_owned(), Mirror::default()), ("c".to_owned(), Mirror::default())]
                .into(),
            ..Registries::default()
        };
        let environment = Environment::default();
        let read = arguments.read(&environment, &file).await.unwrap();
        assert_eq!(read.mirrors.keys().collect::<Vec<_>>(), ["a", "c"]);
        assert_eq!(read.mirrors["a"].endpoints, ["b"]);
        assert_eq!(read.hosts["localhost:5001/hosts.toml"], "[host.\"http://r:5000\"]");
        for (text, reason) in
            [("ca = 1", "ca is a text"), (&*"#".repeat(50_000), "more than 40960")]
        {
            std::fs::write(&hosts, text).unwrap();
            let error = arguments.read(&environment, &file).await.unwrap_err();
            assert!(error.to_string().contains(reason), "{error}");
            assert_eq!(error.code(), ExitCode::Usage);
        }
        std::fs::remove_file(&hosts).unwrap();
        let error = arguments.read(&environment, &file).await.unwrap_err();
        assert!(error.to_string().contains("no HOST/hosts.toml"), "{error}");
    }
}
