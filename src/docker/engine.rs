//! A connection to the Docker engine, and its errors in kd's words.

use std::collections::HashMap;
use std::net::IpAddr;

use bollard::Docker;
use bollard::errors::Error as DockerError;

use super::endpoint;
use crate::config::Environment;
use crate::error::{Error, ExitCode, Result};
use crate::resolver;

/// The port of an engine on another machine.
const DEFAULT_PORT: &str = "2375";

/// A Docker engine that answers.
#[derive(Clone, Debug)]
pub struct Engine {
    /// The engine's API.
    pub docker: Docker,
    address: String,
}

impl Engine {
    /// Finds the engine, connects to it and agrees on an API version.
    pub async fn connect(environment: &Environment) -> Result<Engine> {
        let address = endpoint::find(environment)?;
        let docker = client(&address).await?;
        match docker.negotiate_version().await {
            Ok(docker) => Ok(Engine { docker, address }),
            Err(source) => Err(unreachable_engine(&address, source)),
        }
    }

    /// The path of the engine's socket, when the engine is on this machine.
    pub fn socket(&self) -> Option<&str> {
        self.address.strip_prefix("unix://")
    }

    /// The engine's address when it is another machine's.
    pub fn remote_host(&self) -> Option<IpAddr> {
        let authority = self.address.split_once("://")?.1;
        let authority = authority.split('/').next()?;
        let address: std::net::SocketAddr = authority.parse().ok()?;
        Some(address.ip()).filter(|ip| !ip.is_loopback())
    }
}

/// The engine refused `operation`.
pub fn refused(operation: impl Into<String>, source: DockerError) -> Error {
    let operation = operation.into();
    if let Some(port) = busy_port(&source) {
        return Error::new(
            ExitCode::PortBusy,
            format!("{operation}: port {port} is already in use"),
        )
        .because(source)
        .hint("choose another port with --api-port, or stop what listens there");
    }
    Error::new(ExitCode::Engine, operation).because(source)
}

/// The engine's answer has this HTTP status.
pub fn has_status(error: &DockerError, status: u16) -> bool {
    matches!(error, DockerError::DockerResponseServerError { status_code, .. } if *status_code == status)
}

/// A filter of the engine's lists by label.
pub fn label_filter(label: &str) -> HashMap<String, Vec<String>> {
    HashMap::from([("label".to_owned(), vec![label.to_owned()])])
}

async fn client(address: &str) -> Result<Docker> {
    let literal = literal_address(address).await?;
    Docker::connect_with_host(&literal).map_err(|source| match source {
        DockerError::SocketNotFoundError(_) => unreachable_engine(address, source),
        source => Error::new(ExitCode::NoEngine, format!("use the Docker engine at {address}"))
            .because(source)
            .hint("DOCKER_HOST is unix:///path/to/docker.sock or tcp://ADDRESS:PORT"),
    })
}

/// The engine's address with the host's address instead of its name.
async fn literal_address(address: &str) -> Result<String> {
    let Some((scheme @ ("tcp" | "http"), authority)) = address.split_once("://") else {
        return Ok(address.to_owned());
    };
    let authority = authority.trim_end_matches('/');
    let (host, port) = match authority.rsplit_once(':') {
        Some((host, port)) if port.parse::<u16>().is_ok() => (host, port),
        _ => (authority, DEFAULT_PORT),
    };
    let host = if host.is_empty() { "localhost" } else { host };
    let literal = resolver::address_of(host).await.map_err(|source| {
        Error::new(ExitCode::NoEngine, format!("find the Docker engine at {address}"))
            .because(source)
            .hint("check the name in DOCKER_HOST, or write an address instead")
    })?;
    Ok(match literal {
        IpAddr::V4(literal) => format!("{scheme}://{literal}:{port}"),
        IpAddr::V6(literal) => format!("{scheme}://[{literal}]:{port}"),
    })
}

fn unreachable_engine(address: &str, source: DockerError) -> Error {
    match io_kind(&source) {
        Some(std::io::ErrorKind::PermissionDenied) => permission(address).because(source),
        _ => {
            let message = format!("the Docker engine at {address} does not answer");
            Error::new(ExitCode::NoEngine, message)
                .because(source)
                .hint("start Docker (for example `sudo systemctl start docker` or Docker Desktop)")
                .hint("or install it: https://docs.docker.com/engine/install/")
                .hint("set DOCKER_HOST, or choose a docker context, if the engine is elsewhere")
        }
    }
}

fn permission(address: &str) -> Error {
    let message = format!("this user may not use the Docker engine at {address}");
    Error::new(ExitCode::EnginePermission, message).hint(
        "add the user to the docker group: `sudo usermod -aG docker $USER`, then log in again",
    )
}

fn io_kind(error: &DockerError) -> Option<std::io::ErrorKind> {
    let mut source: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(cause) = source {
        if let Some(io) = cause.downcast_ref::<std::io::Error>() {
            return Some(io.kind());
        }
        source = cause.source();
    }
    None
}

/// Engines tell a busy port in many words; the port's number follows the address.
fn busy_port(error: &DockerError) -> Option<u16> {
    let DockerError::DockerResponseServerError { message, .. } = error else { return None };
    let told = ["port is already allocated", "address already in use", "Ports are not available"];
    if !told.iter().any(|words| message.contains(words)) {
        return None;
    }
    message
        .split(|c: char| c.is_whitespace() || c == '/')
        .filter_map(|word| word.trim_end_matches([':', ',', '.']).rsplit_once(':'))
        .find_map(|(_, port)| port.parse().ok().filter(|port| *port != 0))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn addresses_without_a_resolver() {
        let check = async |address: &str, expect: &str| {
            assert_eq!(literal_address(address).await.unwrap(), expect);
        };
        check("unix:///var/run/docker.sock", "unix:///var/run/docker.sock").await;
        check("tcp://127.0.0.1:2376", "tcp://127.0.0.1:2376").await;
        check("tcp://192.0.2.1", "tcp://192.0.2.1:2375").await;
        check("tcp://[::1]:2375", "tcp://[::1]:2375").await;
        check("tcp://localhost:2375/", "tcp://127.0.0.1:2375").await;
        check("tcp://:2375", "tcp://127.0.0.1:2375").await;
    }

    #[test]
    fn busy_ports_in_the_words_of_engines() {
        let check = |message: &str, expect: Option<u16>| {
            let message = message.to_owned();
            let error = DockerError::DockerResponseServerError { status_code: 500, message };
            assert_eq!(busy_port(&error), expect);
        };
        check(
            "driver failed programming external connectivity on endpoint kd-a-server-0 (6f1c): \
             Bind for 127.0.0.1:6443 failed: port is already allocated",
            Some(6443),
        );
        check(
            "Error starting userland proxy: listen tcp4 127.0.0.1:8443: bind: address already in use",
            Some(8443),
        );
        check("failed to bind host port 0.0.0.0:8080/tcp: address already in use", Some(8080));
        check("no such image: x:80", None);
    }
}
