//! `/logs`: the node's own log directory, to look into and to read.

use std::path::{Component, Path, PathBuf};

use bytes::Bytes;
use http::{Response, StatusCode};
use tokio::io::AsyncReadExt;
use tokio::sync::mpsc;

use super::lookup::Refusal;
use super::response::{Body, plain, streamed};

/// Bytes read at a time, and how many such pieces wait for a slow client.
const PIECE_BYTES: usize = 64 << 10;
const PIECES_MAX: usize = 4;

/// A file's content, or a directory's names.
pub(super) async fn node_logs(root: &Path, below: &str) -> Result<Response<Body>, Refusal> {
    let not_found = || Refusal::new(404, "404 page not found\n");
    let path = inside(root, below).ok_or_else(not_found)?;
    let metadata = tokio::fs::metadata(&path).await.map_err(|_| not_found())?;
    if metadata.is_dir() {
        return Ok(plain(StatusCode::OK, "text/html; charset=utf-8", listing(&path)));
    }
    let mut file = tokio::fs::File::open(&path).await.map_err(|_| not_found())?;
    let (pieces, receiver) = mpsc::channel(PIECES_MAX);
    tokio::spawn(async move {
        let mut buffer = vec![0; PIECE_BYTES];
        loop {
            let piece = match file.read(&mut buffer).await {
                Ok(0) => return,
                Ok(read) => Ok(Bytes::copy_from_slice(&buffer[..read])),
                Err(error) => Err(error),
            };
            let last = piece.is_err();
            if pieces.send(piece).await.is_err() || last {
                return;
            }
        }
    });
    Ok(streamed(receiver))
}

/// The path, unless it or a link on its way leads out of the directory.
fn inside(root: &Path, below: &str) -> Option<PathBuf> {
    let below = Path::new(below.trim_start_matches('/'));
    let plain = |c: Component<'_>| matches!(c, Component::Normal(_) | Component::CurDir);
    if !below.components().all(plain) {
        return None;
    }
    let root = root.canonicalize().ok()?;
    let found = root.join(below).canonicalize().ok()?;
    found.starts_with(&root).then_some(found)
}

fn listing(directory: &Path) -> String {
    let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
    let mut names: Vec<String> = entries
        .map(|entry| {
            let end = if entry.path().is_dir() { "/" } else { "" };
            format!("{}{end}", entry.file_name().to_string_lossy())
        })
        .collect();
    names.sort();
    let escaped = |name: &str| {
        name.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&#34;")
    };
    let lines: String =
        names.iter().map(|name| format!("<a href=\"{0}\">{0}</a>\n", escaped(name))).collect();
    format!(
        "<!doctype html>\n<meta name=\"viewport\" content=\"width=device-width\">\n<pre>\n{lines}</pre>\n"
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn stays_inside() {
        let directory = tempfile::tempdir().unwrap();
        let root = directory.path().join("log");
        std::fs::create_dir_all(root.join("pods")).unwrap();
        std::fs::write(root.join("pods/a"), "x").unwrap();
        std::os::unix::fs::symlink("/etc/passwd", root.join("out")).unwrap();
        std::os::unix::fs::symlink(root.join("pods/a"), root.join("in")).unwrap();
        let check =
            |below: &str, ok: bool| assert_eq!(inside(&root, below).is_some(), ok, "{below}");
        check("", true);
        check("pods/a", true);
        check("in", true);
        check("out", false);
        check("../log", false);
        check("/pods/b", false);
        assert!(listing(&root).contains("<a href=\"pods/\">pods/</a>\n"));
    }
}
