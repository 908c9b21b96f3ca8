//! SCTP through a Service, in packets made here: a kernel without SCTP sockets leads it on as well.

use std::os::fd::{AsRawFd, OwnedFd};
use std::sync::Arc;

use kd_network::{Frontend, HostRoutes, Protocol, ServicePort, Services};
use nix::sys::socket::{
    AddressFamily, MsgFlags, SockFlag, SockProtocol, SockType, SockaddrIn, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use crate::world::{ANSWER_TIMEOUT, Namespace, attach, with_node};

const CLIENT: [u8; 4] = [10, 244, 0, 2];
const SERVER: [u8; 4] = [10, 244, 0, 3];
const SERVICE: [u8; 4] = [10, 96, 0, 9];
const CLIENT_PORT: u16 = 40_000;
const SERVER_PORT: u16 = 9000;
const SERVICE_PORT: u16 = 38_412;
/// The first chunks of an association.
const INIT: u8 = 1;
const INIT_ACK: u8 = 2;
const CLIENT_TAG: u32 = 7;

/// Where a packet comes from and goes to.
#[derive(Debug, PartialEq)]
struct Ends {
    from: ([u8; 4], u16),
    to: ([u8; 4], u16),
}

#[test]
fn associations_lead_to_endpoints_and_back() {
    with_node(async |network: HostRoutes| {
        let (client, server) = (Namespace::new(), Namespace::new());
        attach(&network, &client, "client", &["10.244.0.2"]).await;
        attach(&network, &server, "server", &["10.244.0.3"]).await;
        let endpoint = (SERVER, SERVER_PORT).into();
        let frontend = Frontend::ClusterAddress(SERVICE.into());
        let port = ServicePort::plain(frontend, SERVICE_PORT, Protocol::Sctp, vec![endpoint]);
        Services::new(&[]).set([Arc::new(port)]).unwrap();
        let (client, server) = (client.run(raw_socket), server.run(raw_socket));

        send(&client, SERVICE, &packet(INIT, CLIENT_PORT, SERVICE_PORT, 0, CLIENT_TAG));
        let asked = Ends { from: (CLIENT, CLIENT_PORT), to: (SERVER, SERVER_PORT) };
        assert_eq!(receive(&server), asked);
        send(&server, CLIENT, &packet(INIT_ACK, SERVER_PORT, CLIENT_PORT, CLIENT_TAG, 8));
        let answered = Ends { from: (SERVICE, SERVICE_PORT), to: (CLIENT, CLIENT_PORT) };
        assert_eq!(receive(&client), answered);
    });
}

fn raw_socket() -> OwnedFd {
    let sctp = SockProtocol::Sctp;
    let made = socket(AddressFamily::Inet, SockType::Raw, SockFlag::SOCK_CLOEXEC, sctp).unwrap();
    let timeout = TimeVal::new(ANSWER_TIMEOUT.as_secs() as i64, 0);
    setsockopt(&made, sockopt::ReceiveTimeout, &timeout).unwrap();
    made
}

/// A packet with one chunk (RFC 9260, sections 3.3.2 and 3.3.3).
fn packet(chunk: u8, from: u16, to: u16, tag: u32, own_tag: u32) -> Vec<u8> {
    let mut bytes = [from.to_be_bytes(), to.to_be_bytes()].concat();
    bytes.extend(tag.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend([chunk, 0, 0, 20]);
    bytes.extend(own_tag.to_be_bytes());
    bytes.extend(65_536u32.to_be_bytes());
    bytes.extend([0, 1, 0, 1]);
    bytes.extend(1u32.to_be_bytes());
    let sum = checksum(&bytes);
    bytes[8..12].copy_from_slice(&sum.to_le_bytes());
    bytes
}

/// CRC32c: the kernel takes no packet with a wrong one for an association's.
fn checksum(packet: &[u8]) -> u32 {
    let step = |sum: u32, _| if sum & 1 == 1 { sum >> 1 ^ 0x82f6_3b78 } else { sum >> 1 };
    !packet.iter().fold(!0, |sum, byte| (0..8).fold(sum ^ u32::from(*byte), step))
}

fn send(socket: &OwnedFd, to: [u8; 4], packet: &[u8]) {
    let [a, b, c, d] = to;
    let to = SockaddrIn::new(a, b, c, d, 0);
    sendto(socket.as_raw_fd(), packet, &to, MsgFlags::empty()).unwrap();
}

/// The ends of the next packet, whose checksum is right.
fn receive(socket: &OwnedFd) -> Ends {
    let mut buffer = [0; 256];
    let length = recv(socket.as_raw_fd(), &mut buffer, MsgFlags::empty()).unwrap();
    let header = usize::from(buffer[0] & 0x0f) * 4;
    let address = |at: usize| <[u8; 4]>::try_from(&buffer[at..at + 4]).unwrap();
    let port = |at: usize| u16::from_be_bytes([buffer[header + at], buffer[header + at + 1]]);
    let ends = Ends { from: (address(12), port(0)), to: (address(16), port(2)) };
    let mut packet = buffer[header..length].to_vec();
    let told: [u8; 4] = packet[8..12].try_into().unwrap();
    packet[8..12].fill(0);
    assert_eq!(u32::from_le_bytes(told), checksum(&packet));
    ends
}
