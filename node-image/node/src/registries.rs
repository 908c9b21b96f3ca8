//! Where a node pulls an image from: containerd's form of the configuration, then k3s' form, then
//! the registry itself. Folders on the node are read at each pull, so they may change.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use base64::Engine;
use base64::prelude::BASE64_STANDARD;
use kd_contract::NodeConfig;
use kd_contract::registries::{
    ANY_REGISTRY, Host, HostsFile, Mirror, REGISTRY_HOSTS_DIRECTORY, Registries,
    RegistryCredentials, RegistryTls, host_directories,
};
use kd_runtime::{Endpoint, EndpointTls, RegistryAuth};
use regex::Regex;

/// The folder of registries that have none of their own.
const DEFAULT_DIRECTORY: &str = "_default";
/// Docker Hub, as images name it and as it answers.
const HUB: (&str, &str) = ("docker.io", "registry-1.docker.io");
/// How PEM begins; anything else is a path.
const PEM_BEGIN: &str = "-----BEGIN";

/// What a node knows of registries.
#[derive(Debug)]
pub(crate) struct NodeRegistries {
    told: Registries,
    insecure: Vec<String>,
    authorities: Vec<String>,
    /// containerd's form, where a user has put or mounted it.
    directory: PathBuf,
}

impl NodeRegistries {
    /// What a node's configuration says.
    pub(crate) fn new(config: &NodeConfig) -> NodeRegistries {
        NodeRegistries {
            told: config.registries.clone(),
            insecure: config.insecure_registries.clone(),
            authorities: config.registry_authorities.clone(),
            directory: REGISTRY_HOSTS_DIRECTORY.into(),
        }
    }

    fn folder(&self, name: &str) -> Option<Folder<'_>> {
        let path = self.directory.join(name);
        if path.is_dir() {
            return Some(Folder::OnNode(path));
        }
        let prefix = format!("{name}/");
        let told = self.told.hosts.keys().any(|file| file.starts_with(&prefix));
        told.then_some(Folder::Told(&self.told.hosts, prefix))
    }

    /// What a folder in containerd's form says.
    fn of_folder(
        &self,
        folder: &Folder<'_>,
        registry: &str,
        repository: &str,
    ) -> Result<Vec<Endpoint>, String> {
        let text = folder.read("hosts.toml")?.unwrap_or_default();
        if text.trim().is_empty() {
            let own = self.own(registry, repository)?;
            return Ok(vec![Endpoint { tls: self.trusted(folder.certificates()?), ..own }]);
        }
        let file = HostsFile::parse(&text)
            .map_err(|reason| format!("{}: {reason}", folder.shown("hosts.toml")))?;
        let mut endpoints = Vec::new();
        for host in file.hosts.iter().filter(|host| host.pulls()) {
            endpoints.push(self.host(folder, host, registry, repository)?);
        }
        let server = match file.server.address.as_str() {
            "" => {
                let own = self.own(registry, repository)?;
                let tls = match has_tls(&file.server) {
                    true => self.trusted(folder.tls(&file.server)?),
                    false => own.tls.clone(),
                };
                Endpoint { tls, headers: file.server.headers.clone(), ..own }
            }
            _ => self.host(folder, &file.server, registry, repository)?,
        };
        if file.server.pulls() {
            endpoints.push(Endpoint { content_only: !file.server.resolves(), ..server });
        }
        Ok(endpoints)
    }

    fn host(
        &self,
        folder: &Folder<'_>,
        host: &Host,
        registry: &str,
        repository: &str,
    ) -> Result<Endpoint, String> {
        let address = match host.address.starts_with("http") {
            true => host.address.clone(),
            false => format!("https://{}", host.address),
        };
        let (scheme, server, path) = split(&address);
        let path = match path {
            path if host.override_path || path.ends_with("/v2") => path.to_owned(),
            path => format!("{path}/v2"),
        };
        let tls = match has_tls(host) {
            true => self.trusted(folder.tls(host)?),
            false => self.tls(server)?,
        };
        Ok(Endpoint {
            url: format!("{scheme}://{server}{path}"),
            repository: repository.to_owned(),
            mirror_of: (!is_same(registry, server)).then(|| registry.to_owned()),
            content_only: !host.resolves(),
            headers: host.headers.clone(),
            auth: self.auth(server),
            tls,
        })
    }

    /// What a mirror in k3s' form says; the registry itself comes last.
    fn of_mirror(
        &self,
        mirror: &Mirror,
        registry: &str,
        repository: &str,
    ) -> Result<Vec<Endpoint>, String> {
        let own = self.own(registry, repository)?;
        let mut endpoints: Vec<Endpoint> = Vec::new();
        for address in &mirror.endpoints {
            let (scheme, server, path) = split(address);
            let scheme = if scheme.is_empty() { default_scheme(server) } else { scheme };
            let path = if matches!(path, "" | "/v2") { "/v2" } else { path };
            let url = format!("{scheme}://{}{path}", answering(server));
            if endpoints.iter().any(|known| known.url == url) {
                continue;
            }
            endpoints.push(Endpoint {
                url,
                repository: rewritten(repository, &mirror.rewrites)?,
                mirror_of: (!is_same(registry, server)).then(|| registry.to_owned()),
                auth: self.auth(server),
                tls: self.tls(server)?,
                ..Endpoint::default()
            });
        }
        if endpoints.last().is_none_or(|last| last.url != own.url) {
            endpoints.push(own);
        }
        Ok(endpoints)
    }

    /// The registry itself.
    fn own(&self, registry: &str, repository: &str) -> Result<Endpoint, String> {
        let tls = self.tls(registry)?;
        // Who configures certificates means TLS.
        let configured = self.access(registry).is_some_and(|access| access.tls.is_some());
        let scheme = match self.insecure.iter().any(|known| known == registry) {
            true => "http",
            false if configured => "https",
            false => default_scheme(registry),
        };
        Ok(Endpoint {
            url: format!("{scheme}://{}/v2", answering(registry)),
            repository: repository.to_owned(),
            auth: self.auth(registry),
            tls,
            ..Endpoint::default()
        })
    }

    fn access(&self, server: &str) -> Option<&kd_contract::registries::RegistryAccess> {
        let configs = &self.told.configs;
        let alias = match server {
            server if server == HUB.0 => HUB.1,
            server if server == HUB.1 => HUB.0,
            server => server,
        };
        configs.get(server).or_else(|| configs.get(alias)).or_else(|| configs.get(ANY_REGISTRY))
    }

    fn auth(&self, server: &str) -> Option<RegistryAuth> {
        self.access(server)?.auth.as_ref().map(registry_auth)
    }

    fn tls(&self, server: &str) -> Result<EndpointTls, String> {
        let none = RegistryTls::default();
        let tls = self.access(server).and_then(|access| access.tls.as_ref()).unwrap_or(&none);
        let mut read =
            EndpointTls { skip_verify: tls.insecure_skip_verify, ..EndpointTls::default() };
        if !tls.ca_file.is_empty() {
            read.authorities.push(pem(&tls.ca_file)?);
        }
        if !tls.cert_file.is_empty() {
            let key = if tls.key_file.is_empty() { String::new() } else { pem(&tls.key_file)? };
            read.client = Some(format!("{}\n{key}", pem(&tls.cert_file)?));
        }
        Ok(self.trusted(read))
    }

    /// With the authorities that are trusted for every registry.
    fn trusted(&self, mut tls: EndpointTls) -> EndpointTls {
        tls.authorities.extend(self.authorities.iter().cloned());
        tls
    }
}

impl kd_runtime::Registries for NodeRegistries {
    fn endpoints(&self, registry: &str, repository: &str) -> Result<Vec<Endpoint>, String> {
        let mut names = host_directories(registry).into_iter();
        if let Some(folder) = names.find_map(|name| self.folder(&name)) {
            return self.of_folder(&folder, registry, repository);
        }
        let mirrors = &self.told.mirrors;
        if let Some(mirror) = mirrors.get(registry).or_else(|| mirrors.get(ANY_REGISTRY)) {
            return self.of_mirror(mirror, registry, repository);
        }
        if let Some(folder) = self.folder(DEFAULT_DIRECTORY) {
            return self.of_folder(&folder, registry, repository);
        }
        Ok(vec![self.own(registry, repository)?])
    }

    fn credentials(&self, registry: &str, repository: &str) -> Vec<RegistryAuth> {
        let entries = self.told.credentials.iter();
        let entries = entries.map(|(place, entry)| (place.as_str(), registry_auth(entry)));
        kd_kubelet::fitting_credentials(entries, &format!("{registry}/{repository}"))
    }
}

/// A folder in containerd's form.
enum Folder<'a> {
    OnNode(PathBuf),
    /// Files by path, and the folder's prefix.
    Told(&'a BTreeMap<String, String>, String),
}

impl Folder<'_> {
    fn shown(&self, file: &str) -> String {
        match self {
            Folder::OnNode(path) => path.join(file).display().to_string(),
            Folder::Told(_, prefix) => format!("{prefix}{file}"),
        }
    }

    /// A file of the folder; a whole path is one of the node.
    fn read(&self, file: &str) -> Result<Option<String>, String> {
        let path = match self {
            Folder::Told(files, prefix) if !file.starts_with('/') => {
                return Ok(files
                    .get(&format!("{prefix}{}", file.trim_start_matches("./")))
                    .cloned());
            }
            Folder::Told(..) => PathBuf::from(file),
            Folder::OnNode(path) => path.join(file),
        };
        match std::fs::read_to_string(&path) {
            Ok(text) => Ok(Some(text)),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(format!("read {}: {error}", path.display())),
        }
    }

    fn needed(&self, file: &str) -> Result<String, String> {
        self.read(file)?.ok_or_else(|| format!("{} is missing", self.shown(file)))
    }

    fn tls(&self, host: &Host) -> Result<EndpointTls, String> {
        let authorities: Result<_, _> =
            host.authorities.iter().map(|file| self.needed(file)).collect();
        let client = match &host.client {
            None => None,
            Some((certificate, None)) => Some(self.needed(certificate)?),
            Some((certificate, Some(key))) => {
                Some(format!("{}\n{}", self.needed(certificate)?, self.needed(key)?))
            }
        };
        Ok(EndpointTls { authorities: authorities?, client, skip_verify: host.skip_verify })
    }

    /// Docker's form: `*.crt` are authorities, `NAME.cert` and `NAME.key` the client's.
    fn certificates(&self) -> Result<EndpointTls, String> {
        let mut tls = EndpointTls::default();
        for name in self.names()? {
            if name.ends_with(".crt") {
                tls.authorities.push(self.needed(&name)?);
            } else if let Some(stem) = name.strip_suffix(".cert") {
                let key = self.needed(&format!("{stem}.key"))?;
                tls.client = Some(format!("{}\n{key}", self.needed(&name)?));
            }
        }
        Ok(tls)
    }

    fn names(&self) -> Result<Vec<String>, String> {
        let path = match self {
            Folder::Told(files, prefix) => {
                let names = files.keys().filter_map(|path| path.strip_prefix(prefix.as_str()));
                return Ok(names.map(str::to_owned).collect());
            }
            Folder::OnNode(path) => path,
        };
        let unreadable = |error: std::io::Error| format!("read {}: {error}", path.display());
        let entries: Result<Vec<_>, _> = std::fs::read_dir(path).map_err(unreadable)?.collect();
        let entries = entries.map_err(unreadable)?;
        let mut names: Vec<String> =
            entries.iter().map(|e| e.file_name().to_string_lossy().into_owned()).collect();
        names.sort();
        Ok(names)
    }
}

fn has_tls(host: &Host) -> bool {
    host.skip_verify || host.client.is_some() || !host.authorities.is_empty()
}

/// Scheme (may be empty), host with port, and path without a slash at its end.
fn split(address: &str) -> (&str, &str, &str) {
    let (scheme, rest) = address.split_once("://").unwrap_or(("", address));
    let end = rest.find('/').unwrap_or(rest.len());
    (scheme, &rest[..end], rest[end..].trim_end_matches('/'))
}

/// Loopback registries on ports of their own are without TLS, as for containerd; others never are.
fn default_scheme(server: &str) -> &'static str {
    let (host, port) = match server.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port),
        _ => (server, ""),
    };
    let address: Option<std::net::IpAddr> = host.trim_matches(['[', ']']).parse().ok();
    let is_loopback = host == "localhost" || address.is_some_and(|address| address.is_loopback());
    match is_loopback && !matches!(port, "" | "443") {
        true => "http",
        false => "https",
    }
}

fn answering(server: &str) -> &str {
    if server == HUB.0 { HUB.1 } else { server }
}

fn is_same(registry: &str, server: &str) -> bool {
    answering(registry) == answering(server)
}

/// The first pattern that fits decides.
fn rewritten(repository: &str, rewrites: &BTreeMap<String, String>) -> Result<String, String> {
    for (pattern, by) in rewrites {
        let fits = Regex::new(pattern).map_err(|_| format!("rewrite {pattern:?} is no pattern"))?;
        if fits.is_match(repository) {
            return Ok(fits.replace_all(repository, by.as_str()).into_owned());
        }
    }
    Ok(repository.to_owned())
}

fn pem(text: &str) -> Result<String, String> {
    if text.contains(PEM_BEGIN) {
        return Ok(text.to_owned());
    }
    std::fs::read_to_string(Path::new(text)).map_err(|error| format!("read {text}: {error}"))
}

fn registry_auth(entry: &RegistryCredentials) -> RegistryAuth {
    let mut auth = RegistryAuth {
        username: entry.username.clone(),
        password: entry.password.clone(),
        identity_token: entry.identity_token.clone(),
    };
    let decoded = BASE64_STANDARD.decode(entry.auth.trim()).ok();
    let decoded = decoded.and_then(|bytes| String::from_utf8(bytes).ok());
    if let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
        auth.username = user.to_owned();
        auth.password = password.trim_end_matches('\0').to_owned();
    }
    auth
}

#[cfg(test)]
mod tests {
    use kd_contract::registries::RegistryAccess;
    use kd_runtime::Registries as _;

    use super::*;

    fn registries(told: Registries) -> NodeRegistries {
        NodeRegistries {
            told,
            insecure: vec!["plain.example:5000".to_owned()],
            authorities: vec!["everywhere".to_owned()],
            directory: "/nonexistent".into(),
        }
    }

    /// Endpoints as `URL REPOSITORY`, a star before mirrors, `!` before those without tags.
    fn check(registries: &NodeRegistries, registry: &str, repository: &str, expect: &[&str]) {
        let found = registries.endpoints(registry, repository).unwrap();
        let shown = found.iter().map(|endpoint| {
            let mirror = if endpoint.mirror_of.is_some() { "*" } else { "" };
            let content = if endpoint.content_only { "!" } else { "" };
            format!("{content}{mirror}{} {}", endpoint.url, endpoint.repository)
        });
        assert_eq!(shown.collect::<Vec<_>>(), expect, "{registry}");
        assert!(found.iter().all(|e| e.tls.authorities.contains(&"everywhere".to_owned())));
    }

    #[test]
    fn registries_themselves() {
        let all = registries(Registries::default());
        check(
            &all,
            "docker.io",
            "library/nginx",
            &["https://registry-1.docker.io/v2 library/nginx"],
        );
        check(&all, "r.example", "a", &["https://r.example/v2 a"]);
        check(&all, "localhost:5000", "a", &["http://localhost:5000/v2 a"]);
        check(&all, "127.0.0.1:5000", "a", &["http://127.0.0.1:5000/v2 a"]);
        check(&all, "[::1]:5000", "a", &["http://[::1]:5000/v2 a"]);
        check(&all, "localhost", "a", &["https://localhost/v2 a"]);
        check(&all, "localhost:443", "a", &["https://localhost:443/v2 a"]);
        check(&all, "localhost.example:5000", "a", &["https://localhost.example:5000/v2 a"]);
        check(&all, "192.168.1.1:5000", "a", &["https://192.168.1.1:5000/v2 a"]);
        check(&all, "plain.example:5000", "a", &["http://plain.example:5000/v2 a"]);
    }

    fn mirror(endpoints: &[&str], rewrites: &[(&str, &str)]) -> Mirror {
        let pair = |(from, to): &(&str, &str)| ((*from).to_owned(), (*to).to_owned());
        Mirror {
            endpoints: endpoints.iter().map(|text| (*text).to_owned()).collect(),
            rewrites: rewrites.iter().map(pair).collect(),
        }
    }

    #[test]
    fn mirrors_of_k3s() {
        let endpoints =
            ["http://m:5000", "https://h.example/v2/hub", "http://m:5000/", "n.example"];
        let hub = mirror(&endpoints, &[("^library/(.*)", "proxy/$1")]);
        let any = mirror(&["localhost:5001"], &[]);
        let own = mirror(&["https://o.example"], &[]);
        let mirrors = [
            ("docker.io", hub),
            ("*", any),
            ("o.example", own),
            ("bad", mirror(&["x"], &[("(", "")])),
        ];
        let mirrors = mirrors.map(|(name, mirror)| (name.to_owned(), mirror));
        let all = registries(Registries { mirrors: mirrors.into(), ..Registries::default() });
        check(
            &all,
            "docker.io",
            "library/nginx",
            &[
                "*http://m:5000/v2 proxy/nginx",
                "*https://h.example/v2/hub proxy/nginx",
                "*https://n.example/v2 proxy/nginx",
                "https://registry-1.docker.io/v2 library/nginx",
            ],
        );
        check(&all, "r.example", "a", &["*http://localhost:5001/v2 a", "https://r.example/v2 a"]);
        check(&all, "o.example", "a", &["https://o.example/v2 a"]);
        assert!(all.endpoints("bad", "a").unwrap_err().contains("no pattern"));
    }

    #[test]
    fn accounts_and_certificates() {
        let auth = RegistryCredentials {
            auth: BASE64_STANDARD.encode("kd:secret"),
            ..RegistryCredentials::default()
        };
        let tls = RegistryTls {
            ca_file: format!("{PEM_BEGIN} ca"),
            cert_file: format!("{PEM_BEGIN} cert"),
            key_file: format!("{PEM_BEGIN} key"),
            insecure_skip_verify: true,
        };
        let configs = BTreeMap::from([
            ("m:5000".to_owned(), RegistryAccess { auth: Some(auth.clone()), tls: None }),
            ("localhost:5001".to_owned(), RegistryAccess { auth: None, tls: Some(tls) }),
            (HUB.1.to_owned(), RegistryAccess { auth: Some(auth), tls: None }),
        ]);
        let mirrors = [("docker.io".to_owned(), mirror(&["m:5000"], &[]))].into();
        let all = registries(Registries { configs, mirrors, ..Registries::default() });
        let hub = all.endpoints("docker.io", "library/nginx").unwrap();
        let users = hub.iter().map(|e| e.auth.as_ref().map(|auth| auth.password.as_str()));
        assert_eq!(users.collect::<Vec<_>>(), [Some("secret"); 2]);
        let local = all.endpoints("localhost:5001", "a").unwrap().remove(0);
        assert_eq!(local.url, "https://localhost:5001/v2");
        assert!(local.tls.skip_verify && local.tls.authorities[0].ends_with("ca"));
        assert!(local.tls.client.unwrap().ends_with("key"));
    }

    fn folder(files: &[(&str, &str)]) -> NodeRegistries {
        let files = files.iter().map(|(path, text)| ((*path).to_owned(), (*text).to_owned()));
        registries(Registries { hosts: files.collect(), ..Registries::default() })
    }

    #[test]
    fn folders_of_containerd() {
        let hosts = "server = \"https://s.example\"\n[host.\"http://kind-registry:5000\"]\n\
                     [host.\"m.example/proxy\"]\ncapabilities = [\"pull\"]\nca = \"m.crt\"\n\
                     [host.\"https://h.example/custom\"]\noverride_path = true\n\
                     [host.\"https://push.example\"]\ncapabilities = [\"push\"]\n";
        let all = folder(&[
            ("localhost:5001/hosts.toml", hosts),
            ("localhost:5001/m.crt", "PEM of m"),
            ("r.example_5000_/hosts.toml", "[host.\"http://a\"]"),
            ("_default/hosts.toml", "[host.\"http://any:5000\"]"),
            ("certs.example/ca.crt", "PEM"),
            ("broken.example/hosts.toml", "ca = 1"),
            ("lacking.example/hosts.toml", "ca = \"none.crt\""),
        ]);
        check(
            &all,
            "localhost:5001",
            "a",
            &[
                "*http://kind-registry:5000/v2 a",
                "!*https://m.example/proxy/v2 a",
                "*https://h.example/custom a",
                "*https://s.example/v2 a",
            ],
        );
        let with_ca = &all.endpoints("localhost:5001", "a").unwrap()[1].tls.authorities;
        assert_eq!(with_ca, &["PEM of m", "everywhere"]);
        check(&all, "r.example:5000", "a", &["*http://a/v2 a", "https://r.example:5000/v2 a"]);
        check(
            &all,
            "docker.io",
            "b",
            &["*http://any:5000/v2 b", "https://registry-1.docker.io/v2 b"],
        );
        check(&all, "certs.example", "a", &["https://certs.example/v2 a"]);
        assert_eq!(all.endpoints("certs.example", "a").unwrap()[0].tls.authorities[0], "PEM");
        for (registry, reason) in
            [("broken.example", "ca is a text"), ("lacking.example", "none.crt is missing")]
        {
            assert!(all.endpoints(registry, "a").unwrap_err().contains(reason));
        }
    }

    #[test]
    fn folders_on_the_node_come_first() {
        let directory = tempfile::tempdir().unwrap();
        let mounted = directory.path().join("r.example");
        std::fs::create_dir(&mounted).unwrap();
        let told = folder(&[("r.example/hosts.toml", "[host.\"http://told\"]")]);
        let all = NodeRegistries { directory: directory.path().to_owned(), ..told };
        check(&all, "r.example", "a", &["https://r.example/v2 a"]);
        std::fs::write(mounted.join("hosts.toml"), "[host.\"http://mounted\"]").unwrap();
        check(&all, "r.example", "a", &["*http://mounted/v2 a", "https://r.example/v2 a"]);
    }

    #[test]
    fn credentials_of_the_user() {
        let entry = |name: &str| RegistryCredentials {
            username: name.to_owned(),
            password: "p".to_owned(),
            ..RegistryCredentials::default()
        };
        let credentials = BTreeMap::from([
            ("https://index.docker.io/v1/".to_owned(), entry("hub")),
            ("r.example".to_owned(), entry("whole")),
            ("r.example/team".to_owned(), entry("team")),
        ]);
        let all = registries(Registries { credentials, ..Registries::default() });
        let check = |registry: &str, repository: &str, expect: &[&str]| {
            let found = all.credentials(registry, repository);
            let names: Vec<&str> = found.iter().map(|auth| auth.username.as_str()).collect();
            assert_eq!(names, expect, "{registry}/{repository}");
        };
        check("docker.io", "library/nginx", &["hub"]);
        check("r.example", "team/app", &["team", "whole"]);
        check("other.example", "a", &[]);
    }
}
