//! One output of a container: read by the shim, written to the log and to whoever is attached. A
//! slow attached reader holds the container back, as a pipe would.

use std::io;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

use jiff::Timestamp;

use super::log::{Lines, Log};

/// Read at once.
const READ_BYTES_MAX: usize = 64 * 1024;
/// Read after the process has ended, at most: what a pipe can hold.
const DRAIN_BYTES_MAX: usize = 1 << 20;

/// Someone attached.
#[derive(Debug)]
struct Sink {
    pipe: OwnedFd,
    waiting: Vec<u8>,
}

/// One output.
#[derive(Debug)]
pub struct Output {
    source: Option<OwnedFd>,
    lines: Lines,
    sinks: Vec<Sink>,
}

impl Output {
    /// Reads from a non-blocking pipe or terminal.
    pub fn new(stream: &'static str, source: OwnedFd) -> Self {
        Self { source: Some(source), lines: Lines::new(stream), sinks: Vec::new() }
    }

    /// What to read from now, if anything.
    pub fn source(&self) -> Option<BorrowedFd<'_>> {
        let waiting = self.sinks.iter().any(|sink| !sink.waiting.is_empty());
        self.source.as_ref().filter(|_| !waiting).map(AsFd::as_fd)
    }

    /// The pipes of those attached, each with whether it has something to write.
    pub fn sinks(&self) -> impl Iterator<Item = (BorrowedFd<'_>, bool)> {
        self.sinks.iter().map(|sink| (sink.pipe.as_fd(), !sink.waiting.is_empty()))
    }

    /// True when there is nothing left to do.
    pub fn is_done(&self) -> bool {
        self.source.is_none() && self.sinks.is_empty()
    }

    /// Writes to one more pipe (non-blocking) from now on.
    pub fn add_sink(&mut self, pipe: OwnedFd) {
        self.sinks.push(Sink { pipe, waiting: Vec::new() });
    }

    /// Takes in what is there; true at least one byte was.
    pub fn read(&mut self, log: &mut Log) -> usize {
        let Some(source) = &self.source else { return 0 };
        let mut buffer = vec![0; READ_BYTES_MAX];
        match nix::unistd::read(source, &mut buffer) {
            Err(nix::Error::EAGAIN | nix::Error::EINTR) => 0,
            Ok(count) if count > 0 => {
                self.pass_on(&buffer[..count], log);
                count
            }
            // A terminal whose last user is gone answers EIO.
            Ok(_) | Err(_) => {
                self.close(log);
                0
            }
        }
    }

    /// Reads the rest after the process has ended.
    pub fn drain(&mut self, log: &mut Log) {
        let mut total = 0;
        while total < DRAIN_BYTES_MAX {
            match self.read(log) {
                0 => break,
                count => total += count,
            }
        }
    }

    /// Ends the output; those attached get what they still wait for.
    pub fn close(&mut self, log: &mut Log) {
        self.source = None;
        let mut entries = Vec::new();
        self.lines.finish(Timestamp::now(), &mut entries);
        log.write(&entries);
        self.flush();
    }

    /// Writes on to those attached; those who have left or have everything are let go.
    pub fn flush(&mut self) {
        let ended = self.source.is_none();
        self.sinks.retain_mut(|sink| match sink.flush() {
            Ok(()) => !(ended && sink.waiting.is_empty()),
            Err(_) => false,
        });
    }

    fn pass_on(&mut self, bytes: &[u8], log: &mut Log) {
        let mut entries = Vec::with_capacity(bytes.len() + 64);
        self.lines.push(bytes, Timestamp::now(), &mut entries);
        log.write(&entries);
        for sink in &mut self.sinks {
            sink.waiting.extend_from_slice(bytes);
        }
        self.flush();
    }
}

impl Sink {
    fn flush(&mut self) -> io::Result<()> {
        let mut written = 0;
        while written < self.waiting.len() {
            match nix::unistd::write(&self.pipe, &self.waiting[written..]) {
                Ok(count) => written += count,
                Err(nix::Error::EINTR) => {}
                Err(nix::Error::EAGAIN) => break,
                Err(error) => return Err(error.into()),
            }
        }
        self.waiting.drain(..written);
        if self.waiting.is_empty() && has_left(&self.pipe) {
            return Err(io::Error::from(io::ErrorKind::BrokenPipe));
        }
        Ok(())
    }
}

fn has_left(pipe: &OwnedFd) -> bool {
    use nix::poll::{PollFd, PollFlags, PollTimeout, poll};
    let mut fds = [PollFd::new(pipe.as_fd(), PollFlags::empty())];
    poll(&mut fds, PollTimeout::ZERO).is_ok()
        && fds[0].revents().is_some_and(|events| events.contains(PollFlags::POLLERR))
}
