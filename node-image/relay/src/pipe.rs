//! A pipe that bytes pass through without being copied, see splice(2).

use std::io;
use std::os::fd::{AsFd, OwnedFd};

use nix::errno::Errno;
use nix::fcntl::{FcntlArg, OFlag, SpliceFFlags, fcntl, splice};
use tokio::io::Interest;
use tokio::net::TcpStream;

/// Moved at once: what a pipe of an ordinary user may hold (`/proc/sys/fs/pipe-max-size`).
const CAPACITY_BYTES: usize = 1 << 20;
/// What a pipe holds when it is made; one that was never filled needs no more.
const FIRST_BYTES: usize = 64 << 10;

/// An empty pipe between two sockets.
pub(crate) struct Pipe {
    reader: OwnedFd,
    writer: OwnedFd,
    held: usize,
    grown: bool,
}

impl Pipe {
    pub(crate) fn new() -> io::Result<Pipe> {
        let (reader, writer) = nix::unistd::pipe2(OFlag::O_CLOEXEC | OFlag::O_NONBLOCK)?;
        Ok(Pipe { reader, writer, held: 0, grown: false })
    }

    /// Waits for bytes of a socket and takes them. 0 is the socket's end.
    pub(crate) async fn fill(&mut self, from: &TcpStream) -> io::Result<usize> {
        let writer = self.writer.as_fd();
        let moved =
            from.async_io(Interest::READABLE, || moved(from.as_fd(), writer, CAPACITY_BYTES));
        self.held = moved.await?;
        if self.held >= FIRST_BYTES && !self.grown {
            self.grown = true;
            // A user with many pipes gets no larger ones.
            let _ = fcntl(&self.writer, FcntlArg::F_SETPIPE_SZ(CAPACITY_BYTES as i32));
        }
        Ok(self.held)
    }

    /// Gives a socket everything that was taken.
    pub(crate) async fn drain(&mut self, to: &TcpStream) -> io::Result<()> {
        while self.held > 0 {
            let (reader, held) = (self.reader.as_fd(), self.held);
            match to.async_io(Interest::WRITABLE, || moved(reader, to.as_fd(), held)).await? {
                0 => return Err(io::ErrorKind::WriteZero.into()),
                moved => self.held -= moved,
            }
        }
        Ok(())
    }
}

fn moved(from: impl AsFd, to: impl AsFd, length: usize) -> io::Result<usize> {
    let flags = SpliceFFlags::SPLICE_F_MOVE | SpliceFFlags::SPLICE_F_NONBLOCK;
    loop {
        match splice(&from, None, &to, None, length, flags) {
            Err(Errno::EINTR) => {}
            result => return Ok(result?),
        }
    }
}
