//! Which Docker engine: `$DOCKER_HOST`, the docker command's context, or a well-known socket.

use std::path::{Path, PathBuf};

use serde_json::Value;

use super::archive::sha256;
use crate::config::Environment;
use crate::error::{Error, ExitCode, Result};

/// Sockets below the home directory that engines for desktops use.
const HOME_SOCKETS: &[&str] = &[
    ".docker/run/docker.sock",
    ".docker/desktop/docker.sock",
    ".colima/default/docker.sock",
    ".orbstack/run/docker.sock",
    ".rd/docker.sock",
];
const SYSTEM_SOCKET: &str = "/var/run/docker.sock";
/// The context that means "no context".
const DEFAULT_CONTEXT: &str = "default";

/// The engine's address as a URL: `unix:///var/run/docker.sock`, `tcp://192.0.2.1:2375`.
pub fn find(environment: &Environment) -> Result<String> {
    if let Some(host) = &environment.docker_host {
        return Ok(host.clone());
    }
    if let Some(host) = context_host(environment)? {
        return Ok(host);
    }
    #[cfg(windows)]
    return Ok("npipe:////./pipe/docker_engine".to_owned());
    #[cfg(not(windows))]
    {
        let found = candidates(environment).into_iter().find(|path| exists(path));
        found.map(|path| format!("unix://{}", path.display())).ok_or_else(no_engine)
    }
}

/// The error of a machine without Docker.
pub fn no_engine() -> Error {
    Error::new(ExitCode::NoEngine, "there is no Docker engine on this machine")
        .hint("install Docker (https://docs.docker.com/engine/install/) or start it")
        .hint("set DOCKER_HOST if the engine is elsewhere")
}

fn candidates(environment: &Environment) -> Vec<PathBuf> {
    let mut paths = vec![PathBuf::from(SYSTEM_SOCKET)];
    paths.extend(environment.runtime_directory.as_ref().map(|path| path.join("docker.sock")));
    paths.extend(HOME_SOCKETS.iter().filter_map(|path| environment.below_home(path)));
    paths
}

/// A socket that may not be looked at is there: the connection will say what is wrong.
fn exists(path: &Path) -> bool {
    match path.try_exists() {
        Ok(exists) => exists,
        Err(error) => error.kind() == std::io::ErrorKind::PermissionDenied,
    }
}

/// The engine of the docker command's context, if one is chosen.
fn context_host(environment: &Environment) -> Result<Option<String>> {
    let Some(directory) = docker_directory(environment) else { return Ok(None) };
    let chosen = environment.docker_context.clone().or_else(|| current_context(&directory));
    let Some(name) = chosen.filter(|name| name != DEFAULT_CONTEXT) else { return Ok(None) };
    let path = directory.join("contexts/meta").join(sha256(&[&name])).join("meta.json");
    let host = read_json(&path).and_then(|meta| {
        Some(meta.get("Endpoints")?.get("docker")?.get("Host")?.as_str()?.to_owned())
    });
    match host {
        Some(host) => Ok(Some(host)),
        None => Err(Error::new(
            ExitCode::NoEngine,
            format!("the docker context {name:?} cannot be read from {}", path.display()),
        )
        .hint("see `docker context ls`, or set DOCKER_HOST")),
    }
}

fn docker_directory(environment: &Environment) -> Option<PathBuf> {
    environment.docker_config.clone().or_else(|| environment.below_home(".docker"))
}

fn current_context(directory: &Path) -> Option<String> {
    let config = read_json(&directory.join("config.json"))?;
    Some(config.get("currentContext")?.as_str()?.to_owned()).filter(|name| !name.is_empty())
}

fn read_json(path: &Path) -> Option<Value> {
    serde_json::from_slice(&std::fs::read(path).ok()?).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_environment_comes_first_then_the_context() {
        let home = tempfile::tempdir().unwrap();
        let docker = home.path().join(".docker");
        std::fs::create_dir_all(&docker).unwrap();
        std::fs::write(docker.join("config.json"), r#"{"currentContext":"remote"}"#).unwrap();
        let environment =
            Environment { home: Some(home.path().to_owned()), ..Environment::default() };
        let error = find(&environment).unwrap_err();
        assert_eq!(error.code(), ExitCode::NoEngine);
        assert!(error.full_message().contains("\"remote\""), "{error}");

        let meta = docker.join("contexts/meta").join(sha256(&["remote"]));
        std::fs::create_dir_all(&meta).unwrap();
        let json = r#"{"Endpoints":{"docker":{"Host":"tcp://192.0.2.1:2375"}}}"#;
        std::fs::write(meta.join("meta.json"), json).unwrap();
        assert_eq!(find(&environment).unwrap(), "tcp://192.0.2.1:2375");

        let default =
            Environment { docker_context: Some("default".to_owned()), ..environment.clone() };
        assert!(
            find(&default).is_ok_and(|host| host.starts_with("unix://"))
                || !exists(Path::new(SYSTEM_SOCKET))
        );

        let host = Environment { docker_host: Some("unix:///x".to_owned()), ..environment };
        assert_eq!(find(&host).unwrap(), "unix:///x");
    }
}
