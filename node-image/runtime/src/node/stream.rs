//! Pipes and terminals handed over by a shim, as async streams.

use std::io;
use std::os::fd::{AsRawFd, OwnedFd};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use tokio::io::unix::AsyncFd;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::{mpsc, oneshot};

use crate::interface::{Error, Result, Session};
use crate::protocol::Reply;
use crate::sys::{message, terminal};

/// A non-blocking descriptor; shutting it down closes it.
pub struct Stream {
    descriptor: Option<AsyncFd<OwnedFd>>,
    /// Closed with it: tells the shim that an attached stdin has ended.
    lease: Option<OwnedFd>,
}

impl Stream {
    /// Takes over a descriptor.
    pub fn new(descriptor: OwnedFd) -> io::Result<Self> {
        message::set_nonblocking(&descriptor, true)?;
        Ok(Self { descriptor: Some(register(descriptor)?), lease: None })
    }

    /// Reads what is there now, until the end or until there is nothing.
    pub fn read_available(&self, into: &mut Vec<u8>, bytes_max: usize) {
        let Some(descriptor) = &self.descriptor else { return };
        let mut buffer = [0; 4096];
        while let Ok(1..) = nix::unistd::read(descriptor.get_ref(), &mut buffer)
            .inspect(|count| keep(into, &buffer[..*count], bytes_max))
        {}
    }
}

/// Makes a non-blocking descriptor wait for events.
pub fn register(descriptor: OwnedFd) -> io::Result<AsyncFd<OwnedFd>> {
    // SAFETY: an `OwnedFd` keeps its descriptor open, and the same, until it is dropped.
    Ok(unsafe { AsyncFd::register(descriptor) }?)
}

/// Appends at most up to a total.
pub fn keep(into: &mut Vec<u8>, bytes: &[u8], bytes_max: usize) {
    let room = bytes_max.saturating_sub(into.len());
    into.extend_from_slice(&bytes[..bytes.len().min(room)]);
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(descriptor) = &self.descriptor else { return Poll::Ready(Ok(())) };
        loop {
            let mut guard = ready!(descriptor.poll_read_ready(context))?;
            let space = buffer.initialize_unfilled();
            let result = guard.try_io(|fd| nix::unistd::read(fd, space).map_err(io::Error::from));
            match result {
                Ok(Ok(count)) => {
                    buffer.advance(count);
                    return Poll::Ready(Ok(()));
                }
                // A terminal whose last user is gone: its end.
                Ok(Err(error)) if error.raw_os_error() == Some(libc::EIO) => {
                    return Poll::Ready(Ok(()));
                }
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(Err(error)) => return Poll::Ready(Err(error)),
                Err(_would_block) => {}
            }
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let Some(descriptor) = &self.descriptor else {
            return Poll::Ready(Err(io::Error::from(io::ErrorKind::BrokenPipe)));
        };
        loop {
            let mut guard = ready!(descriptor.poll_write_ready(context))?;
            let result = guard.try_io(|fd| nix::unistd::write(fd, bytes).map_err(io::Error::from));
            match result {
                Ok(Err(error)) if error.kind() == io::ErrorKind::Interrupted => {}
                Ok(result) => return Poll::Ready(result),
                Err(_would_block) => {}
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // The stream first: who waits for the lease must find it closed.
        self.descriptor = None;
        self.lease = None;
        Poll::Ready(Ok(()))
    }
}

/// The streams of an answer, by name.
pub struct Streams {
    /// To write to.
    pub stdin: Option<Stream>,
    /// To read from.
    pub stdout: Option<Stream>,
    /// To read from.
    pub stderr: Option<Stream>,
    /// The terminal.
    pub control: Option<OwnedFd>,
}

impl Streams {
    /// Gives the descriptors of an answer their names.
    pub fn new(reply: &Reply, descriptors: Vec<OwnedFd>) -> Result<Self> {
        let mut rest = descriptors.into_iter();
        let mut take = |present: bool| if present { rest.next() } else { None };
        let open = |descriptor: Option<OwnedFd>| {
            descriptor
                .map(Stream::new)
                .transpose()
                .map_err(|source| Error::System { operation: "take over a stream".into(), source })
        };
        let mut stdin = open(take(reply.stdin))?;
        let stdout = open(take(reply.stdout))?;
        let stderr = open(take(reply.stderr))?;
        let lease = take(reply.lease);
        if let Some(stdin) = &mut stdin {
            stdin.lease = lease;
        }
        Ok(Self { stdin, stdout, stderr, control: take(reply.control) })
    }

    /// A session over these streams.
    pub fn session(self, exit: oneshot::Receiver<Result<i32>>) -> Session {
        let (resize, mut sizes) = mpsc::channel::<(u16, u16)>(8);
        if let Some(control) = self.control {
            // Ends when the session lets go of its sender, and closes the terminal then.
            tokio::spawn(async move {
                while let Some((columns, rows)) = sizes.recv().await {
                    if let Err(error) = terminal::resize(&control, columns, rows) {
                        tracing::debug!(%error, fd = control.as_raw_fd(), "resize terminal");
                    }
                }
            });
        }
        Session {
            stdin: self.stdin.map(|stream| Box::new(stream) as _),
            stdout: self.stdout.map(|stream| Box::new(stream) as _),
            stderr: self.stderr.map(|stream| Box::new(stream) as _),
            resize,
            exit,
        }
    }
}
