//! Local sockets of a port-forward.

use std::io::ErrorKind;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};

use tokio::net::TcpListener;

use super::ports::PortPair;
use crate::error::{Error, ExitCode, Result};

/// Addresses to listen on, as `--address` names them.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Addresses {
    groups: Vec<Group>,
}

/// Addresses of which at least one must be usable.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Group {
    addresses: Vec<IpAddr>,
}

/// One local socket and the pod's port behind it.
#[derive(Debug)]
pub struct Forward {
    /// The socket.
    pub listener: TcpListener,
    /// Its address.
    pub local: SocketAddr,
    /// The port in the pod.
    pub remote: u16,
}

impl Addresses {
    /// Reads a list of addresses; `localhost` is both loopback addresses.
    pub fn parse(list: &[String]) -> Result<Addresses> {
        let mut groups: Vec<Group> = Vec::new();
        for name in list.iter().flat_map(|item| item.split(',')).map(str::trim) {
            let addresses = match (name, name.parse::<IpAddr>()) {
                ("localhost", _) => vec![Ipv4Addr::LOCALHOST.into(), Ipv6Addr::LOCALHOST.into()],
                (_, Ok(address)) => vec![address],
                (_, Err(_)) => {
                    let message = format!("{name:?} is neither an IP address nor localhost");
                    return Err(Error::new(ExitCode::Usage, message));
                }
            };
            let group = Group { addresses };
            if !groups.contains(&group) {
                groups.push(group);
            }
        }
        Ok(Addresses { groups })
    }
}

/// Opens the sockets of one port. A random port is the same on every address.
pub async fn bind(addresses: &Addresses, ports: PortPair) -> Result<Vec<Forward>> {
    let mut forwards: Vec<Forward> = Vec::new();
    let mut local = ports.local;
    for group in &addresses.groups {
        let mut failure = None;
        let before = forwards.len();
        for address in &group.addresses {
            let bound = TcpListener::bind((*address, local)).await;
            match bound.and_then(|listener| Ok((listener.local_addr()?, listener))) {
                Ok((address, listener)) => {
                    local = address.port();
                    forwards.push(Forward { listener, local: address, remote: ports.remote });
                }
                // A port that is taken is told even if the other loopback address has it free:
                // clients would reach the wrong program.
                Err(error) if error.kind() == ErrorKind::AddrInUse => {
                    return Err(refused(*address, local, error));
                }
                Err(error) => failure = Some(refused(*address, local, error)),
            }
        }
        if let (true, Some(failure)) = (forwards.len() == before, failure) {
            return Err(failure);
        }
    }
    Ok(forwards)
}

fn refused(address: IpAddr, port: u16, source: std::io::Error) -> Error {
    let code = match source.kind() {
        ErrorKind::AddrInUse | ErrorKind::PermissionDenied => ExitCode::PortBusy,
        _ => ExitCode::Failure,
    };
    let message = match source.kind() {
        ErrorKind::AddrInUse => format!("port {port} of {address} is already in use"),
        ErrorKind::PermissionDenied => format!("this user may not listen on port {port}"),
        _ => format!("listen on port {port} of {address}"),
    };
    Error::new(code, message)
        .because(source)
        .hint(format!("choose another one, such as {}:{port}, or any free one with :{port}", 8000))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn addresses(list: &[&str]) -> Result<Addresses> {
        Addresses::parse(&list.iter().map(|item| (*item).to_owned()).collect::<Vec<_>>())
    }

    #[test]
    fn lists_of_addresses() {
        let check = |list: &[&str], expect: Option<&[&[&str]]>| {
            let groups = addresses(list).ok().map(|addresses| {
                let text = |group: Group| -> Vec<String> {
                    group.addresses.iter().map(IpAddr::to_string).collect()
                };
                addresses.groups.into_iter().map(text).collect::<Vec<_>>()
            });
            let expect =
                expect.map(|groups| groups.iter().map(|group| group.to_vec()).collect::<Vec<_>>());
            assert_eq!(format!("{groups:?}"), format!("{expect:?}"), "{list:?}");
        };
        check(&["localhost"], Some(&[&["127.0.0.1", "::1"]]));
        check(&["127.0.0.1,0.0.0.0"], Some(&[&["127.0.0.1"], &["0.0.0.0"]]));
        check(&["::1", "::1"], Some(&[&["::1"]]));
        check(&["example.com"], None);
        check(&[""], None);
    }

    #[tokio::test]
    async fn a_busy_port_is_named() {
        let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
        let port = taken.local_addr().unwrap().port();
        let ports = PortPair { local: port, remote: 80 };
        let error = bind(&addresses(&["localhost"]).unwrap(), ports).await.unwrap_err();
        assert_eq!(error.code(), ExitCode::PortBusy);
        assert!(error.full_message().contains(&port.to_string()), "{error}");
    }

    #[tokio::test]
    async fn a_random_port_is_the_same_everywhere() {
        let ports = PortPair { local: 0, remote: 80 };
        let forwards = bind(&addresses(&["localhost"]).unwrap(), ports).await.unwrap();
        assert!(forwards.iter().all(|forward| forward.local.port() == forwards[0].local.port()));
    }
}
