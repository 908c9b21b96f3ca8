//! Copies an image archive entry by entry: leaves out layers, keeps the documents.

use std::io::{self, Read, Write};

use bytes::Bytes;
use futures::StreamExt;
use tar::{Archive, Builder, EntryType, Header};
use tokio::sync::mpsc;
use tokio::task::JoinHandle;

use super::contents::{DOCUMENT_BYTES_MAX, Documents};
use crate::docker::Input;
use crate::error::{Error, Result};

/// Bytes that are handed on at once.
const PIECE_BYTES: usize = 256 * 1024;
/// Pieces that wait for a slow reader.
const PIECES_WAITING: usize = 8;
const TAR_BLOCK: usize = 512;
/// Where a tar header says that it is one.
const TAR_MAGIC: std::ops::Range<usize> = 257..262;

/// Copies the entries of `from` to `to` except the layers that `skip` names. Returns the
/// documents.
pub fn copy(from: impl Read, to: impl Write, skip: impl Fn(&str) -> bool) -> io::Result<Documents> {
    let mut documents = Documents::new();
    let mut archive = Archive::new(from);
    let mut output = Builder::new(to);
    for entry in archive.entries()? {
        let mut entry = entry?;
        let path = plain_path(&entry.path()?.to_string_lossy());
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Continuous => {
                if skip(&path) {
                    continue;
                }
                let size = entry.size();
                let mut start = Vec::new();
                entry.by_ref().take(TAR_BLOCK as u64).read_to_end(&mut start)?;
                if size <= DOCUMENT_BYTES_MAX && !is_layer(&start) {
                    entry.read_to_end(&mut start)?;
                    append(&mut output, &path, size, start.as_slice())?;
                    documents.insert(path, start);
                } else {
                    append(&mut output, &path, size, start.as_slice().chain(entry))?;
                }
            }
            kind @ (EntryType::Symlink | EntryType::Link) => {
                let target = entry.link_name()?.unwrap_or_default().into_owned();
                let mut header = header(0);
                header.set_entry_type(kind);
                output.append_link(&mut header, &path, target)?;
            }
            _ => {}
        }
    }
    output.into_inner()?.flush()?;
    Ok(documents)
}

/// Only the documents of an archive.
pub fn documents(from: impl Read) -> io::Result<Documents> {
    let mut documents = Documents::new();
    for entry in Archive::new(from).entries()? {
        let mut entry = entry?;
        let regular =
            matches!(entry.header().entry_type(), EntryType::Regular | EntryType::Continuous);
        if !regular || entry.size() > DOCUMENT_BYTES_MAX {
            continue;
        }
        let mut bytes = Vec::new();
        entry.by_ref().take(TAR_BLOCK as u64).read_to_end(&mut bytes)?;
        if !is_layer(&bytes) {
            entry.read_to_end(&mut bytes)?;
            documents.insert(plain_path(&entry.path()?.to_string_lossy()), bytes);
        }
    }
    Ok(documents)
}

/// An archive of documents alone.
pub fn archive_of(documents: &Documents) -> io::Result<Vec<u8>> {
    let mut output = Builder::new(Vec::new());
    for (path, bytes) in documents {
        append(&mut output, path, bytes.len() as u64, bytes.as_slice())?;
    }
    output.into_inner()
}

/// Runs a blocking copy beside the reader of its output. The handle tells how the copy ended.
pub fn pipe<T, F>(copy: F) -> (Input, JoinHandle<Result<T>>)
where
    T: Send + 'static,
    F: FnOnce(&mut PieceWriter) -> Result<T> + Send + 'static,
{
    let (sender, receiver) = mpsc::channel(PIECES_WAITING);
    let task = tokio::task::spawn_blocking(move || {
        let mut writer = PieceWriter { sender: sender.clone(), piece: Vec::new() };
        let result = copy(&mut writer);
        if result.is_err() {
            // Without this the reader would take the pieces so far for the whole.
            let _ = sender.blocking_send(Err(Error::failure("the image was not read to its end")));
        }
        result
    });
    let pieces = futures::stream::unfold(receiver, |mut receiver| async {
        Some((receiver.recv().await?, receiver))
    });
    (pieces.boxed(), task)
}

/// Hands what is written on in large pieces.
pub struct PieceWriter {
    sender: mpsc::Sender<Result<Bytes>>,
    piece: Vec<u8>,
}

impl Write for PieceWriter {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.piece.reserve(PIECE_BYTES.saturating_sub(self.piece.len()));
        self.piece.extend_from_slice(bytes);
        if self.piece.len() >= PIECE_BYTES {
            self.flush()?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.piece.is_empty() {
            return Ok(());
        }
        let piece = Bytes::from(std::mem::take(&mut self.piece));
        let gone = |_| io::Error::from(io::ErrorKind::BrokenPipe);
        self.sender.blocking_send(Ok(piece)).map_err(gone)
    }
}

fn append(
    output: &mut Builder<impl Write>,
    path: &str,
    size: u64,
    content: impl Read,
) -> io::Result<()> {
    output.append_data(&mut header(size), path, content)
}

fn header(size: u64) -> Header {
    let mut header = Header::new_gnu();
    header.set_entry_type(EntryType::Regular);
    header.set_size(size);
    header.set_mode(0o644);
    header.set_mtime(0);
    header
}

/// Compressed, a tar, or the empty tar.
fn is_layer(start: &[u8]) -> bool {
    start.starts_with(&[0x1f, 0x8b])
        || start.starts_with(&[0x28, 0xb5, 0x2f, 0xfd])
        || start.get(TAR_MAGIC).is_some_and(|magic| magic == b"ustar")
        || (start.len() == TAR_BLOCK && start.iter().all(|byte| *byte == 0))
}

/// An archive made with `tar -C dir .` begins each path with `./`.
fn plain_path(path: &str) -> String {
    path.trim_start_matches("./").trim_end_matches('/').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn archive(entries: &[(&str, &[u8])]) -> Vec<u8> {
        let mut builder = Builder::new(Vec::new());
        for (path, bytes) in entries {
            append(&mut builder, path, bytes.len() as u64, *bytes).unwrap();
        }
        builder.into_inner().unwrap()
    }

    fn paths(archive: &[u8]) -> Vec<String> {
        let mut archive = Archive::new(archive);
        let path = |entry: io::Result<tar::Entry<'_, &[u8]>>| {
            entry.unwrap().path().unwrap().display().to_string()
        };
        archive.entries().unwrap().map(path).collect()
    }

    #[test]
    fn known_layers_stay_behind() {
        let layer = archive(&[("file", &[7; 2000])]);
        let long = format!("{}/layer.tar", "d".repeat(150));
        let from = archive(&[
            ("manifest.json", b"[]"),
            ("a/layer.tar", &layer),
            (&long, &layer),
            ("b/layer.tar", &[0; 1024]),
        ]);
        let mut to = Vec::new();
        let documents = copy(from.as_slice(), &mut to, |path| path == "a/layer.tar").unwrap();
        assert_eq!(documents.keys().collect::<Vec<_>>(), ["manifest.json"]);
        assert_eq!(paths(&to), ["manifest.json", &long, "b/layer.tar"]);
        assert_eq!(super::documents(from.as_slice()).unwrap(), documents);
        assert_eq!(paths(&archive_of(&documents).unwrap()), ["manifest.json"]);
    }

    #[test]
    fn a_broken_archive_is_an_error() {
        let whole = archive(&[("a", &[7; 2000])]);
        assert!(copy(&whole[..1000], &mut Vec::new(), |_| false).is_err());
        assert!(copy(&b"not an archive, but long enough"[..], &mut Vec::new(), |_| false).is_err());
    }

    #[tokio::test]
    async fn a_copy_that_fails_tells_its_reader() {
        let copy = |writer: &mut PieceWriter| -> Result<()> {
            writer.write_all(b"half").and_then(|()| writer.flush()).unwrap();
            Err(Error::failure("no more"))
        };
        let (input, task) = pipe(copy);
        let pieces: Vec<Result<Bytes>> = input.collect().await;
        assert!(pieces[0].is_ok() && pieces[1].is_err() && pieces.len() == 2);
        assert!(task.await.unwrap().is_err());
    }
}
