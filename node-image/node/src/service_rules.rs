//! `service-rules`: prints as JSON what this node's kernel does with packets to Services.

use kd_network::ListedPort;
use serde_json::{Value, json};

use crate::error::{Error, Result};

pub(crate) fn list() -> Result<()> {
    let ports = kd_network::listed_services().map_err(Error::of("list the rules"))?;
    println!("{}", Value::from(ports.iter().map(row).collect::<Vec<_>>()));
    Ok(())
}

fn row(port: &ListedPort) -> Value {
    let texts = |list: &[std::net::SocketAddr]| -> Vec<String> {
        list.iter().map(ToString::to_string).collect()
    };
    json!({
        "address": port.address,
        "family": if port.is_ipv6 { "IPv6" } else { "IPv4" },
        "protocol": port.protocol,
        "port": port.port,
        "way": port.way,
        "endpoints": texts(&port.endpoints),
        "forOutsiders": texts(&port.for_outsiders),
        "refusal": port.refusal,
        "sources": port.sources,
    })
}
