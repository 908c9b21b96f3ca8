//! What is handed to a client: the streams of a container, a socket in the pod's network.

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
use nix::sys::socket::{AddressFamily, SockFlag, SockType, socket};

use super::container::{Container, pipe};
use crate::interface::ExecSpec;
use crate::protocol::Reply;
use crate::sys::message;

/// Joins the streams of a container's first process.
pub fn attach(container: &mut Container, spec: &ExecSpec) -> io::Result<(Reply, Vec<OwnedFd>)> {
    let mut reply = Reply::default();
    let mut descriptors = Vec::new();
    if let Some(stdin) = container.stdin.as_ref().filter(|_| spec.stdin) {
        descriptors.push(stdin.try_clone()?);
        reply.stdin = true;
    }
    let wanted = [spec.stdout, spec.stderr && container.terminal.is_none()];
    for (output, wanted) in container.outputs.iter_mut().zip(wanted) {
        if wanted {
            let (reader, writer) = pipe()?;
            message::set_nonblocking(&writer, true)?;
            output.add_sink(writer);
            descriptors.push(reader);
        }
    }
    reply.stdout = wanted[0] && !container.outputs.is_empty();
    reply.stderr = wanted[1] && container.outputs.len() > 1;
    if reply.stdin {
        let (reader, writer) = pipe()?;
        container.leases.push(reader);
        descriptors.push(writer);
        reply.lease = true;
    }
    if let Some(terminal) = &container.terminal {
        descriptors.push(terminal.try_clone()?);
        reply.control = true;
    }
    Ok((reply, descriptors))
}

/// True when the other end of a lease is closed.
pub fn has_hung_up(lease: &OwnedFd) -> bool {
    let mut fds = [PollFd::new(lease.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLHUP))
}

/// A TCP socket, which belongs to the network namespace that it is made in: ours, the pod's.
pub fn tcp_socket(ipv6: bool) -> io::Result<(Reply, Vec<OwnedFd>)> {
    let family = if ipv6 { AddressFamily::Inet6 } else { AddressFamily::Inet };
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let socket = socket(family, SockType::Stream, flags, None)?;
    Ok((Reply { control: true, ..Reply::default() }, vec![socket]))
}
