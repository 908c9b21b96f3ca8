//! Waiting for a file to grow or to be replaced, or for a folder to change, by inotify.

use std::ffi::OsStr;
use std::io;
use std::os::fd::OwnedFd;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

/// Tells of changes of one file, by its directory; or of all files of a directory.
pub(crate) struct FileWatch {
    /// An inotify descriptor is read as a pipe is.
    events: Receiver,
    /// Empty for all files.
    name: Vec<u8>,
    /// Nobody has asked yet: what is there counts as changed.
    fresh: bool,
}

/// Room for many events with the longest names.
const BUFFER_BYTES: usize = 16 << 10;
/// `struct inotify_event` without its name: watch, mask, cookie, length of the name.
const HEAD_BYTES: usize = 16;

impl FileWatch {
    /// Watches a file from now on.
    pub(super) fn new(file: &Path) -> io::Result<FileWatch> {
        let directory = file.parent().unwrap_or(Path::new("."));
        let name = file.file_name().unwrap_or(OsStr::new("")).as_bytes().to_vec();
        FileWatch::of(directory, name, false)
    }

    /// Watches all files of a directory. The first change is told at once.
    pub(crate) fn directory(directory: &Path) -> io::Result<FileWatch> {
        FileWatch::of(directory, Vec::new(), true)
    }

    fn of(directory: &Path, name: Vec<u8>, fresh: bool) -> io::Result<FileWatch> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        let flags = AddWatchFlags::IN_MODIFY
            | AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_MOVED_FROM
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(directory, flags)?;
        let events = Receiver::from_owned_fd_unchecked(OwnedFd::from(inotify))?;
        Ok(FileWatch { events, name, fresh })
    }

    /// Returns when the file may have changed; false when its directory is gone.
    pub(crate) async fn changed(&mut self) -> io::Result<bool> {
        if std::mem::take(&mut self.fresh) {
            return Ok(true);
        }
        let mut buffer = vec![0; BUFFER_BYTES];
        loop {
            let read = self.events.read(&mut buffer).await?;
            let (mut ours, mut gone) = (false, false);
            for (mask, name) in parsed(&buffer[..read]) {
                gone |= mask & AddWatchFlags::IN_IGNORED.bits() != 0;
                // After an overflow anything may have happened.
                ours |= self.name.is_empty()
                    || name == self.name
                    || mask & AddWatchFlags::IN_Q_OVERFLOW.bits() != 0;
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
