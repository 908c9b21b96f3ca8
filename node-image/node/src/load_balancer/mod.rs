//! The load balancer of a cluster: ports of its container lead to ports of the nodes. It is a program of
//! the node image in a container of its own, so that ports can be published without touching nodes.

mod nodes;
mod tcp;
mod udp;

use std::net::{Ipv6Addr, SocketAddr};
use std::sync::Arc;

use kd_contract::{
    BalancedPort, LOAD_BALANCER_CONFIG_ENV, LoadBalancerConfig, PublishedProtocol, READY_LINE,
};
use tokio::net::{TcpListener, UdpSocket};

use crate::environment::{run_async, start_logging_with, stop_signal};
use crate::error::{Error, Result};
use nodes::Nodes;

/// Runs until the process is told to stop.
pub(crate) fn run() -> Result<()> {
    let text = std::env::var(LOAD_BALANCER_CONFIG_ENV)
        .map_err(|_| Error::Configuration(format!("{LOAD_BALANCER_CONFIG_ENV} is not set")))?;
    let config: LoadBalancerConfig = serde_json::from_str(&text).map_err(|error| {
        Error::Configuration(format!("{LOAD_BALANCER_CONFIG_ENV} does not parse: {error}"))
    })?;
    start_logging_with(&config.log);
    run_async(serve(config))
}

async fn serve(config: LoadBalancerConfig) -> Result<()> {
    let nodes = Arc::new(Nodes::new()?);
    for BalancedPort { port, protocol } in config.ports {
        let address = SocketAddr::from((Ipv6Addr::UNSPECIFIED, port));
        let failed = || Error::of(format!("listen on port {port}/{protocol}"));
        match protocol {
            PublishedProtocol::Tcp => {
                let listener = TcpListener::bind(address).await.map_err(failed())?;
                tokio::spawn(tcp::serve(listener, port, nodes.clone()));
            }
            PublishedProtocol::Udp => {
                let socket = UdpSocket::bind(address).await.map_err(failed())?;
                tokio::spawn(udp::serve(socket, port, nodes.clone()));
            }
        }
    }
    println!("{READY_LINE}");
    stop_signal().await.map(drop)
}
