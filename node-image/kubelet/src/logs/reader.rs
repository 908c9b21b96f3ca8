//! Reading a container's log as `kubectl logs` asks for it.

use std::io::{self, SeekFrom};
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use bytes::Bytes;
use jiff::Timestamp;
use tokio::fs::File;
use tokio::io::{AsyncReadExt, AsyncSeekExt};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use super::line::{Line, Stream};
use super::watch::FileWatch;

/// What to read of a log.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct LogOptions {
    /// Go on when the end is reached, until the container has ended.
    pub follow: bool,
    /// Nothing older.
    pub since: Option<Timestamp>,
    /// Only so many lines at the end.
    pub tail_lines: Option<u64>,
    /// Stop after so many bytes.
    pub limit_bytes: Option<u64>,
    /// Put the time before each line.
    pub timestamps: bool,
    /// Only this output.
    pub stream: Option<Stream>,
}

/// Chunks on their way to a slow reader.
const CHUNKS_MAX: usize = 16;
const CHUNK_BYTES: usize = 32 << 10;
/// A single line of the file may not be longer; what is beyond is dropped.
const LINE_BYTES_MAX: usize = 1 << 20;

/// Reads a log into chunks. `ended` tells a follower that nothing more will be written.
pub fn read_log(
    path: PathBuf,
    options: LogOptions,
    ended: CancellationToken,
) -> mpsc::Receiver<io::Result<Bytes>> {
    let (chunks, receiver) = mpsc::channel(CHUNKS_MAX);
    tokio::spawn(async move {
        let mut reader = Reader::new(path, options, chunks);
        let result = reader.run(&ended).await;
        if let Err(error) = result {
            // The reader may have gone away.
            let _ = reader.chunks.send(Err(error)).await;
        }
    });
    receiver
}

struct Reader {
    path: PathBuf,
    options: LogOptions,
    chunks: mpsc::Sender<io::Result<Bytes>>,
    /// Bytes of a line whose end is not read yet.
    partial: Vec<u8>,
    out: Vec<u8>,
    left: u64,
    line_begins: bool,
}

/// Whether to go on.
#[derive(PartialEq)]
enum Flow {
    On,
    Over,
}

impl Reader {
    fn new(path: PathBuf, options: LogOptions, chunks: mpsc::Sender<io::Result<Bytes>>) -> Reader {
        let left = options.limit_bytes.unwrap_or(u64::MAX);
        let (partial, out) = (Vec::new(), Vec::new());
        Reader { path, options, chunks, partial, out, left, line_begins: true }
    }

    async fn run(&mut self, ended: &CancellationToken) -> io::Result<()> {
        let mut watch = self.options.follow.then(|| FileWatch::new(&self.path)).transpose()?;
        let mut file = File::open(&self.path).await?;
        if let Some(lines) = self.options.tail_lines {
            let start = tail_start(&mut file, lines).await?;
            file.seek(SeekFrom::Start(start)).await?;
        }
        loop {
            // Asked before reading: what is written before the end is then read.
            let over = ended.is_cancelled();
            if self.read_to_end(&mut file).await? == Flow::Over {
                return Ok(());
            }
            if let Some(next) = replaced(&file, &self.path).await? {
                self.partial.clear();
                file = next;
                continue;
            }
            let Some(watch) = watch.as_mut().filter(|_| !over) else {
                return self.flush().await.map(drop);
            };
            tokio::select! {
                changed = watch.changed() => if !changed? { return Ok(()) },
                () = ended.cancelled() => {}
                () = self.chunks.closed() => return Ok(()),
            }
        }
    }

    async fn read_to_end(&mut self, file: &mut File) -> io::Result<Flow> {
        let mut buffer = vec![0; CHUNK_BYTES];
        loop {
            let read = file.read(&mut buffer).await?;
            if read == 0 {
                return self.flush().await;
            }
            let mut rest = &buffer[..read];
            while let Some(end) = rest.iter().position(|b| *b == b'\n') {
                self.partial.extend_from_slice(&rest[..=end]);
                rest = &rest[end + 1..];
                let raw = std::mem::take(&mut self.partial);
                if self.take_line(&raw) == Flow::Over {
                    self.flush().await?;
                    return Ok(Flow::Over);
                }
            }
            if self.partial.len() < LINE_BYTES_MAX {
                self.partial.extend_from_slice(rest);
            }
            if self.out.len() >= CHUNK_BYTES && self.flush().await? == Flow::Over {
                return Ok(Flow::Over);
            }
        }
    }

    fn take_line(&mut self, raw: &[u8]) -> Flow {
        let Some(line) = Line::parse(raw) else { return Flow::On };
        let too_old = |since| line.time().is_some_and(|time| time < since);
        if self.options.since.is_some_and(too_old)
            || self.options.stream.is_some_and(|stream| stream != line.stream)
        {
            return Flow::On;
        }
        let begin = self.out.len();
        if self.options.timestamps && self.line_begins {
            self.out.extend_from_slice(line.stamp);
            self.out.push(b' ');
        }
        self.out.extend_from_slice(line.content);
        if line.ends {
            self.out.push(b'\n');
        }
        self.line_begins = line.ends;
        let added = (self.out.len() - begin) as u64;
        if added < self.left {
            self.left -= added;
            return Flow::On;
        }
        self.out.truncate(begin + usize::try_from(self.left).unwrap_or(usize::MAX));
        self.left = 0;
        Flow::Over
    }

    async fn flush(&mut self) -> io::Result<Flow> {
        if self.out.is_empty() {
            return Ok(Flow::On);
        }
        let chunk = Bytes::from(std::mem::take(&mut self.out));
        let sent = self.chunks.send(Ok(chunk)).await;
        Ok(if sent.is_ok() { Flow::On } else { Flow::Over })
    }
}

/// The file that has taken this one's name, after a rotation.
async fn replaced(file: &File, path: &Path) -> io::Result<Option<File>> {
    let own = file.metadata().await?;
    match tokio::fs::metadata(path).await {
        Ok(now) if now.ino() != own.ino() => File::open(path).await.map(Some),
        // Between the rename and the new file there is none.
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(None),
    }
}

/// Where the last `lines` lines of a file begin.
async fn tail_start(file: &mut File, lines: u64) -> io::Result<u64> {
    let length = file.seek(SeekFrom::End(0)).await?;
    if lines == 0 {
        return Ok(length);
    }
    let mut buffer = vec![0; CHUNK_BYTES];
    let (mut position, mut found) = (length, 0);
    while position > 0 {
        let size = position.min(CHUNK_BYTES as u64);
        position -= size;
        file.seek(SeekFrom::Start(position)).await?;
        let chunk = &mut buffer[..usize::try_from(size).unwrap_or(CHUNK_BYTES)];
        file.read_exact(chunk).await?;
        for (at, _) in chunk.iter().enumerate().rev().filter(|(_, b)| **b == b'\n') {
            let after = position + at as u64 + 1;
            // The newline at the very end closes the last line, it does not begin one.
            if after == length {
                continue;
            }
            found += 1;
            if found == lines {
                return Ok(after);
            }
        }
    }
    Ok(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;
    use std::time::Duration;

    const LOG: &str = "2024-01-01T00:00:01Z stdout F one\n\
                       2024-01-01T00:00:02Z stderr F two\n\
                       2024-01-01T00:00:03Z stdout P th\n\
                       2024-01-01T00:00:03Z stdout F ree\n";

    async fn all(mut chunks: mpsc::Receiver<io::Result<Bytes>>) -> String {
        let mut text = Vec::new();
        while let Some(chunk) = chunks.recv().await {
            text.extend_from_slice(&chunk.unwrap());
        }
        String::from_utf8(text).unwrap()
    }

    async fn check(options: LogOptions, expect: &str) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        std::fs::write(&path, LOG).unwrap();
        assert_eq!(all(read_log(path, options, CancellationToken::new())).await, expect);
    }

    #[tokio::test]
    async fn options() {
        let with = |change: fn(&mut LogOptions)| {
            let mut options = LogOptions::default();
            change(&mut options);
            options
        };
        check(with(|_| ()), "one\ntwo\nthree\n").await;
        check(with(|o| o.tail_lines = Some(0)), "").await;
        check(with(|o| o.tail_lines = Some(3)), "two\nthree\n").await;
        check(with(|o| o.tail_lines = Some(99)), "one\ntwo\nthree\n").await;
        check(with(|o| o.limit_bytes = Some(6)), "one\ntw").await;
        check(with(|o| o.since = "2024-01-01T00:00:02Z".parse().ok()), "two\nthree\n").await;
        check(with(|o| o.stream = Some(Stream::Stderr)), "two\n").await;
        check(
            with(|o| {
                o.timestamps = true;
                o.tail_lines = Some(2);
            }),
            "2024-01-01T00:00:03Z three\n",
        )
        .await;
    }

    #[tokio::test]
    async fn follows_through_a_rotation_to_the_end() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("0.log");
        let line = |text: &str| format!("2024-01-01T00:00:01Z stdout F {text}\n");
        std::fs::write(&path, line("a")).unwrap();
        let ended = CancellationToken::new();
        let options = LogOptions { follow: true, ..LogOptions::default() };
        let mut chunks = read_log(path.clone(), options, ended.clone());
        let next = async |chunks: &mut mpsc::Receiver<io::Result<Bytes>>| {
            let wait = tokio::time::timeout(Duration::from_secs(10), chunks.recv());
            String::from_utf8(wait.await.unwrap().unwrap().unwrap().to_vec()).unwrap()
        };
        assert_eq!(next(&mut chunks).await, "a\n");
        let append = |text: &str| {
            let mut file =
                std::fs::OpenOptions::new().append(true).create(true).open(&path).unwrap();
            file.write_all(line(text).as_bytes()).unwrap();
        };
        append("b");
        assert_eq!(next(&mut chunks).await, "b\n");
        std::fs::rename(&path, directory.path().join("0.log.old")).unwrap();
        append("c");
        assert_eq!(next(&mut chunks).await, "c\n");
        append("d");
        ended.cancel();
        assert_eq!(all(chunks).await, "d\n");
    }
}
