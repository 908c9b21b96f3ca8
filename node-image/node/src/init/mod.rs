//! PID 1 of a node: mounts, supervision, reaping. Single-threaded and without an async runtime, so
//! that nothing in it can wait for anything but signals.

mod cgroups;
mod mounts;
mod supervisor;

use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpListener};

use kd_contract::{API_SERVER_PORT, NodeConfig, NodeRole, RUN_DIRECTORY};

use crate::Program;
use crate::environment::node_config;
use crate::error::{Error, Result};
use crate::kubelet::shutdown_grace;
use supervisor::Supervisor;

/// The platform's certificate authorities, as libraries look for them: only the cluster's own. A node
/// has no others, and registries are verified with authorities of kd's choice.
const AUTHORITIES_FILE: &str = "/run/kd/authorities.pem";
const AUTHORITIES_ENV: &str = "SSL_CERT_FILE";

/// Prepares the node and runs its programs until it is told to stop.
pub(crate) fn run() -> Result<()> {
    let config = node_config()?;
    if std::process::id() != 1 {
        return Err(Error::Configuration(
            "kd init is the first process of a node's container and of nothing else".into(),
        ));
    }
    // Blocked before anything is started: a signal that comes early waits for the loop.
    let supervisor = Supervisor::new(shutdown_grace(&config)?)?;
    mounts::prepare()?;
    cgroups::prepare()?;
    std::fs::create_dir_all(RUN_DIRECTORY).map_err(Error::of(format!("create {RUN_DIRECTORY}")))?;
    std::fs::write(AUTHORITIES_FILE, &config.ca_certificate)
        .map_err(Error::of(format!("write {AUTHORITIES_FILE}")))?;
    supervisor.run(programs(&config), listener(&config)?)
}

/// The API server's socket: open before anything runs, and for as long as the node does.
fn listener(config: &NodeConfig) -> Result<Option<TcpListener>> {
    if config.role != NodeRole::Server {
        return Ok(None);
    }
    let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, API_SERVER_PORT));
    let listener = TcpListener::bind(address)
        .or_else(|_| TcpListener::bind((Ipv4Addr::UNSPECIFIED, API_SERVER_PORT)))
        .map_err(Error::of(format!("listen on port {API_SERVER_PORT}")))?;
    Ok(Some(listener))
}

/// What runs on a node, in starting order.
fn programs(config: &NodeConfig) -> Vec<Program> {
    match config.role {
        NodeRole::Server => vec![Program::ControlPlane, Program::Kubelet],
        NodeRole::Agent => vec![Program::Kubelet],
    }
}
