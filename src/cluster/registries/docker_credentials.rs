//! The credentials of `docker login`, from its configuration and from the helpers that it names.
//! Helpers run on this machine only.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use kd_contract::registries::RegistryCredentials;
use serde::Deserialize;
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::config::Environment;
use crate::error::{Error, ExitCode, Result};

/// A helper may have to ask the user.
const HELPER_TIMEOUT: Duration = Duration::from_secs(60);
/// The user name that stands for a token.
const TOKEN_USER: &str = "<token>";
/// Every registry that the configuration knows.
const ALL: &str = "all";
/// How the docker command calls Docker Hub.
const HUB_SERVER: &str = "https://index.docker.io/v1/";

#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct DockerConfig {
    auths: BTreeMap<String, Login>,
    creds_store: String,
    cred_helpers: BTreeMap<String, String>,
}

/// Docker's own fields; others are its business.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Login {
    username: String,
    password: String,
    auth: String,
    identitytoken: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct HelperAnswer {
    username: String,
    secret: String,
}

/// The credentials for the registries, by what Docker calls their servers.
pub async fn read(
    environment: &Environment,
    registries: &[String],
) -> Result<BTreeMap<String, RegistryCredentials>> {
    let path = configuration(environment)?;
    let text = std::fs::read_to_string(&path).map_err(|source| {
        Error::new(ExitCode::Usage, format!("read the credentials in {}", path.display()))
            .because(source)
            .hint("make them: docker login REGISTRY")
    })?;
    let config: DockerConfig = serde_json::from_str(&text).map_err(|source| {
        Error::new(ExitCode::Usage, format!("{} does not parse", path.display())).because(source)
    })?;
    let mut found = BTreeMap::new();
    for registry in registries {
        let servers = servers(&config, registry);
        let before = found.len();
        for server in servers {
            if let Some(credentials) = of_server(&config, &server).await? {
                found.insert(server, credentials);
            }
        }
        if registry != ALL && found.len() == before {
            let message = format!("there are no credentials for {registry} in {}", path.display());
            return Err(Error::new(ExitCode::Usage, message)
                .hint(format!("make them: docker login {registry}")));
        }
    }
    Ok(found)
}

fn configuration(environment: &Environment) -> Result<PathBuf> {
    let folder = environment.docker_config.clone();
    let folder = folder.or_else(|| environment.below_home(".docker"));
    let folder = folder.ok_or_else(|| {
        Error::new(ExitCode::Usage, "find Docker's configuration: $HOME is not set")
    })?;
    Ok(folder.join("config.json"))
}

/// What the configuration calls a registry; all that it knows for `all`.
fn servers(config: &DockerConfig, registry: &str) -> BTreeSet<String> {
    let known = config.auths.keys().chain(config.cred_helpers.keys());
    let mut servers: BTreeSet<String> = known
        .filter(|server| registry == ALL || host_of(server) == host_of(registry))
        .cloned()
        .collect();
    // A store may know registries that the configuration does not list.
    if servers.is_empty() && registry != ALL && !config.creds_store.is_empty() {
        servers.insert(match host_of(registry) {
            "docker.io" => HUB_SERVER.to_owned(),
            _ => registry.to_owned(),
        });
    }
    servers
}

/// The host that images name.
fn host_of(server: &str) -> &str {
    let host = server.split_once("://").map_or(server, |(_, rest)| rest);
    match host.split('/').next().unwrap_or(host) {
        "index.docker.io" | "registry-1.docker.io" => "docker.io",
        host => host,
    }
}

async fn of_server(config: &DockerConfig, server: &str) -> Result<Option<RegistryCredentials>> {
    let own = config.cred_helpers.get(server).or_else(|| config.cred_helpers.get(host_of(server)));
    let store = (!config.creds_store.is_empty()).then_some(&config.creds_store);
    if let Some(helper) = own.or(store)
        && let Some(found) = ask(helper, server).await?
    {
        return Ok(Some(found));
    }
    let Some(login) = config.auths.get(server) else { return Ok(None) };
    let is_empty = [&login.username, &login.password, &login.auth, &login.identitytoken]
        .iter()
        .all(|text| text.is_empty());
    Ok((!is_empty).then(|| RegistryCredentials {
        username: login.username.clone(),
        password: login.password.clone(),
        auth: login.auth.clone(),
        identity_token: login.identitytoken.clone(),
    }))
}

/// Asks a helper
/// (<https://docs.docker.com/reference/cli/docker/login/#credential-helper-protocol>).
async fn ask(helper: &str, server: &str) -> Result<Option<RegistryCredentials>> {
    ask_program(Path::new(&format!("docker-credential-{helper}")), server).await
}

async fn ask_program(program: &Path, server: &str) -> Result<Option<RegistryCredentials>> {
    let failed = |what: String| {
        let program = program.display();
        Error::failure(format!("ask {program} for the credentials of {server}: {what}"))
            .hint("name only registries whose credentials nodes need: --registry-auth REGISTRY")
    };
    let mut command = Command::new(program);
    command.arg("get").stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::inherit());
    let mut running =
        command.kill_on_drop(true).spawn().map_err(|error| failed(error.to_string()))?;
    let mut input = running.stdin.take();
    let answered = async {
        if let Some(input) = &mut input {
            // A helper that does not read its input tells why by its end.
            let _ = input.write_all(server.as_bytes()).await;
        }
        drop(input);
        running.wait_with_output().await
    };
    let output = tokio::time::timeout(HELPER_TIMEOUT, answered).await;
    let output = output
        .map_err(|_| failed(format!("no answer within {} s", HELPER_TIMEOUT.as_secs())))?
        .map_err(|error| failed(error.to_string()))?;
    let text = String::from_utf8_lossy(&output.stdout);
    if !output.status.success() {
        return match text.contains("credentials not found") {
            true => Ok(None),
            false => Err(failed(text.trim().to_owned())),
        };
    }
    let answer: HelperAnswer =
        serde_json::from_str(&text).map_err(|error| failed(error.to_string()))?;
    Ok(Some(match answer.username == TOKEN_USER {
        true => {
            RegistryCredentials { identity_token: answer.secret, ..RegistryCredentials::default() }
        }
        false => RegistryCredentials {
            username: answer.username,
            password: answer.secret,
            ..RegistryCredentials::default()
        },
    }))
}

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn environment(config: &str) -> (tempfile::TempDir, Environment) {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("config.json"), config).unwrap();
        let docker_config = Some(folder.path().to_owned());
        (folder, Environment { docker_config, ..Environment::default() })
    }

    #[tokio::test]
    async fn logins() {
        let (_folder, environment) = environment(
            r#"{"auths":{"https://index.docker.io/v1/":{"auth":"dTpw"},"r.example":{"username":"u","password":"p"},
                "empty.example":{}},"HttpHeaders":{}}"#,
        );
        let names = async |registries: &[&str]| {
            let registries: Vec<String> = registries.iter().map(|r| (*r).to_owned()).collect();
            read(&environment, &registries).await.map(|found| found.into_keys().collect::<Vec<_>>())
        };
        assert_eq!(names(&["docker.io"]).await.unwrap(), ["https://index.docker.io/v1/"]);
        assert_eq!(names(&["r.example"]).await.unwrap(), ["r.example"]);
        assert_eq!(names(&["all"]).await.unwrap(), ["https://index.docker.io/v1/", "r.example"]);
        for missing in ["empty.example", "none.example"] {
            let error = names(&["docker.io", missing]).await.unwrap_err();
            assert!(
                error.to_string().contains(&format!("no credentials for {missing}")),
                "{error}"
            );
        }
    }

    #[tokio::test]
    async fn helpers() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("docker-credential-test");
        let script = "#!/bin/sh\nread -r server || true\ncase $server in\n\
            known.example) echo '{\"ServerURL\":\"x\",\"Username\":\"u\",\"Secret\":\"s\"}';;\n\
            token.example) echo '{\"Username\":\"<token>\",\"Secret\":\"t\"}';;\n\
            none.example) echo 'credentials not found in native keychain'; exit 1;;\n\
            *) echo 'the keychain is locked'; exit 1;;\nesac\n";
        std::fs::write(&path, script).unwrap();
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).unwrap();
        let of = |auths: &str, helpers: &str| {
            format!(r#"{{"auths":{{{auths}}},"credHelpers":{{{helpers}}}}}"#)
        };
        let ask = |server: &'static str| {
            let path = path.clone();
            async move { ask_program(&path, server).await }
        };
        let known = ask("known.example").await.unwrap().unwrap();
        assert_eq!((known.username.as_str(), known.password.as_str()), ("u", "s"));
        assert_eq!(ask("token.example").await.unwrap().unwrap().identity_token, "t");
        assert_eq!(ask("none.example").await.unwrap(), None);
        assert!(ask("x").await.unwrap_err().to_string().contains("the keychain is locked"));
        let (_folder, environment) =
            environment(&of(r#""a.example":{"auth":"dTpw"}"#, r#""b.example":"kd-missing""#));
        assert!(read(&environment, &["a.example".to_owned()]).await.is_ok());
        let error = read(&environment, &["b.example".to_owned()]).await.unwrap_err();
        assert!(error.to_string().contains("docker-credential-kd-missing"), "{error}");
    }
}
