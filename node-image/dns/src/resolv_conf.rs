//! The node's own resolvers: the `nameserver` lines of its resolv.conf, read again whenever the file
//! changes.

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::os::fd::AsFd;
use std::path::{Path, PathBuf};

use nix::sys::inotify::{AddWatchFlags, InitFlags, Inotify};
use tokio::io::AsyncReadExt;
use tokio::net::unix::pipe::Receiver;
use tokio::sync::watch;

use crate::server::PORT;

/// As many as the C library takes.
const UPSTREAMS_MAX: usize = 3;
const FILE_BYTES_MAX: usize = 64 << 10;
/// Room for many events with the longest names.
const EVENTS_BYTES: usize = 16 << 10;

/// Keeps `upstreams` equal to the file until nobody listens. Addresses in `own` are ours: asking
/// them would ask ourselves.
pub(crate) async fn follow(
    file: PathBuf,
    own: Vec<IpAddr>,
    upstreams: watch::Sender<Vec<SocketAddr>>,
) {
    let update = |upstreams: &watch::Sender<Vec<SocketAddr>>| {
        let now = read(&file, &own);
        upstreams.send_if_modified(|before| {
            let changed = *before != now;
            *before = now;
            changed
        });
    };
    let mut watching = match FileWatch::new(&file) {
        Ok(watching) => watching,
        Err(error) => {
            tracing::error!(file = %file.display(), %error, "cannot watch the resolvers");
            return update(&upstreams);
        }
    };
    loop {
        watching.renew(&file);
        update(&upstreams);
        tokio::select! {
            changed = watching.changed() => if let Err(error) = changed {
                tracing::error!(file = %file.display(), %error, "cannot watch the resolvers");
                return;
            },
            () = upstreams.closed() => return,
        }
    }
}

fn read(file: &Path, own: &[IpAddr]) -> Vec<SocketAddr> {
    match std::fs::read(file) {
        Ok(bytes) => {
            let end = bytes.len().min(FILE_BYTES_MAX);
            parse(&String::from_utf8_lossy(&bytes[..end]), own)
        }
        Err(error) => {
            tracing::warn!(file = %file.display(), %error, "cannot read the resolvers");
            Vec::new()
        }
    }
}

fn parse(text: &str, own: &[IpAddr]) -> Vec<SocketAddr> {
    let servers = text.lines().filter_map(|line| {
        let mut words = line.split_whitespace();
        (words.next() == Some("nameserver")).then(|| words.next()?.parse::<IpAddr>().ok())?
    });
    let others = servers.filter(|server| !own.contains(server) && !server.is_unspecified());
    others.take(UPSTREAMS_MAX).map(|server| SocketAddr::new(server, PORT)).collect()
}

/// Tells that the file, or another of its directory, may have changed.
struct FileWatch {
    inotify: Inotify,
    /// The same descriptor; it is read as a pipe is.
    events: Receiver,
}

impl FileWatch {
    fn new(file: &Path) -> io::Result<FileWatch> {
        let inotify = Inotify::init(InitFlags::IN_NONBLOCK | InitFlags::IN_CLOEXEC)?;
        // The file may be replaced by another of its name.
        let flags = AddWatchFlags::IN_CREATE
            | AddWatchFlags::IN_MOVED_TO
            | AddWatchFlags::IN_DELETE
            | AddWatchFlags::IN_ONLYDIR;
        inotify.add_watch(file.parent().unwrap_or(Path::new("/")), flags)?;
        let events = Receiver::from_owned_fd_unchecked(inotify.as_fd().try_clone_to_owned()?)?;
        Ok(FileWatch { inotify, events })
    }

    /// Watches what has the file's name now. Docker mounts the file into a container: its directory
    /// then tells nothing of its changes.
    fn renew(&self, file: &Path) {
        // Without a file there is nothing to watch but its directory, which is watched.
        let _ = self.inotify.add_watch(file, AddWatchFlags::IN_CLOSE_WRITE);
    }

    async fn changed(&mut self) -> io::Result<()> {
        // Which file it was does not matter: reading ours again costs nothing.
        self.events.read(&mut vec![0; EVENTS_BYTES]).await.map(drop)
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    #[test]
    fn nameservers() {
        let check = |text: &str, expect: &[&str]| {
            let own = ["10.96.0.10".parse().unwrap()];
            let found: Vec<String> = parse(text, &own).iter().map(ToString::to_string).collect();
            assert_eq!(found, expect);
        };
        check("", &[]);
        check("search a b\noptions ndots:0\nnameserver 127.0.0.11\n", &["127.0.0.11:53"]);
        check(
            "nameserver fd00::1 # comment\n nameserver\t1.2.3.4",
            &["[fd00::1]:53", "1.2.3.4:53"],
        );
        check("#nameserver 1.2.3.4\nnameserver\nnameserver x\nnameserver 0.0.0.0", &[]);
        check("nameserver 10.96.0.10\nnameserver 10.0.0.1", &["10.0.0.1:53"]);
        let many = "nameserver 1.1.1.1\n".repeat(4);
        assert_eq!(parse(&many, &[]).len(), UPSTREAMS_MAX);
    }

    #[tokio::test]
    async fn changes_are_followed() {
        let directory = tempfile::tempdir().unwrap();
        let file = directory.path().join("resolv.conf");
        fs::write(&file, "nameserver 1.1.1.1").unwrap();
        let (sender, mut upstreams) = watch::channel(Vec::new());
        tokio::spawn(follow(file.clone(), Vec::new(), sender));
        let mut becomes = async |expect: &str| {
            let now = upstreams.wait_for(|now| *now == [expect.parse().unwrap()]);
            assert!(now.await.is_ok(), "{expect}");
        };
        becomes("1.1.1.1:53").await;
        fs::write(&file, "nameserver 2.2.2.2").unwrap();
        becomes("2.2.2.2:53").await;
        let other = directory.path().join("other");
        fs::write(&other, "nameserver 3.3.3.3").unwrap();
        fs::rename(&other, &file).unwrap();
        becomes("3.3.3.3:53").await;
        fs::write(&file, "nameserver 4.4.4.4").unwrap();
        becomes("4.4.4.4:53").await;
        fs::remove_file(&file).unwrap();
        assert!(upstreams.wait_for(Vec::is_empty).await.is_ok());
    }
}
