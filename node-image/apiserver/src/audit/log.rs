//! The file of the audit log: a JSON object in each line. A full file is moved aside, and the oldest
//! of those goes.

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use tokio::sync::mpsc;

/// A file is moved aside before it grows beyond this.
const FILE_BYTES_MAX: u64 = 16 << 20;
/// Files that were moved aside and are kept: `audit.log.1` is the newest.
const OLD_FILES_MAX: usize = 4;
/// Lines that wait for the disk; more requests wait for a place, and what cannot wait is lost.
const LINES_MAX: usize = 4096;

/// Hands lines to the thread that writes them.
pub(crate) struct Log {
    lines: mpsc::Sender<Bytes>,
    pub(crate) logged: AtomicU64,
    pub(crate) lost: AtomicU64,
}

impl Log {
    /// Opens the file, to write behind what it holds.
    pub(super) fn open(path: &Path) -> std::io::Result<Log> {
        let mut file = LogFile::open(path, FILE_BYTES_MAX)?;
        let (lines, mut queue) = mpsc::channel::<Bytes>(LINES_MAX);
        let write = move || {
            while let Some(line) = queue.blocking_recv() {
                if let Err(error) = file.write(&line) {
                    tracing::error!(%error, "audit log");
                }
            }
        };
        std::thread::Builder::new().name("audit-log".into()).spawn(write)?;
        Ok(Log { lines, logged: AtomicU64::new(0), lost: AtomicU64::new(0) })
    }

    /// Waits for a place.
    pub(super) async fn append(&self, line: Bytes) {
        let sent = self.lines.send(line).await;
        self.count(sent.is_ok());
    }

    /// For those that cannot wait.
    pub(super) fn append_now(&self, line: Bytes) {
        let sent = self.lines.try_send(line);
        self.count(sent.is_ok());
    }

    fn count(&self, sent: bool) {
        let counter = if sent { &self.logged } else { &self.lost };
        counter.fetch_add(1, Ordering::Relaxed);
    }
}

struct LogFile {
    path: PathBuf,
    file: File,
    bytes: u64,
    bytes_max: u64,
}

impl LogFile {
    fn open(path: &Path, bytes_max: u64) -> std::io::Result<LogFile> {
        if let Some(directory) = path.parent() {
            std::fs::create_dir_all(directory)?;
        }
        let file = OpenOptions::new().create(true).append(true).open(path)?;
        let bytes = file.metadata()?.len();
        Ok(LogFile { path: path.to_owned(), file, bytes, bytes_max })
    }

    /// One write per line: whoever reads the file sees whole lines.
    fn write(&mut self, line: &[u8]) -> std::io::Result<()> {
        let length = line.len() as u64;
        if self.bytes > 0 && self.bytes + length > self.bytes_max {
            self.rotate()?;
        }
        self.file.write_all(line)?;
        self.bytes += length;
        Ok(())
    }

    fn rotate(&mut self) -> std::io::Result<()> {
        let old = |number: usize| {
            let mut name = self.path.clone().into_os_string();
            name.push(format!(".{number}"));
            PathBuf::from(name)
        };
        for number in (1..OLD_FILES_MAX).rev() {
            let moved = std::fs::rename(old(number), old(number + 1));
            moved.or_else(|error| match error.kind() {
                std::io::ErrorKind::NotFound => Ok(()),
                _ => Err(error),
            })?;
        }
        std::fs::rename(&self.path, old(1))?;
        *self = LogFile::open(&self.path, self.bytes_max)?;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("logs/audit.log");
        let mut file = LogFile::open(&path, 10).unwrap();
        for line in 0..20 {
            file.write(format!("{line:04}\n").as_bytes()).unwrap();
        }
        drop(file);
        // A server that starts again goes on behind.
        LogFile::open(&path, 15).unwrap().write(b"last\n").unwrap();
        let mut names: Vec<_> = std::fs::read_dir(directory.path().join("logs"))
            .unwrap()
            .map(|entry| entry.unwrap().file_name().into_string().unwrap())
            .collect();
        names.sort();
        let expect = ["audit.log", "audit.log.1", "audit.log.2", "audit.log.3", "audit.log.4"];
        assert_eq!(names, expect);
        let read = |path: &Path| std::fs::read_to_string(path).unwrap();
        assert_eq!(read(&path), "0018\n0019\nlast\n");
        assert_eq!(read(&path.with_extension("log.4")), "0010\n0011\n");
    }
}
