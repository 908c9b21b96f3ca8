//! Ports of this machine: one that is free, or who holds the one that is not.

use std::io;
use std::net::{IpAddr, TcpListener, UdpSocket};

use kd_contract::PublishedProtocol;

use super::port_holder;
use super::ports::PortRequest;
use crate::docker::Engine;
use crate::error::{Error, ExitCode, Result};

/// Decides about the ports of an engine's machine.
pub fn claimer(engine: &Engine) -> impl FnMut(&PortRequest) -> Result<u16> + use<> {
    let is_local = engine.remote_host().is_none();
    move |request| match is_local {
        true => claim(request.host, request.host_port.unwrap_or(0), request.protocol, "--port"),
        // Whether it is free is for the other machine to say.
        false => Ok(request.host_port.unwrap_or(request.port)),
    }
}

/// A port of this machine: the one that is wanted, which must be free, or any free one for 0.
pub fn claim(host: IpAddr, port: u16, protocol: PublishedProtocol, flag: &str) -> Result<u16> {
    let bound = match protocol {
        PublishedProtocol::Tcp => TcpListener::bind((host, port)).and_then(|s| s.local_addr()),
        PublishedProtocol::Udp => UdpSocket::bind((host, port)).and_then(|s| s.local_addr()),
    };
    bound.map(|bound| bound.port()).map_err(|source| {
        let message = match source.kind() {
            io::ErrorKind::AddrInUse => {
                match port_holder::of(port, protocol == PublishedProtocol::Udp) {
                    Some(holder) => format!("port {port} is already in use by {holder}"),
                    None => format!("port {port} is already in use"),
                }
            }
            _ => format!("port {port} of {host} cannot be used"),
        };
        Error::new(ExitCode::PortBusy, message)
            .because(source)
            .hint(format!("choose another one with {flag}, or leave it out to get a free one"))
    })
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use super::*;

    #[cfg(target_os = "linux")]
    #[test]
    fn who_holds_a_port_is_named() {
        let taken = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = taken.local_addr().unwrap().port();
        let host = Ipv4Addr::LOCALHOST.into();
        let error = claim(host, port, PublishedProtocol::Tcp, "--port").unwrap_err();
        let own = format!("process {}", std::process::id());
        assert!(error.to_string().contains(&own), "{error}");
        assert_eq!(error.code(), ExitCode::PortBusy);
        drop(taken);
        assert_eq!(claim(host, port, PublishedProtocol::Tcp, "--port").unwrap(), port);
    }
}
