//! Waiting for a log file to grow or to be replaced, by inotify.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Tells of changes of one file, by its directory.
pub(super) struct FileWatch {
    /// An inotify descriptor is read as a pipe is.
    events: Receiver,
    name: Vec<u8>,
}

/// Room for many events with the longest names.
const BUFFER_BYTES: usize = 16 << 10;
/// `struct inotify_event` without its name: watch, mask, cookie, length of the name.
const HEAD_BYTES: usize = 16;

impl FileWatch {
    /// Watches from now on.
    pub(super) fn new(file: &Path) -> io::Result<FileWatch> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let directory = file.parent().unwrap_or(Path::new("."));
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(directory, flags)?;
        let name = file.file_name().unwrap_or(OsStr::new("")).as_bytes().to_vec();
        let events = Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify))?;
        Ok(FileWatch { events, name })
    }

    /// Returns when the file may have changed; false when its directory is gone.
    pub(super) async fn changed(&mut self) -> io::Result<bool> {
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = self.events.read(&mut buffer).await?;
            let (mut ours, mut gone) = (false, false);
            for (mask, name) in parsed(&buffer[..read]) {
                gone |= mask & AddWatchFlags::IN_IGNORED.bits() != 0;
                // After an overflow anything may have happened.
                ours |= name == self.name || mask & AddWatchFlags::IN_Q_OVERFLOW.bits() != 0;
            }
            if gone || ours {
                return Ok(!gone);
            }
        }
    }
}

/// Mask and name of each event in a buffer that the kernel filled.
fn parsed(mut bytes: &[u8]) -> Vec<(u32, &[u8])> {
    let mut events = Vec::new();
    while let Some((head, rest)) = bytes.split_first_chunk::<HEAD_BYTES>() {
        let number =
            |at: usize| u32::from_ne_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let Some((name, rest)) = rest.split_at_checked(number(12) as usize) else { break };
        let end = name.iter().position(|b| *b == 0).unwrap_or(name.len());
        events.push((number(4), &name[..end]));
        bytes = rest;
    }
    events
}
