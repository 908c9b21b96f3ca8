//! Tells when files of a directory change.

use std::io;
use std::os::fd::AsFd;
use std::path::Path;

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;

use crate::{Error, Result};

/// Room for many events with the longest names.
const EVENTS_BYTES: usize = 16 << 10;

/// A watched directory; it is made when it is not there.
pub(super) struct Directory {
    _inotify: Inotify,
    /// The same descriptor; it is read as a pipe is.
    events: Receiver,
}

impl Directory {
    pub(super) fn open(path: &Path) -> Result<Directory> {
        let operation = || format!("watch {}", path.display());
        std::fs::create_dir_all(path).map_err(Error::of(operation()))?;
        let open = || -> io::Result<Directory> {
            let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
            let flags = AddWatchFlags::IN_CLOSE_WRITE
                | AddWatchFlags::IN_MOVED_TO
                | AddWatchFlags::IN_MOVED_FROM
                | AddWatchFlags::IN_DELETE
                | AddWatchFlags::IN_ONLYDIR;
            inotify.add_watch(path, flags)?;
            let events = Receiver::from_owned_fd_unchecked(inotify.as_fd().try_clone_to_owned()?)?;
            Ok(Directory { _inotify: inotify, events })
        };
        open().map_err(Error::of(operation()))
    }

    pub(super) async fn changed(&mut self) -> io::Result<()> {
        // Which file it was does not matter: they are all read again.
        self.events.read(&mut vec![0; EVENTS_BYTES]).await.map(drop)
    }
}
