//! Changes the ports of a cluster that runs: its load balancer is replaced, its nodes are not touched.

use std::net::IpAddr;
use std::time::Duration;

use super::agents;
use super::create::start_node;
use super::host_port;
use super::inventory::Cluster;
use super::plan;
use super::ports::{NodeFilter, PortRequest};
use super::readiness::Deadline;
use super::timings::Timings;
use crate::docker::{ContainerSpec, Engine, HostPort, PublishedPort, published_ports};
use crate::error::{Error, ExitCode, Result};

/// What is to change.
#[derive(Clone, Debug, Default)]
pub struct Edit {
    /// Ports to publish.
    pub add: Vec<PortRequest>,
    /// Ports that are not to be published any more.
    pub delete: Vec<PortRequest>,
}

/// Makes the change and returns what is published then. When it fails, everything is as before.
pub async fn edit(
    engine: &Engine,
    cluster: &Cluster,
    edit: &Edit,
    timeout: Duration,
) -> Result<Vec<PublishedPort>> {
    let before = match &cluster.load_balancer {
        Some(balancer) => published_ports(engine, &balancer.container).await?,
        None => Vec::new(),
    };
    let after = changed(&before, edit, host_port::claimer(engine))?;
    if before == after {
        return Ok(after);
    }
    let has_ipv6 = match cluster.nodes.first() {
        Some(node) => agents::has_ipv6(&agents::config_of(engine, node).await?),
        None => false,
    };
    let spec = |ports: &[PublishedPort]| {
        let image = cluster.nodes.first().map(|node| node.image.clone()).unwrap_or_default();
        plan::load_balancer(&cluster.name, &image, ports, has_ipv6).transpose()
    };
    let (old, new) = (spec(&before)?, spec(&after)?);
    let deadline = Deadline::after(timeout);
    // Two containers can neither have the same name nor the same ports.
    if let Some(balancer) = &cluster.load_balancer {
        balancer.as_container().remove(engine).await?;
    }
    if let Err(error) = run(engine, new.as_ref(), deadline).await {
        return match run(engine, old.as_ref(), deadline).await {
            Ok(()) => Err(error),
            Err(again) => Err(error.hint(format!("the ports of before are gone, too: {again}"))),
        };
    }
    Ok(after)
}

async fn run(engine: &Engine, spec: Option<&ContainerSpec>, deadline: Deadline) -> Result<()> {
    let Some(spec) = spec else { return Ok(()) };
    let container = spec.create(engine).await?;
    let started = start_node(engine, &container, deadline, &Timings::begin()).await;
    if started.is_err() {
        // What went wrong first is what counts.
        let _ = container.remove(engine).await;
    }
    started
}

/// The ports after a change.
fn changed(
    before: &[PublishedPort],
    edit: &Edit,
    mut claim: impl FnMut(&PortRequest) -> Result<u16>,
) -> Result<Vec<PublishedPort>> {
    for request in edit.add.iter().chain(&edit.delete) {
        if request.filters.iter().any(|filter| *filter != NodeFilter::LoadBalancer) {
            let message = "ports of nodes cannot change while the nodes are there";
            return Err(Error::new(ExitCode::Usage, message)
                .hint("let the load balancer have them: 8080:80@loadbalancer"));
        }
    }
    let mut ports = before.to_vec();
    for request in &edit.delete {
        let count = ports.len();
        ports.retain(|port| !is_meant(request, port));
        if ports.len() == count {
            let message = format!("the load balancer has no such port: {}", shown(request));
            return Err(Error::new(ExitCode::NotFound, message));
        }
    }
    for request in &edit.add {
        if request.host_port.is_some() && ports.iter().any(|port| is_meant(request, port)) {
            continue;
        }
        let host = HostPort { address: request.host, port: claim(request)? };
        ports.push(PublishedPort { port: request.port, protocol: request.protocol, host });
    }
    Ok(ports)
}

/// Whether a request names this port: what it leaves out may be anything.
fn is_meant(request: &PortRequest, port: &PublishedPort) -> bool {
    request.port == port.port
        && request.protocol == port.protocol
        && request.host_port.is_none_or(|wanted| wanted == port.host.port)
        && (request.host == port.host.address || is_any(request.host))
}

fn is_any(host: IpAddr) -> bool {
    host.is_unspecified()
}

fn shown(request: &PortRequest) -> String {
    let host_port = request.host_port.map(|port| format!("{port}:")).unwrap_or_default();
    format!("{host_port}{}/{}", request.port, request.protocol)
}

#[cfg(test)]
mod tests {
    use kd_contract::PublishedProtocol;

    use super::*;
    use crate::cluster::ports;

    fn port(host: u16, port: u16) -> PublishedPort {
        let host = HostPort { address: "0.0.0.0".parse().unwrap(), port: host };
        PublishedPort { port, protocol: PublishedProtocol::Tcp, host }
    }

    fn check(add: &[&str], delete: &[&str], expect: std::result::Result<&[(u16, u16)], &str>) {
        let parse = |texts: &[&str]| -> Vec<PortRequest> {
            texts.iter().flat_map(|text| ports::parse(text).unwrap()).collect()
        };
        let edit = Edit { add: parse(add), delete: parse(delete) };
        let before = [port(8080, 80), port(8443, 443)];
        let after = changed(&before, &edit, |request| Ok(request.host_port.unwrap_or(7)));
        match (after, expect) {
            (Ok(after), Ok(expect)) => {
                let shown: Vec<(u16, u16)> = after.iter().map(|p| (p.host.port, p.port)).collect();
                assert_eq!(shown, expect);
            }
            (Err(error), Err(text)) => assert!(error.to_string().contains(text), "{error}"),
            (after, expect) => panic!("{after:?}, not {expect:?}"),
        }
    }

    #[test]
    fn ports_change() {
        check(&["9090:90"], &[], Ok(&[(8080, 80), (8443, 443), (9090, 90)]));
        check(&["90"], &[], Ok(&[(8080, 80), (8443, 443), (7, 90)]));
        check(&["8080:80"], &[], Ok(&[(8080, 80), (8443, 443)]));
        check(&[], &["8080:80"], Ok(&[(8443, 443)]));
        check(&[], &["80", "443"], Ok(&[]));
        check(&["8081:80"], &["8080:80"], Ok(&[(8443, 443), (8081, 80)]));
        check(&[], &["8081:80"], Err("no such port: 8081:80/tcp"));
        check(&[], &["80/udp"], Err("no such port: 80/udp"));
        check(&["80@server:0"], &[], Err("ports of nodes"));
    }
}
