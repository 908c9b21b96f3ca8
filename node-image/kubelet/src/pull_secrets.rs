//! Registry credentials in Secrets of type dockerconfigjson and dockercfg.

use std::collections::BTreeMap;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use k8s_openapi::api::core::v1::Secret;
use kd_runtime::RegistryAuth;
use serde::Deserialize;

#[derive(Deserialize)]
struct ConfigJson {
    #[serde(default)]
    auths: BTreeMap<String, Entry>,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct Entry {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
}

/// The credentials in a Secret that fit an image, the most specific first.
pub fn credentials(secret: &Secret, image: &str) -> Vec<RegistryAuth> {
    let data = secret.data.as_ref();
    let bytes = |key: &str| data.and_then(|d| d.get(key)).map(|value| value.0.as_slice());
    let entries: BTreeMap<String, Entry> = match secret.type_.as_deref() {
        Some("kubernetes.io/dockerconfigjson") => bytes(".dockerconfigjson")
            .and_then(|b| serde_json::from_slice::<ConfigJson>(b).ok())
            .map(|config| config.auths)
            .unwrap_or_default(),
        Some("kubernetes.io/dockercfg") => {
            bytes(".dockercfg").and_then(|b| serde_json::from_slice(b).ok()).unwrap_or_default()
        }
        _ => BTreeMap::new(),
    };
    let entries = entries.iter().map(|(place, entry)| (place.as_str(), entry.auth()));
    fitting_credentials(entries, &repository(image))
}

/// Those of the credentials whose places fit a repository (`docker.io/library/nginx`), the most
/// specific first.
pub fn fitting_credentials<'a>(
    entries: impl Iterator<Item = (&'a str, RegistryAuth)>,
    repository: &str,
) -> Vec<RegistryAuth> {
    let mut fitting: Vec<(usize, RegistryAuth)> = entries
        .filter(|(place, _)| fits(place, repository))
        .map(|(place, auth)| (place.len(), auth))
        .collect();
    fitting.sort_by_key(|(length, _)| std::cmp::Reverse(*length));
    fitting.into_iter().map(|(_, auth)| auth).collect()
}

impl Entry {
    fn auth(&self) -> RegistryAuth {
        let mut auth = RegistryAuth {
            username: self.username.clone(),
            password: self.password.clone(),
            identity_token: self.identitytoken.clone(),
        };
        let decoded =
            STANDARD.decode(self.auth.trim()).ok().and_then(|b| String::from_utf8(b).ok());
        if let Some((user, password)) = decoded.as_deref().and_then(|text| text.split_once(':')) {
            auth.username = user.to_owned();
            auth.password = password.trim_end_matches('\0').to_owned();
        }
        auth
    }
}

/// `host/path` of an image, Docker Hub's name spelled out.
fn repository(image: &str) -> String {
    let name = image.split('@').next().unwrap_or(image);
    let slash = name.rfind('/').map_or(0, |at| at + 1);
    let name = match name[slash..].find(':') {
        Some(colon) => &name[..slash + colon],
        None => name,
    };
    match name.split_once('/') {
        Some((host, _)) if host.contains(['.', ':']) || host == "localhost" => name.to_owned(),
        Some(_) => format!("docker.io/{name}"),
        None => format!("docker.io/library/{name}"),
    }
}

/// Whether a place in the configuration covers a repository: host (globs by label) and path prefix.
fn fits(place: &str, repository: &str) -> bool {
    let place = place.strip_prefix("https://").or(place.strip_prefix("http://")).unwrap_or(place);
    let place = place.trim_end_matches('/');
    let (place_host, place_path) = place.split_once('/').unwrap_or((place, ""));
    let (host, path) = repository.split_once('/').unwrap_or((repository, ""));
    let hub = |host: &str| matches!(host, "docker.io" | "index.docker.io" | "registry-1.docker.io");
    if hub(place_host) && hub(host) {
        return true;
    }
    // Paths of API versions are not part of a repository's name.
    let place_path = if matches!(place_path, "v1" | "v2") { "" } else { place_path };
    host_fits(place_host, host)
        && (place_path.is_empty()
            || path == place_path
            || path.starts_with(&format!("{place_path}/")))
}

fn host_fits(pattern: &str, host: &str) -> bool {
    let split = |text: &str| {
        let (name, port) = text.rsplit_once(':').unwrap_or((text, ""));
        (name.split('.').map(str::to_owned).collect::<Vec<_>>(), port.to_owned())
    };
    let ((pattern, pattern_port), (host, port)) = (split(pattern), split(host));
    pattern_port == port
        && pattern.len() == host.len()
        && pattern.iter().zip(&host).all(|(p, h)| match p.split_once('*') {
            Some((before, after)) => {
                h.len() >= before.len() + after.len() && h.starts_with(before) && h.ends_with(after)
            }
            None => p == h,
        })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn places() {
        let check = |place: &str, image: &str, expect: bool| {
            assert_eq!(fits(place, &repository(image)), expect, "{place} {image}");
        };
        check("https://index.docker.io/v1/", "nginx:1.25", true);
        check("registry.example.com", "registry.example.com/a/b:1", true);
        check("registry.example.com:5000", "registry.example.com/a", false);
        check(
            "https://registry.example.com:5000/v2/",
            "registry.example.com:5000/a@sha256:0",
            true,
        );
        check("registry.example.com/a", "registry.example.com/ab", false);
        check("registry.example.com/a", "registry.example.com/a/b", true);
        check("*.example.com", "r.example.com/a", true);
        check("*.example.com", "r.s.example.com/a", false);
    }

    #[test]
    fn both_types() {
        let auth = STANDARD.encode("u:p:q");
        let config = json!({"auths": {"r.io": {"auth": auth}, "r.io/a": {"username": "v", "password": "w"}}});
        let secret: Secret =
            serde_json::from_value(json!({"type": "kubernetes.io/dockerconfigjson",
            "data": {".dockerconfigjson": STANDARD.encode(config.to_string())}}))
            .unwrap();
        let users = |image: &str| {
            credentials(&secret, image)
                .into_iter()
                .map(|a| (a.username, a.password))
                .collect::<Vec<_>>()
        };
        let (u, v) = (("u".into(), "p:q".into()), ("v".into(), "w".into()));
        assert_eq!(users("r.io/a/b"), [v, u]);
        assert_eq!(users("other.io/a"), []);
    }
}
