//! Netfilter's netlink socket: batches are sent whole, dumps are read to their end.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::time::Duration;

use nix::sys::socket::{
    AddressFamily, MsgFlags, NetlinkAddr, SockFlag, SockProtocol, SockType, bind, recv, sendto,
    setsockopt, socket, sockopt,
};
use nix::sys::time::TimeVal;

use super::message::{Attributes, message, messages};
use crate::Family;

/// A message's flags.
pub(crate) const REQUEST: u16 = 1;
pub(crate) const ACKNOWLEDGE: u16 = 4;
pub(crate) const CREATE: u16 = 0x400;
pub(crate) const APPEND: u16 = 0x800;
const DUMP: u16 = 0x300;
/// Types of answers.
const ERROR: u16 = 2;
const DONE: u16 = 3;
/// The kernel answers within the send call; nothing waits longer than this for the rest.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(10);
/// The largest datagram of a dump.
const ANSWER_BYTES_MAX: usize = 1 << 16;

/// A socket to one of netfilter's subsystems.
#[derive(Debug)]
pub(crate) struct NetfilterSocket(OwnedFd);

/// A socket that is opened when it is needed and then kept: before the kernel closes one it waits for
/// whoever may still use what was deleted, which takes longer than most changes.
#[derive(Debug, Default)]
pub(crate) struct KeptSocket(Option<NetfilterSocket>);

impl KeptSocket {
    /// Does something with the socket, which is of the network namespace of the thread that was the
    /// first to do so.
    pub(crate) fn with<T>(
        &mut self,
        work: impl FnOnce(&NetfilterSocket) -> io::Result<T>,
    ) -> io::Result<T> {
        let socket = match self.0.take() {
            Some(socket) => socket,
            None => NetfilterSocket::open()?,
        };
        // After an error more answers may be on their way, so the next one gets another socket.
        let done = work(&socket)?;
        self.0 = Some(socket);
        Ok(done)
    }
}

impl NetfilterSocket {
    /// Opens a socket of this thread's network namespace.
    pub(crate) fn open() -> io::Result<NetfilterSocket> {
        let socket = socket(
            AddressFamily::Netlink,
            SockType::Raw,
            SockFlag::SOCK_CLOEXEC,
            SockProtocol::NetlinkNetFilter,
        )?;
        bind(socket.as_raw_fd(), &NetlinkAddr::new(0, 0))?;
        let timeout = TimeVal::new(ANSWER_TIMEOUT.as_secs() as libc::time_t, 0);
        setsockopt(&socket, sockopt::ReceiveTimeout, &timeout)?;
        Ok(NetfilterSocket(socket))
    }

    /// Sends messages of which `count` ask for an acknowledgement, and waits for these. The first
    /// refusal is the result: later ones follow from it.
    pub(crate) fn exchange(&self, bytes: &[u8], count: usize) -> io::Result<()> {
        self.make_room(bytes.len())?;
        self.send(bytes)?;
        let mut answered = 0;
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        while answered < count {
            self.receive(&mut buffer, |kind, body| {
                if kind == ERROR {
                    refusal(body)?;
                    answered += 1;
                }
                Ok(())
            })?;
        }
        Ok(())
    }

    /// The bodies of all messages that a dump answers with. `kind` is subsystem and message.
    pub(crate) fn dump(
        &self,
        kind: u16,
        family: Family,
        attributes: Attributes,
    ) -> io::Result<Vec<Vec<u8>>> {
        self.make_room(ANSWER_BYTES_MAX)?;
        self.send(&message(kind, REQUEST | DUMP, 1, family.number(), 0, attributes))?;
        let (mut found, mut done) = (Vec::new(), false);
        let mut buffer = vec![0; ANSWER_BYTES_MAX];
        while !done {
            self.receive(&mut buffer, |kind, body| {
                match kind {
                    ERROR => refusal(body)?,
                    DONE => done = true,
                    _ => found.push(body.to_vec()),
                }
                Ok(())
            })?;
        }
        Ok(found)
    }

    /// A batch is one datagram, so the buffer must hold it; acknowledgements come back together.
    fn make_room(&self, length: usize) -> io::Result<()> {
        let room = length * 2 + ANSWER_BYTES_MAX;
        if setsockopt(&self.0, sockopt::SndBufForce, &room).is_err() {
            setsockopt(&self.0, sockopt::SndBuf, &room)?;
        }
        if setsockopt(&self.0, sockopt::RcvBufForce, &room).is_err() {
            setsockopt(&self.0, sockopt::RcvBuf, &room)?;
        }
        Ok(())
    }

    fn send(&self, bytes: &[u8]) -> io::Result<()> {
        let sent = sendto(self.0.as_raw_fd(), bytes, &NetlinkAddr::new(0, 0), MsgFlags::empty())?;
        if sent == bytes.len() { Ok(()) } else { Err(io::ErrorKind::WriteZero.into()) }
    }

    fn receive(
        &self,
        buffer: &mut [u8],
        mut each: impl FnMut(u16, &[u8]) -> io::Result<()>,
    ) -> io::Result<()> {
        let length = recv(self.0.as_raw_fd(), buffer, MsgFlags::empty())?;
        for (kind, body) in messages(&buffer[..length]) {
            each(kind, body)?;
        }
        Ok(())
    }
}

/// The error of an ERROR message; 0 is an acknowledgement.
fn refusal(body: &[u8]) -> io::Result<()> {
    let code = body.get(..4).map_or([0; 4], |bytes| [bytes[0], bytes[1], bytes[2], bytes[3]]);
    match i32::from_ne_bytes(code) {
        0 => Ok(()),
        code => Err(io::Error::from_raw_os_error(-code)),
    }
}
