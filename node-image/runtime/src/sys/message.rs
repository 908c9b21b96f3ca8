//! Whole messages with file descriptors over a `SOCK_SEQPACKET` Unix socket.

use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd, RawFd};
use std::path::Path;

use nix::sys::socket::{
    AddressFamily, Backlog, ControlMessage, ControlMessageOwned, MsgFlags, SockFlag, SockType,
    UnixAddr,
};

/// Descriptors in one message.
const DESCRIPTORS_MAX: usize = 8;
/// Bytes in one message; a larger one is refused by the sender's socket.
const MESSAGE_BYTES_MAX: usize = 4 << 20;

/// A connected pair.
pub fn pair() -> io::Result<(OwnedFd, OwnedFd)> {
    Ok(nix::sys::socket::socketpair(
        AddressFamily::Unix,
        SockType::SeqPacket,
        None,
        SockFlag::SOCK_CLOEXEC,
    )?)
}

/// Listens on `directory/name`, which appears when connections are taken, and must not be there. The
/// path goes through the directory's descriptor, because a socket address holds 108 bytes only.
pub fn listen(directory: &Path, name: &str) -> io::Result<OwnedFd> {
    let (new, name) = (directory.join(format!("{name}.new")), directory.join(name));
    let new_name = new.file_name().and_then(|name| name.to_str()).unwrap_or_default();
    let (socket, address, _directory) = prepare(directory, new_name)?;
    nix::sys::socket::bind(socket.as_raw_fd(), &address)?;
    nix::sys::socket::listen(&socket, Backlog::new(16)?)?;
    set_nonblocking(&socket, true)?;
    std::fs::hard_link(&new, &name)?;
    std::fs::remove_file(&new)?;
    Ok(socket)
}

/// Connects to `directory/name`.
pub fn connect(directory: &Path, name: &str) -> io::Result<OwnedFd> {
    let (socket, address, _directory) = prepare(directory, name)?;
    nix::sys::socket::connect(socket.as_raw_fd(), &address)?;
    widen(&socket);
    set_nonblocking(&socket, true)?;
    Ok(socket)
}

/// Accepts one connection of a listening socket; non-blocking.
pub fn accept(listener: &OwnedFd) -> io::Result<OwnedFd> {
    let flags = SockFlag::SOCK_CLOEXEC | SockFlag::SOCK_NONBLOCK;
    let fd = nix::sys::socket::accept4(listener.as_raw_fd(), flags)?;
    // SAFETY: accept4 has just returned this descriptor to us.
    let socket = unsafe { OwnedFd::from_raw_fd(fd) };
    widen(&socket);
    Ok(socket)
}

fn prepare(directory: &Path, name: &str) -> io::Result<(OwnedFd, UnixAddr, OwnedFd)> {
    let directory = OwnedFd::from(std::fs::File::open(directory)?);
    let path = format!("/proc/self/fd/{}/{name}", directory.as_raw_fd());
    let socket = nix::sys::socket::socket(
        AddressFamily::Unix,
        SockType::SeqPacket,
        SockFlag::SOCK_CLOEXEC,
        None,
    )?;
    Ok((socket, UnixAddr::new(path.as_str())?, directory))
}

/// Lets long commands through; without the capability the system's limit stays.
fn widen(socket: &OwnedFd) {
    use nix::sys::socket::{setsockopt, sockopt};
    if setsockopt(socket, sockopt::SndBufForce, &MESSAGE_BYTES_MAX).is_err() {
        let _ = setsockopt(socket, sockopt::SndBuf, &MESSAGE_BYTES_MAX);
    }
}

/// Switches `O_NONBLOCK`.
pub fn set_nonblocking(fd: &OwnedFd, on: bool) -> io::Result<()> {
    use nix::fcntl::{FcntlArg, OFlag, fcntl};
    let mut flags = OFlag::from_bits_retain(fcntl(fd, FcntlArg::F_GETFL)?);
    flags.set(OFlag::O_NONBLOCK, on);
    fcntl(fd, FcntlArg::F_SETFL(flags))?;
    Ok(())
}

/// Sends one message.
pub fn send(socket: BorrowedFd<'_>, bytes: &[u8], descriptors: &[RawFd]) -> io::Result<()> {
    let rights = [ControlMessage::ScmRights(descriptors)];
    let control: &[ControlMessage<'_>] = if descriptors.is_empty() { &[] } else { &rights };
    let parts = [io::IoSlice::new(bytes)];
    let flags = MsgFlags::MSG_NOSIGNAL;
    nix::sys::socket::sendmsg::<()>(socket.as_raw_fd(), &parts, control, flags, None)?;
    Ok(())
}

/// Receives one message; `None` when the other side has closed.
pub fn receive(socket: BorrowedFd<'_>) -> io::Result<Option<(Vec<u8>, Vec<OwnedFd>)>> {
    let peek = MsgFlags::MSG_PEEK | MsgFlags::MSG_TRUNC;
    let length = match nix::sys::socket::recv(socket.as_raw_fd(), &mut [], peek) {
        // Told once, when the other side has closed with messages of ours unread; its own come
        // after.
        Err(nix::Error::ECONNRESET) => nix::sys::socket::recv(socket.as_raw_fd(), &mut [], peek)?,
        other => other?,
    };
    if length > MESSAGE_BYTES_MAX {
        return Err(io::Error::from_raw_os_error(libc::EMSGSIZE));
    }
    let mut bytes = vec![0; length];
    let mut space = nix::cmsg_space!([RawFd; DESCRIPTORS_MAX]);
    let mut descriptors = Vec::new();
    let received = {
        let mut parts = [io::IoSliceMut::new(&mut bytes)];
        let flags = MsgFlags::MSG_CMSG_CLOEXEC;
        let message = nix::sys::socket::recvmsg::<()>(
            socket.as_raw_fd(),
            &mut parts,
            Some(&mut space),
            flags,
        )?;
        for control in message.cmsgs()? {
            if let ControlMessageOwned::ScmRights(fds) = control {
                // SAFETY: the kernel has just installed these descriptors for us.
                descriptors.extend(fds.into_iter().map(|fd| unsafe { OwnedFd::from_raw_fd(fd) }));
            }
        }
        message.bytes
    };
    bytes.truncate(received);
    Ok((received > 0).then_some((bytes, descriptors)))
}
